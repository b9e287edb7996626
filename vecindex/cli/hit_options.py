"""The options of commands that print hits, and how these are printed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from .options import Decorator, format_option, gathered, where_option
from .output import emit, is_terminal, say, stdout, warn
from .render.found import Query, found_as
from .render.hits import HIT_FORMATS, SNIPPET, Shown, hits_as

if TYPE_CHECKING:
    from ..search.run import SearchReport
    from ..values.hits import Hits
    from ..values.records import Hit
_NONE = "No record matches."


@dataclass(frozen=True, slots=True)
class HitPrinter:
    """The options of a command that say how to print hits."""

    format_: str
    full: bool
    fields: tuple[str, ...] | None
    csv_safe: bool

    def print(
        self,
        hits: Hits,
        query: str = "",
        least: float | None = None,
        below: Callable[[], Sequence[Hit]] = tuple,
        report: SearchReport | None = None,
        paging: bool = False,
    ) -> None:
        """Prints hits; of long texts a snippet, chosen by ``query``. A ``report`` explains them.

        If there are none, it says what scores best of the hits that are found ``below`` the score ``least``. With
        ``paging``, the cursor for the hits after them is printed as well.
        """
        shown = self._shown(query)
        cursor = hits.cursor if paging else None
        if paging:
            shown = replace(shown, cursors={} if cursor is None else {hits[-1].rank: cursor})
        if report is not None:
            from .render.explained import report_as

            shown = replace(shown, explanations={each.rank: each for each in report.explanations})
            warn(report_as(self.format_, report), nl=False)
        emit(hits_as(self.format_, hits, shown), self.format_)
        if not hits:
            scores = [] if least is None else [hit.score for hit in below()]
            say(f"No record scores {least:g} or more; the best scores {max(scores):.4f}." if scores else _NONE)
        elif paging and self.format_ == "text":
            say("There are no more." if cursor is None else f"For the next page, add --cursor {cursor}")

    def print_each(self, found: Sequence[tuple[Query, Sequence[Hit]]]) -> None:
        """Prints the hits of each of several queries."""
        emit(found_as(self.format_, found, self._shown("")), self.format_)
        if without := sum(not hits for _, hits in found):
            say(f"No record matches {without} of the {len(found)} queries.")

    def _shown(self, query: str) -> Shown:
        terminal = is_terminal(stdout())
        width = shutil.get_terminal_size().columns if terminal else None
        return Shown(None if self.full else query, self.fields, terminal, self.csv_safe, width)


def queries_in(path: str) -> list[Query]:
    """The queries of a file, with their names where it gives some; raises SourceError."""
    from ..evaluate.judgements import read_queries

    found = read_queries(path)
    if isinstance(found, Mapping):
        return [Query(text, name) for name, text in found.items()]
    return [Query(text) for text in found]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options of a command that choose among hits, and what is around them; named as the arguments of a search."""

    k: int
    where: str | None
    group_by: str | None
    per_group: int
    context: int
    min_score: float | None
    min_percentile: float | None
    exclude: tuple[str, ...]
    diversity: float

    def arguments(self, meant: Callable[[str], str]) -> dict[str, Any]:
        """The arguments for a search; ``meant`` says which key is meant by what was typed."""
        return {**asdict(self), "exclude": [meant(typed) for typed in self.exclude]}


def _least(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and value > 1 and ctx.params.get("mode") != "lexical":
        raise click.BadParameter(f"{value:g} is not in the range -1<=x<=1, that of cosines.", ctx, param)
    return value


_HITS: Decorator = click.option(
    "-k", "k", default=5, show_default=True, type=click.IntRange(min=1), metavar="N", help="How many hits."
)
_CHOOSING: tuple[Decorator, ...] = (
    where_option,
    click.option(
        "--group-by",
        metavar="FIELD",
        help="Print at most --per-group hits with the same value in this metadata field, or of one source or document.",
    ),
    click.option(
        "--per-group",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        metavar="M",
        help="How many hits a group of --group-by may have.",
    ),
    click.option(
        "--context",
        default=0,
        type=click.IntRange(min=0),
        metavar="N",
        help="Also print N sentences before and after each hit, from the same document.",
    ),
    click.option(
        *("--min-score", "min_score"),
        type=click.FloatRange(-1),
        callback=_least,
        metavar="S",
        help="Leave out records that score less.",
    ),
    click.option(
        *("--min-percentile", "min_percentile"),
        type=click.FloatRange(0, 100),
        metavar="P",
        help="Leave out records that are less near than P per cent of random pairs of records are to each other.",
    ),
    click.option(
        "--diversity",
        default=0.0,
        show_default=True,
        type=click.FloatRange(0, 1),
        metavar="D",
        help="How much hits should differ from each other, from 0 to 1.",
    ),
    click.option("--exclude", multiple=True, metavar="KEY", help="Leave out this record; may be repeated."),
)
choosing_options = gathered("asked", Chosen, (_HITS, *_CHOOSING))
"""The options for choosing hits, as the argument ``asked``."""


@dataclass(frozen=True, slots=True)
class Ordered(Chosen):
    """The options of a command that also say what orders hits."""

    mode: str
    fusion: str
    rerank: str | None
    rerank_ms: float


search_options = gathered(
    *("asked", Ordered),
    (
        _HITS,
        click.option(
            "--mode",
            type=click.Choice(["dense", "lexical", "hybrid"]),
            is_eager=True,  # --min-score goes by it
            default="dense",
            show_default=True,
            help="Find records by meaning (dense), by words (lexical), or by both (hybrid).",
        ),
        click.option(
            "--fusion",
            type=click.Choice(["convex", "rrf"]),
            default="convex",
            show_default=True,
            help="How hybrid joins the two: by their scores (convex) or by their ranks (rrf).",
        ),
        click.option(
            "--rerank",
            metavar="tokens|MODEL",
            help="Read the best 100 hits again, and order them better: also by how well each word of the query is met "
            "(tokens), or by a cross-encoder, by its folder or hub name.",
        ),
        click.option(
            "--rerank-ms",
            default=1000.0,
            show_default=True,
            type=click.FloatRange(min=0),
            metavar="MS",
            help="How long --rerank may read texts; hits that it does not reach keep their order behind the others.",
        ),
        *_CHOOSING,
    ),
)
"""The options of a search, as the argument ``asked``."""


def _fields(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...] | None:
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise click.BadParameter("a name is empty; write lang,year for example, or * for all fields.", ctx, param)
    return tuple(dict.fromkeys(names)) or None


csv_safe_option: Decorator = click.option(
    "--csv-safe",
    is_flag=True,
    help="In csv, put ' before stored values that a spreadsheet would run as formulas.",
)
explain_option: Decorator = click.option(
    "--explain", is_flag=True, help="Also print how the hits were found, and why each is there."
)
_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--fields",
        multiple=True,
        callback=_fields,
        metavar="A,B",
        help="Print these metadata fields; * prints all.  [default: none in text, all in json, jsonl and csv]",
    ),
    click.option("--full", is_flag=True, help=f"Print whole texts instead of snippets of {SNIPPET} characters."),
    format_option(*HIT_FORMATS),
    csv_safe_option,
)


printing_options = gathered("printer", HitPrinter, _OPTIONS)
"""The options for printing hits, as the argument ``printer``."""
