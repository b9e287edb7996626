"""The same thousand sentences in each format give the same records, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

import vecindex
from vecindex.sources.formats import Format
from vecindex.sources.origin import Source

from ...support import office_files

_WORDS = (
    *(
        "rain",
        "snow",
        "wind",
        "cloud",
        "storm",
        "river",
        "mountain",
        "harbour",
        "winter",
        "summer",
        "morning",
        "forecast",
    ),
    *("temperature", "street", "well-known", "long-term", "half-open", "city", "village", "sailor", "engineer"),
    *("measured", "recorded", "crossed", "reached", "followed", "before", "between", "around", "slowly", "rarely"),
)


def sentences(count: int) -> list[str]:
    draw = Random(7)
    made = []
    for number in range(count):
        words = draw.choices(_WORDS, k=draw.randint(4, 24))
        made.append(f"{draw.choice(('The', 'In', 'Every', 'One'))} {' '.join(words)} {number}{draw.choice('...!?')}")
    return made


@pytest.mark.parametrize(
    ("format", "write"),
    [
        (Format.PDF, office_files.write_pdf),
        (Format.DOCX, office_files.write_docx),
        (Format.PPTX, office_files.write_pptx),
        (Format.EML, office_files.write_eml),
        (Format.MBOX, office_files.write_mbox),
    ],
)
def test_sentences_are_the_same_in_every_format(
    tmp_path: Path, format: Format, write: Callable[[Path, Sequence[str]], None]
) -> None:
    path, expected = tmp_path / f"a.{format.value}", sentences(1_000)
    write(path, expected)
    records = list(vecindex.read(Source(str(path), format)))
    assert [record.text for record in records] == expected
    assert all(record.origin is not None and record.origin.path == str(path) for record in records)
    places = [record.origin.place or 0 for record in records if record.origin is not None]
    assert places == sorted(places)
    assert max(places) == {Format.PDF: 38, Format.PPTX: 100, Format.MBOX: 50}.get(format, 0)


def test_rows_are_the_same_in_a_workbook(tmp_path: Path) -> None:
    rows = [
        {"key": f"k{n}", "text": text, "year": 1_900 + n % 100, "share": n / 7, "wet": n % 2 == 0}
        for n, text in enumerate(sentences(1_000))
    ]
    office_files.write_xlsx(tmp_path / "a.xlsx", rows)
    records = list(vecindex.read(Source(str(tmp_path / "a.xlsx"), Format.XLSX)))
    found = [{"key": record.key, "text": record.text, **(record.metadata or {})} for record in records]
    assert [{**row, "share": pytest.approx(row["share"])} for row in rows] == found
