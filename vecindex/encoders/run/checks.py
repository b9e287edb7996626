"""Checks texts before they are encoded and vectors afterwards; each check raises an error that says what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import EncodingFailed, TextWithoutToken
from ...values.columns import column, each
from ...values.scalars import choice
from ...values.space import Role, Space
from ...values.texts import checked_text
from .pooling import FloatArray

OnLong = Literal["truncate", "error", "mean"]
"""What to do with a text that has more tokens than the model reads.

``truncate`` encodes the tokens that the model reads, ``error`` refuses the text, and ``mean`` splits it into parts and
takes the mean of their vectors, weighted by their numbers of tokens.
"""

role_check = choice(get_args(Role), "role")
on_long_check = choice(get_args(OnLong))


def checked_texts(texts: Any) -> list[str]:
    """The items of a column (see `arguments.column`); raises InvalidInput unless all are strings that can be stored."""
    return each(column("texts", texts), checked_text)


def no_token(text: str, skipped: int) -> TextWithoutToken:
    """The error for a text without tokens after the first ``skipped`` ones, which are not pooled."""
    return TextWithoutToken(text[:40], skipped > 0)


def check_directions(vectors: FloatArray, texts: Sequence[str], space: Space, skipped: int) -> None:
    """Raises TextWithoutToken for a zero vector in (n, D), and EncodingFailed for one that is not finite."""
    zero = is_zero(vectors)
    if zero.any():
        raise no_token(texts[int(zero.argmax())], skipped)
    if not np.isfinite(squares := np.einsum("ij,ij->i", vectors, vectors)).all():
        raise EncodingFailed(
            f"{space.model} in {space.precision} computes numbers that are not finite for the text "
            f"{texts[int(np.isfinite(squares).argmin())][:40]!r}",
            "Its weights are damaged or too large for this precision.",
        ) from FloatingPointError()


def not_finite(error: EncodingFailed) -> bool:
    """Whether `check_directions` raised this error for numbers that are not finite, so that a retry is useless."""
    return isinstance(error.__cause__, FloatingPointError)


def is_zero(vectors: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(~vectors.any(axis=1))


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, or the error's class if it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
