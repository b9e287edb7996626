"""Measures searches without judgements: does a search find the record that a query was made from?

1. "shortened": the query is a part of a record's text, and has to find that record, or one with the same text.
2. "misspelt": the same with typing errors.
3. "document": the query is a sentence, and has to find another sentence of the same document; itself it is left out.

Beside that, ann_recall@10 says what searches miss of the exact nearest records.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InvalidInput
from ..search.dense.recall import AnnRecall
from ..search.fusion import Fusion
from ..search.options import Mode, Rerank
from ..values.arguments import entrance
from ..values.records import Hit, Record
from .evaluation import an_index, reranks_check, some_of
from .known_items import misspelt, plain, shortened
from .results import Difference, Run, SystemReport, differences, differences_as, pairs_of, reports
from .statistics import Values
from .systems import FUSIONS, MODES, Progress, Searched, System, ranked, systems

if TYPE_CHECKING:
    from ..index.facade import Index

Kind = Literal["shortened", "misspelt", "document"]
K = 10
SAMPLE = 200
MEASURES = ("RR@10", "success@1", "success@10")
_HITS_FOR_THE_DOCUMENT = 5
"""Other records may have the same vector."""


@dataclass(frozen=True, slots=True)
class KnownItems:
    """How well systems found what queries of one kind were made from.

    Attributes:
        kind: "shortened", "misspelt" or "document".
        queries: how many there were.
        systems: of each, the mean of 1 / the rank of the right hit ("RR@10"), and the shares of the queries with a
            right hit first ("success@1") and among the first ten ("success@10").
        differences: of each pair of systems.
    """

    kind: Kind
    queries: int
    systems: tuple[SystemReport, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a test with known items found; see `KnownItems`. ``records`` were drawn for it."""

    records: int
    kinds: tuple[KnownItems, ...]
    ann_recall: AnnRecall

    def to_dict(self) -> dict[str, Any]:
        """What ``vecindex eval --self-test --format json`` prints."""
        kinds = ({**asdict(each), "differences": differences_as(each.differences)} for each in self.kinds)
        return {"records": self.records, "kinds": list(kinds), "ann_recall": asdict(self.ann_recall)}


@dataclass(frozen=True, slots=True)
class _Item:
    """A query, and which hits are right; ``without`` is the key of a record that is left out."""

    query: str
    is_right: Callable[[Hit], bool]
    without: str | None = None


@entrance(index=an_index, modes=some_of(MODES, "mode"), fusions=some_of(FUSIONS, "fusion"), reranks=reranks_check)
def self_test(
    index: Index,
    *,
    modes: Sequence[Mode] = MODES,
    fusions: Sequence[Fusion] = ("convex",),
    reranks: Sequence[Rerank | None] = (None,),
    where: Mapping[str, Any] | str | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Progress | None = None,
) -> SelfTest:
    """Measures searches without judgements, with queries made from records: shortened, misspelt, or from a document.

    Such queries are easier than those of people, who use other words; what they show well is how systems differ.

    Args:
        modes, fusions, reranks: the ways to search that are measured side by side; see `evaluate_index`.
        where: a filter, as in `Index.search`: records are drawn and searched for among those that match.
        sample: how many records queries are made from.
        seed: of the random numbers that draw records and make queries.
        progress: called with the number of searches that are done, and of all.

    Raises:
        InvalidInput: there are not two records, or none has a text that a query can be made from.
        InvalidFilter, ModelNotFound, CorruptIndex.
    """
    draw = random.Random(seed)
    keys = index.keys() if where is None else [record.key for record in index.list(where) if record.key is not None]
    recall = index.ann_recall(K, where, sample=sample, seed=seed)
    records = [index.get(key) for key in draw.sample(keys, min(sample, len(keys)))]
    items = {kind: found for kind, make in _KINDS.items() if (found := make(index, records, draw))}
    if not items:
        raise InvalidInput(
            "queries cannot be made from these texts: all are shorter than four words",
            "Measure with judgements instead, or draw more records.",
        )
    chosen = systems(modes, fusions, reranks)
    counted = _Counted(progress, len(chosen) * sum(map(len, items.values())))
    kinds = []
    for kind, some in items.items():
        names = tuple(map(str, range(len(some))))
        runs = [Run(system.name, names, _values(index, system, some, where, counted)) for system in chosen]
        apart = differences(pairs_of(runs), MEASURES, seed)
        kinds.append(KnownItems(kind, len(some), reports(runs, MEASURES, seed), apart))
    return SelfTest(len(records), tuple(kinds), recall)


class _Counted:
    """Reports each search that is done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _values(index: Searched, system: System, items: Sequence[_Item], where: Any, counted: _Counted) -> Values:
    """RR@10, success@1 and success@10 of each item."""
    values = np.zeros((len(items), len(MEASURES)))
    found = ranked(index, system, [item.query for item in items], K + 1, where)
    for row, (item, hits) in enumerate(zip(items, found, strict=True)):
        others = [hit for hit in hits if hit.key != item.without][:K]
        rank = next((place for place, hit in enumerate(others, 1) if item.is_right(hit)), None)
        if rank is not None:
            values[row] = 1 / rank, rank == 1, 1
        counted.one()
    return values


# --- the kinds


def _copies(
    records: Sequence[Record], draw: random.Random, change: Callable[[str, random.Random], str | None]
) -> list[_Item]:
    """A changed copy of each text; another record with the same text is as right as the one that was drawn."""
    made = ((change(record.text, draw), record.text) for record in records)
    return [_Item(query, lambda hit, text=text: hit.text == text) for query, text in made if query]  # type: ignore[misc]


def _sentences(index: Searched, records: Sequence[Record]) -> list[_Item]:
    """Each sentence that stands beside others in a document."""
    found: list[_Item] = []
    records = [record for record in records if record.vector is not None]
    if not records:
        return found
    vectors = np.stack([np.asarray(record.vector) for record in records])
    hits = index.search_many(vectors, _HITS_FOR_THE_DOCUMENT, context=1)
    for record, near in zip(records, hits, strict=True):
        own = next((hit for hit in near if hit.key == record.key), None)
        query = plain(record.text)
        if own is None or own.document is None or not (own.before or own.after) or not query:
            continue
        document = own.document
        found.append(
            _Item(query, lambda hit, document=document: hit.document == document, record.key)  # type: ignore[misc]
        )
    return found


_KINDS: dict[Kind, Callable[[Any, Sequence[Record], random.Random], list[_Item]]] = {
    "shortened": lambda index, records, draw: _copies(records, draw, shortened),
    "misspelt": lambda index, records, draw: _copies(records, draw, misspelt),
    "document": lambda index, records, draw: _sentences(index, records),
}
