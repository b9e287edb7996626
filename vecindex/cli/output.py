"""What is printed where: data on standard output, messages on standard error, and how many of them.

Either stream may be missing: a service has none, ``pythonw`` neither. What was done is done all the same, so a message
that cannot be written is dropped; data that cannot be written is an error.
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
    """How one run of the command line speaks: -q and -v, and whether its answer, and so its errors, are JSON."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False


def output_mode() -> OutputMode:
    """That of the command that is running; outside of one, that of a command without options."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(OutputMode)) or OutputMode()


def say(message: str) -> None:
    """A message about what was done, on standard error; not with -q."""
    if not output_mode().quiet:
        warn(message)


def warn(message: str, nl: bool = True) -> None:
    """A message that -q does not silence: a warning or an error."""
    with contextlib.suppress(OSError, ValueError):  # a closed stream is a ValueError
        click.echo(message, err=True, nl=nl)


def emit(data: str, format_: str = "text", needed: bool = True) -> None:
    """Data on standard output; ``format_`` says how a terminal is kept from taking it for commands.

    Where it is not ``needed``, as beside an exit code or work that is done, a missing standard output is no error.
    """
    if not needed and not _is_open(sys.stdout):
        return
    if is_terminal(stdout()) and format_ in ("json", "jsonl"):
        data = escaped_json(data)
    click.echo(data, file=stdout(), nl=False)


def answer(format_: str, members: Mapping[str, Any], message: str) -> None:
    """What a command that changes something did: a message, or in json an object on standard output."""
    if format_ == "json":
        emit(json_text(members), "json")
    else:
        say(message)


def stdout() -> TextIO:
    """Standard output, which must be there."""
    if not _is_open(sys.stdout):
        raise click.ClickException("standard output is closed, and this command prints its answer there.")
    return sys.stdout


def json_lines_out() -> BinaryIO:
    """Standard output for lines of JSON in bytes, written as `emit` writes them."""
    out = stdout()
    return cast(BinaryIO, _ForTerminals(out)) if is_terminal(out) else out.buffer


class _ForTerminals:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.flush = out.flush

    def write(self, lines: bytes) -> int:
        self._out.write(escaped_json(lines.decode("utf-8")))
        return len(lines)


def _is_open(stream: IO[Any] | None) -> bool:
    return stream is not None and not stream.closed


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether a person reads this stream; one that is missing or closed is no terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def shows_progress() -> bool:
    """Whether bars are drawn on standard error: on a terminal, and not with -q."""
    return is_terminal(sys.stderr) and not output_mode().quiet


def hold_standard_descriptors() -> None:
    """Puts the null device in place of descriptors 0 to 2 that are closed.

    Else the next file that is opened gets the number, a file of the index say, and what a library prints to standard
    error is written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                # The lowest number that is free is this one: those below were seen to.
                os.open(os.devnull, os.O_RDWR)
