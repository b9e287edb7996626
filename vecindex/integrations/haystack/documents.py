"""Haystack's documents as records of an index, and back.

The record's key is the document's id, its text the content, and its metadata the meta, so that every other command and
search can use them. What a record has no place for stands in the metadata under `RESERVED`:

================  ======================================================================
``id``            the document's id
``empty``         true if the content is None, which the text ""  stands for
``length``        the length of the embedding, of which the index keeps the direction
``zeros``         the dimension of an embedding of zeros, which has no direction
``clock, utc``    the dates in the meta; see `dates`
``blob``          the blob, with its bytes in Base64
``score, sparse`` the score and the sparse embedding
================  ======================================================================
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from haystack.dataclasses import ByteStream, Document, SparseEmbedding

from ...errors import InvalidInput
from ...values.records import Metadata, Record
from .dates import dates_in

RESERVED = "_haystack"
MOST_ZEROS = 1_000_000
"""The largest dimension of an embedding of zeros."""


@dataclass(frozen=True, slots=True)
class Row:
    """A document as `Index.add` takes it; ``vector`` is None if it has no embedding, or one without a direction."""

    key: str
    text: str
    metadata: dict[str, Any]
    vector: npt.NDArray[np.float64] | None


def row_of(document: Document) -> Row:
    """The record of a document; raises InvalidInput."""
    if RESERVED in document.meta:
        raise InvalidInput(
            f"the meta of the document {document.id!r} has the name {RESERVED!r}, which the document store uses itself",
            "Rename it.",
        )
    facts: dict[str, Any] = {"id": document.id}
    if document.content is None:
        facts["empty"] = True
    vector = None
    if document.embedding is not None:
        vector = _vector(document)
        facts["length"] = _length(vector)
        if facts["length"] == 0:
            if len(vector) > MOST_ZEROS:
                raise InvalidInput(
                    f"the embedding of the document {document.id!r} has {len(vector):,} zeros",
                    f"At most {MOST_ZEROS:,} are kept; leave it out.",
                )
            facts["zeros"] = len(vector)
            vector = None
    if document.blob is not None:
        data = base64.b64encode(document.blob.data).decode("ascii")
        facts["blob"] = {"data": data, "meta": document.blob.meta, "mime_type": document.blob.mime_type}
    if document.score is not None:
        facts["score"] = document.score
    if document.sparse_embedding is not None:
        facts["sparse"] = document.sparse_embedding.to_dict()
    return Row(document.id, document.content or "", with_facts(document.meta, facts), vector)


def with_facts(meta: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a record: the meta of its document, and under `RESERVED` the facts and the dates in the meta."""
    clocks, utcs = dates_in(meta)
    kept = {name: value for name, value in facts.items() if name not in ("clock", "utc")}
    if clocks:
        kept["clock"] = clocks
    if utcs:
        kept["utc"] = utcs
    return {**meta, RESERVED: kept}


def facts_of(metadata: Metadata) -> dict[str, Any]:
    """What stands under `RESERVED`; empty for a record that was not added through Haystack, or was tampered with."""
    facts = metadata.get(RESERVED)
    if not isinstance(facts, dict) or not all(
        is_sound(facts[name]) for name, is_sound in _SOUND.items() if name in facts
    ):
        return {}
    return facts


def meta_of(metadata: Metadata) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != RESERVED}


def document_of(record: Record, with_embedding: bool = True, score: float | None = None) -> Document:
    """The document of a record, whose vector is read only ``with_embedding``; ``score`` is that of a search."""
    facts = facts_of(record.metadata or {})
    blob, sparse = facts.get("blob"), facts.get("sparse")
    return Document(
        id=record.key or "",
        content=None if facts.get("empty") else record.text,
        blob=blob and ByteStream(_bytes(record.key or "", blob["data"]), blob["meta"], blob["mime_type"]),
        meta=meta_of(record.metadata or {}),
        score=facts.get("score") if score is None else score,
        embedding=_embedding(facts, record.vector) if with_embedding else None,
        sparse_embedding=sparse and SparseEmbedding.from_dict(sparse),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_blob(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"data", "meta", "mime_type"}:
        return False
    kinds = isinstance(value["data"], str), isinstance(value["meta"], dict)
    return all(kinds) and isinstance(value["mime_type"], (str, type(None)))


def _is_sparse(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"indices", "values"}:
        return False
    indices, values = value["indices"], value["values"]
    return isinstance(indices, list) and isinstance(values, list) and len(indices) == len(values)


_SOUND: dict[str, Callable[[Any], bool]] = {
    "empty": lambda value: value is True,
    "length": lambda value: _is_number(value) and value >= 0,
    "zeros": lambda value: isinstance(value, int) and 0 <= value <= MOST_ZEROS,
    "blob": _is_blob,
    "score": _is_number,
    "sparse": _is_sparse,
}
"""What each fact must be: an index may come from a stranger."""


def _bytes(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidInput(
            f"the blob of the document {key!r} is not Base64", "Another program wrote it: delete the document."
        ) from None


def _embedding(facts: dict[str, Any], vector: npt.NDArray[np.float32] | None) -> list[float] | None:
    if "zeros" in facts:
        return [0.0] * int(facts["zeros"])
    if vector is None or (facts and "length" not in facts):
        return None
    numbers: list[float] = (vector.astype(np.float64) * facts.get("length", 1.0)).tolist()
    return numbers


def _vector(document: Document) -> npt.NDArray[np.float64]:
    try:
        vector = np.asarray(document.embedding, np.float64)
    except (TypeError, ValueError):
        vector = np.empty((0, 0))
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise InvalidInput(
            f"the embedding of the document {document.id!r} is not a list of finite numbers",
            "Pass what a document embedder returns.",
        )
    return vector


def _length(vector: npt.NDArray[np.float64]) -> float:
    """The Euclidean length, also of numbers whose squares overflow or vanish."""
    largest = float(np.abs(vector).max(initial=0.0))
    return largest * float(np.linalg.norm(vector / largest)) if largest else 0.0
