"""``vecindex add --on-long``: which texts and records it refuses, and where that is said."""

from __future__ import annotations

import json

import pytest

from ..support.commands import run, write

pytestmark = pytest.mark.usefixtures("here", "encoder")


def test_a_text_that_is_too_long_is_a_bad_row_of_its_file() -> None:
    write("a.txt", f"short\n\n{'word ' * 300}\n")
    status, _, err = run("add", "a.txt", "--on-long", "error", "--report", "json")
    error = json.loads(err)["error"]
    assert (status, error["type"], error["path"], error["line"]) == (1, "SourceError", "a.txt", 3)
    assert error["reason"].endswith("reads only 256")
    assert error["advice"] == "Shorten it, or use another --on-long: split, mean or truncate."
    status, _, err = run("add", "--text", "word " * 300, "--on-long", "error", "--report", "json")
    assert (status, json.loads(err)["error"]["type"]) == (1, "TextTooLong")
