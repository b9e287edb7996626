"""``vecindex search``, ``similar`` and ``get``: what is in the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..render import HIT_FORMATS, hits_as, record_as, search_explanation
from .options import Chosen, format_option, hits_option, index_option, model_options, open_for_reading, where_option
from .voice import emit, say, warn

if TYPE_CHECKING:
    from ..records import Hit


@click.command()
@click.argument("query")
@hits_option
@where_option
@format_option(*HIT_FORMATS)
@click.option("--explain", is_flag=True, help="Also say how the hits were found, and how long each step took.")
@model_options
@index_option
def search(
    query: str,
    k: int,
    where: str | None,
    format_: str,
    explain: bool,
    chosen: Chosen,
    index_path: Path,
) -> None:
    """Print the sentences nearest to QUERY by meaning, best first, each with its cosine.

    \b
    Examples:
      vecindex search "my name"
      vecindex search "plants that need little water" -k 3 --where "topic = 'gardening'"
      vecindex search "my name" --format json | jq '.[0].text'
    """
    with open_for_reading(index_path, chosen) as index:
        if not explain:
            _print(format_, index.search(query, k, where))
            return
        hits, explanation = index.explain_search(query, k, where)
        _print(format_, hits)
        warn(search_explanation(explanation), nl=False)


@click.command()
@click.argument("key")
@hits_option
@where_option
@format_option(*HIT_FORMATS)
@index_option
def similar(key: str, k: int, where: str | None, format_: str, index_path: Path) -> None:
    """Print the sentences nearest to the stored one named KEY.

    \b
    Example:
      vecindex similar cooking-001 -k 3
    """
    with open_for_reading(index_path) as index:
        _print(format_, index.similar(key, k, where))


@click.command()
@click.argument("key")
@format_option("text", "json")
@index_option
def get(key: str, format_: str, index_path: Path) -> None:
    """Print the record named KEY.

    \b
    Example:
      vecindex get cooking-001 --format json
    """
    with open_for_reading(index_path) as index:
        emit(record_as(format_, index.get(key)), format_)


def _print(format_: str, hits: Sequence[Hit]) -> None:
    emit(hits_as(format_, hits), format_)
    if not hits:
        say("No record matches.")
