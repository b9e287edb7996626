"""What a caller says about how a source is to be read, checked."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from ..errors import Advice, InvalidInput
from ..values.scalars import choice, how_to, string
from .cells import Types, checked_types

DecodingErrors = Literal["strict", "replace"]
"""``strict`` makes bytes that are not text an error; ``replace`` reads each as U+FFFD and counts them."""

_checked_errors = choice(get_args(DecodingErrors))


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a source is to be read; made by `read_options`.

    Attributes:
        text_columns: the columns whose values are the text, joined in this order; empty is the column "text".
        key_column: the column of the keys; None is the column "key", if there is one.
        metadata_columns: the columns that become metadata; None is all others, and ``()`` is none.
        types: how to read cells that are all text; see `cells`.
        json_path: where the array is in a JSON document, such as ``data.items``.
        encoding: the encoding of a text, as Python calls it; None detects it.
        errors: what happens to bytes that are not text in that encoding.
        sql: the query whose rows are read from a database.
    """

    text_columns: tuple[str, ...] = ()
    key_column: str | None = None
    metadata_columns: tuple[str, ...] | None = None
    types: Types = "auto"
    json_path: str | None = None
    encoding: str | None = None
    errors: DecodingErrors = "strict"
    sql: str | None = None

    @property
    def names_columns(self) -> bool:
        """Whether a text, key or metadata column is named."""
        return bool(self.text_columns) or self.key_column is not None or self.metadata_columns is not None


def read_options(
    *,
    text_column: str | Sequence[str] | None = None,
    key_column: str | None = None,
    metadata_columns: str | Sequence[str] | None = None,
    types: Types = "auto",
    json_path: str | None = None,
    encoding: str | None = None,
    errors: DecodingErrors = "strict",
    sql: str | None = None,
) -> ReadOptions:
    """The options in their final form; raises InvalidInput. Columns are one name or several."""
    texts = _names("text_column", text_column) or ()
    others = _names("metadata_columns", metadata_columns)
    if key_column is not None and key_column in texts:
        raise InvalidInput(f"the text and the key cannot both be {key_column!r}", "Name two different ones.")
    return ReadOptions(
        text_columns=texts,
        key_column=None if key_column is None else string(key_column, "key_column"),
        metadata_columns=others,
        types=cast(Types, checked_types("types", types)),
        json_path=None if json_path is None else string(json_path, "json_path"),
        encoding=None if encoding is None else _encoding(encoding),
        errors=cast(DecodingErrors, _checked_errors("errors", errors)),
        sql=None if sql is None else string(sql, "sql"),
    )


def _names(option: str, given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return (string(given, option),)
    if not isinstance(given, (list, tuple)):  # a set, say, has no order
        raise InvalidInput(f"{option} must be a name or several, not {type(given).__name__}", how_to(given))
    names = tuple(string(name, f"a name in {option}") for name in given)
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise InvalidInput(f"{option} names {twice!r} twice", "Name each column once.")
    return names


def _encoding(given: str) -> str:
    """The name that Python uses for this encoding of text."""
    name = string(given, "encoding")
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):  # a NUL in the name
        info = None
    if info is None or not getattr(info, "_is_text_encoding", True):
        raise InvalidInput(
            f"the encoding {name[:40]!r} is unknown",
            Advice(
                "Pass one that Python knows, such as utf-8, utf-16, cp1252, latin-1, cp1251, shift_jis or gb18030.",
                typed="Use one that Python knows, such as utf-8, utf-16, cp1252, latin-1, cp1251, shift_jis or "
                "gb18030.",
            ),
        )
    return info.name
