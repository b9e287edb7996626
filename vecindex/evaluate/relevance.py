"""Relevance measures of rankings, query by query, from ir-measures. Only this module imports it.

ir-measures is the interface that the information retrieval community keeps over trec_eval's own code (as
pytrec-eval-terrier), so the figures are those of TREC, BEIR and MTEB. With d the ranked names and rel(d) >= 1 for the
relevant ones:

- nDCG@k: the sum over ranks i of rel / log2(i + 1), divided by that of the best ranking; Jarvelin and Kekalainen 2002,
  doi:10.1145/582415.582418.
- R@k: the share of the relevant ones that are among the first k.
- RR@k: 1 / the rank of the first relevant one, 0 if none is among the first k; its mean is the MRR. Voorhees 1999, the
  question answering track of TREC-8.
- AP@k: the mean, over the relevant ones, of the precision at the rank of each, 0 for those beyond k; its mean is the
  MAP. Buckley and Voorhees 2000, doi:10.1145/345508.345543.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..machine.extras import extra_errors

Values = npt.NDArray[np.float64]
Judged = Mapping[str, int]
"""The relevance of a query's records, by name; 0 is irrelevant."""

K = 10
"""The measures of the first hits."""
MOST_RELEVANT = 1000
"""trec_eval counts the records of each grade, so that one large number would take memory."""


def measure_names(k: int) -> tuple[str, ...]:
    """The measures of rankings of ``k`` names; the first is the one that comparisons are about."""
    few = min(K, k)
    recalls = [f"R@{few}", *([f"R@{k}"] if k > few else [])]
    return (f"nDCG@{few}", *recalls, f"RR@{few}", f"AP@{k}")


def checked_relevance(qrels: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, int]]:
    """The same judgements as whole numbers from 0; raises InvalidInput for others.

    TREC judges some documents -2 (spam, for example): such are irrelevant like those with 0.
    """
    found: dict[str, dict[str, int]] = {}
    for query, judged in qrels.items():
        found[query] = {}
        for name, relevance in judged.items():
            if relevance != int(relevance) or relevance > MOST_RELEVANT:
                raise InvalidInput(
                    f"the relevance of {name!r} for the query {query!r} is {relevance:g}",
                    f"Judge in whole numbers of at most {MOST_RELEVANT:,}, such as 0, 1 and 2.",
                )
            found[query][name] = max(0, int(relevance))
    return found


def check_installed() -> None:
    """Raises MissingExtra if ir-measures is not installed."""
    _library()


def measured(names: Sequence[str], rankings: Sequence[Sequence[str]], judged: Sequence[Judged]) -> Values:
    """The values (queries, measures) of each ranking, best first, by what is judged for the same query."""
    library = _library()
    measures = [library.parse_measure(name) for name in names]
    columns = {measure: column for column, measure in enumerate(measures)}
    qrels: dict[str, dict[str, int]] = {}
    runs: dict[str, dict[str, float]] = {}
    for number, (ranking, relevance) in enumerate(zip(rankings, judged, strict=True)):
        # trec_eval is written in C and breaks ties by name: it gets numbers as names, and scores without ties.
        short = {name: str(place) for place, name in enumerate(dict.fromkeys([*relevance, *ranking]))}
        qrels[str(number)] = {short[name]: grade for name, grade in relevance.items()}
        runs[str(number)] = {short[name]: float(-rank) for rank, name in enumerate(ranking)}
    values = np.zeros((len(rankings), len(names)))
    for each in library.iter_calc(measures, qrels, runs):
        values[int(each.query_id), columns[each.measure]] = each.value
    return values


def _library() -> Any:
    with extra_errors("measuring with judgements", "eval"):
        import ir_measures
    return ir_measures
