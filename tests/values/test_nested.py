"""Is metadata as deep, and are numbers as long, as everything that reads them can take, wherever it is called from?"""

from __future__ import annotations

import json
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecindex import CorruptIndex, InvalidFilter, InvalidInput, Record, SourceError
from vecindex.filters.parse import parse
from vecindex.values.metadata import checked_metadata
from vecindex.values.nested import MAX_NESTING, nesting, on_own_stack

from ..support.commands import run
from ..support.helpers import opened, snapshots


def deep(levels: int, kind: str = "object") -> dict[str, Any]:
    """Metadata nested so deep, itself included."""
    inner: Any = {} if kind == "object" else []
    for _ in range(levels - 2):
        inner = {"a": inner} if kind == "object" else [inner]
    return {"a": inner}


def from_a_deep_stack(left: int, call: Callable[[], Any]) -> Any:
    """``call()`` where Python's stack has room for ``left`` more calls."""

    def descend(depth: int) -> Any:
        return call() if depth <= 0 else descend(depth - 1)

    used, frame = 0, sys._getframe()
    while frame is not None:
        used, frame = used + 1, frame.f_back  # type: ignore[assignment]
    return descend(sys.getrecursionlimit() - used - left)


@pytest.mark.parametrize("kind", ["object", "array"])
def test_metadata_is_nested_a_hundred_deep_and_no_deeper(kind: str) -> None:
    fits = deep(MAX_NESTING, kind)
    assert nesting(checked_metadata(fits)) == MAX_NESTING == 100
    with pytest.raises(InvalidInput, match="metadata 'a' is nested more than 100 deep"):
        checked_metadata(deep(MAX_NESTING + 1, kind))
    endless: dict[str, Any] = {}
    endless["a"] = [endless, endless]
    with pytest.raises(InvalidInput, match="nested more than 100 deep"):
        checked_metadata(endless)


def test_brackets_in_strings_nest_nothing() -> None:
    assert [nesting(text) for text in ("1", '"[["', '{"[\\"[":[]}', "[[],[[1]]]")] == [0, 0, 2, 3]


def test_the_limit_holds_at_every_door(tmp_path: Path) -> None:
    row = {"text": "x", "vector": [1.0, 0.0], "metadata": deep(MAX_NESTING + 1)}
    beside = {"text": "x", "vector": [1.0, 0.0], **deep(MAX_NESTING + 1)}
    with opened(tmp_path / "i", model=None) as index:
        for each in (row, beside):
            (tmp_path / "a.jsonl").write_text(json.dumps(each) + "\n")
            with pytest.raises(SourceError, match=r"a\.jsonl:1: metadata 'a' is nested more than 100 deep"):
                index.import_(tmp_path / "a.jsonl", space="theirs")
    with opened(tmp_path / "j") as index, pytest.raises(InvalidInput, match="item 0: metadata 'a' is nested"):
        index.add(["x"], metadata=[deep(MAX_NESTING + 1)])
    texts = tmp_path / "b.jsonl"
    texts.write_text(json.dumps({"text": "x", **deep(MAX_NESTING + 1)}) + "\n")
    for arguments in ([str(texts)], ["--text", "x", "--metadata", json.dumps(deep(MAX_NESTING + 1))]):
        code, _, err = run("add", *arguments, "--index", str(tmp_path / "k"))
        assert (code > 0, "metadata 'a' is nested more than 100 deep" in err) == (True, True)


def test_the_deepest_metadata_is_found_filtered_printed_exported_and_imported(tmp_path: Path) -> None:
    path = tmp_path / "i"
    metadata = {**deep(MAX_NESTING), "year": 1}
    with opened(path) as index:
        index.add(["one", "two"], keys=["k", "l"], metadata=[metadata, None])
        assert [hit.metadata for hit in index.search("one", where="year = 1")] == [metadata]
        index.export(tmp_path / "out.jsonl")
    for arguments in (["similar", "l"], ["get", "k"]):
        out = run(*arguments, "--format", "json", "--index", str(path))[1]
        found = json.loads(out)
        assert (found[0] if arguments[0] == "similar" else found)["metadata"] == metadata
    with opened(tmp_path / "copy") as copy:
        copy.import_(tmp_path / "out.jsonl")
        assert copy.get("k").metadata == metadata
        assert copy.verify().ok


def test_a_caller_deep_in_the_stack_gets_the_same_answers(tmp_path: Path) -> None:
    metadata = {**deep(MAX_NESTING), "year": 1}
    left = 95  # without a stack of its own, JSON of a hundred levels needs more than this
    where = "(" * 99 + "year = 1 or year = 2" + ")" * 99
    with opened(tmp_path / "i") as index:
        if sys.version_info < (3, 12):  # later ones count calls within C apart
            with pytest.raises(RecursionError):
                from_a_deep_stack(left, lambda: json.loads(json.dumps(metadata)))
        index.add(["zero"])
        assert from_a_deep_stack(left, lambda: index.add([Record("one", "k", metadata)])).added == 1
        assert from_a_deep_stack(left, lambda: index.add([Record("one", "k", dict(metadata))])).unchanged == 1
        assert from_a_deep_stack(left, lambda: index.get("k")).metadata == metadata
        (hit,) = from_a_deep_stack(left, lambda: index.search("one", where=where))
        assert hit.metadata == metadata
        with pytest.raises(InvalidFilter, match="parentheses are nested more than 100 levels deep"):
            from_a_deep_stack(left, lambda: index.search("one", where="(" * 101))
        assert from_a_deep_stack(left, lambda: index.delete(where=where)) == 1


def test_what_fits_no_stack_is_a_recursion_error_of_the_callers() -> None:
    def endless() -> None:
        endless()

    before = threading.active_count()
    with pytest.raises(RecursionError):
        on_own_stack(endless)
    assert threading.active_count() == before


def store_behind_its_back(path: Path, metadata: str) -> None:
    """As earlier versions did: metadata that is refused today, with the checksum that belongs to it."""
    with opened(path) as index:
        index.add(["one", "two"], keys=["k", "l"], metadata=[{"year": 1}, {"year": 2}])
        with snapshots(index).borrow() as catalog:
            crc = zlib.crc32(f"k\0one\0{metadata}".encode())
            catalog.sqlite.execute("update records set metadata = ?, crc = ? where key = 'k'", (metadata, crc))


def test_what_an_earlier_version_stored_deeper_is_read_printed_and_filtered(tmp_path: Path) -> None:
    metadata = {"year": 1, **deep(900)}
    store_behind_its_back(tmp_path, json.dumps(metadata, separators=(",", ":")))
    with opened(tmp_path) as index:
        assert index.get("k").metadata == metadata
        assert [hit.key for hit in index.search("one", where="year = 1")] == ["k"]
        assert index.verify().ok
    for format_ in ("json", "jsonl"):
        code, out, _ = run("similar", "l", "--format", format_, "--index", str(tmp_path))
        found = json.loads(out)
        assert (code, (found[0] if format_ == "json" else found)["metadata"] == metadata) == (0, True)


def test_verify_names_metadata_that_no_filter_can_read(tmp_path: Path) -> None:
    store_behind_its_back(tmp_path, '{"a":' * 2_100 + "1" + "}" * 2_100)
    with opened(tmp_path) as index:
        with pytest.raises(CorruptIndex):
            index.search("one", where="year = 1")
        (fault,) = index.verify().faults
        assert fault.reason.startswith("the record 'k' has metadata that is nested 2100 levels deep, more than ")
        assert fault.repair.endswith(" k")
        index.delete(["k"])
        assert [hit.key for hit in index.search("one", where="year = 2")] == ["l"]
        assert index.verify().ok


# --- integers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_the_longest_integers_are_stored_and_compared_exactly(tmp_path: Path, number: int) -> None:
    with opened(tmp_path / "i") as index:
        index.add(
            ["a", "b", "c"], keys=["it", "near", "float"], metadata=[{"n": number}, {"n": number ^ 1}, {"n": 2.0**63}]
        )
        for where in ({"n": number}, f"n = {number}", f"n >= {number} and n <= {number}"):
            assert [hit.key for hit in index.search("a", where=where)] == ["it"]
        assert index.get("it").metadata == {"n": number}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**25, 10**400])
def test_longer_integers_are_refused_everywhere(tmp_path: Path, number: int) -> None:
    for metadata in ({"n": number}, {"n": [1, {"m": number}]}):
        with pytest.raises(InvalidInput, match=r"metadata 'n' holds the integer .*, but integers have at most 64 bits"):
            checked_metadata(metadata)
    reason = "integers have at most 64 bits" if number < 10**300 else "numbers beyond 1.8e308 cannot be compared"
    with pytest.raises(InvalidFilter, match=reason):
        parse({"n": number})
    if number < 10**300:
        with pytest.raises(
            InvalidFilter, match=f"{reason}; write this one as a float: {float(number)!r}".replace("+", r"\+")
        ):
            parse(f"n < {number}")
        (tmp_path / "a.jsonl").write_text(f'{{"text": "x", "n": {number}}}\n')
        code, _, err = run("add", str(tmp_path / "a.jsonl"), "--index", str(tmp_path / "i"))
        assert (code, f"a.jsonl:1: metadata 'n' holds the integer {number}," in err) == (1, True)


def test_a_name_twice_in_metadata_is_said_on_the_command_line(tmp_path: Path) -> None:
    code, _, err = run("add", "--text", "x", "--metadata", '{"a": 1, "a": 2}', "--index", str(tmp_path / "i"))
    assert (code, "repeated in one object: 'a'. Keep one; only one value can be stored." in err) == (2, True)
