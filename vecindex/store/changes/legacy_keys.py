"""Finds records that earlier versions stored under a key derived from the text alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ...values.keys import as_read, derived_key
from ...values.nested import read_json
from ..stored import Identity, Stored, StoredDocument
from .reconcile import Incoming


def with_legacy_keys(
    incoming: Sequence[Incoming],
    find: Callable[[set[str]], Mapping[str, Stored]],
    documents: Callable[[Iterable[Identity]], Mapping[Identity, StoredDocument]] | None = None,
) -> Sequence[Incoming]:
    """Gives each record the key that an earlier version stored it under, if one did.

    Earlier versions derived the key of a record without one from its text alone, not from its metadata. Stored metadata
    is compared `as_read`. ``find`` and ``documents`` find what is stored under keys, whole and in sentences.
    """
    by_text = {
        place: derived_key(item.text)
        for place, item in enumerate(incoming)
        if not item.named and item.metadata not in (None, "{}")
    }
    if not by_text:
        return incoming
    asked = set(by_text.values())
    said = {key: as_read(read_json(stored.metadata)) for key, stored in find(asked).items()}
    if documents is not None:
        found_documents = documents(("row", key) for key in asked)
        said |= {key: as_read(read_json(each.new.metadata or "{}")) for (_, key), each in found_documents.items()}
    if not said:
        return incoming
    found = list(incoming)
    for place, former in by_text.items():
        item = found[place]
        if former in said and said[former] == as_read(read_json(item.metadata or "{}")):
            found[place] = replace(item, key=former)
    return found
