"""``vecindex tune``: how accurate and how fast searches are to be."""

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
        raise click.BadParameter(f"{value!r} is no time; write 5ms, say.", ctx, param)
    return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.option(
    "--recall",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    metavar="R",
    help="The share of the exact 10 nearest that a search must find, on average.",
)
@click.option("--latency", callback=_milliseconds, metavar="TIME", help="What a search may take in the median: 5ms.")
@click.option("--queries", metavar="FILE", help="Sentences like the queries to come, one a line.")
@answer_option
@index_option
def tune(recall: float, latency: float | None, queries: str | None, format_: str, index_path: Path) -> None:
    """Measure what reaches a recall at the least time, and search like that from now on.

    Settings are compared with exact search on a sample of the stored vectors, and of your queries if you give some.
    An index of a million records takes a minute. `vecindex info` shows what was chosen and measured.

    \b
    Examples:
      vecindex tune --recall 0.95
      vecindex tune --recall 0.99 --latency 5ms --queries questions.txt
    """
    from ...index.facade import open as open_index
    from ...sources import read, source

    texts: list[str] = []
    if queries is not None:
        with source(queries) as lines:
            texts = [record.text for record in read(lines)]
    with open_index(index_path, create=False) as index:
        chosen = index.tune(
            recall,
            latency,
            queries=texts,
            progress=(lambda trial: say(trial_line(trial))) if shows_progress() else None,
        )
    answer(format_, asdict(chosen), f"Searches go by this from now on: {trial_line(chosen)}.")
