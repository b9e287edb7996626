"""A text that was given by hand stays when files that have it too drop it, whatever came first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vecindex import Index, Record
from vecindex.store.stored import BY_HAND, repeat_crc

from ..support.helpers import opened, sql
from ..support.sourced import Content, Prose, Row, also_by_hand, read, shared_rows, states, where_from

SENTENCES = tuple(" ".join(f"{name}{n}" for n in range(20)) for name in ("a", "b", "c"))
LONG = " ".join(SENTENCES)
FileRow = Row | Prose
Give = Callable[[Index], object]


def whole(text: str) -> Give:
    return lambda index: index.add([text], keys=["k"])


def in_parts(text: str) -> Give:
    return lambda index: index.add([text], keys=["k"], on_long="split")


CASES: dict[str, tuple[FileRow, Give, str]] = {
    "whole": (Row("a row", "k"), whole("a row"), "a row"),
    "in sentences": (Prose(SENTENCES, "k"), in_parts(LONG), LONG),
    "given whole, in sentences in the file": (Prose(SENTENCES, "k"), whole(LONG), LONG),
    "given in parts, whole in the file": (Row(LONG, "k"), in_parts(LONG), LONG),
}
EACH = pytest.mark.parametrize("case", CASES)


def remove(index: Index, name: str) -> None:
    with index._writer() as writer:
        writer.remove_sources([states(index)[name].id])


def prune(index: Index, name: str) -> None:
    read(index, {name: [Row("another")]})


def change(index: Index, name: str) -> None:
    read(index, {name: [Row("another")]}, prune=False)


LOSE = pytest.mark.parametrize("lose", [remove, prune, change])


def text_of(index: Index) -> str:
    """The text with the key "k", put together from its parts."""
    found = where_from(index)
    if "k" in found:
        return found["k"][0]
    parts = sorted((int(key[2:]), text) for key, (text, *_) in found.items() if key.startswith("k#"))
    return " ".join(text for _, text in parts)


def sources_of(index: Index) -> set[str | None]:
    return {source for key, (_, source, *_) in where_from(index).items() if key == "k" or key.startswith("k#")}


def check_is_the_files(index: Index, name: str) -> None:
    assert (sources_of(index), also_by_hand(index)) == ({name}, {"k"})
    assert index.verify().ok


def check_is_ours(index: Index, text: str) -> None:
    assert (text_of(index), sources_of(index), also_by_hand(index)) == (text, {None}, set())
    assert index.verify().ok


@EACH
@LOSE
def test_given_first_it_is_the_files_until_the_file_drops_it(
    tmp_path: Path, case: str, lose: Callable[[Index, str], None]
) -> None:
    row, give, text = CASES[case]
    with opened(tmp_path / "i") as index:
        give(index)
        read(index, {"a": [row, Row("own")]})
        check_is_the_files(index, "a")
        lose(index, "a")
        check_is_ours(index, text)
        read(index, {"b": [row]})
        check_is_the_files(index, "b")


@EACH
@LOSE
def test_given_after_the_file_it_stays_too(tmp_path: Path, case: str, lose: Callable[[Index, str], None]) -> None:
    row, give, text = CASES[case]
    with opened(tmp_path / "i") as index:
        read(index, {"a": [row]})
        give(index)
        read(index, {"a": [row]})  # where it is in the file may have to be said again
        check_is_the_files(index, "a")
        lose(index, "a")
        check_is_ours(index, text)


@EACH
def test_given_after_the_file_it_stays_though_the_file_is_not_read_between(tmp_path: Path, case: str) -> None:
    row, give, text = CASES[case]
    with opened(tmp_path / "i") as index:
        read(index, {"a": [row]})
        give(index)
        assert index.verify().ok
        remove(index, "a")
        check_is_ours(index, text)


@pytest.mark.parametrize("row", [Row("a row", "k"), Prose(SENTENCES, "k")], ids=["whole", "in sentences"])
@LOSE
def test_given_together_with_the_file_it_stays(
    tmp_path: Path, row: FileRow, lose: Callable[[Index, str], None]
) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Row("own"), row]}, given=[row])
        check_is_the_files(index, "a")
        assert where_from(index)["k" if isinstance(row, Row) else "k#1"][3][-1] == 2  # its line in the file
        lose(index, "a")
        check_is_ours(index, "a row" if isinstance(row, Row) else LONG)


@EACH
def test_of_two_files_the_last_one_leaves_it(tmp_path: Path, case: str) -> None:
    row, give, text = CASES[case]
    with opened(tmp_path / "i") as index:
        give(index)
        read(index, {"a": [row], "b": [Row("own"), row]})
        check_is_the_files(index, "a")
        assert shared_rows(index) == {("k", "b")}
        remove(index, "a")
        check_is_the_files(index, "b")
        remove(index, "b")
        check_is_ours(index, text)


@EACH
def test_a_file_that_comes_and_goes_leaves_the_index_as_it_was(tmp_path: Path, case: str) -> None:
    row, give, text = CASES[case]
    with opened(tmp_path / "i") as index:
        give(index)
        for _ in range(3):
            read(index, {"a": [row]})
            check_is_the_files(index, "a")
            give(index)
            read(index, {"a": [row]})
            remove(index, "a")
            check_is_ours(index, text)


@EACH
def test_deleting_it_deletes_it_for_good(tmp_path: Path, case: str) -> None:
    row, give, _ = CASES[case]
    with opened(tmp_path / "i") as index:
        give(index)
        read(index, {"a": [row]})
        index.delete([key for key in where_from(index) if key.startswith("k")])
        assert (where_from(index), also_by_hand(index), index.verify().ok) == ({}, set(), True)
        read(index, {"a": [row]})
        assert also_by_hand(index) == set()
        remove(index, "a")
        assert len(index) == 0


def test_deleting_one_sentence_leaves_the_others_given(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        in_parts(LONG)(index)
        read(index, {"a": [Prose(SENTENCES, "k")]})
        index.delete(["k#2"])
        remove(index, "a")
        assert {text for text, *_ in where_from(index).values()} == {SENTENCES[0], SENTENCES[2]}
        assert index.verify().ok


def test_other_metadata_leave_the_text_given(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([Record("a row", "k", {"n": 1})])
        read(index, {"a": [Row("a row", "k")]})
        assert where_from(index)["k"][1] == "a"
        index.add([Record("a row", "k", {"n": 2})])
        check_is_the_files(index, "a")
        assert states(index)["a"].digest is None
        remove(index, "a")
        check_is_ours(index, "a row")


def test_other_metadata_and_another_vector_leave_the_text_the_files(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Row("w " * 40, "k")]})
        index.add([Record("w " * 40, "k", {"n": 2})], on_long="mean")
        check_is_the_files(index, "a")


def test_the_last_text_with_a_key_is_the_one_that_counts(tmp_path: Path) -> None:
    """A key has one text: adding another one replaces it, whoever does so, as two adds by hand do."""
    with opened(tmp_path / "i") as index:
        index.add(["mine"], keys=["k"])
        assert read(index, {"a": [Row("theirs", "k")]}).updated == 1
        assert (where_from(index)["k"][:2], also_by_hand(index)) == (("theirs", "a"), set())
        assert index.add(["mine"], keys=["k"]).updated == 1
        assert (where_from(index)["k"][:2], states(index)["a"].digest) == (("mine", None), None)
        remove(index, "a")
        check_is_ours(index, "mine")


def test_another_text_from_the_file_ends_what_was_given(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["a row"], keys=["k"])
        read(index, {"a": [Row("a row", "k")]})
        read(index, {"a": [Row("theirs", "k")]})
        assert (also_by_hand(index), index.verify().ok) == (set(), True)
        remove(index, "a")
        assert len(index) == 0


def test_what_two_files_have_is_known_though_both_change_together(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        for text in ("one", "two"):
            both: dict[str, Content] = {"a": [Row(text, "k")], "b": [Row(text, "k")]}
            read(index, both)
            assert shared_rows(index) == {("k", "b")}
        remove(index, "a")
        assert where_from(index)["k"][:2] == ("two", "b")


@pytest.mark.parametrize("key", ["k", "gone"])
def test_a_note_without_a_record_of_a_source_is_a_fault(tmp_path: Path, key: str) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"], keys=["k"])
        crc = repeat_crc((key, BY_HAND, None))
        sql(tmp_path / "i", f"insert into repeats values ('{key}', {BY_HAND}, null, {crc})")
        assert [fault.reason for fault in index.verify().faults] == [
            "1 entries of its list of repeated rows are not what was written"
        ]
        assert index.repair().ok
        assert (also_by_hand(index), len(index)) == (set(), 1)
