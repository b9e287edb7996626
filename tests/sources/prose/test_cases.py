"""Pages that were read wrongly, or not at all, when they were tried from outside."""

from __future__ import annotations

import pytest

import vecindex
from vecindex.values.records import Record

from ...support.places import SHARED

PAGES = SHARED / "cases" / "docs"

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="the shared cases are not here")


def read(name: str) -> list[Record]:
    return list(vecindex.read(PAGES / name))


def test_a_page_gives_its_sentences_and_nothing_of_its_script() -> None:
    assert [record.text for record in read("page.html")] == [
        "Opening hours",
        "We open at nine on weekdays.",
        "On Sundays we are closed.",
        "Dr. Ames sees patients at 10 a.m. only.",
    ]


def test_a_sentence_has_the_path_of_headings_above_it_and_its_exact_characters() -> None:
    (found,) = [record for record in read("setup/install.md") if "logs off" in record.text]
    assert found.metadata == {"headings": ["Installing", "Logging to a database"]}
    text = (PAGES / "setup" / "install.md").read_text(encoding="utf-8")
    assert found.span is not None
    assert text[slice(*found.span)] == found.text == "Use `logs off` to stop it, and `logs on` to begin again."
