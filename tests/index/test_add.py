"""What does adding store, count, encode and refuse?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex import AddReport, Index, InvalidInput, Record
from vecindex.index.adding import encode_ahead
from vecindex.values.keys import derive_key

from ..support.helpers import opened
from ..support.toy import ToyEncoder


@pytest.fixture
def encoder() -> ToyEncoder:
    return ToyEncoder()


@pytest.fixture
def index(tmp_path: Path, encoder: ToyEncoder) -> Iterator[Index]:
    with opened(tmp_path / "i", model=encoder) as index:
        yield index


def test_the_report_counts_added_updated_and_unchanged(index: Index) -> None:
    twice = index.add(["one", "two", "two"], keys=["a", "b", "b"], on_duplicate="last")
    assert twice == AddReport(added=2, duplicates=1)
    assert index.add(["one", "zwei", "three"], keys=["a", "b", "c"]) == AddReport(added=1, updated=1, unchanged=1)
    assert index.add(["one"], keys=["a"], metadata=[{"n": 1}]) == AddReport(updated=1)
    assert index.add([]) == AddReport()


def test_only_texts_that_are_new_are_encoded_and_each_once(index: Index, encoder: ToyEncoder) -> None:
    index.add(["one", "two", "one"], keys=["a", "b", "c"])
    assert encoder.encoded == 2
    index.add(["one", "two", "three"], keys=["a", "b", "d"])
    assert encoder.encoded == 3
    index.add(["one"], keys=["a"], metadata=[{"n": 1}])
    assert encoder.encoded == 3
    assert index.get("c").vector == pytest.approx(ToyEncoder().encode(["one"])[0], abs=1e-6)


def test_without_a_key_the_text_names_the_record(index: Index) -> None:
    index.add(["one", "one", "two"])
    assert len(index) == 2
    assert index.get("7692c3ad3540bb803c020b3aee66cd88").text == "one"  # sha256sum of "one", its first 32 digits
    assert derive_key("one") == "7692c3ad3540bb803c020b3aee66cd88"


@pytest.mark.parametrize("as_iterator", [False, True])
def test_records_and_texts_may_be_mixed_and_come_from_a_generator(index: Index, as_iterator: bool) -> None:
    items: list[str | Record] = ["one", Record("two", "b", {"n": 2}), Record("three")]
    assert index.add(iter(items) if as_iterator else items).added == 3
    assert index.get("b") == Record("two", "b", {"n": 2})
    assert index.get(derive_key("three")).metadata == {}


def test_columns_may_be_iterators(index: Index) -> None:
    texts, keys, metadata = ["one", "two"], ["a", "b"], [{"n": 1}, None]
    assert index.add(iter(texts), keys=iter(keys), metadata=iter(metadata)).added == 2
    assert [index.get(key).metadata for key in "ab"] == [{"n": 1}, {}]


def test_metadata_none_keeps_what_is_stored_and_an_empty_object_clears_it(index: Index) -> None:
    index.add(["one"], keys=["a"], metadata=[{"n": 1}])
    assert index.add(["one"], keys=["a"], metadata=[None]) == AddReport(unchanged=1)
    assert index.add(["eins"], keys=["a"]) == AddReport(updated=1)
    assert index.get("a") == Record("eins", "a", {"n": 1})
    assert index.add(["eins"], keys=["a"], metadata=[{}]) == AddReport(updated=1)
    assert index.get("a").metadata == {}


def test_true_and_one_are_different_metadata(index: Index) -> None:
    index.add(["one"], keys=["a"], metadata=[{"a": True}])
    assert index.add(["one"], keys=["a"], metadata=[{"a": 1}]) == AddReport(updated=1)
    assert index.get("a").metadata["a"] is not True  # type: ignore[index]
    assert index.add(["one"], keys=["a"], metadata=[{"a": 1}]) == AddReport(unchanged=1)


def test_new_metadata_alone_keeps_the_vector_and_the_place_among_ties(index: Index) -> None:
    index.add(["x", "x", "x"], keys=["a", "b", "c"])
    index.add(["x"], keys=["a"], metadata=[{"n": 1}])
    assert [hit.key for hit in index.search("x")] == ["a", "b", "c"]
    index.add(["y"], keys=["a"])
    index.add(["x"], keys=["a"])
    assert [hit.key for hit in index.search("x")] == ["b", "c", "a"]


def test_truncated_texts_are_counted_in_report_and_info(index: Index) -> None:
    long = "word " * 40
    assert index.add([long, "short", long + "x"], keys=["a", "b", "c"]) == AddReport(
        added=3, truncated=2, tokens_lost=18
    )
    assert (index.info().truncated, index.info().tokens_lost) == (2, 18)
    index.add(["short"], keys=["a"])
    assert (index.info().truncated, index.info().tokens_lost) == (1, 9)


def test_a_text_of_ten_megabytes_comes_back_whole(index: Index) -> None:
    text = "naïve text " * 1_000_000
    assert index.add([text], keys=["big"]) == AddReport(added=1, truncated=1, tokens_lost=2_000_001 - 32)
    assert index.get("big").text == text
    assert index.search("naïve text", k=1)[0].text == text


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "a\0b", "line\nline\r\n", "🦊", "\ufeffx", "'); drop table records; --"]
)
def test_any_text_comes_back_as_it_is_as_text_key_and_metadata(index: Index, text: str) -> None:
    index.add([text], keys=[text or "empty"], metadata=[{"m": text, "k" + text.replace("\0", ""): 1}])
    record = index.get(text or "empty")
    assert (record.text, record.metadata) == (text, {"m": text, "k" + text.replace("\0", ""): 1})
    assert index.search("x", where={"m": text})[0].key == (text or "empty")


def test_a_window_of_records_is_a_commit_that_progress_reports(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 1024)
    seen: list[tuple[AddReport, int, int]] = []
    report = index.add(
        (f"t{n}" for n in range(2500)), progress=lambda r: seen.append((r, len(index), index.info().generation))
    )
    assert report == AddReport(added=2500)
    assert seen == [(AddReport(added=n), n, g) for n, g in ((1024, 1), (2048, 2), (2500, 3))]


def test_an_error_among_the_records_keeps_whole_commits_and_adding_again_adds_the_rest(
    index: Index, encoder: ToyEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 1024)

    def failing(limit: int) -> Iterator[str]:
        for n in range(2500):
            if n == limit:
                raise ZeroDivisionError
            yield f"t{n}"

    with pytest.raises(ZeroDivisionError):
        index.add(failing(2100))
    assert (len(index), index.verify().ok) == (2048, True)
    assert index.add(failing(-1)) == AddReport(added=452, unchanged=2048)
    assert encoder.encoded == 2500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"records": "one text"}, "records is a single str, not a sequence"),
        ({"records": b"bytes"}, "records is a single bytes, not a sequence"),
        ({"records": ["a", b"b"]}, "a text must be a string, not bytes"),
        ({"records": ["a", 1]}, "a text must be a string, not int"),
        ({"records": ["a", None], "keys": ["a", "b"]}, "a text must be a string, not NoneType"),
        ({"records": ["a", "b"], "keys": ["a"]}, "there are 2 texts, 1 keys and 2 metadata objects"),
        ({"records": ["a"], "metadata": [{}, {}]}, "there are 1 texts, 1 keys and 2 metadata objects"),
        ({"records": [Record("a")], "keys": ["a"]}, "keys= and metadata= go with texts; a Record holds its own"),
        ({"records": ["a", "b"], "keys": ["a", ""]}, "a key is the empty string"),
        ({"records": ["a", "b"], "keys": ["a", 7]}, "a key must be a string, not int"),
        ({"records": ["a", "lone \ud800"]}, r"a text holds a lone surrogate \(U\+D800 at character 5\)"),
        ({"records": ["a"], "keys": ["\udfff"]}, r"a key holds a lone surrogate \(U\+DFFF at character 0\)"),
        ({"records": ["a"], "metadata": [{"m": "\ud800"}]}, "metadata holds a lone surrogate"),
        ({"records": ["a"], "metadata": [[1]]}, "metadata must be a JSON object, not list"),
        ({"records": ["a"], "metadata": [{"m": float("nan")}]}, "metadata cannot be written as JSON"),
        ({"records": ["a"], "metadata": [{"m": {1, 2}}]}, "metadata cannot be written as JSON"),
        ({"records": ["a"], "metadata": [{1: 2}]}, "metadata would not be the same when it is read back"),
        (
            {"records": ["a"], "metadata": [{"m": (1,)}]},
            "metadata would not be the same when it is read back from JSON",
        ),
        ({"records": ["a"], "metadata": [{"a\0b": 1}]}, "a name with a NUL character"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_added(
    index: Index, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        index.add(**arguments)
    assert (len(index), index.info().generation) == (0, 0)


def test_one_string_is_no_sequence_of_keys(index: Index) -> None:
    with pytest.raises(InvalidInput):
        index.add(["one", "two"], keys="ab")


def test_a_sequence_is_checked_whole_before_anything_is_added(index: Index) -> None:
    with pytest.raises(InvalidInput, match=r"^item 1500: a text must be a string, not NoneType"):
        index.add([*(f"text {i}" for i in range(1500)), None])  # type: ignore[list-item]
    assert len(index) == 0


def test_long_texts_make_short_commits(index: Index) -> None:
    commits: list[int] = []
    index.add([f"{i} {'x' * 400_000}" for i in range(5)], progress=lambda report: commits.append(report.added))
    assert commits == [3, 5]
