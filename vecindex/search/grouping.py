"""Groups hits: the best rows of which at most a few have the same value in a field.

A few more rows than are wanted, found as in any search, mostly hold enough groups. Where they do not, since the best
hundreds are of one document, every allowed row is scored once, and the rows are taken in order until there are enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Advice, InvalidInput
from ..errors.warnings import GroupWarning
from ..filters.tree import Exists, Filter, Path, Refused, parse_path
from ..store.snapshot import Snapshot
from ..store.sql.groups import Groups
from ..store.sql.placed import PLACED
from ..values.hits import Hits
from ..values.records import Hit
from .dense.exact import Ranking, Rows, Vectors, best, scored
from .dense.nearest import Trace, rankings
from .dense.plan import RANK_ROWS, Plan, Route
from .view import RecordView, SnapshotView

_ASKED = ((10, 100), (100, 1_000))
"""How many rows are asked for first, and then: so many for each hit, and at least so many."""
_SORTED_FIRST, _SORTED_NEXT = 4_096, 16
"""How many of all scores are sorted at first, and how many times as many then."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """At most ``most`` hits have the same value in the metadata field at ``path``."""

    path: Path
    most: int = 1


def grouping(group_by: str | None, per_group: int) -> Grouping | None:
    """The arguments of a search, checked; raises InvalidInput."""
    if group_by is None:
        if per_group != 1:
            advice = Advice("Name the field with group_by=.", typed="Name the field with --group-by.")
            raise InvalidInput("how many hits a group may have is given, but not what to group by", advice)
        return None
    try:
        return Grouping(parse_path(group_by), per_group)
    except Refused as refused:
        reason = f"{group_by!r} is not a field name: {refused.reason}"
        raise InvalidInput(reason, "Write it as in a filter, such as author.name.") from None


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


def grouped(
    view: RecordView,
    queries: Vectors,
    k: int,
    where: Filter | None,
    by: Grouping,
    without: int | None = None,
    trace: Trace | None = None,
) -> list[Ranking]:
    """For each of ``queries`` (q, D): the best k rows, at most ``by.most`` of each group, fewer only if none is left.

    Rows of texts without a known token come last. ``without`` is a row that is left out.
    """
    trace = trace or Trace()
    allowed = view.allowed(where).count
    found: dict[int, Ranking] = {}
    for each, least in _ASKED:
        asked = max(each * k, least)
        waiting = [place for place in range(len(queries)) if place not in found]
        if not waiting or asked * 4 > allowed:
            break
        for place, ranking in zip(waiting, rankings(view, queries[waiting], asked, where, trace), strict=True):
            groups = view.groups(by.path, ranking.rows.tolist())
            chosen = _chosen(ranking, groups, k, by.most, without)
            if len(chosen.rows) == k:
                found[place] = chosen
        trace.lap("group")
        trace.widened += len(found) < len(queries)
    for place, query in enumerate(queries):
        if place not in found:
            found[place] = _of_all(view, query, k, where, by, without, trace)
    return [found[place] for place in range(len(queries))]


def _of_all(
    view: RecordView, query: Vectors, k: int, where: Filter | None, by: Grouping, without: int | None, trace: Trace
) -> Ranking:
    """As `grouped`, from the scores of all allowed rows."""
    allowed = view.allowed(where)
    rows = None if allowed.bitmap is None else allowed.rows()
    vectors = np.asarray(view.vectors)
    if rows is None or len(rows) > RANK_ROWS:
        view.check_range(0, len(vectors))
    else:
        view.check(rows)
    if trace.plan is None:
        trace.plan = Plan(Route.RANK if allowed.count else Route.NONE, len(vectors), allowed.count, k)
    else:
        trace.exhaustive = True
    every, scores = scored(vectors, rows, query)
    trace.rescored += len(every)
    trace.lap("rescore")
    groups = view.groups(by.path)
    chosen = Ranking(every[:0], scores[:0])
    for size in _sizes(len(every)):
        ranking = best(every, scores, size)
        at = Groups(groups.numbers[ranking.rows], groups.unknown[ranking.rows])
        chosen = _chosen(ranking, at, k, by.most, without, are_all=size == len(every))
        if len(chosen.rows) == k:
            break
    trace.lap("group")
    return chosen


def _sizes(most: int) -> Iterator[int]:
    size = _SORTED_FIRST
    while size < most:
        yield size
        size *= _SORTED_NEXT
    yield most


def _chosen(ranking: Ranking, groups: Groups, k: int, most: int, without: int | None, are_all: bool = False) -> Ranking:
    """The first k rows of a ranking with at most ``most`` of each group; unknown ones only if it has all rows."""
    counts: Counter[int] = Counter()
    places: list[int] = []
    order: Rows = np.flatnonzero(~groups.unknown)
    if are_all:
        order = np.concatenate([order, np.flatnonzero(groups.unknown)])
    rows, numbers = ranking.rows[order].tolist(), groups.numbers[order].tolist()
    for place, row, number in zip(order.tolist(), rows, numbers, strict=True):
        if counts[number] < most and row != without:
            counts[number] += 1
            places.append(place)
            if len(places) == k:
                break
    return Ranking(ranking.rows[places], ranking.scores[places])
