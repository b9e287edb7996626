"""Decides what adding records changes in what is stored, before encoding and again under the lock; pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...values.nested import on_own_stack
from ...values.records import Origin
from ..stored import At, NewDocument, Stored
from ..vectors import Vectors


@dataclass(slots=True, eq=False)  # not frozen: a million are made at once, and freezing costs three times as much
class Incoming:
    """A record to add, never changed; ``metadata`` is JSON text, or None to keep what is stored.

    ``vector`` (D,) float32 of unit length was made elsewhere; without it the text must be encoded, or the record is
    stored without one. ``document`` is the text that the record was cut from, if it was, and ``source`` the id of the
    source that it was read from, if it was: then ``position``, ``start``, ``end`` and ``place`` are as in `At`.
    ``named`` says that the key was given, not derived; ``again`` that an earlier record of the same input has it.
    ``item`` is its position in the input, and ``origin`` says where it was read, for errors. ``given`` says that the
    text was also given by hand, besides being in its source. ``bare`` says that the record is to have no vector, and
    loses the one that is stored.
    """

    key: str
    text: str
    metadata: str | None
    vector: Vectors | None = None
    document: NewDocument | None = None
    source: int | None = None
    position: int = 0
    start: int = 0
    end: int = 0
    place: int | None = None
    named: bool = True
    again: bool = False
    item: int = 0
    origin: Origin | None = None
    given: bool = False
    bare: bool = False

    def with_vector(self, vector: Vectors) -> Incoming:
        """The same record with this vector; ten times as fast as dataclasses.replace."""
        i = self
        return Incoming(
            *(i.key, i.text, i.metadata, vector, i.document, i.source, i.position, i.start, i.end, i.place),
            *(i.named, i.again, i.item, i.origin, i.given),
        )


@dataclass(slots=True)
class Changes:
    """What to write.

    ``written`` get a new row; ``relabelled`` keep theirs, and get the key, metadata and place of the second one.
    ``renewed`` are the records, by their new key, that get a new row with the vector of their old one, if it had one.
    """

    written: list[Incoming] = field(default_factory=list)
    relabelled: list[tuple[Stored, Incoming]] = field(default_factory=list)
    renewed: dict[str, Stored] = field(default_factory=dict)
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0

    def renew(self, vector_at: Callable[[int], Vectors]) -> None:
        """Gives records with new metadata a new row, for an index whose words include those of metadata."""
        relabelled, self.relabelled = self.relabelled, []
        for old, item in relabelled:
            if same_json(item.metadata or "{}", old.metadata):
                self.relabelled.append((old, item))
            else:
                self.written.append(item.with_vector(vector_at(old.row)) if old.has_vector else item)
                self.renewed[item.key] = old


def reconcile(
    incoming: Sequence[Incoming],
    stored: Mapping[str, Stored],
    vector_at: Callable[[int], Vectors],
    whole: bool = False,
    encode: bool = True,
    at_of: Callable[[Incoming], At | None] = lambda item: None,
) -> Changes:
    """The changes with the same result as adding ``incoming`` one by one, but each key is written at most once.

    ``stored`` holds the record that each of these keys follows, usually the one with the key, and ``vector_at`` finds
    the vector of a stored row. With ``whole``, stored texts that were truncated are encoded again; with ``encode``,
    those that have no vector get one. ``at_of`` is where a record's text is from; None leaves that as it is. New rows
    are in the order of each key's last text.
    """
    if not stored and len({item.key for item in incoming}) == len(incoming):
        return Changes(written=list(incoming), added=len(incoming))
    changes = Changes()
    final: dict[str, Incoming] = {}
    kept: set[str] = set()
    moves: dict[str, tuple[Stored, Incoming]] = {}  # content stays, key or place does not

    def stays(item: Incoming, before: Incoming | Stored) -> bool:
        return _stays(item, before, vector_at, whole, encode)

    def moved(item: Incoming, old: Stored) -> bool:
        at = at_of(item)
        return item.key != old.key or (at is not None and at != old.at)

    for item in incoming:
        before = final.get(item.key) or stored.get(item.key)
        if before is None:
            changes.added += 1
            final[item.key] = replace(item, metadata=item.metadata or "{}")
            continue
        metadata = before.metadata or "{}" if item.metadata is None else item.metadata
        same = stays(item, before)
        if same and same_json(metadata, before.metadata or "{}"):
            # A row that comes again leaves the place of the first one, but a whole text may become a part of one, and
            # one that was given by hand has no place.
            has_place = item.again and isinstance(before, Stored) and before.at is not None and item.key == before.key
            if isinstance(before, Stored) and not has_place and moved(item, before):
                moves.setdefault(item.key, (before, replace(item, metadata=before.metadata)))
            if item.again:
                changes.duplicates += 1
            else:
                changes.unchanged += 1
                kept.add(item.key)
            continue
        if item.again and (item.key in final or item.key in kept):
            changes.duplicates += 1
            if item.key in kept and item.key not in final:
                changes.unchanged, changes.updated = changes.unchanged - 1, changes.updated + 1
        else:
            changes.updated += 1
        if not same:
            final.pop(item.key, None)  # a new row, which comes last
        final[item.key] = replace(item, metadata=metadata)
    changes.relabelled = [(old, item) for key, (old, item) in moves.items() if key not in final]
    for key, item in final.items():
        old = stored.get(key)
        if old is None or not stays(item, old):
            changes.written.append(item)
        elif not same_json(item.metadata or "{}", old.metadata) or moved(item, old):
            changes.relabelled.append((old, item))
    return changes


def _stays(
    item: Incoming, before: Incoming | Stored, vector_at: Callable[[int], Vectors], whole: bool, encode: bool
) -> bool:
    """Whether a record needs no new row."""
    if item.text != before.text or (whole and isinstance(before, Stored) and before.tokens_lost):
        return False
    if item.bare:
        return before.vector is None if isinstance(before, Incoming) else not before.has_vector
    if item.vector is None:
        return not encode or isinstance(before, Incoming) or before.has_vector
    vector = before.vector if isinstance(before, Incoming) else vector_at(before.row)
    return vector is not None and item.vector.tobytes() == vector.tobytes()


def same_json(a: str, b: str) -> bool:
    """Whether two JSON texts are equal except for the order of members; False if one is damaged."""
    if a == b:
        return True
    try:
        return on_own_stack(_sorted_json, a) == on_own_stack(_sorted_json, b)
    except (ValueError, RecursionError):
        return False


def _sorted_json(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)
