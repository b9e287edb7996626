"""What becomes of sources that change, or that another process changes, while they are added."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vecindex.index.adding.encode_ahead
import vecindex.index.adding.files
import vecindex.index.adding.reading
import vecindex.sources.opening.files
import vecindex.sources.reading
from vecindex import AddReport, Index, InvalidInput, SourceError, VecindexError
from vecindex.sources.origin import Source
from vecindex.values.keys import derived_key

from ..support.helpers import opened, state_of
from ..support.toy import BareEncoder
from ..support.written_files import age, write


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / "index") as index:
        yield index


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Takes what is to be done between the plan of the next ``add_files`` and its first change."""

    def arrange(act: Callable[[], Any]) -> None:
        add_files = vecindex.index.adding.files.add_files

        def delayed(*arguments: Any) -> Any:
            monkeypatch.setattr(vecindex.index.adding.files, "add_files", add_files)
            act()
            return add_files(*arguments)

        monkeypatch.setattr(vecindex.index.adding.files, "add_files", delayed)

    return arrange


@pytest.fixture
def at_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """Takes what is to be done right before the nth reading of a source."""

    def arrange(number: int, act: Callable[[], Any]) -> None:
        contents, calls = vecindex.sources.reading.contents, 0

        def acting(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                act()
            return contents(*arguments)

        monkeypatch.setattr(vecindex.index.adding.reading, "contents", acting)

    return arrange


def texts(index: Index) -> list[str]:
    return [text for text, _ in state_of(index).values()]


def test_a_move_that_another_process_has_stored_is_not_stored_twice(index: Index, meanwhile: Any) -> None:
    age(write("d/a.md", "First. Second.\n"))
    index.add_files("d")
    Path("d/a.md").rename("d/b.md")
    meanwhile(lambda: index.add_files("d"))
    index.add_files("d")
    assert sorted(state_of(index)) == ["d/b.md#1", "d/b.md#2"]
    assert index.verify().ok


def test_a_moved_source_that_was_deleted_meanwhile_is_read_again(index: Index, meanwhile: Any) -> None:
    age(write("d/a.md", "First. Second.\n"))
    index.add_files("d")
    Path("d/a.md").rename("d/b.md")
    meanwhile(lambda: index.delete(source="d/a.md"))
    index.add_files("d")
    index.add_files("d")
    assert sorted(state_of(index)) == ["d/b.md#1", "d/b.md#2"]


def test_a_record_deleted_while_a_touched_file_is_looked_at_comes_back(index: Index, meanwhile: Any) -> None:
    path = write("d/a.md", "First. Second.\n")
    age(path)
    index.add_files("d")
    age(path)
    meanwhile(lambda: index.delete(["d/a.md#1"]))
    index.add_files("d")
    index.add_files("d")
    assert sorted(texts(index)) == ["First.", "Second."]


def test_a_source_that_was_removed_and_added_meanwhile_has_one_row(index: Index, meanwhile: Any) -> None:
    age(write("d/a.md", "First. Second.\n"))
    index.add_files("d")
    age(write("d/a.md", "First. Second. Third.\n"))

    def replace_it() -> None:
        index.delete(source="d/a.md")
        index.add_files("d")

    meanwhile(replace_it)
    index.add_files("d")
    assert [each.records for each in index.sources()] == [3]
    assert index.verify().ok


@pytest.mark.parametrize("deleted", [{"source": "a.txt"}, {"keys": [derived_key("one")]}])
def test_records_that_are_deleted_before_their_source_is_read_to_its_end_come_back(
    index: Index, deleted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vecindex.index.adding.encode_ahead, "RECORDS_A_READ", 1)
    age(write("a.txt", "one\ntwo\nthree\n"))
    age(write("b.txt", "four\n"))
    left = [deleted]

    def progress(report: AddReport) -> None:
        if left:
            index.delete(**left.pop())

    with contextlib.suppress(InvalidInput):  # the source is gone
        index.add_files(["a.txt", "b.txt"], progress=progress)
    index.add_files(["a.txt", "b.txt"])
    assert sorted(texts(index)) == ["four", "one", "three", "two"]


def test_a_source_that_is_deleted_just_before_its_end_comes_back(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vecindex.index.adding.encode_ahead, "RECORDS_A_READ", 1)
    age(write("a.txt", "one\n"))
    age(write("b.txt", "two\n"))
    left = ["a.txt"]

    def progress(report: AddReport) -> None:
        if left:
            index.delete(source=left.pop())

    index.add_files(["a.txt", "b.txt"], progress=progress)
    index.add_files(["a.txt", "b.txt"])
    assert sorted(texts(index)) == ["one", "two"]


def test_rows_under_keys_of_earlier_versions_are_not_taken_for_gone(index: Index) -> None:
    legacy = derived_key("one")
    index.add(["one"], keys=[legacy], metadata=[{"lang": "en"}])
    write("t.jsonl", json.dumps({"text": "one", "lang": "en"}) + "\n")
    report = index.add_files("t.jsonl", prune=True)
    assert (report.removed, report.stale, list(state_of(index))) == (0, 0, [legacy])


def test_rows_left_out_for_having_no_token_are_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    age(write("a.txt", "one\n~\n"))
    with opened(tmp_path / "index", model=BareEncoder()) as index:
        for _ in range(2):
            bad: list[VecindexError] = []
            assert index.add_files("a.txt", on_bad=bad.append).bad == len(bad) == 1
        assert [each.state for each in index.sources()] == ["incomplete"]


def test_rows_left_out_for_their_key_are_told_again(index: Index) -> None:
    age(write("t.jsonl", '{"text": "one", "key": "k"}\n{"text": "two", "key": "k"}\n'))
    for _ in range(2):
        bad: list[VecindexError] = []
        assert index.add_files("t.jsonl", on_bad=bad.append).bad == 1
        assert len(bad) == 1


def test_a_file_that_vanishes_before_it_is_checked_can_be_left_out(index: Index, at_reading: Any) -> None:
    age(write("d/a.txt", "one\n"))
    age(write("d/b.txt", "two\n"))
    at_reading(1, lambda: Path("d/b.txt").unlink())
    bad: list[VecindexError] = []
    index.add_files("d", on_bad=bad.append)
    assert (len(bad), texts(index)) == (1, ["one"])


def test_a_table_in_a_folder_that_vanishes_before_it_is_checked_is_an_error(index: Index, at_reading: Any) -> None:
    age(write("d/a.jsonl", '{"text": "one"}\n'))
    at_reading(1, lambda: Path("d/a.jsonl").unlink())
    with pytest.raises(SourceError, match="No such file"):
        index.add_files("d")


def test_a_file_is_opened_once_to_recognise_it_once_to_check_it_and_once_to_add_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.md", "First. Second.\n")
    opened, times = vecindex.sources.opening.files.opened, []

    def counted(path: str) -> Any:
        times.append(path)
        return opened(path)

    monkeypatch.setattr("vecindex.sources.origin.opened", counted)
    assert index.add_files("a.md").added == 2
    assert times == ["a.md"] * 3


def test_a_file_that_vanishes_after_it_was_checked_loses_no_records(index: Index, at_reading: Any) -> None:
    age(write("d/a.txt", "one\n"))
    age(write("d/b.txt", "two\nthree\n"))
    index.add_files("d")
    age(write("d/a.txt", "one and more\n"))
    age(write("d/b.txt", "two\nthree\nfour\n"))
    at_reading(4, lambda: Path("d/b.txt").unlink())
    index.add_files("d", prune=True, on_bad=lambda error: None)
    assert sorted(texts(index)) == ["one and more", "three", "two"]


def test_a_file_that_vanishes_while_it_is_read_stops_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    age(write("d/a.txt", "one\n"))
    age(write("d/b.txt", "two\n"))
    contents, opened = vecindex.sources.reading.contents, []

    def vanishing(source: Source, *arguments: Any) -> Iterator[object]:
        opened.append(source.path)
        yield from contents(source, *arguments)
        if opened.count("d/a.txt") == 2:
            Path("d/a.txt").unlink(missing_ok=True)

    monkeypatch.setattr(vecindex.index.adding.reading, "contents", vanishing)
    index.add_files("d")
    assert sorted(texts(index)) == ["one", "two"]


def test_a_row_may_have_the_location_of_a_file_as_its_key(index: Index) -> None:
    write("d/a.md", "First. Second.\n")
    write("d/list.jsonl", '{"text": "about a", "key": "d/a.md"}\n')
    assert index.add_files("d").added == 3
    assert sorted(state_of(index)) == ["d/a.md", "d/a.md#1", "d/a.md#2"]
    assert index.verify().ok
