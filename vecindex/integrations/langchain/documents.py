"""Documents of LangChain, made of records and hits, and the ids that they are stored under."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document

from ...errors import InvalidInput
from ...values.columns import column
from ...values.records import Hit, Record, place_members

Scored = list[tuple[Document, float]]


def scored(hits: Iterable[Hit]) -> Scored:
    """A document for each hit, with its score."""
    return [(document_of(hit), hit.score) for hit in hits]


def document_of(hit: Hit) -> Document:
    """The document of a hit.

    If its text was read from a file, the metadata also tell where, under the names that JSON has for it: ``source``,
    ``line`` or another unit, and ``span``; and if ``context`` asked for sentences around it, ``before`` and ``after``.
    """
    place: dict[str, Any] = place_members(hit.source, hit.place, hit.span)
    if hit.before or hit.after:
        place |= {"before": list(hit.before), "after": list(hit.after)}
    return Document(hit.text, id=hit.key, metadata={**place, **hit.metadata})


def document_of_record(record: Record) -> Document:
    """The document of a record, as it would be found."""
    origin = record.origin
    source = None if origin is None else origin.path
    place = None if origin is None or origin.place is None else (origin.unit, origin.place)
    told = place_members(source, place, record.span)
    return Document(record.text, id=record.key, metadata={**told, **(record.metadata or {})})


def documents_of(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any] | None] | None, ids: Sequence[str | None] | None
) -> list[Document]:
    """A document for each text; columns of different lengths are refused."""
    texts = list(column("texts", texts))
    metadatas = list(metadatas or [None] * len(texts))
    if len(metadatas) != len(texts):
        raise InvalidInput(
            f"there are {len(texts)} texts and {len(metadatas)} metadatas", "Give one for each text, or none."
        )
    if ids is not None and len(given := list(column("ids", ids))) != len(texts):
        raise InvalidInput(f"there are {len(texts)} texts and {len(given)} ids", "Give one for each text, or none.")
    return [Document(text, metadata=metadata or {}) for text, metadata in zip(texts, metadatas, strict=True)]


def keys_of(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[str]:
    """The key of each document: the given id, or else its own, or else a random one."""
    own = [document.id for document in documents] if ids is None else list(column("ids", ids))
    if len(own) != len(documents):
        raise InvalidInput(
            f"there are {len(documents)} documents and {len(own)} ids", "Give one for each document, or none."
        )
    return [id_ or str(uuid.uuid4()) for id_ in own]
