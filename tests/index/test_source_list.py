"""The sources of an index: what became of each, and deleting what was added from a file or a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecindex
from vecindex.errors import InvalidInput

from ..support.source_rows import ADDED, add_lines
from ..support.toy import ToyEncoder

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def docs(here: Path) -> Path:
    """A folder of files that were written long ago."""
    for name, content in (("a.txt", "one\ntwo\n"), ("b.txt", "three\n"), ("deep/c.txt", "four\nfive\nsix\n")):
        path = here / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(10**18, 10**18))
    return here / "docs"


@pytest.fixture
def index(here: Path, docs: Path) -> Iterator[vecindex.Index]:
    """An index of the files and of one record without a source."""
    with vecindex.open(here / ".vecindex", model=ToyEncoder()) as index:
        index.add(["none"], keys=["0"])
        add_lines(index, docs / "a.txt", ["1", "2"])
        add_lines(index, docs / "b.txt", ["3"])
        add_lines(index, docs / "deep" / "c.txt", ["4", "5", "6"])
        yield index


def keys(index: vecindex.Index) -> list[str]:
    return [hit.key for hit in sorted(index.search("one", k=100), key=lambda hit: hit.key)]


def states(index: vecindex.Index) -> dict[str, str]:
    return {each.location: each.state for each in index.sources()}


def test_sources_have_their_location_records_and_size(index: vecindex.Index) -> None:
    assert index.sources() == [
        vecindex.SourceInfo("docs/a.txt", "file", "", "txt", "current", 2, 0, 8, ADDED),
        vecindex.SourceInfo("docs/b.txt", "file", "", "txt", "current", 1, 0, 6, ADDED),
        vecindex.SourceInfo("docs/deep/c.txt", "file", "", "txt", "current", 3, 0, 14, ADDED),
    ]


def test_sources_say_what_became_of_files(index: vecindex.Index, docs: Path) -> None:
    (docs / "a.txt").write_text("one\ntwo and more\n")
    (docs / "b.txt").unlink()
    os.utime(docs / "deep" / "c.txt")
    assert states(index) == {"docs/a.txt": "changed", "docs/b.txt": "gone", "docs/deep/c.txt": "current"}
    (docs / "deep" / "c.txt").write_text("FOUR\nfive\nsix\n")  # the same size
    assert states(index)["docs/deep/c.txt"] == "changed"


def test_a_source_that_was_not_read_to_its_end_is_incomplete(index: vecindex.Index, docs: Path) -> None:
    (docs / "d.txt").write_text("seven\n")
    add_lines(index, docs / "d.txt", ["7"], complete=False)
    (found,) = [each for each in index.sources() if each.location == "docs/d.txt"]
    assert (found.state, found.added, found.records) == ("incomplete", None, 1)


def test_sources_can_be_listed_by_a_reader_in_another_folder(
    index: vecindex.Index, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with vecindex.open(index.path, readonly=True) as reading:
        assert set(states(reading).values()) == {"current"}


def test_sources_of_an_index_that_has_none(here: Path) -> None:
    with vecindex.open(here / "empty", model=ToyEncoder()) as index:
        assert index.sources() == []


def test_deleting_a_file_deletes_its_records(index: vecindex.Index, docs: Path) -> None:
    (docs / "a.txt").unlink()
    assert index.delete(source="docs/a.txt") == 2
    assert keys(index) == ["0", "3", "4", "5", "6"]
    assert sorted(states(index)) == ["docs/b.txt", "docs/deep/c.txt"]
    assert index.verify().ok


def test_deleting_a_folder_deletes_all_beneath(
    index: vecindex.Index, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(docs)
    assert index.delete(source=Path("deep")) == 3
    assert index.delete(source=docs) == 3
    assert keys(index) == ["0"]
    assert index.sources() == []
    assert index.verify().ok


@pytest.mark.parametrize("source", ["docs/z.txt", "do", "elsewhere", ""])
def test_deleting_what_was_not_added_is_an_error(index: vecindex.Index, source: str) -> None:
    with pytest.raises(InvalidInput, match=f"nothing was added from '{source}'. See index.sources"):
        index.delete(source=source)
    assert len(index) == 7


def test_delete_takes_one_of_its_arguments(index: vecindex.Index) -> None:
    with pytest.raises(InvalidInput, match="one of keys, where= and source="):
        index.delete(["1"], source="docs/a.txt")
    with pytest.raises(InvalidInput, match="one of keys, where= and source="):
        index.delete(where="true", source="docs/a.txt")
    assert len(index) == 7


def test_a_record_that_two_sources_have_stays_with_the_other(index: vecindex.Index, docs: Path) -> None:
    (docs / "twin.txt").write_text("one\n")
    add_lines(index, docs / "twin.txt", ["1"])
    assert index.delete(source="docs/a.txt") == 1
    assert keys(index) == ["0", "1", "3", "4", "5", "6"]
    assert {each.location: each.records for each in index.sources()}["docs/twin.txt"] == 1
