"""Writes where exported records are from, and reads it again: the member ``from`` of a record.

::

    source    where its file is, as the index says: relative to the folder that holds the index, else absolute; with
              kind ("file" if left out), query ("" if left out) and reader of the source
    line      or page, slide and so on: where in the source the text is, counted from 1
    position  its number in its document, or else in its source, from 0
    span      the characters of the document that the text is: the first and the one after the last, from 0
    given     true if the record, or its document, is from a source and was also given by hand; left out if not
    document  what the text was cut from: key and kind; title, language, metadata and digest where they are known. The
              key of the record is KEY#N then, where N is position + 1.

A record that was given whole, and not in a source, has no such member.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ..store.snapshot import Snapshot
from ..store.stored import Kind, NewDocument, Stored, metadata_of, piece_key
from ..values.keys import checked_key
from ..values.metadata import checked_metadata
from ..values.records import Unit
from ..values.scalars import string
from ..values.sources import SourceKind, SourceState

_UNITS = get_args(Unit)
_EITHER = {"source", "document"}
_REQUIRED = {"position", "span"}
_NAMES = {"source", "kind", "query", "reader", "document", "given", *_REQUIRED, *_UNITS}
_OF_DOCUMENTS = {"key", "kind", "title", "language", "metadata", "digest"}
_LONGEST = 1_000_000
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class From:
    """Where a record to import is from: ``source`` has the id 0, and ``document`` has no source yet.

    ``given`` says that the text was also given by hand.
    """

    source: SourceState | None
    document: NewDocument | None
    position: int
    start: int
    end: int
    place: int | None
    given: bool


def described(snapshot: Snapshot, records: Sequence[Stored]) -> list[str | None]:
    """The JSON of ``from`` for each of the records, None for those that have none."""
    if all(record.at is None for record in records):
        return [None] * len(records)
    sources = snapshot.source_ids({each.source for each in records if each.source is not None})
    documents = snapshot.document_ids({each.document for each in records if each.document is not None})
    shown = {id: _document(each.new) for id, each in documents.items()}
    rows = {id: each.new.key for id, each in documents.items() if each.new.kind == "row"}
    keys = [record.key if record.document is None else rows.get(record.document) for record in records]
    given = snapshot.also_by_hand(key for key in keys if key is not None)
    return [_described(record, sources, shown, key in given) for record, key in zip(records, keys, strict=True)]


def _described(
    record: Stored, sources: dict[int, SourceState], documents: dict[int, dict[str, Any]], given: bool
) -> str | None:
    at = record.at
    if at is None:
        return None
    members: dict[str, Any] = {}
    if at.source in sources:
        state = sources[at.source]
        members["source"] = state.location
        members |= {"kind": state.kind} if state.kind != "file" else {}
        members |= {"query": state.query} if state.query else {}
        members["reader"] = state.reader
        if at.place is not None and state.unit is not None:
            members[state.unit] = at.place
    members |= {"position": at.position, "span": [at.start, at.end]}
    members |= {"given": True} if given and at.source is not None else {}
    if at.document in documents:
        members["document"] = documents[at.document]
    return json.dumps(members, ensure_ascii=False) if not members.keys().isdisjoint(_EITHER) else None


def _document(new: NewDocument) -> dict[str, Any]:
    metadata = metadata_of(new.metadata or "{}")
    known = {"title": new.title, "language": new.language, "metadata": metadata or None, "digest": new.digest.hex()}
    return {"key": new.key, "kind": new.kind, **{name: value for name, value in known.items() if value}}


def is_from(value: object) -> bool:
    """Whether a member of this name is ours, and not somebody's metadata."""
    return isinstance(value, dict) and _REQUIRED <= value.keys() <= _NAMES and not value.keys().isdisjoint(_EITHER)


def from_of(value: dict[str, Any], key: str, text: str) -> From:
    """Where the record ``key`` is from; raises ValueError."""
    position, (start, end) = _number(value, "position"), _span(value["span"])
    units = [unit for unit in _UNITS if unit in value]
    if len(units) > 1:
        raise ValueError(f"its 'from' has several places: {', '.join(units)}")
    source = None
    if "source" in value:
        source = _source(value, units[0] if units else None)
    place = _number(value, units[0]) if units and source is not None else None
    given = value.get("given", False)
    if type(given) is not bool:
        raise ValueError("whether it was given by hand, in its 'from', is not true or false")
    document = None
    if "document" in value:
        document = _read_document(value["document"])
        if key != piece_key(document.key, position + 1):
            expected = piece_key(document.key, position + 1)
            raise ValueError(f"its key is {key!r:.80}, but as part {position} of its document it is {expected!r:.80}")
        if end - start != len(text):
            raise ValueError(f"its text has {len(text)} characters, but its span is {start} to {end}")
    return From(source, document, position, start, end, place, given and source is not None)


def _source(value: dict[str, Any], unit: str | None) -> SourceState:
    location, query, reader = (_text(value, name) for name in ("source", "query", "reader"))
    kind = value.get("kind", "file")
    if kind not in get_args(SourceKind):
        raise ValueError(f"its 'from' has an unknown kind, {kind!r:.40}")
    if not location or "\0" in location:
        raise ValueError("its source has no name")
    return SourceState(0, kind, location, query, reader, "{}", None, None, None, "", 0, unit, imported=1)


def _read_document(value: object) -> NewDocument:
    if not isinstance(value, dict) or not {"key", "kind"} <= value.keys() <= _OF_DOCUMENTS:
        raise ValueError("its document is not an object with key and kind")
    if value["kind"] not in get_args(Kind):
        raise ValueError(f"its document has an unknown kind, {value['kind']!r:.40}")
    try:
        digest = bytes.fromhex(_text(value, "digest"))
    except ValueError:
        raise ValueError("the digest of its document is not hexadecimal") from None
    title, language = (_text(value, name) or None for name in ("title", "language"))
    metadata = checked_metadata(value.get("metadata", {}))
    return NewDocument(value["kind"], checked_key(value["key"]), None, digest, metadata, title, language)


def _text(value: dict[str, Any], name: str) -> str:
    return string(value.get(name, ""), f"the {name} in its 'from'", _LONGEST)


def _number(value: dict[str, Any], name: str) -> int:
    number = value[name]
    if type(number) is not int or not 0 <= number < _MOST:
        raise ValueError(f"the {name} in its 'from' is not a number from 0")
    return number


def _span(value: object) -> tuple[int, int]:
    if isinstance(value, list) and [type(each) for each in value] == [int, int]:
        start, end = value
        if 0 <= start <= end < _MOST:
            return start, end
    raise ValueError("the span in its 'from' is not a pair of numbers")
