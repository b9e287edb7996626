"""``vecindex sources``: lists what the index was made of, and what has become of it."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import format_option, index_option, open_for_reading
from ..output import emit
from ..render.sources import sources_as


@click.command()
@format_option("text", "json")
@index_option
def sources(format_: str, index_path: Path) -> None:
    """List the files and other sources that were added.

    Each has a state: current; changed or gone since it was added; incomplete if it was not read to its end; imported
    if it is known only from an import; or unchecked if it cannot be looked at, such as standard input. `vecindex add`
    reads again what is changed, incomplete or imported, and with --prune removes what is gone.

    Paths are relative to the folder that holds the index, where that is possible.

    \b
    Examples:
      vecindex sources
      vecindex sources --index notes.vecindex
      vecindex sources --format json | jq -r '.[] | select(.state == "changed").location'
    """
    with open_for_reading(index_path) as index:
        emit(sources_as(format_, index.sources()), format_)
