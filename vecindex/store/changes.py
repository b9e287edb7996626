"""What does adding these records to those change: a pure decision, taken before encoding and again under the lock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .catalog import Stored


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record to add; ``metadata`` is JSON text, or None to keep what is stored."""

    key: str
    text: str
    metadata: str | None


@dataclass(slots=True)
class Changes:
    """What to write: ``written`` need a vector and a new row; ``relabelled`` are (row, metadata) of rows that stay."""

    written: list[Incoming] = field(default_factory=list)
    relabelled: list[tuple[int, str]] = field(default_factory=list)
    added: int = 0
    updated: int = 0
    unchanged: int = 0


def reconcile(incoming: Sequence[Incoming], stored: Mapping[str, Stored]) -> Changes:
    """The changes that leave the same records as adding ``incoming`` one by one, with each key written at most once.

    ``stored`` holds what is stored under their keys. New rows are in the order of each key's last change.
    """
    changes = Changes()
    final: dict[str, Incoming] = {}
    for item in incoming:
        before = final.get(item.key) or stored.get(item.key)
        if before is None:
            changes.added += 1
            metadata = item.metadata or "{}"
        else:
            metadata = before.metadata or "{}" if item.metadata is None else item.metadata
            if item.text == before.text and same_json(metadata, before.metadata or "{}"):
                changes.unchanged += 1
                continue
            changes.updated += 1
            if item.text != before.text:
                final.pop(item.key, None)  # a new row, which comes last
        final[item.key] = Incoming(item.key, item.text, metadata)
    for key, item in final.items():
        old = stored.get(key)
        if old is None or item.text != old.text:
            changes.written.append(item)
        elif not same_json(item.metadata or "{}", old.metadata):
            changes.relabelled.append((old.row, item.metadata or "{}"))
    return changes


def same_json(a: str, b: str) -> bool:
    """Whether two JSON texts say the same, members in any order; a damaged one says nothing."""
    if a == b:
        return True
    try:
        return json.dumps(json.loads(a), sort_keys=True) == json.dumps(json.loads(b), sort_keys=True)
    except ValueError:
        return False
