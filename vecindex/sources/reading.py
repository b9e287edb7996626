"""Reads what is in a source, with the reader of its format, and decides what happens to a bad row."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import IO, cast

from ..errors import SourceError
from ..values.records import Record
from .documents import Document, EmptyText
from .formats import LAYOUTS, Format
from .origin import OnDigest, Source
from .rows import delimited

OnBad = Callable[[SourceError], None]
OnEmpty = Callable[[EmptyText], None]
Reader = Callable[[Source, IO[bytes]], Iterator["Record | Document | EmptyText | SourceError"]]


def contents(
    source: Source,
    on_bad: OnBad | None = None,
    on_empty: OnEmpty | None = None,
    on_digest: OnDigest | None = None,
) -> Iterator[Record | Document]:
    """Yields every row or text of ``source``, in order, each with its ``origin``.

    A bad row raises SourceError; with ``on_bad`` the error is passed to it instead, and reading goes on. A row without
    a text is left out, and passed to ``on_empty``. An unreadable source (a header without a text column) and one
    without any text always raise, unless the latter was only found in a folder or an archive.
    ``on_digest`` is as in `Source.opened`.
    """
    if source.format in (Format.CSV, Format.TSV):
        delimited.learn(source)
    empty = True
    with source.opened(on_digest) as stream:
        for found in _reader(source.format)(source, stream):
            if isinstance(found, EmptyText):
                if on_empty is not None:
                    on_empty(found)
                continue
            empty = False
            if not isinstance(found, SourceError):
                yield found
            elif on_bad is None:
                raise found
            else:
                on_bad(found)
    if empty and source.is_named:
        raise SourceError(source.name, 1, "holds no sentences", "Check that this is the right file, or leave it out.")


def _reader(format: Format) -> Reader:
    """The reader of a format, imported now."""
    return cast(Reader, importlib.import_module(f".{LAYOUTS[format].reader}", __package__).read)
