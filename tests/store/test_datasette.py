"""Datasette, which knows nothing of vecindex, opens the database of an index and reads its tables and its view."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import vecindex

from ..support.toy import ToyEncoder

datasette = pytest.importorskip("datasette.app", reason="Datasette is not installed: pip install 'vecindex[test]'")

PAGE = "# Tea\n\nWarm the pot first. Stir it.\n\n## Milk\n\nMilk comes last.\n"
TABLES = (
    *("manifest", "records", "sources", "documents", "repeats", "sums", "dead", "cached", "sqlite_sequence"),
    "sentences",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of a page, two rows of a table, and a text that is from no file."""
    (tmp_path / "tea.md").write_text(PAGE)
    (tmp_path / "films.csv").write_text("key,text,year\nm1,A shark terrorises a beach.,1975\nm2,A man on Mars.,2015\n")
    with vecindex.open(tmp_path / "index", model=ToyEncoder()) as index:
        index.add_files([tmp_path / "tea.md", tmp_path / "films.csv"])
        index.add(["My name is Aun"], keys=["me"])
    return tmp_path / "index"


def answers(folder: Path, *paths: str) -> list[Any]:
    """What Datasette answers to requests of its JSON API; the database is opened as one that nobody writes."""

    async def ask() -> list[Any]:
        served = datasette.Datasette([], immutables=[str(folder / "vecindex.db")])
        await served.invoke_startup()
        try:
            found = []
            for path in paths:
                response = await served.client.get(path)
                assert response.status_code == 200, (path, response.text)
                found.append(response.json() if ".json" in path else response.text)
            return found
        finally:
            served.executor.shutdown()
            for database in served.databases.values():
                database.close()

    return asyncio.run(ask())


def test_sentences_can_be_read_with_their_place_in_a_file(folder: Path) -> None:
    (rows,) = answers(folder, "/vecindex/sentences.json?_shape=array&source=tea.md&_sort=position")
    assert [(row["text"], row["place"], row["title"], row["position"]) for row in rows] == [
        ("Tea", 1, "Tea", 0),
        ("Warm the pot first.", 3, "Tea", 1),
        ("Stir it.", 3, "Tea", 2),
        ("Milk", 5, "Tea", 3),
        ("Milk comes last.", 7, "Tea", 4),
    ]
    assert [PAGE[row["start"] : row["end"]] for row in rows] == [row["text"] for row in rows]
    assert json.loads(rows[4]["metadata"]) == {"headings": ["Tea", "Milk"]}


def test_rows_and_texts_of_no_file_are_sentences_too(folder: Path) -> None:
    (rows,) = answers(folder, "/vecindex/sentences.json?_shape=array&title__isnull=1&_sort=key")
    assert [(row["key"], row["text"], row["source"], row["place"], row["metadata"]) for row in rows] == [
        ("m1", "A shark terrorises a beach.", "films.csv", 2, '{"year":1975}'),
        ("m2", "A man on Mars.", "films.csv", 3, '{"year":2015}'),
        ("me", "My name is Aun", None, None, "{}"),
    ]


def test_every_table_opens_as_a_page_and_as_json(folder: Path) -> None:
    paths = [f"/vecindex/{table}{form}" for table in TABLES for form in ("", ".json?_shape=array")]
    found = dict(zip(paths, answers(folder, *paths), strict=True))
    assert len(found["/vecindex/records.json?_shape=array"]) == 8
    assert "Warm the pot first." in found["/vecindex/records"]
    (manifest,) = found["/vecindex/manifest.json?_shape=array"]
    assert (manifest["format"], manifest["rows"]) == (6, 8)
    sources = [row["location"] for row in found["/vecindex/sources.json?_shape=array"]]
    assert sources == ["tea.md", "films.csv"]


def test_sql_may_be_asked(folder: Path) -> None:
    query = "select+source,+count(*)+as+n+from+sentences+group+by+source+order+by+n"
    (rows,) = answers(folder, f"/vecindex.json?_shape=array&sql={query}")
    assert rows == [{"source": None, "n": 1}, {"source": "films.csv", "n": 2}, {"source": "tea.md", "n": 5}]


def test_nothing_is_changed_by_it(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    answers(folder, "/vecindex/records", "/vecindex/sentences", "/vecindex.json")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
