"""``vecindex eval``: measures how good the answers are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import (
    ExpandedPath,
    ModelOptions,
    format_option,
    gathered,
    index_option,
    model_options,
    open_for_reading,
    where_option,
)
from ..output import emit, say
from ..progress import Progress
from ..render.evaluations import evaluation_as, self_test_as
from ..render.results import printable

if TYPE_CHECKING:
    from ...evaluate.systems import By
    from ...index.facade import Index
    from ...search.fusion import Fusion
    from ...search.options import Mode

_MODES = ("dense", "lexical", "hybrid")
_FILE = ExpandedPath(path_type=str)


@dataclass(frozen=True, slots=True)
class Judged:
    """The options for measuring with judgements, and no others; None is the default."""

    queries: str | None
    qrels: str | None
    k: int | None
    by: By | None
    save: str | None
    compare: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The options that say which searches are measured."""

    modes: tuple[Mode, ...]
    fusions: tuple[Fusion, ...]
    reranks: tuple[str, ...]
    where: str | None

    def arguments(self) -> dict[str, Any]:
        """As the functions of `evaluate` take them."""
        reranks = tuple(None if name == "none" else name for name in self.reranks) or (None,)
        modes, fusions = self.modes or _MODES, self.fusions or ("convex",)
        return {"modes": modes, "fusions": fusions, "reranks": reranks, "where": self.where}


@dataclass(frozen=True, slots=True)
class Drawn:
    """The options for what is drawn at random."""

    sample: int | None
    seed: int


_judged_options = gathered(
    *("judged", Judged),
    (
        click.option("--queries", type=_FILE, metavar="FILE", help="Queries: .jsonl, tab-separated or topics."),
        click.option("--qrels", type=_FILE, metavar="FILE", help="Judgements, one a line: query, key, relevance."),
        click.option(
            "-k",
            "k",
            type=click.IntRange(min=1),
            metavar="N",
            help="How many hits count.  [default: 100]",
        ),
        click.option(
            "--by",
            type=click.Choice(("record", "document", "source")),
            help="What the judgements name.  [default: record]",
        ),
        click.option("--save", type=_FILE, metavar="FILE", help="Write what each query found to a new file."),
        click.option("--compare", type=_FILE, metavar="FILE", help="Compare with what --save wrote before."),
    ),
)
_drawn_options = gathered(
    *("drawn", Drawn),
    (
        click.option(
            "--sample",
            type=click.IntRange(min=1),
            metavar="N",
            help="How many records --self-test draws.  [default: 200]",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            metavar="N",
            help="Of the random numbers, for intervals and tests too.",
        ),
    ),
)
_asked_options = gathered(
    *("asked", Asked),
    (
        click.option(
            "--mode",
            "modes",
            multiple=True,
            type=click.Choice(_MODES),
            help="Measure this way to search; may be repeated.  [default: all three]",
        ),
        click.option(
            "--fusion",
            "fusions",
            multiple=True,
            type=click.Choice(("convex", "rrf")),
            help="Join the sides of hybrid like this; may be repeated.  [default: convex]",
        ),
        click.option(
            "--rerank",
            "reranks",
            multiple=True,
            metavar="none|tokens|MODEL",
            help="Order the best hits again like search --rerank, in any time; may be repeated.  [default: none]",
        ),
        where_option,
    ),
)


@click.command("eval")
@_judged_options
@_asked_options
@click.option("--self-test", "tests_itself", is_flag=True, help="Measure without judgements, with records as queries.")
@_drawn_options
@format_option("text", "json")
@model_options
@index_option
def eval_(
    judged: Judged,
    asked: Asked,
    tests_itself: bool,
    drawn: Drawn,
    format_: str,
    chosen: ModelOptions,
    index_path: Path,
) -> None:
    """Measure how good the answers are, on your own records.

    With --queries and --qrels: nDCG@10, R@10, R@100, MRR (as RR@10) and MAP (as AP@100), each with a 95 % interval, and
    for each pair of modes whether their difference is real or may be noise. Files are read as in BEIR and TREC. Where
    records are sentences of documents, judgements may name these: --by document.

    With --self-test no judgements are needed: shortened and misspelt copies of records have to find them, and sentences
    the others of their document. It also measures which share of the exact nearest records a search finds.

    \b
    Examples:
      vecindex eval --queries queries.jsonl --qrels qrels.tsv
      vecindex eval --queries queries.jsonl --qrels qrels.tsv --save before.json
      vecindex eval --queries queries.jsonl --qrels qrels.tsv --compare before.json
      vecindex eval --queries topics.txt --qrels qrels.txt --by document --format json
      vecindex eval --queries queries.jsonl --qrels qrels.tsv --mode hybrid --rerank none --rerank tokens
      vecindex eval --self-test --sample 500
    """
    _check(judged, tests_itself, drawn)
    with open_for_reading(index_path, chosen) as index:
        if tests_itself:
            _test_itself(index, asked, drawn, format_)
        else:
            _judge(index, judged, asked, drawn.seed, format_)


def _check(judged: Judged, tests_itself: bool, drawn: Drawn) -> None:
    """Raises UsageError for options that do not go together."""
    given = [each.name for each in fields(judged) if getattr(judged, each.name) is not None]
    if tests_itself and given:
        option = "-k" if given[0] == "k" else f"--{given[0]}"
        raise click.UsageError(f"{option} is for judgements, and --self-test has none.")
    if not tests_itself and drawn.sample is not None:
        raise click.UsageError("--sample is for --self-test.")
    if not tests_itself and (judged.queries is None or judged.qrels is None):
        raise click.UsageError("Pass --queries FILE and --qrels FILE; or --self-test, which needs no judgements.")


def _judge(index: Index, judged: Judged, asked: Asked, seed: int, format_: str) -> None:
    from ...evaluate.evaluation import K, evaluate_index
    from ...evaluate.saved import check_destination, save

    assert judged.queries is not None
    assert judged.qrels is not None
    if judged.save is not None:
        check_destination(judged.save)
    with Progress("Searching", passing=True) as show:
        found = evaluate_index(
            index,
            judged.queries,
            judged.qrels,
            **asked.arguments(),
            k=judged.k or K,
            by=judged.by or "record",
            compare=judged.compare,
            seed=seed,
            progress=show,
        )
    if judged.save is not None:
        save(found, judged.save, index.path)
    emit(evaluation_as(format_, found), format_)
    if judged.save is not None:
        say(f"Saved in {printable(judged.save)}.")


def _test_itself(index: Index, asked: Asked, drawn: Drawn, format_: str) -> None:
    from ...evaluate.self_test import SAMPLE, self_test

    with Progress("Searching", passing=True) as show:
        found = self_test(
            index,
            **asked.arguments(),
            sample=drawn.sample or SAMPLE,
            seed=drawn.seed,
            progress=show,
        )
    emit(self_test_as(format_, found), format_)
