"""``vecindex facets``: counts the values of a metadata field."""

from __future__ import annotations

from pathlib import Path

import click

from ..hit_options import csv_safe_option
from ..options import format_option, index_option, open_for_reading, where_option
from ..output import emit, is_terminal, say, stdout
from ..render.facets import FACET_FORMATS, facets_as, not_counted
from ..render.hits import Shown


@click.command()
@click.argument("field")
@where_option
@click.option(
    "--top", default=20, show_default=True, type=click.IntRange(min=1), metavar="N", help="Print at most N values."
)
@format_option(*FACET_FORMATS)
@csv_safe_option
@index_option
def facets(field: str, where: str | None, top: int, format_: str, csv_safe: bool, index_path: Path) -> None:
    """Count the values of the metadata field FIELD.

    The most frequent comes first. How many records do not have the field is said on standard error; JSON has it too.
    FIELD may be source or document. 1 and 1.0 are the same value, and lists and objects are compared as a whole.

    \b
    Examples:
      vecindex facets topic
      vecindex facets author.name --where "lang = 'en'" --top 5
      vecindex facets source --format json
    """
    with open_for_reading(index_path) as index:
        found = index.facets(field, where, top=top)
    emit(facets_as(format_, found, Shown(terminal=is_terminal(stdout()), csv_safe=csv_safe)), format_)
    if message := not_counted(found):
        say(message)
