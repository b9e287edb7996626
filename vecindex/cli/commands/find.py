"""``vecindex search``, ``similar``, ``get`` and ``list``: finding records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..hit_options import (
    Chosen,
    HitPrinter,
    Ordered,
    choosing_options,
    csv_safe_option,
    explain_option,
    printing_options,
    queries_in,
    search_options,
)
from ..options import ModelOptions, format_option, index_option, model_options, open_for_reading, where_option
from ..output import emit, is_terminal, stdout
from ..places import Meant, by_key_or_place, by_keys_or_places
from ..progress import Progress
from ..render.hits import Shown
from ..render.records import RECORD_FORMATS, record_as, records_as

if TYPE_CHECKING:
    from ...values.hits import Hits

T = TypeVar("T")

_PIECES_AT_ONCE = 256
_OF_ALL = ("min_score", "min_percentile", "where", "mode", "fusion", "exclude")
"""The options of a search that --all takes too."""


@click.command()
@click.argument("query", required=False)
@click.option("--queries", metavar="FILE", help="Search for each query of this file instead.")
@click.option("--all", "every", is_flag=True, help="Print all records of at least --min-score or --min-percentile.")
@search_options
@click.option("--paging", is_flag=True, help="Also print a cursor for the next page.")
@click.option("--cursor", metavar="CURSOR", help="Print the page that this cursor is for; implies --paging.")
@printing_options
@explain_option
@model_options
@index_option
def search(
    query: str | None,
    queries: str | None,
    every: bool,
    asked: Ordered,
    paging: bool,
    cursor: str | None,
    printer: HitPrinter,
    explain: bool,
    chosen: ModelOptions,
    index_path: Path,
) -> None:
    """Print the records nearest to QUERY in meaning or in words.

    The best comes first, each with its score: the cosine of its vector and the query's. Of a text of more than 200
    characters, a snippet is printed that has most of the query's words.

    --mode lexical finds texts that have words of the query, the rarer the better, and prints BM25 scores; --mode hybrid
    finds by meaning and by words, best for names, codes and rare words. In both, a phrase in quotation marks has to be
    in the text word for word, if any text has it, and a dash before a word or phrase leaves out texts with it.

    --rerank tokens puts the best 100 hits in a better order: it also compares each token of the query with each token
    of the text, by the vectors that the model gives them. --rerank MODEL orders them by a cross-encoder, a second model
    that reads the query and each text together. Long texts take longer; see --rerank-ms, and vecindex index-tokens,
    which makes tokens fast.

    --group-by still prints -k hits if there are enough: less near ones take the place of those that are too many in
    their group. Each record without the field is a group by itself. With --context, the sentences around a hit have no
    rank, and hits that are near each other are one passage.

    With --paging, the last hit has a "cursor" in json, jsonl and csv, unless there are no more hits, and in text a
    message names it. Pass it as --cursor with the same QUERY and options for the hits after it; -k may change.

    The FILE of --queries has a query a line, or a name, a tab and a query; or as .jsonl, objects with "text" and, where
    the queries have names, "id". All are searched for together, which is faster than one by one. In json and jsonl,
    each query is an object with its "hits"; in csv, the query is the first column.

    \b
    Examples:
      vecindex search "my name"
      vecindex search "my name" --min-score 0.4 --fields lang,year
      vecindex search "my name" --all --min-score 0.3 --format jsonl
      vecindex search "error E-1042 in the pump" --mode hybrid
      vecindex search '"the pump" -otto' --mode lexical
      vecindex search "error E-1042 in the pump" --mode hybrid --rerank tokens
      vecindex search "error E-1042 in the pump" --rerank cross-encoder/ms-marco-MiniLM-L6-v2
      vecindex search "plants that need little water" -k 3 --where "topic = 'gardening'"
      vecindex search "how to install it" --context 2
      vecindex search "how to install it" --group-by source
      vecindex search "a plant for a dark room" --group-by topic --per-group 2
      vecindex search "my name" --format json | jq '.[0].text'
      vecindex search "my name" -k 20 --paging
      vecindex search --queries questions.txt --format jsonl > answers.jsonl
    """
    if (query is None) == (queries is None):
        missing = "Missing argument 'QUERY'; or pass --queries FILE."
        raise click.UsageError(missing if query is None else "Pass a QUERY or --queries FILE, not both.")
    if explain and query is None:
        raise click.UsageError("--explain is for a single QUERY.")
    if every:
        _check_all(asked, queries is not None, explain, paging or cursor is not None)
    if query is None and (paging or cursor is not None):
        raise click.UsageError("--paging and --cursor are for a single QUERY.")
    several = () if queries is None else queries_in(queries)
    with open_for_reading(index_path, chosen) as index:

        def find(method: Callable[..., T], wanted: object = query, **changed: Any) -> T:
            return by_keys_or_places(index, lambda meant: method(wanted, **{**asked.arguments(meant), **changed}))

        def find_in_view(method: Callable[..., T], wanted: object = query, **changed: Any) -> T:
            with Progress("Reranking", passing=True) as show:
                return find(method, wanted, progress=show, **changed)

        if query is None:
            texts = [each.text for each in several]
            printer.print_each([*zip(several, find_in_view(index.search_many, texts), strict=True)])
            return
        below = partial(find, index.search, min_score=None)
        if every:
            from ...values.hits import Hits

            def found(meant: Meant) -> Hits:
                arguments = asked.arguments(meant)
                return Hits(index.search_all(query, **{name: arguments[name] for name in _OF_ALL}))

            printer.print(by_keys_or_places(index, found), query, asked.min_score, below)
            return
        if explain:
            hits, report = find(index.explain_search, cursor=cursor)
        else:
            hits, report = find_in_view(index.search, cursor=cursor), None
        least = asked.min_score if cursor is None else None
        printer.print(hits, query, least, below, report, paging or cursor is not None)


def _check_all(asked: Ordered, has_queries: bool, explain: bool, paging: bool) -> None:
    """Raises UsageError for an option that chooses among hits, which --all does not."""
    if asked.min_score is None and asked.min_percentile is None:
        raise click.UsageError("--all needs --min-score or --min-percentile.")
    given = {
        **{"--queries": has_queries, "--explain": explain, "-k": _is_given("k"), "--paging": paging},
        **{"--group-by": asked.group_by, "--context": asked.context, "--diversity": asked.diversity},
        "--rerank": asked.rerank,
    }
    for name, value in given.items():
        if value:
            raise click.UsageError(f"Pass --all or {name}, not both.")


def _is_given(parameter: str) -> bool:
    return click.get_current_context().get_parameter_source(parameter) is not ParameterSource.DEFAULT


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--not", "unlike", multiple=True, metavar="KEY", help="Find records unlike this one; may be repeated.")
@choosing_options
@printing_options
@explain_option
@index_option
def similar(
    keys: tuple[str, ...],
    unlike: tuple[str, ...],
    asked: Chosen,
    printer: HitPrinter,
    explain: bool,
    index_path: Path,
) -> None:
    """Print the records nearest in meaning to one or more KEYs.

    The best comes first. What is near to several records is near to the mean of their vectors; the mean of those of
    --not is subtracted from it. None of these records is printed. Of a text of more than 200 characters, the beginning
    is printed. What search prints of a record's place, such as README.md:90, may stand for its key.

    \b
    Examples:
      vecindex similar cooking-001 -k 3
      vecindex similar cooking-001 cooking-002 --not repair-019
      vecindex similar README.md:90
      vecindex similar cooking-001 --explain
      vecindex similar cooking-001 --full --format csv --csv-safe
    """
    with open_for_reading(index_path) as index:

        def find(method: Callable[..., T], **changed: Any) -> T:
            def call(meant: Meant) -> T:
                like, not_ = [meant(key) for key in keys], [meant(key) for key in unlike]
                return method(like, not_=not_, **{**asked.arguments(meant), **changed})

            return by_keys_or_places(index, call)

        hits, report = find(index.explain_similar) if explain else (find(index.similar), None)
        printer.print(hits, "", asked.min_score, partial(find, index.similar, min_score=None), report)


@click.command()
@click.argument("key")
@format_option("text", "json")
@index_option
def get(key: str, format_: str, index_path: Path) -> None:
    """Print the record KEY: its text, metadata and source.

    What search prints of its place, such as README.md:90, may stand for the key.

    \b
    Examples:
      vecindex get cooking-001 --format json
      vecindex get "report.pdf, page 3"
    """
    with open_for_reading(index_path) as index:
        emit(record_as(format_, by_key_or_place(index, key, index.get)), format_)


@click.command("list")
@where_option
@click.option("--source", metavar="PATH", help="Only records from this source, or from all in this folder.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print at most N records.")
@format_option(*RECORD_FORMATS)
@csv_safe_option
@index_option
def list_(
    where: str | None, source: str | None, limit: int | None, format_: str, csv_safe: bool, index_path: Path
) -> None:
    """Print the records, in the order in which they were added.

    Each is one line, the text and then the key; of a text of more than 200 characters, the beginning is printed. The
    other formats have whole texts and metadata, and `vecindex add` reads them.

    \b
    Examples:
      vecindex list --limit 20
      vecindex list --source docs/guide.md
      vecindex list --where "lang = 'de'" --format jsonl > german.jsonl
    """
    shown = Shown(terminal=is_terminal(stdout()), csv_safe=csv_safe)
    with open_for_reading(index_path) as index:
        pieces = records_as(format_, index.list(where, source=source, limit=limit), shown)
        while block := "".join(islice(pieces, _PIECES_AT_ONCE)):
            emit(block, format_)
