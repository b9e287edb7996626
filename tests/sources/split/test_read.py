"""The records of a file, cut as `add` cuts them, with where they were read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vecindex
from vecindex import Record, SourceError
from vecindex.errors import InvalidInput
from vecindex.sources import Source, read_options, source
from vecindex.sources.split.method import Split
from vecindex.values.records import Origin

PAGE = """---
title: Oils
author: Ames
---
# Oil

Oil floats. It burns
well.

## Tar

Tar sinks.
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "oil.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text('id,plot,year\nm1,"On Mars. Alone.",2015\nm2,A shark bites.,1975\n', encoding="utf-8")
    return path


def words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\S+", text)]


def test_a_longer_text_is_cut_into_sentences_that_know_their_place(page: Path) -> None:
    found = list(vecindex.read(page))
    assert [record.text for record in found] == ["Oil", "Oil floats.", "It burns\nwell.", "Tar", "Tar sinks."]
    assert [record.origin for record in found] == [Origin(str(page), line) for line in (5, 7, 7, 10, 12)]
    for record in found:
        assert record.span is not None
        assert PAGE[slice(*record.span)] == record.text
        assert record.key is None
    assert found[4].metadata == {"title": "Oils", "author": "Ames", "headings": ["Oil", "Tar"]}


@pytest.mark.parametrize(
    ("split", "texts"),
    [
        ("paragraph", ["Oil", "Oil floats. It burns\nwell.", "Tar", "Tar sinks."]),
        ("line", ["Oil", "Oil floats. It burns", "well.", "Tar", "Tar sinks."]),
        ("none", [PAGE.strip()]),
        ("tokens:4", ["Oil\n\nOil floats.", "It burns\nwell.", "Tar\n\nTar sinks."]),
        (Split("paragraph", join_short=10), ["Oil\n\nOil floats. It burns\nwell.", "Tar\n\nTar sinks."]),
    ],
)
def test_a_caller_may_cut_otherwise(page: Path, split: str | Split, texts: list[str]) -> None:
    assert [record.text for record in vecindex.read(page, split=split, token_spans=words)] == texts


def test_what_is_short_can_be_joined_to_what_follows(page: Path) -> None:
    found = list(vecindex.read(page, split="paragraph", join_short=4))
    assert [record.text for record in found] == ["Oil\n\nOil floats. It burns\nwell.", "Tar\n\nTar sinks."]


def test_rows_stay_whole_unless_a_split_is_named(table: Path) -> None:
    found = list(vecindex.read(table, text_column="plot", key_column="id"))
    assert found == [
        Record("On Mars. Alone.", "m1", {"year": 2015}),
        Record("A shark bites.", "m2", {"year": 1975}),
    ]
    assert [record.span for record in found] == [None, None]
    found = list(vecindex.read(table, text_column="plot", key_column="id", split="sentence"))
    assert [(record.key, record.text, record.span) for record in found] == [
        *(("m1#1", "On Mars.", (0, 8)), ("m1#2", "Alone.", (9, 15)), ("m2#1", "A shark bites.", (0, 14))),
    ]
    assert [record.metadata for record in found] == [{"year": 2015}, {"year": 2015}, {"year": 1975}]
    assert [record.origin and record.origin.place for record in found] == [2, 2, 3]


def test_options_say_how_the_file_is_read(table: Path, tmp_path: Path) -> None:
    (record, _) = vecindex.read(table, text_column="plot", types="text")
    assert record == Record("On Mars. Alone.", None, {"id": "m1", "year": "2015"})
    other = tmp_path / "notes.dat"
    other.write_text('{"text": "One."}\n')
    assert [record.text for record in vecindex.read(other, format="jsonl")] == ["One."]


def test_an_open_source_is_read_with_its_own_options(table: Path) -> None:
    with source(table, read_options(text_column="plot")) as films:
        assert [record.text for record in vecindex.read(films)] == ["On Mars. Alone.", "A shark bites."]
        with pytest.raises(InvalidInput, match="options of a source that is open already"):
            vecindex.read(films, text_column="id")


def test_bad_rows_are_errors_or_reported(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "One."}\n{"txet": "Two."}\n{"text": "Three."}\n')
    with pytest.raises(SourceError) as caught:
        list(vecindex.read(path))
    assert (caught.value.path, caught.value.line) == (str(path), 2)
    refused: list[SourceError] = []
    assert [record.text for record in vecindex.read(path, refused.append)] == ["One.", "Three."]
    assert [error.line for error in refused] == [2]


def test_what_cannot_be_read_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        vecindex.read(tmp_path / "nothing.txt")
    with pytest.raises(InvalidInput, match="the way to split 'words' is unknown"):
        vecindex.read(tmp_path / "nothing.txt", split="words")
    with pytest.raises(InvalidInput, match="the format 'docs' is unknown"):
        vecindex.read(tmp_path / "nothing.txt", format="docs")


def test_a_source_that_was_opened_for_the_records_is_closed_after_them(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(Source, "close", lambda self: closed.append(self.path))
    records = vecindex.read(page)
    assert next(records).text == "Oil"
    assert closed == []
    assert len(list(records)) == 4
    assert closed == [str(page)]
    with pytest.raises(SourceError, match="offline"):
        vecindex.read("https://example.org/page.html", offline=True)
