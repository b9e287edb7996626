"""``vecindex models``: lists, shows, compiles and removes models."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import InvalidInput, StorageError
from ..options import answer_option, format_option, offline_option
from ..output import answer, emit
from ..render.models import compiled_lines, models_as, removed_line, show_as
from ..render.results import printable
from ..suggestions import Group

if TYPE_CHECKING:
    from ...values.space import Precision

_ON_PROCESSORS = ("fp32", "int8")


@click.group(cls=Group, invoke_without_command=True)
@format_option("text", "json")
@click.pass_context
def models(ctx: click.Context, format_: str) -> None:
    """List the default model and the compiled ones.

    \b
    Examples:
      vecindex models
      vecindex models compile all-MiniLM-L6-v2 --precision int8
    """
    if ctx.invoked_subcommand is None:
        _list(format_)


@models.command("list")
@format_option("text", "json")
def list_(format_: str) -> None:
    """List the default model and the compiled ones.

    \b
    Example:
      vecindex models list --format json
    """
    _list(format_)


def _list(format_: str) -> None:
    from ...encoders.models import models_at_hand

    emit(models_as(format_, models_at_hand()), format_)


@models.command()
@click.argument("model")
@click.option("--verify", is_flag=True, help="Read the compiled files too, and exit 1 if one is damaged.")
@format_option("text", "json")
def show(model: str, verify: bool, format_: str) -> None:
    """Show all that is known about MODEL.

    MODEL is a hub name, a folder or the beginning of a fingerprint. It may be a cross-encoder, for search --rerank.

    \b
    Examples:
      vecindex models show all-MiniLM-L6-v2
      vecindex models show cross-encoder/ms-marco-MiniLM-L6-v2
      vecindex models show all-MiniLM-L6-v2 --verify
    """
    from ...encoders.models import details

    found = details(model, verify=verify)
    emit(show_as(format_, found), format_)
    if any(each.faults for each in found):
        raise click.exceptions.Exit(1)


@models.command("compile")
@click.argument("model")
@click.option(
    "--precision",
    type=click.Choice(_ON_PROCESSORS),
    default="fp32",
    show_default=True,
    help="int8 is about 2.5 times as fast and a quarter of the size; its vectors do not mix with fp32.",
)
@click.option(
    "--sample", metavar="FILE", help="Your own texts, one per line, on which to measure int8.  [default: built in]"
)
@click.option("--dimensions", type=click.IntRange(min=1), metavar="N", help="Keep the first N numbers of each vector.")
@click.option(
    "--to", metavar="DIR", help="Compile into DIR, for example for an image; set VECINDEX_CACHE=DIR to use it there."
)
@offline_option
@answer_option
def compile_(
    model: str,
    precision: Precision,
    sample: str | None,
    dimensions: int | None,
    to: str | None,
    offline: bool | None,
    format_: str,
) -> None:
    """Compile MODEL, a hub name or a folder, for fast search.

    This also happens when a model is first used. With int8, the vectors of a sample are compared with those in fp32; if
    they agree too little, nothing is kept. A cross-encoder, for search --rerank, is compiled in fp32.

    \b
    Examples:
      vecindex models compile all-MiniLM-L6-v2
      vecindex models compile all-MiniLM-L6-v2 --precision int8 --sample notes.txt
      vecindex models compile all-MiniLM-L6-v2 --to /opt/vecindex
    """
    from ...encoders.compile.compiler import Sample
    from ...encoders.models import compile_model
    from ...sources import read

    texts: Sample | None = None
    if sample is not None:
        texts = Sample(sample, [record.text for record in read(sample, format="txt")])
    with _cache_in(to):
        report = compile_model(model, precision, dimensions=dimensions, sample=texts, offline=offline)
    if to is not None and not os.path.isdir(report.folder):
        raise StorageError(to, "the compiled model could not be written there")
    answer(format_, asdict(report), compiled_lines(report).rstrip("\n"))


@contextlib.contextmanager
def _cache_in(folder: str | None) -> Iterator[None]:
    """Uses another folder as the cache within this context; None changes nothing."""
    if folder is None:
        yield
        return
    from ...encoders.locate.ownership import make_folder
    from ...values.paths import expanded

    if not folder:
        raise InvalidInput("--to is empty", "Give a folder.")
    place = os.path.abspath(expanded(folder))
    try:
        make_folder(Path(place), Path(place))  # now, not once the model is compiled
    except OSError as error:
        reason = error.strerror if error.filename is None else f"{place}: {error.strerror}"
        raise InvalidInput(
            f"cannot compile into {folder}: {reason}",
            "Give a new folder, or one of your own that nobody else can write to.",
        ) from error
    before = os.environ.get("VECINDEX_CACHE")
    os.environ["VECINDEX_CACHE"] = place
    try:
        yield
    finally:
        del os.environ["VECINDEX_CACHE"]
        if before is not None:
            os.environ["VECINDEX_CACHE"] = before


@models.command()
@click.argument("model")
@click.option("--precision", type=click.Choice(_ON_PROCESSORS), help="Remove it in this precision only.")
@answer_option
def remove(model: str, precision: Precision | None, format_: str) -> None:
    """Remove the compiled files of MODEL from the cache.

    The model's own files stay.

    \b
    Examples:
      vecindex models remove all-MiniLM-L6-v2
      vecindex models remove all-MiniLM-L6-v2 --precision int8
    """
    from ...encoders.models import remove_model

    removed = remove_model(model, precision)
    answer(
        format_,
        {"removed": [asdict(each) for each in removed]},
        "\n".join(printable(removed_line(each)) for each in removed),
    )
