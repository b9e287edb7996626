"""Reads a file and cuts its longer texts, in one call: `read`, which is ``vecindex.read``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from ...errors import InvalidInput
from ...values.arguments import entrance
from ...values.records import Record
from ...values.scalars import Check, callback, choice, path_or, whole
from ..cells import Types
from ..documents import Document
from ..formats import LAYOUTS, Format
from ..options import DecodingErrors, ReadOptions, read_options
from ..origin import Source, source
from ..prose.wrapped import as_prose_if_wrapped
from ..reading import OnBad, contents
from .method import Split
from .pieces import as_document, pieces
from .windows import TokenSpans


def _split_check(name: str, value: Any) -> Split:
    return value if isinstance(value, Split) else Split.parse(value)


READ_CHECKS: dict[str, Check] = {
    "split": _split_check,
    "join_short": whole(0, "Pass a number of characters, or 0 to join nothing."),
    "format": choice(tuple(Format), "format"),
}
"""The checks of arguments that say how a file is read."""


@entrance(path=path_or(Source), token_spans=callback, **READ_CHECKS)
def read(
    path: str | os.PathLike[str] | Source,
    on_bad: OnBad | None = None,
    *,
    split: str | Split | None = None,
    join_short: int = 0,
    token_spans: TokenSpans | None = None,
    format: str | None = None,
    text_column: str | Sequence[str] | None = None,
    key_column: str | None = None,
    metadata_columns: str | Sequence[str] | None = None,
    types: Types = "auto",
    json_path: str | None = None,
    encoding: str | None = None,
    errors: DecodingErrors = "strict",
    sql: str | None = None,
    offline: bool = False,
) -> Iterator[Record]:
    """The records of a file, as ``add`` would see them: rows, or the sentences of a longer text.

    Each has its text, metadata, and ``origin``: the file and the line, page or other place there. Records that were cut
    out of a longer text have a ``span``. Records have the keys that the file gives them; those cut out of a text with
    the key KEY have KEY#1, KEY#2 and so on. The file is read as far as records are taken.

    Args:
        path: a file or a URL; "-" is standard input.
        on_bad: is called with the SourceError of each bad row, and reading goes on.
        split: "sentence", "paragraph", "line", "none", "tokens:N" or "tokens:N,overlap:M". None goes by the format:
            rows stay whole, and longer texts are cut into sentences.
        join_short: joins what has fewer characters, such as a heading, to what follows it under the same headings.
        token_spans: counts tokens for "tokens:N", such as ``encoder.token_spans``.
        format: the format; None goes by the file's suffix and content.
        text_column: the column of the text, or several, to be joined in this order.
        key_column: the column of the keys.
        metadata_columns: the columns that become metadata; None is all others.
        types: "auto" or "text", how to read the cells of a table of text.
        json_path: where the array is in a JSON document, such as "data.items".
        encoding: the encoding of a text; None detects it.
        errors: "strict" or "replace", what happens to bytes that are not text in that encoding.
        sql: the query whose rows are read from a database.
        offline: refuses URLs.

    Raises:
        SourceError: the file or a row of it cannot be read; it names the file and the line.
        InvalidInput: an argument is wrong.
    """
    options = read_options(
        text_column=text_column,
        key_column=key_column,
        metadata_columns=metadata_columns,
        types=types,
        json_path=json_path,
        encoding=encoding,
        errors=errors,
        sql=sql,
    )
    way = None if split is None else cast(Split, split)
    if isinstance(path, Source):
        if (options, format, offline) != (ReadOptions(), None, False):
            raise InvalidInput("options of a source that is open already", "Pass them to source().")
        return _records(path, on_bad, way, join_short, token_spans)
    opened = source(path, options, format=None if format is None else Format(format), offline=offline)
    return _closed_after(opened, _records(opened, on_bad, way, join_short, token_spans))


def _closed_after(opened: Source, records: Iterator[Record]) -> Iterator[Record]:
    with opened:
        yield from records


def _records(
    opened: Source, on_bad: OnBad | None, way: Split | None, join_short: int, token_spans: TokenSpans | None
) -> Iterator[Record]:
    opened = as_prose_if_wrapped(opened, way)
    way = LAYOUTS[opened.format].split if way is None else way
    way = replace(way, join_short=join_short) if join_short else way
    for found in contents(opened, on_bad):
        if isinstance(found, Document):
            yield from _pieces(found, way, token_spans)
        elif way.method == "none":
            yield found
        else:
            yield from _pieces(as_document(found), way, token_spans)


def _pieces(document: Document, way: Split, token_spans: TokenSpans | None) -> Iterator[Record]:
    for number, piece in enumerate(pieces(document, way, token_spans), start=1):
        yield Record(
            document.text[piece.start : piece.end],
            None if document.key is None else f"{document.key}#{number}",
            {**(document.metadata or {}), **piece.metadata},
            origin=document.origin._replace(place=piece.place),
            span=(piece.start, piece.end),
        )
