"""A real folder of 300 files of every format is added by one command, and hits say exactly where they are from."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from vecindex.sources import source
from vecindex.sources.documents import Document
from vecindex.sources.reading import contents

from ..support.commands import run
from ..support.every_format import (
    PACK,
    ROW_WRITERS,
    TEXT_WRITERS,
    pack,
    rows,
    sentences,
    write_lines,
    write_prose,
    zipped,
)

FILES = 300
A_FILE = 4
A_LONG_FILE = 240
"""Sentences of the PDF of several pages."""
MOST = 1000
TEXTS = ("md", "rst", "py", "prose.txt")
"""The formats whose texts are the files' own, so that characters can be counted in the files."""
QUERIES = ("the harbour remembers winter", "a painter repairs the bridge", "thunder", "letters of the captain")


@pytest.fixture
def folder(here: Path) -> Path:
    """``site`` with files of every format in nested folders, some packed, and what is not to be read among them."""
    site = here / "site"
    kinds = [*TEXT_WRITERS, *ROW_WRITERS, "lines.txt", "prose.txt", "md.gz", "jsonl.zst", "csv.gz", "py.zst"]
    for number in range(FILES):
        inner = site / f"year{number % 3}" / f"month{number % 7}"
        inner.mkdir(parents=True, exist_ok=True)
        write(inner, f"{number:03}", kinds[number % len(kinds)], number)
    TEXT_WRITERS["pdf"](site / "long.pdf", sentences(A_LONG_FILE, seed=FILES))
    inside = [site / "a.md", site / "b.py"]
    for number, path in enumerate(inside, start=FILES + 1):
        TEXT_WRITERS[path.suffix[1:]](path, sentences(A_FILE, seed=number))
    zipped(site / "packed.zip", inside)
    for path in inside:
        path.unlink()
    (site / ".git").mkdir()
    (site / ".gitignore").write_text("/drafts/\n*.log\n")
    (site / "drafts").mkdir()
    (site / "drafts" / "a.md").write_text("A draft that is not read.\n")
    (site / "year0" / "a.log").write_text("A log that is not read.\n")
    (site / "year1" / ".hidden.md").write_text("Hidden and not read.\n")
    (site / "year1" / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (site / "year2" / "data.bin").write_bytes(bytes(range(256)))
    (site / "year2" / "empty.txt").write_bytes(b"")
    return site


def write(inner: Path, name: str, kind: str, number: int) -> None:
    """One file with sentences of its own; rows have keys of their own."""
    path = inner / f"{name}.{kind}"
    texts = sentences(A_FILE, seed=number)
    suffix, _, how = kind.partition(".")
    if kind == "lines.txt":
        write_lines(path, texts)
    elif kind == "prose.txt":
        write_prose(path, texts)
    elif suffix in TEXT_WRITERS:
        TEXT_WRITERS[suffix](inner / f"{name}.{suffix}", texts)
    else:
        table = [{**row, "key": f"{name}-{row['key']}"} for row in rows(A_FILE, seed=number)]
        ROW_WRITERS[suffix](inner / f"{name}.{suffix}", table)
    if how in PACK:
        pack(inner / f"{name}.{suffix}", how)


def test_hits_of_a_mixed_folder_name_file_place_and_characters(folder: Path) -> None:
    code, out, err = run("add", "site", "--verbose")
    assert code == 0, err
    skipped = {line for line in err.splitlines() if ": " in line and line.startswith("site/")}
    assert skipped == {
        *("site/.git/: hidden", "site/.gitignore: hidden", "site/drafts/: ignored by .gitignore"),
        *("site/year0/a.log: ignored by .gitignore", "site/year1/.hidden.md: hidden", "site/year1/image.png: binary"),
        *("site/year2/data.bin: binary", "site/year2/empty.txt: empty"),
    }
    assert f"{FILES + 3} sources: {FILES + 3} read" in err
    seen: set[str] = set()
    for query in QUERIES:
        code, out, err = run("search", query, "-k", str(MOST), "--format", "json")
        assert (code, err) == (0, "")
        hits = json.loads(out)
        assert len(hits) == MOST
        for hit in hits:
            seen.add(hit["source"].rpartition("/")[2].partition(".")[2])
            is_where_it_says(folder.parent, hit)
    assert {*TEXT_WRITERS, *ROW_WRITERS, "lines.txt", "md.gz", "jsonl.zst"} <= seen


def is_where_it_says(root: Path, hit: dict[str, Any]) -> None:
    """What the hit says about its place is true of the file itself."""
    path, text = root / hit["source"], hit["text"]
    if ".zip/" in hit["source"]:
        return
    kind = path.name.partition(".")[2]
    suffix = re.sub(r"\.(gz|zst)$", "", kind)
    if suffix in TEXTS:
        own = unpacked(path)
        start, end = hit["span"]
        assert own[start:end] == text
        assert hit["line"] == own.count("\n", 0, start) + 1
    elif suffix in ("lines.txt", "jsonl"):
        line = unpacked(path).splitlines()[hit["line"] - 1]
        assert (json.loads(line)["text"] if suffix == "jsonl" else line) == text
    elif suffix in ("csv", "tsv"):
        lines = unpacked(path).splitlines()
        delimiter = "," if suffix == "csv" else "\t"
        (fields,) = csv.reader(io.StringIO(lines[hit["line"] - 1]), delimiter=delimiter)
        assert fields[1] == text
    elif suffix in TEXT_WRITERS:
        start, end = hit["span"]
        assert document(path, hit).text[start:end] == text
        if suffix == "pdf":
            assert " ".join(text.split()[:2]) in " ".join(page(path, hit["page"]).split())
    else:
        assert text in [each.text for each in found(path)]


def unpacked(path: Path) -> str:
    """The file's text, decoded."""
    with source(path) as given, given.opened() as stream:
        return stream.read().decode()


@cache
def found(path: Path) -> list[Any]:
    with source(path) as given:
        return list(contents(given))


def document(path: Path, hit: dict[str, Any]) -> Document:
    """The text that the hit is a sentence of; a mailbox has several."""
    documents = [each for each in found(path) if isinstance(each, Document)]
    (own,) = [each for each in documents if each.key is None or f"/{each.key}#" in hit["key"]]
    return own


@cache
def page(path: Path, number: int) -> str:
    """The text of one page of a PDF."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    try:
        return str(document[number - 1].get_textpage().get_text_range())
    finally:
        document.close()
