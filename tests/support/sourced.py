"""Puts sources into an index as reading them does: rows, and texts in sentences, committed in any portions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from vecindex import AddReport, Index
from vecindex.index.adding.options import AddOptions
from vecindex.index.adding.texts import Adding
from vecindex.index.adding.units import Unit, numbered
from vecindex.store.changes.reconcile import Incoming
from vecindex.store.changes.sources import Finished
from vecindex.store.stored import NewDocument
from vecindex.store.text_cache import text_digest
from vecindex.values.keys import derived_key
from vecindex.values.repeats import KeySet
from vecindex.values.sources import SourceState

from .helpers import opened, snapshots

ADDED = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Row:
    """A text that is stored whole; its key may be derived from it."""

    text: str
    key: str | None = None


@dataclass(frozen=True)
class Prose:
    """A text in sentences; the text of a file has no ``key``, one in a row has one."""

    sentences: tuple[str, ...]
    key: str | None = None


Content = Sequence[Row | Prose]


def begun(location: str) -> SourceState:
    """A source that was not read yet."""
    return SourceState(0, "file", location, "", "txt", "{}", None, None, None, "", 0, "line")


def states(index: Index) -> dict[str, SourceState]:
    """The sources of an index, by location."""
    with snapshots(index).borrow() as catalog:
        return {state.location: state for state in catalog.sources()}


def read(
    index: Index,
    contents: dict[str, Content],
    *,
    prune: bool = True,
    at_most: int | None = None,
    given: Content = (),
) -> AddReport:
    """Reads sources, each with what it holds, in one go; with ``at_most`` that ends after so many texts.

    What is ``given`` by hand in the same go comes first.
    """
    known = states(index)
    with index._writer() as writer:
        found = writer.register([replace(known.get(each, begun(each)), digest=None) for each in contents])
        adding = Adding(snapshots(index), writer, index._model, lambda: index.encoder, AddOptions())
        by_hand = [_unit(each, None, 1) for each in given]
        units = chain(by_hand, _units(zip(found, contents.values(), strict=True), prune))
        return adding.add_units(each for number, each in enumerate(units) if at_most is None or number < at_most)


def _units(contents: Iterator[tuple[SourceState, Content]], prune: bool) -> Iterator[Unit]:
    for state, content in contents:
        seen = KeySet()
        for place, each in enumerate(content, 1):
            unit = _unit(each, state, place)
            seen.add(unit.key)
            yield unit
        digest = hashlib.sha256(repr(content).encode()).hexdigest()
        yield Unit(finished=Finished(replace(state, digest=digest, added=ADDED), seen, prune))


def _unit(each: Row | Prose, state: SourceState | None, place: int) -> Unit:
    if isinstance(each, Prose):
        return _prose(each, state, place)
    return _row(each, None if state is None else state.id, place)


def _row(row: Row, source: int | None, place: int) -> Unit:
    key = row.key or derived_key(row.text)
    end = len(row.text)
    return Unit([Incoming(key, row.text, None, source=source, position=place - 1, end=end, place=place, named=False)])


def _prose(prose: Prose, state: SourceState | None, place: int) -> Unit:
    text = " ".join(prose.sentences)
    source = None if state is None else state.id
    kind, key = ("row", prose.key) if prose.key is not None or state is None else ("file", state.location)
    document = NewDocument(kind, key or "", source, text_digest(text), "{}", f"about {key}", "en")  # type: ignore[arg-type]
    pieces, start = [], 0
    for sentence in prose.sentences:
        end = start + len(sentence)
        pieces.append(Incoming("", sentence, "{}", source=source, start=start, end=end, place=place))
        start = end + 1
    return numbered(document, pieces)


A, B = Row("one"), Row("two", "b")
SHARED = Row("a row of two files", "shared")
CUT = Prose(("It rains.", "It pours.", "It ends."), "cut")
GIVEN: Content = (B, CUT)
SOURCES: dict[str, Content] = {
    "rows.txt": (A, B, SHARED, CUT),
    "notes.md": (Prose(("First sentence.", "Second sentence.")),),
    "more.txt": (SHARED, Row("three")),
}


def sourced_index(path: Path) -> Path:
    """Makes an index of `SOURCES` and a text of its own; two files share a row, and two texts are given by hand too."""
    with opened(path) as index:
        read(index, SOURCES)
        read(index, SOURCES, given=GIVEN)
        index.add(["four"], keys=["mine"])
    return path


def where_from(index: Index) -> dict[str, tuple[str, str | None, str | None, tuple[int, ...]]]:
    """By key: the text, the source, the document, and the position, characters and place of each record."""
    with snapshots(index).borrow() as catalog, catalog.reading():
        records = list(catalog.records())
        sources = {state.id: state.location for state in catalog.sources()}
        documents = catalog.document_ids(each.document for each in records if each.document is not None)
        return {
            each.key: (
                each.text,
                None if each.source is None else sources[each.source],
                None if each.document is None else documents[each.document].new.key,
                () if each.at is None else tuple(number or 0 for number in each.at[2:]),
            )
            for each in records
        }


def shared_rows(index: Index) -> set[tuple[str, str]]:
    """The key of each row that a source repeats, and the source."""
    with snapshots(index).borrow() as catalog:
        found = catalog.sqlite.execute("select key, location from repeats join sources on sources.id = source")
        return set(found.fetchall())


def also_by_hand(index: Index) -> set[str]:
    """The keys of what is from a source and was also given by hand."""
    with snapshots(index).borrow() as catalog:
        return {key for (key,) in catalog.sqlite.execute("select key from repeats where source = 0")}
