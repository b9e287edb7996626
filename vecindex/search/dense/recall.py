"""Measures how many of the exact nearest records searches find, with stored vectors as queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InvalidInput
from ...filters.tree import Filter
from ..view import RecordView
from .exact import Ranking, scan
from .nearest import Trace, rankings
from .plan import Route


@dataclass(frozen=True, slots=True)
class AnnRecall:
    """The share of the exact ``k`` nearest records that searches find, the mean over so many ``queries``.

    ``is_exact`` says that such searches score every record, so that nothing can be missed.
    """

    recall: float
    k: int
    queries: int
    is_exact: bool


def ann_recall(view: RecordView, k: int, sample: int, where: Filter | None, seed: int) -> AnnRecall:
    """The ann_recall@k of ``sample`` stored vectors, drawn at random, each among the others.

    A record that ties with the last exact one counts as found.
    """
    allowed = view.with_vectors(view.allowed(where))
    if allowed.count < 2:
        raise InvalidInput(
            f"{'one record' if allowed.count else 'no record'} with a vector can be found, and recall needs two",
            "Add more records, or select more.",
        )
    rows = allowed.rows()
    drawn = np.sort(np.random.default_rng(seed).choice(rows, min(sample, len(rows)), replace=False))
    view.check(drawn)
    vectors = np.asarray(view.vectors)
    queries = np.ascontiguousarray(vectors[drawn])
    trace = Trace()
    found = rankings(view, queries, min(k + 1, len(rows)), allowed, trace)
    view.check_range(0, len(vectors))
    exact = scan(vectors, None if allowed.bitmap is None else rows, queries, min(k + 1, len(rows)))
    shares = [_share(one, best, int(row), k) for one, best, row in zip(found, exact, drawn.tolist(), strict=True)]
    assert trace.plan is not None
    is_exact = trace.plan.route not in (Route.CODES, Route.MASKED)
    return AnnRecall(float(np.mean(shares)), k, len(drawn), is_exact)


def _share(found: Ranking, exact: Ranking, row: int, k: int) -> float:
    """Of the k best without ``row`` itself."""
    wanted = exact.scores[exact.rows != row][:k]
    got = found.scores[found.rows != row][:k]
    return float((got >= wanted[-1]).sum()) / len(wanted)
