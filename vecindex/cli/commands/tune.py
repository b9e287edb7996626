"""``vecindex tune``: chooses how accurate and how fast searches are."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import click

from ..options import answer_option, index_option
from ..output import answer, say, shows_progress
from ..render.results import trial_line

_UNITS = {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3}


def _milliseconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|us|s|)", value.strip())
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{value!r} is not a duration; try 5ms.", ctx, param)
    return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.option(
    "--recall",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    metavar="R",
    help="The share of the 10 nearest records that a search must find on average.",
)
@click.option("--latency", callback=_milliseconds, metavar="TIME", help="The longest median time of a search: 5ms.")
@click.option("--queries", metavar="FILE", help="Queries like those you expect, one a line.")
@answer_option
@index_option
def tune(recall: float, latency: float | None, queries: str | None, format_: str, index_path: Path) -> None:
    """Find the fastest search settings that reach a recall.

    They are measured against exact search, with a sample of the stored vectors and your --queries as queries, and used
    from then on. An index of a million records takes a minute. `vecindex info` shows the chosen settings.

    \b
    Examples:
      vecindex tune --recall 0.95
      vecindex tune --recall 0.99 --latency 5ms --queries questions.txt
    """
    from ...index.facade import open as open_index
    from ...sources import read

    texts: list[str] = []
    if queries is not None:
        texts = [record.text for record in read(queries)]
    with open_index(index_path, create=False) as index:
        chosen = index.tune(
            recall,
            latency,
            queries=texts,
            progress=(lambda trial: say(trial_line(trial))) if shows_progress() else None,
        )
    answer(format_, asdict(chosen), f"Searches use these settings from now on: {trial_line(chosen)}.")
