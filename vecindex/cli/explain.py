"""``vecindex explain`` and ``models``: what the numbers mean, and where they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ..render import explanation_as, models_as
from .options import format_option, index_option, model_options, open_for_reading


@click.command()
@click.argument("text")
@click.option("--against", metavar="QUERY", help="Show what each token adds to the cosine with this query.")
@format_option("text", "json")
@model_options
@index_option
def explain(
    text: str, against: str | None, format_: str, model: str | None, offline: bool | None, index_path: Path
) -> None:
    """Show how TEXT becomes one vector, step by step, and what each token adds.

    Uses the index's model where there is an index, so that what is shown is what search uses.

    \b
    Examples:
      vecindex explain "My name is Aun"
      vecindex explain "My name is Aun" --against "my name"
    """
    from ..encoders.explain import explain as explain_text
    from ..encoders.load import load_encoder
    from ..store.schema import index_exists

    if model is None and index_exists(index_path):
        with open_for_reading(index_path, offline=offline) as index:
            encoder = index.encoder
    else:
        encoder = load_encoder(model, offline=offline)
    width = shutil.get_terminal_size().columns
    click.echo(explanation_as(format_, explain_text(text, against, encoder=encoder), width), nl=False)


@click.command()
@format_option("text", "json")
def models(format_: str) -> None:
    """List the models at hand: where the default one's files are, and what is compiled for fast search.

    \b
    Example:
      vecindex models
    """
    from ..encoders.load import models_at_hand

    click.echo(models_as(format_, models_at_hand()), nl=False)
