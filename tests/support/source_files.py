"""Reads a source file of the given content: its records, or why it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, Source, read, read_options, source
from vecindex.values.records import Record

from .places import SHARED

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


def as_said(name: str, format: Format | None = None, **options: Any) -> Source:
    return source(name, read_options(**options), format=format)


def records(name: str, content: bytes | str, **options: Any) -> list[Record]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(as_said(name, **options)))


def refused(name: str, content: bytes | str, **options: Any) -> tuple[int | None, str]:
    with pytest.raises(SourceError) as caught:
        records(name, content, **options)
    assert caught.value.path == name
    assert "\n" not in str(caught.value)
    return caught.value.line, caught.value.reason


def with_bad_rows(name: str, content: bytes | str, **options: Any) -> tuple[list[str], list[tuple[int | None, str]]]:
    """The texts that are read, and the line and reason of every row left out."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    bad: list[SourceError] = []
    texts = [record.text for record in read(as_said(name, **options), bad.append)]
    return texts, [(error.line, error.reason) for error in bad]
