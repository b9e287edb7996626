"""The options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
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
        raise click.BadParameter("the name of the directory is empty.", ctx, param)
    return Path(expanded(value))


class ExpandedPath(click.Path):
    """A path that may begin with ``~`` for the user's home."""

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
    help="The directory of the index.",
)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The options of a command that choose a model and how to run it."""

    model: str | None = None
    precision: Precision | None = None
    device: Device = "auto"
    dimensions: int | None = None
    offline: bool | None = None

    def encoder(self) -> Encoder:
        """Loads the model, without an index."""
        from ..encoders.load import load_encoder

        return load_encoder(
            self.model,
            precision=self.precision,
            device=self.device,
            offline=self.offline,
            dimensions=self.dimensions,
        )

    def open(
        self,
        index_path: Path,
        create: bool = True,
        readonly: bool = False,
        encoder: Encoder | None = None,
        lock_timeout: float | None = None,
    ) -> Index:
        """Opens an index with this model, or with ``encoder`` if it is loaded already."""
        from ..index.facade import open as open_index
        from ..store.writer import LOCK_SECONDS

        return open_index(
            index_path,
            create=create,
            readonly=readonly,
            model=encoder or self.model,
            precision=self.precision,
            device=self.device,
            dimensions=self.dimensions,
            offline=self.offline,
            lock_timeout=LOCK_SECONDS if lock_timeout is None else lock_timeout,
        )


PRECISIONS = ("fp32", "int8", "bf16", "fp16")
_MODEL_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--model",
        metavar="M",
        help="A model's folder or hub name, or NAME@REVISION.  [default: the index's model, or all-MiniLM-L6-v2]",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="The numbers to compute with; each makes a different embedding space.  [default: the index's, or fp32]",
    ),
    click.option(
        "--device",
        type=click.Choice(("auto", "cpu", "cuda")),
        default="auto",
        show_default=True,
        help="Where to compute; auto is the processor.",
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
    "--where", metavar="EXPR", help="Only take records with matching metadata: \"lang = 'en' and year >= 2020\"."
)


def gathered(argument: str, make: type[Any], options: Sequence[Decorator]) -> Decorator:
    """Adds ``options`` to a command, which gets them as one ``argument``: the dataclass ``make`` with their values."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collected(**values: Any) -> Any:
            made = make(**{field.name: values.pop(field.name) for field in fields(make)})
            return command(**{argument: made}, **values)

        wrapped: Callable[..., Any] = collected
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


model_options = gathered("chosen", ModelOptions, (*_MODEL_OPTIONS, offline_option))
"""The options that choose a model, as the argument ``chosen``."""


def format_option(*formats: str, name: str = "--format", help_: str = "The format of the output.") -> Decorator:
    """The option --format, or ``name``, with these choices; the first is the default."""
    return click.option(
        name,
        "format_" if name == "--format" else "report_as",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        is_eager=True,  # so that errors in other options are printed in this format too
        callback=_answered_in,
        help=help_,
    )


def _answered_in(ctx: click.Context, param: click.Parameter, value: str) -> str:
    output_mode().json = value == "json"
    return value


_REPORT = "The format of the report; json is printed on standard output."
report_option = format_option("text", "json", name="--report", help_=_REPORT)
"""The option --report text|json, for commands whose --format is that of a file."""
answer_option = format_option("text", "json", help_=_REPORT)
"""The option --format text|json, for commands that change something."""


def with_verbosity(command: click.Command) -> None:
    """Gives a command and its subcommands the options -q and -v."""
    command.params += [
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_quiet, help=_QUIET),
        click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_verbose, help=_VERBOSE),
    ]
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        with_verbosity(inner)


_QUIET = "Print only warnings and errors."
_VERBOSE = "Also print log messages, and the traceback of an error."


def _quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    output_mode().quiet |= value


def _verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    output_mode().verbose |= value


def json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A callback that parses a JSON object that can be stored as metadata."""
    from ..sources.strict_json import parsed
    from ..values.metadata import checked_metadata

    if value is None:
        return None
    example = 'Pass an object such as \'{"lang": "en"}\'.'
    try:
        found = parsed(value, example)
        if not isinstance(found, dict):
            raise InvalidInput("it is not a JSON object", example)
        checked_metadata(found)
    except InvalidInput as error:
        raise click.BadParameter(f"{value!r}: {error}", ctx, param) from None
    return found


def open_for_reading(index_path: Path, chosen: ModelOptions | None = None) -> Index:
    """Opens an index that must exist; read-only if its directory may not be written to."""
    readonly = os.path.isdir(index_path) and not os.access(index_path, os.W_OK)
    return (chosen or ModelOptions()).open(index_path, create=False, readonly=readonly)
