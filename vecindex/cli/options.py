"""Options, and opening for reading, that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidInput
from ..values.paths import expanded
from .output import output_mode

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..encoders.load import Device
    from ..encoders.run.encoder import Encoder
    from ..index.facade import Index
    from ..values.space import Precision

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _directory(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    if not value:
        raise click.BadParameter("an empty name names no directory.", ctx, param)
    return Path(expanded(value))


class ExpandedPath(click.Path):
    """A path of click's, with ``~`` as the user's home."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        return super().convert(expanded(value), param, ctx)


def _folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


index_option: Decorator = click.option(
    "--index",
    "index_path",
    envvar="VECINDEX_INDEX",
    default=".vecindex",
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    callback=_directory,
    shell_complete=_folders,
    help="The index's directory.",
)


@dataclass(frozen=True, slots=True)
class ModelOptions:
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
        from ..index.facade import open as open_index

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
        return command(chosen=ModelOptions(model, precision, device, dimensions, offline), **others)

    wrapped: Callable[..., Any] = offline_option(collected)
    for option in reversed(_MODEL_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def format_option(*formats: str) -> Decorator:
    """--format with these choices, the first by default."""
    return _answer_option("--format", formats, "How to print.")


def _answer_option(name: str, formats: Sequence[str], help_: str) -> Decorator:
    return click.option(
        name,
        "format_" if name == "--format" else "report_as",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        is_eager=True,  # so that what is wrong with another option is said in this format too
        callback=_answered_in,
        help=help_,
    )


def _answered_in(ctx: click.Context, param: click.Parameter, value: str) -> str:
    output_mode().json = value == "json"
    return value


report_option: Decorator = _answer_option(
    "--report", ("text", "json"), "How to say what was done; json goes to standard output."
)
"""--report text|json, of commands whose --format says what a file holds."""


answer_option: Decorator = _answer_option(
    "--format", ("text", "json"), "How to say what was done; json goes to standard output."
)
"""--format text|json, of commands that change something."""


def with_verbosity(command: click.Command) -> None:
    """Gives a command, and all that are in it, the options -q and -v."""
    command.params += [
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quiet, help=_QUIET),
        click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_verbose, help=_VERBOSE),
    ]
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        with_verbosity(inner)


_QUIET = "Print no messages but warnings and errors."
_VERBOSE = "Also say what is being done, and where an error came from."


def _quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    output_mode().quiet |= value


def _verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    output_mode().verbose |= value


def json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A callback that reads a JSON object that can be stored from the command line."""
    from ..sources.strict_json import parsed
    from ..values.records import checked_metadata

    if value is None:
        return None
    example = 'Give an object such as \'{"lang": "en"}\'.'
    try:
        found = parsed(value, example)
        if not isinstance(found, dict):
            raise InvalidInput("it is not a JSON object", example)
        checked_metadata(found)
    except InvalidInput as error:
        raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None
    return found


def open_for_reading(index_path: Path, chosen: ModelOptions | None = None) -> Index:
    """An index that must exist; one in a directory that may not be written to can be searched all the same."""
    readonly = os.path.isdir(index_path) and not os.access(index_path, os.W_OK)
    return (chosen or ModelOptions()).open(index_path, create=False, readonly=readonly)
