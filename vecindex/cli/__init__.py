"""The command line: the group, its one error boundary, and its log; the commands are in the other files.

Nothing heavy is imported before a command runs: ``vecindex --help`` loads click alone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import IO, Any

import click

from .. import __version__
from ..errors import VecindexError
from ..render import printable
from ..warning_types import VecindexWarning
from .add import add
from .exchange import backup, export, import_
from .explain import explain
from .find import get, search, similar
from .manage import compact, delete, index_field, info, verify
from .migrate import migrate
from .models import models
from .options import INTERRUPTED
from .selftest import selftest
from .tune import tune


class _Failure(click.ClickException):
    """A `VecindexError` as the terminal shows it: what is wrong, and what to do."""

    exit_code = 1

    def __init__(self, error: VecindexError) -> None:
        super().__init__(error.message)
        self.advice = error.advice

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {printable(self.message)}\n{printable(self.advice)}", file=file, err=True)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _warnings_shown():
                return super().invoke(ctx)
        except VecindexError as error:
            raise _Failure(error) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except UnicodeEncodeError as error:
            raise click.ClickException(
                f"the output's encoding, {error.encoding}, cannot show this text; set PYTHONIOENCODING=utf-8."
            ) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read the output has seen enough; click ends quietly
            what = printable(str(error.filename)) if error.filename else "the output cannot be written"
            raise click.ClickException(f"{what}: {error.strerror}.") from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """What the library warns of is a line on standard error, without the line of code that Python would name."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", VecindexWarning)
        shown_otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if isinstance(message, VecindexWarning):
                click.echo(f"Warning: {printable(str(message))}", err=True)
            else:
                shown_otherwise(message, category, *where, **more)

        warnings.showwarning = show
        yield


class _Echo(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable(self.format(record)), err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Turn sentences into vectors and find the nearest ones.

    \b
    Example:
      vecindex add notes.txt
      vecindex search "my name"
    """
    log = logging.getLogger("vecindex")
    if not any(isinstance(handler, _Echo) for handler in log.handlers):
        log.addHandler(_Echo())
    log.propagate = False
    log.setLevel(logging.INFO if sys.stderr.isatty() else logging.WARNING)


for _command in (
    *(add, search, similar, get, delete, info, index_field, tune, verify, compact, backup, export, import_),
    *(migrate, selftest, explain, models),
):
    main.add_command(_command)
