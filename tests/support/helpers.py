"""What do tests of an index share: a small one of known rows, opened, looked into, and changed behind its back."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import vecindex
from vecindex import Index
from vecindex.search.fusion import Scale
from vecindex.store.snapshot import Snapshots

from .toy import ToyEncoder

State = dict[str, tuple[str, Any]]


def opened(path: Path, **options: Any) -> Index:
    """With the toy encoder, and without waiting for another writer, unless the options say otherwise."""
    defaults: dict[str, Any] = {"model": ToyEncoder(), "lock_timeout": 0}
    return vecindex.open(path, **(defaults | options))


def small_index(path: Path) -> Path:
    """Makes an index of rows 0 to 4, where row 1 (b) was deleted and row 2 (c) replaced by row 4."""
    with opened(path) as index:
        index.add(["one", "two", "three", "four"], keys=list("abcd"), metadata=[{"n": n} for n in range(4)])
        index.delete(["b"])
        index.add(["drei"], keys=["c"])
    return path


SMALL_STATE: State = {"a": ("one", {"n": 0}), "d": ("four", {"n": 3}), "c": ("drei", {"n": 2})}


def snapshots(index: Index) -> Snapshots:
    """What reads and changes of an index go through; tests reach behind the public API here alone."""
    return index._snapshots


def scale_of(index: Index, query: str) -> Scale:
    """What the scores of a query are measured by."""
    with snapshots(index).take() as snapshot:
        words = index._lexicon.of(snapshot)
        return Scale.of(index._accelerator.view(snapshot).background, words.whole(words.query(query)))


def state_of(index: Index) -> State:
    """Every record, in row order, read the way a search reads it."""
    with snapshots(index).borrow() as catalog, catalog.reading():
        return {r.key: (r.text, json.loads(r.metadata)) for r in catalog.records()}


def sql(folder: Path, statement: str) -> list[Any]:
    """What SQLite answers to a statement on an index's database; a change is committed."""
    connection = sqlite3.connect(folder / "vecindex.db")
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


def names(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}
