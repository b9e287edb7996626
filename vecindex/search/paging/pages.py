"""Finds one page of hits after another.

The first page is what any search finds. The pages after it first show what the first one chose its hits from: with a
second stage the best 100 records, and with diversity the best 50, or more if the page is longer. Then come all other
records that match, in the order of the first stage. So every page after these scores every record that matches, which
shows each of them exactly once, also one that the first page missed because codes only propose candidates, or because
the fusion "rrf" ranks the best of each side alone.

A later commit does not change the order of cosines, and rows keep their numbers until a compaction. So where nothing
but the cosine orders hits, a page goes on after the cosine and the row of the last hit, among the rows that there were
at the first page. An updated record is a new row, and so is not shown any more; a deleted one is gone. What the first
page missed is then not shown either.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import Advice, InvalidInput
from ...values.hits import Hits
from ...values.nested import on_own_stack
from ..dense.exact import Ranking, Rows, best
from ..dense.nearest import Trace
from ..options import Grouping, SearchOptions
from ..rankers import Ranker
from ..rerank.second_stage import SecondStage
from ..run import Found, find, pool_size, shown
from ..view import SnapshotView
from .cursor import Cursor, Last, check_state, short_digest

Scores = npt.NDArray[Any]


class TextWithVector(NamedTuple):
    """A query that has both."""

    text: str
    vector: Any


_OF_A_PAGE = {"k", "context", "rerank_ms", "cursor"}
"""Options that may differ from page to page."""


def check_question(cursor: Cursor, query: Any, options: SearchOptions) -> None:
    """Raises InvalidInput if the cursor is of another search."""
    if cursor.question != _digest(query, options):
        raise InvalidInput(
            "the cursor is of another search",
            Advice(
                "Pass it with the query and the options of the first page; only k, context and rerank_ms may differ.",
                typed="Pass it with the query and the options of the first page; only -k, --context and --rerank-ms "
                "may differ.",
            ),
        )


def first_pages(
    view: SnapshotView,
    ranker: Ranker,
    queries: Sequence[Any],
    options: SearchOptions,
    trace: Trace,
    stage: SecondStage | None = None,
) -> list[Hits]:
    """The hits for each query, with cursors."""
    state = view.state
    pool = min(pool_size(options), state.rows)
    pages = []
    with closing(find(view, ranker, options, trace, stage)) as every:
        for query, found in zip(queries, every, strict=True):
            page = shown(view, found, options, trace)
            if page and (found.has_more or len(found.pool) > len(page)):
                read = b"" if found.read is None or found.read.all() else np.packbits(found.read).tobytes()
                last = _last(found, len(page)) if _is_plain(options) else None
                cursor = Cursor(b"", state, pool, len(page), last, read)
                page.ahead = partial(_written, cursor, query, options)
            pages.append(page)
    trace.lap("fetch")
    return pages


def next_page(
    view: SnapshotView,
    ranker: Ranker,
    query: Any,
    options: SearchOptions,
    trace: Trace,
    stage: SecondStage | None = None,
) -> Hits:
    """The hits after those that ``options.cursor``, a cursor of this query, was given with.

    Raises:
        InvalidInput: the cursor is of another index.
        CursorExpired: the order of hits is gone.
    """
    cursor = options.cursor
    assert cursor is not None
    state, is_plain = view.state, _is_plain(options) and cursor.last is not None
    is_same = check_state(cursor, state, view.checksum(cursor.state.rows - 1), is_plain)
    if is_same and cursor.pool:
        page, ranking, has_more = _after_first(view, ranker, options, cursor, trace, stage)
    else:
        page, (rows, scores) = Hits(), ranker.every(0)
        old = rows < cursor.state.rows
        assert cursor.last is not None
        ranking = _behind(view, ranker, rows[old], scores[old], cursor.last, options.k + 1)
        ranking, has_more = _cut(ranking, options.k)
        cursor = replace(cursor, pool=0)
    last = cursor.last
    if len(ranking.rows):
        stored = view.fetch(ranking.rows.tolist())
        rest = Found(stored, ranking, ranker.sides(0, ranking), ranking.rows, has_more)
        first_stage = replace(options, rerank=None, diversity=0.0)
        page = Hits([*page, *shown(view, rest, first_stage, trace, before=cursor.shown + len(page))])
        if last is not None:
            last = max(last, _last(rest, len(stored)), key=lambda one: one.order)
    if has_more:
        then = replace(state, rows=cursor.state.rows, anchor=cursor.state.anchor)
        after = replace(cursor, state=then, shown=cursor.shown + len(page), last=last)
        page.ahead = partial(_written, after, query, options)
    trace.lap("fetch")
    return page


def _after_first(
    view: SnapshotView,
    ranker: Ranker,
    options: SearchOptions,
    cursor: Cursor,
    trace: Trace,
    stage: SecondStage | None,
) -> tuple[Hits, Ranking, bool]:
    """The hits of the first page's pool that are left, the rows after them, and whether there are more."""
    wanted, skipped = options.k, cursor.shown - cursor.pool
    page = Hits()
    if skipped >= 0:  # only what is in the pool counts, not its order
        (found,) = find(view, ranker, replace(options, rerank=None, diversity=0.0), trace, pool=cursor.pool)
        pool = found.pool
    else:
        read = np.unpackbits(np.frombuffer(cursor.read, np.uint8), count=cursor.pool).astype(np.bool_)
        chosen = replace(options, k=cursor.shown + options.k)
        (head,) = find(view, ranker, chosen, trace, stage, cursor.pool, read if cursor.read else None)
        page, pool = shown(view, head, options, trace, cursor.shown, cursor.shown), head.pool
        skipped, wanted = 0, options.k - len(page)
        if not wanted:
            has_more = head.has_more or len(pool) > cursor.shown + len(page)
            return page, Ranking(pool[:0], head.ranking.scores[:0]), has_more
    rows, scores = ranker.every(0)
    others = ~np.isin(rows, pool)
    rows, scores = rows[others], scores[others]
    if options.by is None:
        ranking = _best(view, ranker, rows, scores, skipped + wanted + 1)
    else:
        ranking = _in_groups(view, ranker, rows, scores, options.by, pool)
    return page, *_cut(ranking, wanted, skipped)


def _cut(ranking: Ranking, wanted: int, skipped: int = 0) -> tuple[Ranking, bool]:
    """So many of a ranking after the first, and whether it has more."""
    some = slice(skipped, skipped + wanted)
    return Ranking(ranking.rows[some], ranking.scores[some]), len(ranking.rows) > skipped + wanted


def _best(view: SnapshotView, ranker: Ranker, rows: Rows, scores: Scores, wanted: int) -> Ranking:
    """The best rows, at least as many as are wanted; those come last whose score is meaningless."""
    size = wanted
    while True:
        ranking = best(rows, scores, size)
        last = view.unknown(ranking.rows.tolist()) & ranker.are_wordless(0, ranking.rows)
        if np.count_nonzero(~last) >= wanted or len(ranking.rows) == len(rows):
            places = np.argsort(last, kind="stable")
            return Ranking(ranking.rows[places], ranking.scores[places])
        size *= 4


def _behind(view: SnapshotView, ranker: Ranker, rows: Rows, scores: Scores, last: Last, wanted: int) -> Ranking:
    """The best rows that come after the ``last`` hit."""
    known = np.nan_to_num(scores, nan=-2.0)
    score = -last.order[1]
    is_behind = (known < score) | ((known == score) & (rows > last.row))
    if not last.unknown:
        ranking = _best(view, ranker, rows[is_behind], scores[is_behind], wanted)
        if not view.unknown(ranking.rows[:wanted].tolist()).any() and len(ranking.rows) >= wanted:
            return ranking
    # The end is near: meaningless hits come now, whatever their scores are.
    unknown = view.unknown(rows.tolist())
    first, then = is_behind & ~unknown, unknown & (is_behind | (not last.unknown))
    if last.unknown:
        first[:] = False
    parts = [best(rows[part], scores[part], wanted) for part in (first, then)]
    return Ranking(np.concatenate([part.rows for part in parts]), np.concatenate([part.scores for part in parts]))


def _in_groups(view: SnapshotView, ranker: Ranker, rows: Rows, scores: Scores, by: Grouping, before: Rows) -> Ranking:
    """The rows in their order, as many of each group as it may have beside those ``before``."""
    groups = view.groups(by.path)
    last = groups.unknown[rows] & ranker.are_wordless(0, rows)
    order = np.lexsort((rows, -np.nan_to_num(scores, nan=-2.0), last))
    numbers = groups.numbers[np.concatenate([before, rows[order]])]
    kept = order[_places_in_group(numbers)[len(before) :] < by.most]
    return Ranking(rows[kept], scores[kept])


def _places_in_group(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of the same number stand before each (n,)."""
    order = np.argsort(numbers, kind="stable")
    firsts = np.flatnonzero(np.diff(numbers[order], prepend=numbers[order][:1] - 1))
    sizes = np.diff(firsts, append=len(numbers))
    found = np.empty(len(numbers), np.int64)
    found[order] = np.arange(len(numbers)) - np.repeat(firsts, sizes)
    return found


def _digest(query: Any, options: SearchOptions) -> bytes:
    """Tells a query with its options from others; a query is a text, a vector or both."""
    parts = {name: getattr(options, name) for name in options.__dataclass_fields__ if name not in _OF_A_PAGE}
    parts["exclude"] = sorted(set(options.exclude))
    asked: tuple[Any, ...]
    if isinstance(query, str):
        asked = "text", query
    elif isinstance(query, TextWithVector):
        asked = "text", query.text, "vector", _bytes(query.vector)
    else:
        asked = "vector", _bytes(query)
    return short_digest(on_own_stack(repr, (asked, parts)))


def _bytes(vector: Any) -> bytes:
    return np.asarray(vector, np.float64).tobytes()


def _is_plain(options: SearchOptions) -> bool:
    """Whether only the cosines of records order the hits."""
    return options.mode == "dense" and options.by is None and options.rerank is None and not options.diversity


def _last(found: Found, count: int) -> Last:
    """What orders the last of so many hits."""
    place = count - 1
    return Last(found.stored[place].unknown, float(found.ranking.scores[place]), int(found.ranking.rows[place]))


def _written(cursor: Cursor, query: Any, options: SearchOptions) -> str:
    return str(replace(cursor, question=_digest(query, options)))
