"""Makes the files that commands in README and the guide add, among them one of each kind of source."""

from __future__ import annotations

import csv
import functools
import gzip
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from .office_files import write_docx, write_eml, write_mbox, write_pdf, write_pptx, write_xlsx

PAGE_SERVER = "https://example.org"
"""What the page calls the server; `page_server` is the one that answers."""
_FILMS: list[dict[str, Any]] = [
    {"id": "m1", "title": "Mars", "plot": "A man is stranded on Mars.", "year": 2015},
    {"id": "m2", "title": "Beach", "plot": "A shark terrorises a beach.", "year": 1975},
]
_SENTENCES = ["The harvest was good this year.", "Prices fell in spring.", "The new barn is dry."]
_TEA = "# Tea\n\nWarm the pot first. Dr. Ames prefers\na cold one.\n\n## Milk\n\nMilk comes last.\n"
_RST = "Garden\n======\n\nWater the roses every evening.\n"
_HTML = "<title>Rain</title><main><p>It has rained since noon. The river is high.</p></main>"
_CELLS = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [{"cell_type": "markdown", "metadata": {}, "source": "The mean is above the median."}],
}


def write_notes(folder: Path, with_docs: bool = True) -> None:
    """Writes README's notes.txt, and its folder of documents."""
    (folder / "notes.txt").write_text("The meeting is on Monday.\nCall the plumber.\n")
    if with_docs:
        (folder / "docs").mkdir()
        (folder / "docs" / "garden.md").write_text("# Gardens\n\nWater the roses every evening.\n")


def make_sources(folder: Path) -> None:
    """Writes a file of each kind into a folder."""
    _make_rows(folder)
    _make_texts(folder)
    write_pdf(folder / "report.pdf", _SENTENCES)
    write_docx(folder / "letter.docx", _SENTENCES)
    write_pptx(folder / "slides.pptx", _SENTENCES)
    write_eml(folder / "message.eml", _SENTENCES)
    write_mbox(folder / "archive.mbox", _SENTENCES)
    docs = folder / "docs"
    (docs / "drafts").mkdir(parents=True)
    (docs / "rain.html").write_text(_HTML)
    (docs / "garden.md").write_text("Water the roses every evening.\n")
    (docs / "drafts" / "idea.txt").write_text("A kettle that sings.\n")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with ZipFile(folder / "docs.zip", "w") as archive:
        archive.writestr("inner/name.md", "My name is Aun.\n")
        archive.writestr("drafts/idea.txt", "A kettle that sings.\n")


def _make_rows(folder: Path) -> None:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    for name, delimiter in (("films.csv", ","), ("films.tsv", "\t")):
        with (folder / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, list(_FILMS[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(_FILMS)
    (folder / "films.csv.gz").write_bytes(gzip.compress((folder / "films.csv").read_bytes()))
    (folder / "films.tsv.zst").write_bytes(_zstd((folder / "films.tsv").read_bytes()))
    (folder / "films.jsonl").write_text("".join(json.dumps(film) + "\n" for film in _FILMS))
    (folder / "films.json").write_text(json.dumps({"data": {"films": _FILMS}}))
    table = pyarrow.Table.from_pylist(_FILMS)
    pyarrow.parquet.write_table(table, folder / "films.parquet")
    pyarrow.feather.write_feather(table, folder / "films.arrow")
    write_xlsx(folder / "films.xlsx", _FILMS)
    with closing(sqlite3.connect(folder / "films.sqlite")) as database, database:
        database.execute("create table films (id text, title text, plot text, year integer)")
        database.executemany("insert into films values (:id, :title, :plot, :year)", _FILMS)


def _zstd(content: bytes) -> bytes:
    from backports import zstd

    return bytes(zstd.compress(content))


def _make_texts(folder: Path) -> None:
    (folder / "tea.md").write_text(_TEA)
    (folder / "garden.rst").write_text(_RST)
    (folder / "page.html").write_text(_HTML)
    (folder / "analysis.ipynb").write_text(json.dumps(_CELLS))
    (folder / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nWelcome to the talk.\n")
    (folder / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nWelcome to the talk.\n")
    (folder / "program.py").write_text('def greet():\n    print("Good morning.")\n')


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@contextmanager
def page_server(folder: Path) -> Iterator[str]:
    """Serves the files in a folder, and yields the address of the server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
