"""Options, and opening for reading, that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidInput

if TYPE_CHECKING:
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

_model: Decorator = click.option(
    "--model", metavar="M", help="A model's folder or hub name; default: the index's own, or all-MiniLM-L6-v2."
)
_offline: Decorator = click.option(
    "--offline", is_flag=True, default=None, help="Never contact the model hub (also: VECINDEX_OFFLINE=1)."
)

hits_option: Decorator = click.option(
    "-k", "k", default=5, show_default=True, type=click.IntRange(min=1), metavar="N", help="How many hits."
)
where_option: Decorator = click.option(
    "--where", metavar="EXPR", help="Only records whose metadata matches, e.g. \"lang = 'en' and year >= 2020\"."
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--model and --offline, for commands that encode."""
    return _model(_offline(command))


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


def open_for_reading(index_path: Path, model: str | None = None, offline: bool | None = None) -> Index:
    """An index that must exist; one in a directory that may not be written to can be searched all the same."""
    from ..index import open as open_index

    readonly = os.path.isdir(index_path) and not os.access(index_path, os.W_OK)
    return open_index(index_path, create=False, readonly=readonly, model=model, offline=offline)
