"""Does an ``add`` that encodes while it commits end as one that did one thing after the other?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex import AddReport, Index, IndexLocked, Record, SpaceMismatch
from vecindex.index.adding import encode_ahead, repeats
from vecindex.store.writer import MissingVectors, Writer

from ..support.helpers import opened, state_of
from ..support.toy import ToyEncoder, toy_space


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def index(tmp_path: Path, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index whose ``add`` commits every two records."""
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 2)
    monkeypatch.setattr(repeats, "KEYS_AT_ONCE", 2)
    with opened(tmp_path / "i", model=encoder) as index:
        yield index


def records(*pairs: tuple[str, str]) -> list[Record]:
    return [Record(text, key) for key, text in pairs]


def test_a_key_in_two_commits_ends_as_the_last_one_says(index: Index) -> None:
    report = index.add(
        records(("a", "one"), ("b", "two"), ("a", "eins"), ("c", "three"), ("a", "one"), ("b", "two")),
        on_duplicate="last",
    )
    assert report == AddReport(added=3, updated=2, duplicates=1)
    assert state_of(index) == {"b": ("two", {}), "c": ("three", {}), "a": ("one", {})}


def test_what_is_unchanged_by_what_was_stored_is_written_if_the_commit_before_changes_it(index: Index) -> None:
    index.add(records(("a", "one"), ("b", "two")))
    report = index.add(records(("a", "eins"), ("c", "three"), ("a", "one"), ("b", "two")), on_duplicate="last")
    assert report == AddReport(added=1, updated=2, unchanged=1)
    assert state_of(index)["a"] == ("one", {})
    assert index.verify().ok


def test_a_text_in_several_commits_is_encoded_once(index: Index, encoder: ToyEncoder) -> None:
    index.add(records(("a", "one"), ("b", "two"), ("c", "one"), ("d", "two"), ("e", "one"), ("f", "three")))
    assert encoder.encoded == 3


def test_the_next_texts_are_encoded_while_the_last_ones_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 2)
    monkeypatch.setattr(repeats, "KEYS_AT_ONCE", 2)
    encoding = threading.Event()

    class Telling(ToyEncoder):
        def encode_all(self, texts: Any, role: Any = "document", on_long: Any = "truncate") -> Any:
            if "three" in texts:
                encoding.set()
            return super().encode_all(texts, role, on_long)

    real = Writer.add

    def waiting(self: Writer, *arguments: Any, **named: Any) -> Any:
        assert encoding.wait(30)  # would be for ever, were the next window encoded afterwards
        assert threading.current_thread() is not threading.main_thread()
        return real(self, *arguments, **named)

    monkeypatch.setattr(Writer, "add", waiting)
    with opened(tmp_path / "i", model=Telling()) as index:
        assert index.add(["one", "two", "three", "four"]) == AddReport(added=4)


def test_progress_is_told_in_the_callers_thread_after_each_commit_and_before_the_next(index: Index) -> None:
    seen: list[tuple[int, int, bool]] = []

    def progress(report: AddReport) -> None:
        seen.append((report.added, len(index), threading.current_thread() is threading.main_thread()))

    index.add(["one", "two", "three", "four", "five"], progress=progress)
    assert seen == [(2, 2, True), (4, 4, True), (5, 5, True)]


def test_progress_is_told_the_keys_that_each_commit_wrote(index: Index) -> None:
    index.add(records(("a", "one"), ("b", "two"), ("c", "three")))
    seen: list[tuple[str, ...]] = []

    def progress(report: AddReport) -> None:
        seen.append(report.written)

    some = [
        Record("one", "a"),
        Record("deux", "b"),
        Record("three", "c", {"n": 3}),
        *records(("d", "four"), ("e", "5")),
    ]
    assert index.add(some, progress=progress).written == ()
    assert (sorted(sum(seen, ())), max(map(len, seen)) < 4) == (["b", "c", "d", "e"], True)
    given = index.add(
        ["six"], keys=["f"], vectors=index.encoder.encode(["six"]), progress=progress, space=index.encoder.space
    )
    assert (given.written, seen[-1]) == ((), ("f",))


def test_an_error_while_reading_waits_for_the_commit_on_its_way_and_tells_it(index: Index) -> None:
    seen: list[AddReport] = []

    def texts() -> Iterator[str]:
        yield from ("one", "two", "three")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(texts(), progress=seen.append)
    assert (seen, len(index)) == ([AddReport(added=2)], 2)
    assert index.add(["one", "two", "three"]) == AddReport(added=1, unchanged=2)


def test_a_commit_that_fails_ends_the_add_and_those_before_it_stay(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, commits = Writer.add, list[int]()

    def failing(self: Writer, *arguments: Any, **named: Any) -> Any:
        commits.append(1)
        if len(commits) == 2:
            raise IndexLocked("here", 1, "there", 0.0)
        return real(self, *arguments, **named)

    monkeypatch.setattr(Writer, "add", failing)
    with pytest.raises(IndexLocked):
        index.add([f"text {n}" for n in range(20)])
    assert (len(commits), len(index)) == (2, 2)


def test_an_error_in_progress_ends_the_add(index: Index) -> None:
    def progress(report: AddReport) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index.add(["one", "two", "three", "four", "five", "six"], progress=progress)
    assert len(index) == 2


def test_another_model_that_comes_between_is_refused(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def texts() -> Iterator[str]:
        yield from ("one", "two")
        monkeypatch.setattr(index._model, "encoder", lambda space: ToyEncoder(weights="v" * 64))
        yield from ("three", "four")

    with pytest.raises(SpaceMismatch):
        index.add(texts())
    assert (len(index), index._space()) == (2, toy_space())


def test_vectors_of_another_model_that_comes_between_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries, other = Writer.add, list[int](), ToyEncoder(weights="v" * 64)
    with opened(tmp_path / "i") as index:

        def overtaken(self: Writer, *arguments: Any, **named: Any) -> Any:
            tries.append(1)
            if len(tries) > 1:
                return real(self, *arguments, **named)
            monkeypatch.setattr(index._model, "encoder", lambda space: other)
            raise MissingVectors(["needed too"])

        monkeypatch.setattr(Writer, "add", overtaken)
        assert index.add(["one", "two"]) == AddReport(added=2)
        assert (len(tries), other.encoded) == (3, 3)
        assert index._space() == other.space


def test_a_slow_model_commits_every_few_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class Slow(ToyEncoder):
        def encode_all(self, texts: Any, role: Any = "document", on_long: Any = "truncate") -> Any:
            clock[0] += len(texts) / 20  # twenty texts a second
            return super().encode_all(texts, role, on_long)

    monkeypatch.setattr(encode_ahead, "perf_counter", lambda: clock[0])
    with opened(tmp_path / "i", model=Slow()) as index:
        seen: list[int] = []
        index.add([f"text {n}" for n in range(400)], progress=lambda report: seen.append(report.added))
    sizes = [b - a for a, b in zip([0, *seen], seen, strict=False)]
    assert set(sizes[1:]) == {40}
    assert sizes[0] in (40, 64)
