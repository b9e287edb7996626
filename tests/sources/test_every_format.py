"""One corpus gives the same records in each format that it is added in, compressed or in an archive."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..support.every_format import (
    PACK,
    ROW_WRITERS,
    TEXT_ROWS,
    TEXT_WRITERS,
    TEXTS_OF_TEXT,
    pack,
    rows,
    sentences,
    write_lines,
    write_prose,
    write_sqlite,
    zipped,
)
from ..support.extent import slow
from ..support.helpers import opened, sql

COUNT = 1000
ROWS = rows(COUNT)
SENTENCES = sentences(COUNT)
Write = Callable[[Path, Sequence[Any]], None]


def added(here: Path, *paths: Path, **options: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Key, text and metadata of all that is in an index after adding files to it, in the order of the files."""
    folder = here / ".vecindex"
    with opened(folder) as index:
        report = index.add_files([str(path) for path in paths], **options)
        assert report.added == len(index)
        assert index.verify().ok
    found = sql(folder, "select key, text, metadata from records order by source, document, position")
    return [(key, text, json.loads(metadata)) for key, text, metadata in found]


def expected_rows() -> list[tuple[str, str, dict[str, Any]]]:
    return [(row["key"], row["text"], {name: row[name] for name in row if name not in ("key", "text")}) for row in ROWS]


def is_the_corpus(location: str, found: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """All sentences, in order, with keys that number them; source code keeps its paragraphs."""
    texts = [text for _, text, _ in found]
    if ".py" in location:
        assert "\n\n".join(texts) == "\n\n".join(f"# {text}" for text in SENTENCES)
    else:
        assert texts == SENTENCES
    if ".mbox" not in location:  # where messages have keys of their own
        assert [key for key, _, _ in found] == [f"{location}#{n}" for n in range(1, len(found) + 1)]


@pytest.mark.parametrize("suffix", ROW_WRITERS)
def test_rows_are_the_same_in_each_format(here: Path, suffix: str) -> None:
    path = here / f"rows.{suffix}"
    ROW_WRITERS[suffix](path, ROWS)
    assert added(here, path) == expected_rows()


def test_rows_of_a_database_are_the_same(here: Path) -> None:
    path = here / "rows.sqlite"
    write_sqlite(path, ROWS)
    assert added(here, path, sql="select * from rows order by n") == expected_rows()


def test_lines_of_a_text_file_are_rows_with_nothing_but_a_text(here: Path) -> None:
    path = here / "lines.txt"
    write_lines(path, SENTENCES)
    found = added(here, path)
    assert [(text, metadata) for _, text, metadata in found] == [(text, {}) for text in SENTENCES]


@pytest.mark.parametrize("suffix", TEXT_WRITERS)
def test_sentences_are_the_same_in_each_format(here: Path, suffix: str) -> None:
    path = here / f"text.{suffix}"
    TEXT_WRITERS[suffix](path, SENTENCES)
    is_the_corpus(path.name, added(here, path))


def test_sentences_of_plain_prose_are_the_same(here: Path) -> None:
    path = here / "text.txt"
    write_prose(path, SENTENCES)
    is_the_corpus(path.name, added(here, path, split="sentence"))


@pytest.mark.parametrize("how", PACK)
@pytest.mark.parametrize("suffix", [TEXT_ROWS[0], *map(slow, TEXT_ROWS[1:])])
def test_compressed_rows_are_the_same(here: Path, suffix: str, how: str) -> None:
    path = here / f"rows.{suffix}"
    ROW_WRITERS[suffix](path, ROWS)
    assert added(here, pack(path, how)) == expected_rows()


@pytest.mark.parametrize("how", PACK)
@pytest.mark.parametrize("suffix", [TEXTS_OF_TEXT[0], *map(slow, TEXTS_OF_TEXT[1:])])
def test_compressed_texts_are_the_same(here: Path, suffix: str, how: str) -> None:
    path = here / f"text.{suffix}"
    TEXT_WRITERS[suffix](path, SENTENCES)
    packed = pack(path, how)
    is_the_corpus(packed.name, added(here, packed))


@pytest.mark.parametrize("suffix", ROW_WRITERS)
def test_rows_in_an_archive_are_the_same(here: Path, suffix: str) -> None:
    path = here / f"rows.{suffix}"
    ROW_WRITERS[suffix](path, ROWS)
    archive = zipped(here / "all.zip", [path])
    path.unlink()
    assert added(here, archive) == expected_rows()


@pytest.mark.parametrize("suffix", TEXT_WRITERS)
def test_texts_in_an_archive_are_the_same(here: Path, suffix: str) -> None:
    path = here / f"text.{suffix}"
    TEXT_WRITERS[suffix](path, SENTENCES)
    archive = zipped(here / "all.zip", [path])
    path.unlink()
    is_the_corpus(f"all.zip/{path.name}", added(here, archive))
