"""Reading .json: the objects of one array, wherever it is, as strictly as JSON lines, in bounded memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources import Format, read, source
from vecindex.sources.rows import json_text
from vecindex.sources.rows.json_text import JsonText
from vecindex.values.records import Record

from ...support.places import SHARED
from ...support.source_files import DATA, needs_data, records, refused, with_bad_rows

pytestmark = pytest.mark.usefixtures("here")

ROWS = [{"text": "The first of two."}, {"text": "The second of two.", "metadata": {"n": 2}}]
FOUND = [Record("The first of two."), Record("The second of two.", None, {"n": 2})]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"items": ROWS},
        {"n": 1, "data": {"count": [1, 2], "none": [], "items": ROWS, "more": {"x": None}}, "z": [["a"]]},
    ],
)
def test_the_only_array_of_objects_is_read(document: Any, indent: int | None) -> None:
    assert records("a.json", json.dumps(document, indent=indent)) == FOUND


def test_an_array_can_be_named() -> None:
    document = json.dumps({"old": [{"text": "x"}], "data": {"items": ROWS, "other": [{"text": "y"}]}})
    assert records("a.json", document, json_path="data.items") == FOUND
    assert records("a.json", document, json_path="old") == [Record("x")]
    arrays = "'old', 'data.items', 'data.other'"
    assert refused("a.json", document) == (1, f"there are several arrays of objects: {arrays}")
    assert refused("a.json", document, json_path="data.itmes") == (
        1,
        "no member 'itmes' (did you mean 'items'?) of the path 'data.itmes'; there are: 'items', 'other'",
    )
    reason = "the path 'data' leads to something else than an array"
    assert refused("a.json", document, json_path="data") == (1, reason)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"text": "a"}', "it is one object, and holds no array of objects"),
        ('"a"', "expected an array of objects"),
        ('{"text": "a"}\n{"text": "b"}', "more follows after the end of the JSON document"),
        ('[{"text": "a"}] 1', "more follows after the end of the JSON document"),
        ("[]", "holds no sentences"),
        ("", "holds no sentences"),
    ],
)
def test_what_holds_no_array_of_objects_is_refused(document: str, reason: str) -> None:
    assert refused("a.json", document)[1] == reason


def test_json_that_is_broken_is_refused_with_its_line_and_column() -> None:
    good = '[\n {"text": "a"},\n {"text": "b",}\n]'
    line, reason = refused("a.json", good)
    assert line == 3
    assert reason.startswith("not valid JSON at column ")
    assert refused("a.json", '[\n{"text": "a"}\n{"text": "b"}]') == (
        3,
        "not valid JSON at column 1: Expecting ',' delimiter",
    )
    assert refused("a.json", '[{"text": "a"}')[1] == "not valid JSON at column 15: Expecting ',' delimiter"
    assert refused("a.json", b'[\n{"text": "a\xff"}]') == (2, "the byte 0xFF is not UTF-8")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"id": 1}', "no field 'text'; the fields are: 'id'"),
        ('{"text": ["a"]}', "the field 'text' must be text, not an array"),
        ('{"text": "a", "x": NaN}', "NaN is not JSON"),
        ('{"text": "a", "x": 1e999}', "the number 1e999 is too large for a double"),
        ('{"text": "a", "x": 1, "x": 2}', "repeated in one object: 'x'"),
        ("[1]", 'expected an object like {"text": "..."}, not an array'),
    ],
)
def test_a_bad_item_is_named_and_the_others_are_read(row: str, reason: str) -> None:
    content = f'[{{"text": "good"}},\n{row},\n{{"text": "good"}}]'
    texts, bad = with_bad_rows("a.json", content)
    assert (texts, bad) == (["good", "good"], [(2, f"{reason} (line 2)")])
    with pytest.raises(SourceError, match=r"^a\.json, item 2: "):
        records("a.json", content)


def test_lone_surrogates_and_deep_nesting_are_refused() -> None:
    assert "lone surrogate" in refused("a.json", '[{"text": "\\ud800"}]')[1]
    deep = "[" * 1_000_000
    assert refused("a.json", f"[{deep}")[1] == "not usable JSON: nested too deeply"
    assert refused("a.json", '{"a": ' * 100_000)[1] == "not usable JSON: nested too deeply"


def test_columns_are_chosen_as_in_json_lines() -> None:
    content = json.dumps([{"id": 1, "title": "a", "body": "b", "n": 2}])
    options: dict[str, Any] = {"text_column": ["title", "body"], "key_column": "id", "metadata_columns": ["n"]}
    assert records("a.json", content, **options) == [Record("a\n\nb", "1", {"n": 2})]
    assert refused("a.json", content, text_column=["title", "bodi"])[1] == (
        "no field 'bodi' (did you mean 'body'?); the fields are: 'id', 'title', 'body', 'n'"
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_what_is_written_is_read_the_same_whatever_the_size_of_the_pieces_read(
    values: list[Any], indent: int | None, ascii_only: bool, piece: int
) -> None:
    content = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    text = JsonText(Pieces(content, piece), "x")  # type: ignore[arg-type]
    assert [text.value() for _ in text.items()] == values
    assert text.next() == ""


class Pieces:
    """A stream that returns a few bytes at a time."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._stream, self._piece = io.BytesIO(content), piece

    def read(self, _: int) -> bytes:
        return self._stream.read(self._piece)


def test_a_large_document_is_read_in_bounded_memory() -> None:
    row = json.dumps({"text": "x" * 1000, "n": 1})
    with Path("a.json").open("w") as out:
        out.write('{"skipped": [' + ",".join(["[1, 2, 3]"] * 100_000) + '], "items": [')
        out.write(row + ("," + row) * 30_000)
        out.write("]}")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(source("a.json"))) == 30_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20 < Path("a.json").stat().st_size / 3


def test_a_value_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_LINE", 2**20)
    assert refused("a.json", '[{"text": "' + "x" * 3_000_000) == (1, "a value has more than 1,048,576 characters")


ITEMS = SHARED / "cases" / "items.json"


@pytest.mark.skipif(not ITEMS.is_file(), reason="the shared cases are not here")
def test_the_shared_case_is_two_records() -> None:
    assert list(read(source(ITEMS))) == FOUND


# --- JSONTestSuite


def suite(kind: str) -> list[Path]:
    return sorted((DATA / "badinput" / "json").glob(f"{kind}_*.json"))


@needs_data
def test_every_valid_document_of_the_suite_is_read_to_its_end() -> None:
    assert len(suite("y")) > 90
    for file in suite("y"):
        text = JsonText(io.BytesIO(file.read_bytes()), file.name)
        value = text._value(json_text._UNCHECKED)
        assert (value, text.next()) == (json.loads(file.read_bytes()), ""), file.name
        with pytest.raises(SourceError) as caught:  # none of them has a text
            list(read(source(file)))
        assert "not valid JSON" not in caught.value.reason, file.name


@needs_data
def test_every_valid_value_of_the_suite_is_metadata() -> None:
    not_storable = {"y_object_duplicated_key", "y_object_duplicated_key_and_value", "y_object_escaped_null_in_key"}
    for file in suite("y"):
        content = b'[{"text": "a", "value": ' + file.read_bytes() + b"}]"
        if file.stem in not_storable:
            assert refused("a.json", content)[0] == 1
        else:
            assert records("a.json", content) == [Record("a", None, {"value": json.loads(file.read_bytes())})]


@needs_data
def test_every_invalid_document_of_the_suite_is_refused_with_file_and_line() -> None:
    assert len(suite("n")) > 180
    for file in suite("n"):
        with pytest.raises(SourceError) as caught:
            list(read(source(file, format=Format.JSON)))
        assert caught.value.path == str(file)
        assert caught.value.line is not None, (file.name, str(caught.value))


@needs_data
def test_doubtful_documents_of_the_suite_are_refused_or_read_and_never_crash() -> None:
    for file in suite("i"):
        Path("a.json").write_bytes(b'[{"text": "a", "value": ' + file.read_bytes().strip() + b"}]")
        try:
            found = list(read(source("a.json")))
        except SourceError:
            continue
        assert [record.text for record in found] == ["a"]
