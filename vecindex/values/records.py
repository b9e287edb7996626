"""What goes into an index and comes out of it: records, hits and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from ..errors import Row, SourceError, located

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Metadata = Mapping[str, Any]
"""A JSON object. Integers have at most 64 bits, other numbers are finite, and nothing is nested more than 100 deep."""

Unit = Literal["line", "page", "slide", "row", "message", "cell", "item"]
"""What the places within a source are called."""


class Origin(NamedTuple):
    """Where a text was read: the name of its source, and the line, page or other ``unit``, counted from 1, if known."""

    path: str
    place: int | None = None
    unit: Unit = "line"

    def error(self, reason: str, advice: str | None = None, row: Row | None = None) -> SourceError:
        """The error for what was read there."""
        error = SourceError(self.path, self.place, reason, advice, self.unit)
        error.row = row
        return error

    def __str__(self) -> str:
        return located(self.path, self.place, self.unit)


UNKNOWN = 1 << 40
"""A flag that is added to a record's ``lost`` tokens where the model knows no token of the text. No text has that many
tokens, so ``lost % UNKNOWN`` is how many were cut off."""
NO_VECTOR = 1 << 41
"""The ``lost`` of a record without a vector."""


@dataclass(frozen=True, slots=True)
class Record:
    """A text with its key, metadata and vector.

    ``key`` is the user's stable name; None derives it from text and metadata (see `derive_key`). ``metadata`` None
    means ``{}`` for a new record, and no change for an existing one. ``vector`` is (D,) float32; in a record that is
    added it is None unless it was made elsewhere, and in one that `Index.get` returns, if it is stored without one.
    ``has_vector`` is False for a stored record without a vector, also where vectors are not read. ``origin`` says where
    the record was read, if it was, and errors name it. ``span`` is the characters that the text has in the longer text
    that it was cut out of, if it was.
    """

    text: str
    key: str | None = None
    metadata: Metadata | None = None
    vector: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    origin: Origin | None = field(default=None, compare=False, repr=False)
    span: tuple[int, int] | None = field(default=None, compare=False, repr=False)
    has_vector: bool = field(default=True, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of the record: key, text and metadata, and its place where that is known; not the vector."""
        origin = self.origin
        source = None if origin is None else origin.path
        place = None if origin is None or origin.place is None else (origin.unit, origin.place)
        known = {"key": self.key, "text": self.text, "metadata": self.metadata}
        return {**known, **place_members(source, place, self.span)}


def place_members(source: str | None, place: tuple[str, int] | None, span: tuple[int, int] | None) -> dict[str, Any]:
    """What JSON has of the place of a record or hit, as far as it is known: source, line or another unit, and span."""
    members: dict[str, Any] = {} if source is None else {"source": source}
    if place is not None:
        unit, number = place
        members[unit] = number
    if span is not None:
        members["span"] = list(span)
    return members


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A search result: ``rank`` counts from 1, and ``score`` is a cosine, so larger is better; 0 without a vector.

    ``to_dict()`` gives what ``vecindex search --format json`` prints.

    Attributes:
        lost: how many tokens at the end of ``text`` the model did not read, so they do not affect the score; in a
            record that an early version truncated, 1 means at least one.
        unknown: the model knows no token of ``text`` (emoji, for example): the score is meaningless, and such hits come
            last.
        source: the file or other source that the text was read from, if any.
        place: where in the source: a unit and a number from 1, such as ``("line", 12)`` or ``("page", 3)``.
        span: the characters of its document, or of its text file, that ``text`` is: the first and the one after the
            last, from 0.
        document: the key of the document that ``text`` is a sentence of; ``position`` is its number there, from 0.
        before: the sentences before it in the document, if ``context`` asked for some; ``after``: those after it.
        scores: what each side of the search gave it: the cosine as "dense", the BM25 score as "lexical", the mean
            cosine of the query's tokens, if these were compared, as "tokens", and that of a cross-encoder as "cross".
        ranked_by: what ordered the hits: the mode of the search, with "+tokens" if it compared tokens, "+cross" if a
            cross-encoder read them, or "+diversity" if they were chosen to differ.
        percentile: the share of random pairs of the index's records whose cosine is lower than the hit's, from 0 to
            100; given if ``min_percentile`` asked for it.
    """

    rank: int
    key: str
    score: float
    text: str
    metadata: Metadata
    lost: int = 0
    unknown: bool = False
    source: str | None = None
    place: tuple[Unit, int] | None = None
    span: tuple[int, int] | None = None
    document: str | None = None
    position: int | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    ranked_by: str | None = None
    percentile: float | None = None

    def __repr__(self) -> str:
        always = ("rank", "key", "score", "text", "metadata", "lost", "unknown")
        left_out = ("scores", "ranked_by") if self.ranked_by in (None, "dense") else ()
        values = ((each, getattr(self, each.name)) for each in fields(self) if each.name not in left_out)
        shown = [f"{each.name}={value!r}" for each, value in values if each.name in always or value != each.default]
        return f"Hit({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """What JSON has of the hit: rank, key, score, text and metadata, and the rest where it is known."""
        members: dict[str, Any] = {
            **{"rank": self.rank, "key": self.key, "score": self.score, "text": self.text, "metadata": self.metadata},
            **({"tokens_lost": self.lost} if self.lost else {}),
            **({"unknown": True} if self.unknown else {}),
        }
        members |= place_members(self.source, self.place, self.span)
        members |= {} if self.document is None else {"document": self.document, "position": self.position}
        if self.before or self.after:
            members |= {"before": list(self.before), "after": list(self.after)}
        if self.ranked_by not in (None, "dense"):
            members |= {"ranked_by": self.ranked_by, "scores": dict(self.scores)}
        if self.percentile is not None:
            members["percentile"] = self.percentile
        return members


_OpenHit = make_dataclass("_OpenHit", [each.name for each in fields(Hit)], eq=False, repr=False, slots=True)


def hit_of(*values: Any) -> Hit:
    """As ``Hit(*values)`` with a value for each field, in a quarter of the time.

    Fields of a frozen object are set one by one with ``object.__setattr__``. Those of an open one with the same slots
    are not, and it becomes a hit when it has them.
    """
    hit: Any = _OpenHit(*values)
    hit.__class__ = Hit
    return cast(Hit, hit)


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an ``add`` did, in numbers of records.

    ``truncated`` counts texts that were cut at the model's maximum length, ``tokens_lost`` the tokens cut off all of
    them, and ``unknown`` texts of which the model knows no token. ``removed`` counts records of a text, or of its
    parts, that ``on_long="split"`` replaced. ``duplicates`` counts rows that were skipped because the input repeats
    their key: rows without a key and with the same content, and with ``on_duplicate="last"`` all but the last.
    ``empty`` counts rows of a table without a text, which were left out. ``without_vector`` counts records that were
    stored without a vector.

    ``written`` has the keys that the latest commit added or changed, in the reports that ``progress`` gets. It is empty
    in the report that ``add`` returns, so that the keys of a large input take no memory.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    removed: int = 0
    unknown: int = 0
    duplicates: int = 0
    empty: int = 0
    without_vector: int = 0
    written: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __add__(self, other: AddReport) -> AddReport:
        counts = [each.name for each in fields(self) if each.name != "written"]
        return AddReport(**{name: getattr(self, name) + getattr(other, name) for name in counts}, written=other.written)


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The state of an index. ``model`` to ``fingerprint`` are None until the first ``add`` fixes the space.

    Attributes:
        generation: the number of commits.
        dead_rows: rows of the vector file whose record was deleted or replaced.
        tail_rows: rows that the codes do not cover yet, which are scanned exactly.
        codes: the accelerator in words, or None.
        indexed_fields: metadata fields with fast filters.
        truncated: records whose text is longer than the model reads.
        tokens_lost: how many tokens of these it did not read.
        unknown: records of whose text the model knows no token.
        without_vector: records without a vector, which `Index.encode_missing` gives one.
        cached_texts: texts that need not be encoded again; ``cache_bytes`` is about what remembering them takes.
        bytes: the size of the directory.
        beside: indexes that migrations keep or have begun, in words.
        runtime: what encodes on this machine, such as onnxruntime; None until the model is compiled on first use.
        token_vectors: the stored token vectors in words, or None; see `Index.index_tokens`.
    """

    path: str
    format: int
    created: str
    generation: int
    records: int
    dead_rows: int
    tail_rows: int
    codes: str | None
    indexed_fields: tuple[str, ...]
    truncated: int
    tokens_lost: int
    unknown: int
    cached_texts: int
    cache_bytes: int
    bytes: int
    model: str | None
    dimension: int | None
    max_tokens: int | None
    pooling: str | None
    precision: str | None
    fingerprint: str | None
    beside: tuple[str, ...] = ()
    runtime: str | None = None
    token_vectors: str | None = None
    without_vector: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that ``verify`` found: the file, what is wrong, and the command that repairs it, or other advice."""

    path: str
    reason: str
    repair: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` checked, the faults it found, and those that were ``repaired``.

    Of the records, ``without_vector`` say that they have no vector.
    """

    records: int
    rows: int
    faults: tuple[Fault, ...]
    repaired: tuple[Fault, ...] = ()
    without_vector: int = 0

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What ``compact`` did: rows dropped, the directory's size before and after, and texts dropped from the cache."""

    dropped_rows: int
    bytes_before: int
    bytes_after: int
    forgotten_texts: int = 0


@dataclass(frozen=True, slots=True)
class EncodeReport:
    """What ``encode_missing`` did: how many records it gave a vector.

    ``truncated``, ``tokens_lost`` and ``unknown`` are of these, as in `AddReport`. ``without_vector`` counts records
    that have none still: the model finds no token in their texts, or they were added meanwhile.
    """

    encoded: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    unknown: int = 0
    without_vector: int = 0


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The token vectors that an index stores: of how many ``rows`` and ``tokens``, in how many ``bytes``.

    Deleted records have rows until the index is compacted. ``encoded`` counts the texts that were encoded for it now.
    ``bytes_a_token`` is what one vector takes.
    """

    rows: int
    tokens: int
    bytes: int
    bytes_a_token: int
    encoded: int
