"""What may be encoded, and what may come of it: each check raises an error that says what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import EncodingFailed, TextWithoutToken
from ...values.arguments import choice, column, each
from ...values.records import checked_text
from ...values.space import Role, Space
from .pooling import FloatArray

OnLong = Literal["truncate", "error", "mean"]
"""What becomes of a text longer than the model reads.

``truncate`` encodes what the model reads of it, ``error`` refuses it, ``mean`` encodes it in parts and takes the mean
of their vectors, each counted as often as it has tokens.
"""

role_check = choice(get_args(Role), "role")
on_long_check = choice(get_args(OnLong))


def checked_texts(texts: Any) -> list[str]:
    """The items of what `arguments.column` takes, all of them strings that can be stored; raises InvalidInput."""
    return each(column("texts", texts), checked_text)


def no_token(text: str, skipped: int) -> TextWithoutToken:
    """The error for a text that has no token behind the ``skipped`` ones, which are not pooled."""
    return TextWithoutToken(text[:40], skipped > 0)


def check_directions(vectors: FloatArray, texts: Sequence[str], space: Space, skipped: int) -> None:
    """Raises TextWithoutToken or EncodingFailed for the first of the vectors (n, D) that has no direction."""
    zero = is_zero(vectors)
    if zero.any():
        raise no_token(texts[int(zero.argmax())], skipped)
    if not np.isfinite(squares := np.einsum("ij,ij->i", vectors, vectors)).all():
        raise EncodingFailed(
            f"{space.model} in {space.precision} gives numbers that are not finite for the text "
            f"{texts[int(np.isfinite(squares).argmin())][:40]!r}",
            "Its weights are damaged, or their numbers are too large for this precision.",
        ) from FloatingPointError()


def not_finite(error: EncodingFailed) -> bool:
    """Whether `check_directions` raised it for numbers that are not finite, which the model gives every time."""
    return isinstance(error.__cause__, FloatingPointError)


def is_zero(vectors: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(~vectors.any(axis=1))
