"""``vecindex explain``: shows what the numbers of a vector mean."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ..options import ModelOptions, format_option, index_option, model_options, open_for_reading
from ..output import emit
from ..render.results import explanation_as


@click.command()
@click.argument("text")
@click.option("--against", metavar="QUERY", help="Show what each token adds to the cosine with this query.")
@format_option("text", "json")
@model_options
@index_option
def explain(text: str, against: str | None, format_: str, chosen: ModelOptions, index_path: Path) -> None:
    """Show how TEXT becomes a vector, and what each token adds.

    The model is --model, or that of the index if there is one, or the default model.

    \b
    Examples:
      vecindex explain "My name is Aun"
      vecindex explain "My name is Aun" --against "my name"
    """
    from ...encoders.explain import explain as explain_text
    from ...store.sql.schema import index_exists
    from ...values.texts import checked_query

    if against is not None:
        checked_query(against)
    if chosen.model is None and index_exists(index_path):
        with open_for_reading(index_path, chosen) as index:
            encoder = index.encoder
    else:
        encoder = chosen.encoder()
    width = shutil.get_terminal_size().columns
    emit(explanation_as(format_, explain_text(text, against, encoder=encoder), width), format_)
