"""Measures how well an index answers queries for which it is known what is relevant."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from ..errors import Advice, InvalidInput
from ..errors.warnings import VecindexWarning
from ..search.fusion import Fusion
from ..search.options import CHECKS, Mode, Rerank
from ..sources.fields import listed
from ..values.arguments import entrance
from ..values.columns import judgements, named_texts
from ..values.scalars import BYTES, Check, choice, path, shown
from .judgements import File, Judgements, read_qrels, read_queries
from .relevance import Judged, check_installed, checked_relevance, measure_names, measured
from .results import Evaluation, Run, differences, pairs_of, reports
from .saved import Saved, read_saved
from .systems import FUSIONS, MODES, By, Progress, ranked_names, systems

if TYPE_CHECKING:
    from ..index.facade import Index

K = 100
"""Hits of each query; the usual depth of BEIR."""
_SHOWN = 3
_FEW = 500
"""Names in one filter."""
T = TypeVar("T")


def an_index(name: str, value: Any) -> Any:
    from ..index.reader import Reader

    if not isinstance(value, Reader):
        raise InvalidInput(f"{name} is {shown(value)}, not an open index", "Pass what vecindex.open returns.")
    return value


def some_of(choices: tuple[str, ...], what: str) -> Check:
    """A check for a sequence of these strings, without repeats."""
    one = choice(choices, what)

    def check(name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not value:
            raise InvalidInput(f"{name} is {shown(value)}, not a list of names", f"Pass some of: {', '.join(choices)}.")
        return tuple(dict.fromkeys(one(name, item) for item in value))

    return check


def reranks_check(name: str, value: Any) -> tuple[Rerank | None, ...]:
    """A check for a sequence of second stages, as `Index.search` takes them, and of None for none."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidInput(f"{name} is {shown(value)}, not a list", 'Pass some of: None, "tokens", a cross-encoder.')
    return tuple(dict.fromkeys(None if each is None else CHECKS["rerank"](name, each) for each in value))


def file_or(check: Check) -> Check:
    """A check for a path, or for what ``check`` takes."""

    def checked(name: str, value: Any) -> Any:
        if isinstance(value, (str, os.PathLike, *BYTES)):
            return path(name, value)
        return check(name, value)

    return checked


@entrance(
    index=an_index,
    queries=file_or(named_texts),
    qrels=file_or(judgements),
    modes=some_of(MODES, "mode"),
    fusions=some_of(FUSIONS, "fusion"),
    reranks=reranks_check,
    by=choice(get_args(By)),
    compare=path,
)
def evaluate_index(
    index: Index,
    queries: Mapping[str, str] | File,
    qrels: Judgements | File,
    *,
    modes: Sequence[Mode] = MODES,
    fusions: Sequence[Fusion] = ("convex",),
    reranks: Sequence[Rerank | None] = (None,),
    k: int = K,
    where: Mapping[str, Any] | str | None = None,
    by: By = "record",
    compare: File | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures searches by judgements: nDCG@10, R@10, R@100, RR@10 and AP@100, each with a 95 % interval.

    The measures are those of trec_eval, by way of ir-measures. Intervals are a bootstrap over queries, and each pair of
    systems is compared by a paired randomisation test.

    Args:
        queries: texts by name; or a file with them, as JSON lines ("_id" and "text"), as lines of a name, a tab and the
            text, or as topics of TREC.
        qrels: for each query, the relevance of records, a whole number, by key; or a file of lines with the query, the
            key and the relevance, as in BEIR or TREC.
        modes: the ways to search that are measured side by side: "dense", "lexical" and "hybrid".
        fusions: how "hybrid" joins the two others: "convex", "rrf", or both side by side.
        reranks: the second stages that are measured side by side with each of these, as `Index.search` takes them and
            without a limit of time; None for none.
        k: how many hits of each query count.
        where: a filter, as in `Index.search`.
        by: what the keys in ``qrels`` are: "record", "document" for the keys of texts that were cut into sentences, or
            "source" for files as results show them. The best hit of a document or source counts.
        compare: a file that was saved; each system is compared with the saved one of the same name, or with all.
        seed: of the random numbers for intervals and tests.
        progress: called with the number of searches that are done, and of all.

    Raises:
        InvalidInput: a judged query is unknown, or nothing that is judged is in the index.
        SourceError: a file cannot be used.
        MissingExtra: ir-measures is not installed.
        InvalidFilter, ModelNotFound, CorruptIndex.
    """
    check_installed()
    texts = read_queries(queries) if isinstance(queries, (str, os.PathLike)) else queries
    judged = read_qrels(qrels) if isinstance(qrels, (str, os.PathLike)) else qrels
    named = _named(texts, queries)
    relevance = _relevant(checked_relevance(_known(judged, named)))
    before = None if compare is None else _comparable(read_saved(compare), compare, k, by)
    missing = _missing(index, relevance, by)
    asked = {query: named[query] for query in relevance}
    chosen = systems(modes, fusions, reranks)
    names = measure_names(k)
    rankings: dict[str, dict[str, tuple[str, ...]]] = {}
    total = len(asked) * len(chosen)
    for number, system in enumerate(chosen):
        found = ranked_names(index, system, list(asked.values()), k, where, by)
        rankings[system.name] = _collected(asked, found, number * len(asked), total, progress)
    runs = [_run(name, found, relevance, names) for name, found in rankings.items()]
    saved = [] if before is None else _saved_runs(before, asked, relevance, names)
    pairs = _against(runs, saved) if before is not None else pairs_of(runs)
    return Evaluation(
        k=k,
        by=by,
        judgements=sum(grade > 0 for each in relevance.values() for grade in each.values()),
        missing=missing,
        unjudged=len(judged) - len(relevance),
        measures=names,
        systems=reports([*runs, *saved], names, seed),
        differences=differences(pairs, names, seed),
        queries=asked,
        values={
            run.system: {query: tuple(row) for query, row in zip(run.queries, run.values.tolist(), strict=True)}
            for run in runs
        },
        rankings=rankings,
    )


def _collected(
    asked: Mapping[str, str], found: Any, done: int, total: int, progress: Callable[[int, int], None] | None
) -> dict[str, tuple[str, ...]]:
    """The rankings by query, with a report after each."""
    rankings: dict[str, tuple[str, ...]] = {}
    for query, ranking in zip(asked, found, strict=True):
        rankings[query] = ranking
        if progress is not None:
            progress(done + len(rankings), total)
    return rankings


def _run(
    name: str, rankings: Mapping[str, Sequence[str]], relevance: Mapping[str, Judged], measures: Sequence[str]
) -> Run:
    queries = tuple(rankings)
    judged = [relevance[query] for query in queries]
    return Run(name, queries, measured(measures, [rankings[query] for query in queries], judged))


# --- what was given


def _named(texts: Any, given: object) -> Mapping[str, str]:
    if isinstance(texts, Mapping):
        return texts
    where = f" in {os.fspath(given)}" if isinstance(given, (str, os.PathLike)) else ""
    raise InvalidInput(
        f"the queries{where} have no names, and judgements name the queries that they are about",
        'Write one object a line, {"_id": "q1", "text": "..."}, or a name, a tab and the text.',
    )


def _known(judged: Judgements, named: Mapping[str, str]) -> Judgements:
    """The judgements; raises InvalidInput if one is of a query that is not there."""
    if unknown := [query for query in judged if query not in named]:
        raise InvalidInput(
            f"the judgements name {_counted(len(unknown), 'query', 'queries')} that the queries do not have: "
            f"{_examples(unknown)}; the queries have names like {_examples(named)}",
            "Pass the queries that were judged, or leave the judgements of others out.",
        )
    return judged


def _relevant(judged: Mapping[str, Judged]) -> dict[str, Judged]:
    """The judgements of the queries for which something is relevant."""
    found = {query: each for query, each in judged.items() if any(grade > 0 for grade in each.values())}
    if not found:
        raise InvalidInput(
            "the judgements call nothing relevant", "Judge at least one record with a relevance of 1 or more."
        )
    return found


def _missing(index: Index, relevance: Mapping[str, Judged], by: By) -> int | None:
    """How many relevant names are not in the index, if that is known; raises InvalidInput if none is there."""
    wanted = [name for each in relevance.values() for name, grade in each.items() if grade > 0]
    there = _PRESENT[by](index, list(dict.fromkeys(wanted)))
    if there:
        return None if by == "document" else sum(name not in there for name in wanted)
    own = _OWN[by](index)
    others = [other for other in get_args(By) if other != by and _PRESENT[other](index, wanted[:_FEW])]
    said = f"it has {_PLURAL[by]} like {_examples(own)}" if own else f"it has no {_PLURAL[by]}"
    advice = (
        Advice(f'Pass by="{others[0]}".', typed=f"The judgements name {_PLURAL[others[0]]}: use --by {others[0]}.")
        if others
        else "Check that this is the index that was judged, and that its records were added with their own keys."
    )
    raise InvalidInput(
        f"the index holds no {by} that is judged; looked for {_PLURAL[by]} like {_examples(wanted)}, and {said}",
        advice,
    )


def _present_documents(index: Index, names: Sequence[str]) -> set[str]:
    """Some of these documents that the index has: all that may be told apart at little cost."""
    with _unwarned():
        for start in range(0, len(names), _FEW):
            if index.count({"document": {"$in": list(names[start : start + _FEW])}}):
                return set(names)
    return set()


def _documents(index: Index) -> list[str]:
    """Some documents of the index."""
    with _unwarned():
        (hits,) = index.search_many(["document"], _SHOWN + 1, {"document": {"$exists": True}}, group_by="document")
    return [hit.document for hit in hits if hit.document is not None]


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Without the warnings that no record has a document: the error says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VecindexWarning)
        yield


_PRESENT: Mapping[By, Callable[[Any, Sequence[str]], set[str]]] = {
    "record": lambda index, names: set(names).intersection(index.keys()),
    "document": _present_documents,
    "source": lambda index, names: {each.location for each in index.sources()}.intersection(names),
}
_OWN: Mapping[By, Callable[[Any], Sequence[str]]] = {
    "record": lambda index: index.keys(),
    "document": _documents,
    "source": lambda index: [each.location for each in index.sources()],
}
_PLURAL: Mapping[str, str] = {"record": "keys", "document": "documents", "source": "sources"}


def _counted(number: int, noun: str, plural: str) -> str:
    return f"{number:,} {noun if number == 1 else plural}"


def _examples(names: Iterable[str]) -> str:
    return listed(list(names), _SHOWN, 60)


# --- what was saved


def _comparable(saved: Saved, path: File, k: int, by: str) -> Saved:
    if (saved.k, saved.by) != (k, by):
        raise InvalidInput(
            f"{os.fspath(path)} has k={saved.k} and by {saved.by}, and this evaluation has k={k} and by {by}",
            Advice(
                f'Pass k={saved.k} and by="{saved.by}".', typed=f"Use -k {saved.k} --by {saved.by} to compare with it."
            ),
        )
    return saved


def _saved_runs(
    saved: Saved, asked: Mapping[str, str], relevance: Mapping[str, Judged], measures: Sequence[str]
) -> list[Run]:
    """The saved rankings of the same queries, measured by the judgements of now."""
    same = [query for query, text in asked.items() if saved.queries.get(query) == text]
    found = []
    for system, rankings in saved.rankings.items():
        shared = {query: rankings[query] for query in same if query in rankings}
        if shared:
            found.append(_run(f"{system} (saved)", shared, relevance, measures))
    if not found:
        raise InvalidInput("the saved evaluation has none of these queries", "Compare evaluations of the same queries.")
    return found


def _against(runs: Sequence[Run], saved: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Each system with the saved one of the same name; with every saved one if there is none."""
    pairs = []
    for run in runs:
        same = [other for other in saved if other.system == f"{run.system} (saved)"]
        pairs += [(run, other) for other in same or saved]
    return pairs
