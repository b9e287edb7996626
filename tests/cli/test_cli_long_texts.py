"""``vecindex add --on-long``: which texts and records it refuses, and where that is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecindex.index.encode_ahead import RECORDS_A_READ

from ..support.commands import ADD, added, failed, misused, run, stored, write

pytestmark = pytest.mark.usefixtures("here", "encoder")


def test_names_that_parts_have_are_refused_with_file_and_line_before_anything_is_added() -> None:
    write("many.txt", "".join(f"sentence {i}\n" for i in range(RECORDS_A_READ + 1)))
    write("a.jsonl", '{"text": "one"}\n\n{"text": "two", "span": 1}\n')
    write("b.csv", 'text,part_of\n"three\nlines",x\n')
    says = "is reserved for the parts of long texts"
    advice = "Rename it, or choose another --on-long; --skip-bad skips bad rows."
    split = ["--on-long", "split", "--text", "x"]
    assert run("add", "many.txt", "a.jsonl", *split) == failed(f"a.jsonl:3: the metadata field 'span' {says}", advice)
    assert run("add", "b.csv", "a.jsonl", *split) == failed(f"b.csv:3: the metadata field 'part_of' {says}", advice)
    assert run("add", "--metadata", '{"span": 1}', *split) == misused(
        ADD, "--metadata uses 'span', which --on-long split reserves for the parts of long texts."
    )
    assert not Path(".vecindex").exists()
    assert run("add", "a.jsonl", "--metadata", '{"part_of": 1}') == added(2, 2)


def test_rows_with_names_that_parts_have_can_be_left_out() -> None:
    rows = ['{"text": "one"}', "nothing", *(f'{{"text": "{n}", "part_of": 1}}' for n in range(25)), '{"text": "two"}']
    write("a.jsonl", "\n".join(rows))
    status, out, err = run("add", "a.jsonl", "--skip-bad", "--on-long", "split")
    reserved = "is reserved for the parts of long texts"
    skipped = [f"Skipped: a.jsonl:{line}: the metadata field 'part_of' {reserved}" for line in range(3, 22)]
    assert (status, out) == (0, "")
    assert [line.split(",")[0] for line in err.splitlines()] == [
        "Skipped: a.jsonl:2: not valid JSON at column 1: Expecting value",
        *skipped,
        "2 added",
        "Warning: 26 bad rows left out.",
    ]
    assert {text for text, _ in stored().values()} == {"one", "two"}


def test_a_text_that_is_too_long_is_a_bad_row_of_its_file() -> None:
    write("a.txt", f"short\n\n{'word ' * 300}\n")
    status, _, err = run("add", "a.txt", "--on-long", "error", "--report", "json")
    error = json.loads(err)["error"]
    assert (status, error["type"], error["path"], error["line"]) == (1, "SourceError", "a.txt", 3)
    assert error["reason"].endswith("reads only 256")
    assert error["advice"] == "Shorten it, or use another --on-long: split, mean or truncate."
    status, _, err = run("add", "--text", "word " * 300, "--on-long", "error", "--report", "json")
    assert (status, json.loads(err)["error"]["type"]) == (1, "TextTooLong")
