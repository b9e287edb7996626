"""What a manifest says of derived files is read strictly: it comes with the index, maybe from a stranger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vecindex.store.derived import LexicalFiles, SegmentFile, TokenFiles

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


def test_rows_without_token_vectors_may_lie_between_segments() -> None:
    segments = (
        SegmentFile(2, 10, "tokens-1-2-10-01234567.bin", DIGEST),
        SegmentFile(11, 12, "tokens-1-11-12-89abcdef.bin", DIGEST),
    )
    files = TokenFiles("2 bits", "f", segments)
    assert TokenFiles.from_json(files.to_json()) == files
    assert (files.rows, files.covered, files.without_segments()) == (12, 9, TokenFiles("2 bits", "f"))
    with pytest.raises(ValueError, match="does not follow"):
        TokenFiles.from_json(TokenFiles("2 bits", "f", segments[::-1]).to_json())


def test_the_files_of_one_kind_of_segments_are_none_of_the_other() -> None:
    for kind, other in ((LexicalFiles, "tokens"), (TokenFiles, "lexical")):
        named = kind("{}", "f", (SegmentFile(0, 1, f"{other}-1-0-1-01234567.bin", DIGEST),))
        with pytest.raises(ValueError, match="is not a valid file name"):
            kind.from_json(named.to_json())
