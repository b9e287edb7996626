"""A text file gives the same records whether it is read or added: prose if its lines are wrapped, else its lines."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import vecindex

from ..support.helpers import opened
from ..support.sourced import where_from

STORY = (
    "The harbour was quiet when the first boats came back. Nobody on the quay had expected them before noon, and "
    "the women who mended the nets went on with their work. An old man counted the sails twice. He had done so every "
    "morning for forty years, since the winter in which his brother did not return. "
)
WRAPPED = textwrap.fill(STORY, 72) + "\n"
LISTED = "One sentence stands here. And another one.\nThe next line is a text too.\n"


@pytest.mark.parametrize("text", [WRAPPED, LISTED], ids=["wrapped", "listed"])
@pytest.mark.parametrize("format", [None, "txt", "prose"])
@pytest.mark.parametrize("split", [None, "sentence", "paragraph", "line", "none"])
def test_a_text_file_is_read_as_it_is_added(tmp_path: Path, text: str, format: str | None, split: str | None) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    read = [record.text for record in vecindex.read(path, format=format, split=split)]
    with opened(tmp_path / "i") as index:
        index.add_files(path, format=format, split=split)
        assert [text for text, *_ in where_from(index).values()] == read
        assert index.add_files(path, format=format, split=split).skipped == 1


def test_lines_that_are_wrapped_are_joined_unless_the_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(WRAPPED, encoding="utf-8")
    assert len(list(vecindex.read(path))) == 4
    assert [record.text for record in vecindex.read(path, format="txt")] == WRAPPED.splitlines()
    with opened(tmp_path / "i") as index:
        index.add_files(tmp_path, format="txt", include="*.txt")
        assert [text for text, *_ in where_from(index).values()] == WRAPPED.splitlines()
        assert index.add_files(tmp_path, include="*.txt", prune=True).read == 1
        assert len(index) == 4


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_large_file_is_recognised_whatever_ends_its_lines(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(textwrap.fill(STORY * 300, 72).replace("\n", end), encoding="utf-8", newline="")
    assert path.stat().st_size > 70_000
    assert next(vecindex.read(path)).text == "The harbour was quiet when the first boats came back."
