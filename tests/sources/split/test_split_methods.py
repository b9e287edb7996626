"""How a way to split is written."""

from __future__ import annotations

import pytest

from vecindex.errors import InvalidInput
from vecindex.sources.formats import LAYOUTS
from vecindex.sources.split.method import Split


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sentence", Split("sentence")),
        ("paragraph", Split("paragraph")),
        ("line", Split("line")),
        ("none", Split("none")),
        ("tokens:200", Split("tokens", 200)),
        ("tokens:200,overlap:40", Split("tokens", 200, 40)),
        ("tokens:200, overlap:40", Split("tokens", 200, 40)),
    ],
)
def test_a_way_to_split_is_parsed_and_written_back(written: str, expected: Split) -> None:
    assert Split.parse(written) == expected
    assert str(expected) == written.replace(" ", "")
    assert Split.parse(str(expected)) == expected
    assert Split.parse(written, join_short=30) == Split(expected.method, expected.tokens, expected.overlap, 30)


@pytest.mark.parametrize(
    "written", ["", "sentences", "tokens", "tokens:", "tokens:x", "tokens:1,over:1", "Line", 5, None]
)
def test_an_unknown_way_is_refused_with_those_there_are(written: object) -> None:
    with pytest.raises(InvalidInput, match=r"^the way to split .* is unknown\.") as caught:
        Split.parse(written)  # type: ignore[arg-type]
    assert caught.value.advice == "Use one of: sentence, paragraph, line, none, tokens:N or tokens:N,overlap:M."


def test_windows_must_be_larger_than_their_overlap() -> None:
    with pytest.raises(InvalidInput, match=r"^an overlap of 40 tokens in windows of 40"):
        Split.parse("tokens:40,overlap:40")
    with pytest.raises(InvalidInput, match=r"^tokens with 0 tokens"):
        Split.parse("tokens:0")
    with pytest.raises(InvalidInput, match=r"^join_short is -1"):
        Split.parse("line", join_short=-1)


def test_rows_stay_whole_and_prose_is_split_unless_a_format_says_otherwise() -> None:
    for layout in LAYOUTS.values():
        assert layout.split == (layout.cut or Split("none" if layout.kind == "rows" else "sentence"))
