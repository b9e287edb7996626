"""Options, and opening for reading, that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidInput

if TYPE_CHECKING:
    from ..encoders.encoder import Encoder
    from ..encoders.load import Device
    from ..encoders.spec import Precision
    from ..index import Index

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _directory(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    if not value:
        raise click.BadParameter("an empty name names no directory.", ctx, param)
    return Path(value)


index_option: Decorator = click.option(
    "--index",
    "index_path",
    envvar="VECINDEX_INDEX",
    default=".vecindex",
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    callback=_directory,
    help="The index's directory.",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that a command was told to use, and how."""

    model: str | None = None
    precision: Precision | None = None
    device: Device = "auto"
    dimensions: int | None = None
    offline: bool | None = None

    def encoder(self) -> Encoder:
        """The model alone, without an index."""
        from ..encoders.load import load_encoder

        return load_encoder(
            self.model,
            precision=self.precision,
            device=self.device,
            offline=self.offline,
            dimensions=self.dimensions,
        )

    def open(
        self, index_path: Path, create: bool = True, readonly: bool = False, encoder: Encoder | None = None
    ) -> Index:
        """An index, with this model; with ``encoder`` if that is it, loaded already."""
        from ..index import open as open_index

        return open_index(
            index_path,
            create=create,
            readonly=readonly,
            model=encoder or self.model,
            precision=self.precision,
            device=self.device,
            dimensions=self.dimensions,
            offline=self.offline,
        )


PRECISIONS = ("fp32", "int8", "bf16", "fp16")
_MODEL_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--model",
        metavar="M",
        help="A model's folder or hub name, or NAME@REVISION; default: the index's own, or all-MiniLM-L6-v2.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="How exactly it computes; each is a space of its own.  [default: the index's, or fp32]",
    ),
    click.option(
        "--device",
        type=click.Choice(("auto", "cpu", "cuda")),
        default="auto",
        show_default=True,
        help="Where it computes; auto is the processor.",
    ),
    click.option(
        "--dimensions",
        type=click.IntRange(min=1),
        metavar="N",
        help="Keep the first N numbers of a vector.  [default: the index's, or all]",
    ),
)
offline_option: Decorator = click.option(
    "--offline", is_flag=True, default=None, help="Never contact the model hub (also: VECINDEX_OFFLINE=1)."
)

hits_option: Decorator = click.option(
    "-k", "k", default=5, show_default=True, type=click.IntRange(min=1), metavar="N", help="How many hits."
)
where_option: Decorator = click.option(
    "--where", metavar="EXPR", help="Only records whose metadata matches, e.g. \"lang = 'en' and year >= 2020\"."
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that encode, which these get as one argument, ``chosen``."""

    @functools.wraps(command)
    def collected(
        model: str | None,
        precision: Precision | None,
        device: Device,
        dimensions: int | None,
        offline: bool | None,
        **others: Any,
    ) -> Any:
        return command(chosen=Chosen(model, precision, device, dimensions, offline), **others)

    wrapped: Callable[..., Any] = offline_option(collected)
    for option in reversed(_MODEL_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def format_option(*formats: str) -> Decorator:
    """--format with these choices, the first by default."""
    return click.option(
        "--format", "format_", type=click.Choice(formats), default=formats[0], show_default=True, help="How to print."
    )


def json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A callback that reads a JSON object that can be stored from the command line."""
    from ..records import checked_metadata

    if value is None:
        return None
    try:
        parsed = json.loads(value, object_pairs_hook=_object_of_different_names)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter(f'{value!r} is not a JSON object; give one such as \'{{"lang": "en"}}\'.', ctx, param)
    try:
        checked_metadata(parsed)
    except InvalidInput as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return parsed


def _object_of_different_names(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a name stands twice")
    return found


def open_for_reading(index_path: Path, chosen: Chosen | None = None) -> Index:
    """An index that must exist; one in a directory that may not be written to can be searched all the same."""
    readonly = os.path.isdir(index_path) and not os.access(index_path, os.W_OK)
    return (chosen or Chosen()).open(index_path, create=False, readonly=readonly)
