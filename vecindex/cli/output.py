"""Prints data on standard output and messages on standard error.

Either stream may be missing, as in a service or under ``pythonw``. A message that cannot be written is dropped, since
the work is done all the same; data that cannot be written is an error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, TextIO, cast

import click

from .render.results import escaped_json, json_text


@dataclass
class OutputMode:
    """The options -q and -v of a command, and whether its answer is JSON, and so its errors too."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False


def output_mode() -> OutputMode:
    """The mode of the running command; the default one if none is running."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(OutputMode)) or OutputMode()


def say(message: str) -> None:
    """Prints a message on standard error, unless -q was given."""
    if not output_mode().quiet:
        warn(message)


def warn(message: str, nl: bool = True) -> None:
    """Prints a warning or an error on standard error, even with -q."""
    with contextlib.suppress(OSError, ValueError):  # a closed stream is a ValueError
        click.echo(message, err=True, nl=nl)


def emit(data: str, format_: str = "text", needed: bool = True) -> None:
    """Prints data on standard output, with control characters in JSON escaped for a terminal.

    A missing standard output is an error only if the data is ``needed``: the exit code or the finished work may count.
    """
    if not needed and not _is_open(sys.stdout):
        return
    if is_terminal(stdout()) and format_ in ("json", "jsonl"):
        data = escaped_json(data)
    click.echo(data, file=stdout(), nl=False)


def answer(format_: str, members: Mapping[str, Any], message: str) -> None:
    """Prints what a command did: a message, or for json an object on standard output."""
    if format_ == "json":
        emit(json_text(members), "json")
    else:
        say(message)


def stdout() -> TextIO:
    """Standard output; raises ClickException if it is closed."""
    if not _is_open(sys.stdout):
        raise click.ClickException("standard output is closed; this command prints its answer there.")
    return sys.stdout


def json_lines_out() -> BinaryIO:
    """A binary standard output for lines of JSON, which escapes them for a terminal as `emit` does."""
    out = stdout()
    return cast(BinaryIO, _EscapedOutput(out)) if is_terminal(out) else out.buffer


class _EscapedOutput:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.flush = out.flush

    def write(self, lines: bytes) -> int:
        self._out.write(escaped_json(lines.decode("utf-8")))
        return len(lines)


def _is_open(stream: IO[Any] | None) -> bool:
    return stream is not None and not stream.closed


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether this stream is a terminal; a missing or closed one is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def shows_progress() -> bool:
    """Whether to draw progress bars: standard error is a terminal, and -q was not given."""
    return is_terminal(sys.stderr) and not output_mode().quiet


def hold_standard_descriptors() -> None:
    """Opens the null device for those of the file descriptors 0 to 2 that are closed.

    Otherwise the next file to be opened, such as one of the index, would get the number, and a library's output on
    standard error would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # This is the lowest free number: the lower ones are open by now.
                os.open(os.devnull, os.O_RDWR)
