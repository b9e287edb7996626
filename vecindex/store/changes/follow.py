"""Texts that are cut into records, and what replaces them: decides for each record that is added which one it follows.

A text has an identity of its own, ``(kind, key)``: "row" for a text with a key of its own, "file" for the text of a
file. It is stored whole, as the record KEY, or cut into the records KEY#1, KEY#2 and so on, which have a row in the
table of documents. Adding the text again replaces all of them: a sentence that is still there keeps its row and vector,
even with another number. A sentence never replaces the record of another text, nor does a whole text replace a
sentence of another: one of the two would be lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import InvalidInput
from ..stored import Identity, Stored, StoredDocument
from .reconcile import Incoming, same_json


def identity_of(item: Incoming) -> Identity:
    """Which text the record is, or is from."""
    return ("row", item.key) if item.document is None else item.document.identity


@dataclass(slots=True)
class Followed:
    """``stored`` has, by the key of each record to add, the one that it follows; ``stale`` are those without one.

    ``emptied`` are the documents whose texts are whole now.
    """

    stored: dict[str, Stored]
    stale: list[Stored] = field(default_factory=list)
    emptied: list[StoredDocument] = field(default_factory=list)


def follow(
    incoming: Sequence[Incoming],
    stored: Mapping[str, Stored],
    documents: Mapping[Identity, StoredDocument],
    pieces: Iterable[Stored],
    owners: Mapping[int, StoredDocument],
    refuse: bool = True,
    merge: bool = False,
) -> Followed:
    """Decides what follows what.

    ``stored`` holds the records with the keys of ``incoming`` and of its texts, ``documents`` those with its
    identities, ``pieces`` all records of these, and ``owners`` the documents, by id, of all that is in ``stored``. With
    ``refuse`` False nothing is refused, as for a guess at what a commit will write. With ``merge``, sentences that are
    not in ``incoming`` stay, and each one follows that with its key.

    Raises:
        InvalidInput: a record would replace one of another text.
    """
    units: dict[Identity, list[Incoming]] = defaultdict(list)
    for item in incoming:
        units[identity_of(item)].append(item)
    before: dict[Identity, list[Stored]] = defaultdict(list)
    known = {each.id: identity for identity, each in documents.items()}
    for piece in pieces:
        before[known[piece.document or 0]].append(piece)
    for identity, items in units.items():
        whole = stored.get(identity[1]) if identity[0] == "row" else None
        if whole is not None and whole.document is None and (items[0].document is not None or identity in before):
            before[identity].append(whole)
    found = Followed({})
    for identity, items in units.items():
        old = before.get(identity, ())
        if refuse:
            _refuse_foreign(items, stored, {record.row for record in old}, owners)
        if old:
            joins = merge and items[0].document is not None
            matched = _with_same_keys(items, old) if joins else _matched(items, old)
            found.stored.update(matched)
            rows = {record.row for record in matched.values()}
            kept = [record for record in old if record.row not in rows]
            found.stale += [record for record in kept if not joins or record.document is None]
        else:
            found.stored.update({item.key: stored[item.key] for item in items if item.key in stored})
        if items[0].document is None and identity in documents:
            found.emptied.append(documents[identity])
    if refuse:
        _refuse_shared(units)
    return found


def _with_same_keys(items: Sequence[Incoming], old: Sequence[Stored]) -> dict[str, Stored]:
    by_key = {record.key: record for record in old}
    return {item.key: by_key[item.key] for item in items if item.key in by_key}


def _matched(items: Sequence[Incoming], old: Sequence[Stored]) -> dict[str, Stored]:
    """For each record of a text, by key, the earlier one that it follows.

    That is the one with its key and text, else one with its text, else the one with its key.
    """
    by_key = {record.key: record for record in old}
    matched = {
        item.key: by_key[item.key] for item in items if item.key in by_key and by_key[item.key].text == item.text
    }
    taken = {record.row for record in matched.values()}
    by_text: dict[str, list[Stored]] = defaultdict(list)
    for record in reversed(old):
        if record.row not in taken:
            by_text[record.text].append(record)
    left = [item for item in items if item.key not in matched]
    for item in left:
        if same := by_text[item.text]:
            matched[item.key] = same.pop()
            taken.add(matched[item.key].row)
    for item in left:
        if item.key not in matched and item.key in by_key and by_key[item.key].row not in taken:
            matched[item.key] = by_key[item.key]
            taken.add(matched[item.key].row)
    return matched


def _refuse_foreign(
    items: Sequence[Incoming],
    stored: Mapping[str, Stored],
    own: Collection[int],
    owners: Mapping[int, StoredDocument],
) -> None:
    """Raises InvalidInput if a record of a text would replace one of another text."""
    for item in items:
        record = stored.get(item.key)
        if record is None or record.row in own:
            continue
        if item.document is not None:
            raise _would_take(item)
        # Given by hand, the same text is left where it is. A source would take the sentence out of its text.
        if record.document is not None and (item.source is not None or not _is_same(item, record)):
            owner = owners[record.document].new.key
            raise InvalidInput(
                f"the key {item.key!r} is the key of a part of {owner!r}, whose text is stored in parts",
                "Give it another key, or delete that part first.",
            )


def _refuse_shared(units: Mapping[Identity, Sequence[Incoming]]) -> None:
    """Raises InvalidInput if two texts that are added together would have a record with the same key."""
    if all(items[0].document is None for items in units.values()):
        return
    first: dict[str, Identity] = {}
    for identity, items in units.items():
        for item in items:
            if first.setdefault(item.key, identity) != identity:
                other = item if item.document is not None else units[first[item.key]][0]
                raise _would_take(other, item.key)


def _would_take(item: Incoming, key: str | None = None) -> InvalidInput:
    assert item.document is not None
    return InvalidInput(
        f"the text of {item.document.key!r} is stored in parts, and one would get the key {key or item.key!r}, "
        "which is another record's key",
        "Give one of the two another key, or do not split the text.",
    )


def _is_same(item: Incoming, record: Stored) -> bool:
    return item.text == record.text and (item.metadata is None or same_json(item.metadata, record.metadata))
