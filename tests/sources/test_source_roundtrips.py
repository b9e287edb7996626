"""For all inputs: what is written is read the same, and garbage is read or refused, never anything else."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources import Format, Source, read
from vecindex.sources.formats import LAYOUTS
from vecindex.sources.options import ReadOptions
from vecindex.values.records import Record

from ..support.extent import examples


def read_bytes(content: bytes, format: Format, **options: Any) -> list[Record]:
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        return list(read(Source("x", format, ReadOptions(**options), copy=stream)))


def storable(**limits: Any) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), **limits)


SENTENCES = storable(min_size=1).filter(lambda text: text.strip(" \t\n\r\v\f"))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.builds(
    Record,
    SENTENCES,
    st.none() | storable(min_size=1),
    st.none() | st.dictionaries(NAMES, JSON_VALUES, max_size=3),
)


@examples(100)
@given(st.lists(RECORDS, min_size=1, max_size=5), st.booleans(), st.sampled_from(["\n", "\r\n", "\n \n"]))
def test_what_is_written_as_jsonl_is_read_the_same(wanted: list[Record], ascii_only: bool, end: str) -> None:
    rows = [{"text": each.text, "key": each.key, "metadata": each.metadata} for each in wanted]
    content = end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert read_bytes(content.encode(), Format.JSONL) == wanted


# csv cannot hold NUL.
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@examples(100)
@given(
    st.lists(st.tuples(CELLS.filter(bool), CELLS.filter(lambda text: text.strip(" \t\n\r\v\f")), CELLS), min_size=1),
    # Before Python 3.13 csv.writer leaves a CR bare where lines end in LF alone, unless it quotes all.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
)
def test_what_is_written_as_csv_is_read_the_same(rows: list[tuple[str, str, str]], style: Any) -> None:
    end, quoting = style
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=quoting).writerows([("key", "text", "note"), *rows])
    expected = [Record(text, key, {"note": note}) for key, text, note in rows]
    assert read_bytes(stream.getvalue().encode(), Format.CSV, types="text") == expected


PLAIN_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\0\t\r\n"'), min_size=1)


@examples(100)
@given(st.lists(st.tuples(PLAIN_CELLS.filter(lambda text: text.strip(" \v\f")), PLAIN_CELLS), min_size=1))
def test_what_is_written_as_tsv_is_read_the_same(rows: list[tuple[str, str]]) -> None:
    content = "".join(f"{text}\t{note}\n" for text, note in [("text", "note"), *rows])
    assert read_bytes(content.encode(), Format.TSV, types="text") == [
        Record(text, None, {"note": note}) for text, note in rows
    ]


NUMBERS = (
    st.integers()
    | st.floats()
    | st.decimals()
    | st.from_regex(r"[-+]?0{0,2}[0-9]{1,20}([.,][0-9]{0,3})?", fullmatch=True)
)


@examples(50)
@given(st.lists(NUMBERS.map(str) | st.sampled_from(["", "true", "[1.0]", '["a"]', "1e5", "-0"]) | CELLS, min_size=1))
def test_no_digit_of_a_csv_is_lost_by_reading_numbers(cells: list[str]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("text", "cell"), *(("x", cell) for cell in cells)])
    found = [each.metadata or {} for each in read_bytes(stream.getvalue().encode(), Format.CSV)]
    values = [metadata.get("cell") for metadata in found]
    assert [as_written(value, cell) for value, cell in zip(values, cells, strict=True)] == cells
    assert len({kind_of(value) for value in values if value is not None}) <= 1


def as_written(value: object, cell: str) -> str:
    """The characters that stand for a value; those of the cell where several do."""
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        return cell if json.loads(cell.lower() if isinstance(value, bool) else cell) == value else "lost"
    return str(value)


def kind_of(value: object) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


GARBAGE = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [b"text", b",", b"\t", b'"', b"\n", b"\r", b"\r\n", b"{", b"}", b"[", b":", b'"text": "a"', b"\xe9"]
    )
    | st.sampled_from(
        [b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"1e999", b"NaN", b"\\ud800", b" ", b"a", "\u2028".encode()]
    ),
    max_size=40,
).map(b"".join)


TEXTS_IN_ROWS = [format for format, layout in LAYOUTS.items() if layout.kind == "rows" and layout.is_text]


@examples(300)
@given(GARBAGE, st.sampled_from(TEXTS_IN_ROWS))
@example(b'text\n"', Format.CSV)
@example(b'text,key\n"\0"x\r\r\n', Format.CSV)
def test_garbage_is_read_or_refused_with_a_line_and_never_anything_else(content: bytes, format: Format) -> None:
    refusal: SourceError | None = None
    found: list[Record] = []
    try:
        found += read_bytes(content, format)
    except SourceError as error:
        refusal = error
    if refusal is None:
        assert found
    else:
        assert refusal.line in range(1, (len(content) if refusal.unit == "item" else len(content.splitlines())) + 2)
    bad: list[SourceError] = []
    kept: list[Record] = []
    raised = False
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        try:
            kept += read(Source("x", format, copy=stream), bad.append)
        except SourceError:
            raised = True
    if format is Format.JSON:  # after bad items the document may turn out to be broken
        assert raised or kept or bad
    else:
        assert raised != bool(kept or bad)
    assert (refusal is None) == (not raised and not bad)
