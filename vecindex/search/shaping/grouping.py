"""Groups hits: the best rows of which at most a few have the same value in a field.

A few more rows than are wanted, found as in any search, mostly hold enough groups. Where they do not, since the best
hundreds are of one document, every allowed row is scored once, and the rows are taken in order until there are enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...errors.warnings import GroupWarning
from ...filters.tree import Exists, Path
from ...store.snapshot import Snapshot
from ...store.sql.groups import Groups
from ...store.sql.placed import PLACED
from ...values.hits import Hits
from ...values.records import Hit
from ..dense.exact import Ranking, Rows, best
from ..dense.nearest import Trace
from ..options import Grouping
from ..rankers import Ranker
from ..view import RecordView, SnapshotView

_ASKED = ((10, 100), (100, 1_000))
"""How many rows are asked for first, and then: so many for each hit, and at least so many."""
_SORTED_FIRST, _SORTED_NEXT = 4_096, 16
"""How many of all scores are sorted at first, and how many times as many then."""


def unmatched(snapshot: Snapshot | SnapshotView, by: Grouping | None, found: Iterable[Hits]) -> list[GroupWarning]:
    """The warning that no record has the field to group by, which is looked for if none of the hits has it."""
    if by is None or any(_has(hit, by.path) for hits in found for hit in hits):
        return []
    return [GroupWarning(warning.field, warning.known) for warning in snapshot.unmatched(Exists(by.path))]


def _has(hit: Hit, path: Path) -> bool:
    if len(path) == 1 and getattr(hit, path[0], None) is not None and path[0] in PLACED:
        return True
    value: Any = hit.metadata
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def grouped(view: RecordView, ranker: Ranker, k: int, by: Grouping, limit: int, trace: Trace) -> list[Ranking]:
    """For each query: the best k rows, at most ``by.most`` of each group, fewer only if none is left.

    Rows of texts without a known token come last. ``limit`` is how many rows may be found.
    """
    found: dict[int, Ranking] = {}
    for each, least in _ASKED:
        asked = max(each * k, least)
        waiting = [number for number in range(len(ranker)) if number not in found]
        if not waiting or asked * 4 > limit:
            break
        for number, ranking in zip(waiting, ranker.best(waiting, asked), strict=True):
            groups = _known(view.groups(by.path, ranking.rows.tolist()), ranker, number, ranking.rows)
            chosen = _chosen(ranking, groups, k, by.most)
            if len(chosen.rows) == k:
                found[number] = chosen
        trace.lap("group")
        trace.widened += len(found) < len(ranker)
    for number in range(len(ranker)):
        if number not in found:
            found[number] = _of_all(view, ranker, number, k, by, trace)
    return [found[number] for number in range(len(ranker))]


def _of_all(view: RecordView, ranker: Ranker, number: int, k: int, by: Grouping, trace: Trace) -> Ranking:
    """As `grouped`, from the scores of all rows that match."""
    every, scores = ranker.every(number)
    groups = view.groups(by.path)
    chosen = Ranking(every[:0], scores[:0])
    for size in _sizes(len(every)):
        ranking = best(every, scores, size)
        at = Groups(groups.numbers[ranking.rows], groups.unknown[ranking.rows])
        at = _known(at, ranker, number, ranking.rows)
        chosen = _chosen(ranking, at, k, by.most, are_all=size == len(every))
        if len(chosen.rows) == k:
            break
    trace.lap("group")
    return chosen


def _known(groups: Groups, ranker: Ranker, number: int, rows: Rows) -> Groups:
    """As they are, but a text without a known token is as good as any other where it has a word of the query."""
    if not groups.unknown.any():
        return groups
    return Groups(groups.numbers, groups.unknown & ranker.are_wordless(number, rows))


def _sizes(most: int) -> Iterator[int]:
    size = _SORTED_FIRST
    while size < most:
        yield size
        size *= _SORTED_NEXT
    yield most


def _chosen(ranking: Ranking, groups: Groups, k: int, most: int, are_all: bool = False) -> Ranking:
    """The first k rows of a ranking with at most ``most`` of each group; unknown ones only if it has all rows."""
    counts: Counter[int] = Counter()
    places: list[int] = []
    order: Rows = np.flatnonzero(~groups.unknown)
    if are_all:
        order = np.concatenate([order, np.flatnonzero(groups.unknown)])
    for place, number in zip(order.tolist(), groups.numbers[order].tolist(), strict=True):
        if counts[number] < most:
            counts[number] += 1
            places.append(place)
            if len(places) == k:
                break
    return Ranking(ranking.rows[places], ranking.scores[places])
