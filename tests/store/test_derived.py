"""What a manifest says of derived files is read strictly: it comes with the index, maybe from a stranger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vecindex.store.derived import LexicalFiles, SegmentFile

DIGEST = "0" * 64
FILES = LexicalFiles(
    "{}",
    "f",
    (
        SegmentFile(0, 10, "lexical-1-0-10-01234567.bin", DIGEST),
        SegmentFile(10, 12, "lexical-1-10-12-89abcdef.bin", DIGEST),
    ),
)


def test_lexical_files_are_read_as_they_were_written() -> None:
    assert LexicalFiles.from_json(FILES.to_json()) == FILES
    assert (FILES.rows, FILES.without_segments()) == (12, LexicalFiles("{}", "f"))


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None},
        {"settings": {}},
        {"fingerprint": 1},
        {"segments": {}},
        {"segments": [1]},
        {"segments": [{}]},
        {"more": 1},
    ],
    ids=str,
)
def test_other_lexical_files_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"its lexical|is not|is not|does not follow"):
        LexicalFiles.from_json(json.dumps({**json.loads(FILES.to_json()), **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../lexical-1-0-10-01234567.bin"},
        {"name": "vecindex.db"},
        {"name": None},
        {"digest": "0"},
        {"first": 9},
        {"first": 11},
        {"stop": 10},
        {"stop": 12.0},
        {"first": True},
    ],
    ids=str,
)
def test_other_segments_are_refused(change: dict[str, Any]) -> None:
    written = json.loads(FILES.to_json())
    written["segments"][1] |= change
    with pytest.raises(ValueError, match=r"its lexical|is not|is not|does not follow"):
        LexicalFiles.from_json(json.dumps(written))
