"""How does a command end: the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import click

from ..errors import OutOfMemory, VecindexError
from ..errors.warnings import VecindexWarning
from .interrupts import word_and_code
from .output import OutputMode, hold_standard_descriptors, is_terminal, warn
from .render.results import escaped_json, printable
from .suggestions import Group, other_option, other_value

_EXPECTED = (VecindexError, OSError, MemoryError, ImportError, UnicodeEncodeError)


class Commands(Group):
    """The group of all commands, which ends the process as they ended."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        hold_standard_descriptors()
        arguments = list(sys.argv[1:] if args is None else args)
        voice = OutputMode()
        extra = {"obj": voice, "standalone_mode": False, **extra}
        with _log_on_stderr(voice):
            if not standalone_mode:
                return super().main(arguments, prog_name, complete_var, **extra)
            try:
                code = super().main(arguments, prog_name, complete_var, **extra) or 0
            except (click.ClickException, click.Abort, *_EXPECTED) as error:
                if isinstance(error, ImportError) and not _found_no_room(error):
                    raise
                if isinstance(error, click.UsageError) and _asks_for_json(arguments):
                    voice.json = True  # the options may not have been read to the end
                code = _report(error, voice)
            sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _warnings_shown():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            word, code = word_and_code(error)
            warn(f"{word}.")
            raise click.exceptions.Exit(code) from None


def _report(error: BaseException, voice: OutputMode) -> int:
    """Says what went wrong, on standard error; the exit code."""
    if isinstance(error, click.NoSuchOption):
        error = other_option(error)
    elif isinstance(error, click.BadParameter):
        error = other_value(error)
    elif isinstance(error, OSError):
        _give_up_output()
    elif isinstance(error, (MemoryError, ImportError)) and not isinstance(error, VecindexError):
        error = OutOfMemory("the command ran")
    if voice.verbose and not isinstance(error, click.ClickException):
        warn("".join(traceback.format_exception(error)), nl=False)
    described = _described(error)
    if voice.json:
        warn(escaped_json(json.dumps({"error": described}, ensure_ascii=False, indent=2, default=str)))
    elif isinstance(error, click.UsageError):
        shown = io.StringIO()
        error.show(shown)
        warn(shown.getvalue(), nl=False)
    else:
        advice = described["advice"]
        warn(printable(f"Error: {described['message']}") + (f"\n{printable(advice)}" if advice else ""))
    return error.exit_code if isinstance(error, click.ClickException) else 1


def _described(error: BaseException) -> dict[str, Any]:
    """An error's type, message, advice and fields, as JSON has them."""
    kind, message, advice = type(error).__name__, str(error), None
    fields: dict[str, Any] = {}
    if isinstance(error, VecindexError):
        message, advice = error.message, error.command_advice
        fields = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    elif isinstance(error, click.UsageError):
        kind, message = "UsageError", error.format_message()
        advice = f"Try '{error.ctx.command_path} --help' for help." if error.ctx else None
    elif isinstance(error, click.ClickException):
        kind, message = "CommandFailed", error.format_message()
    elif isinstance(error, UnicodeEncodeError):
        message = f"the output's encoding, {error.encoding}, cannot show this text; set PYTHONIOENCODING=utf-8."
    elif isinstance(error, OSError):
        message = f"{error.filename or 'the output cannot be written'}: {error.strerror}."
    return {"type": kind, "message": message, "advice": advice, **fields}


def _found_no_room(error: ImportError) -> bool:
    """Whether the linker had no memory left for a library."""
    said = str(error).lower()
    return "failed to map segment" in said or os.strerror(errno.ENOMEM).lower() in said


def _give_up_output() -> None:
    """Lets go of standard output where it cannot be written to; else the interpreter's end would fail on it again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether arguments that click could not read to the end ask for JSON."""
    options = list(takewhile(lambda word: word != "--", arguments))
    return any(
        word in ("--format=json", "--report=json") or (word in ("--format", "--report") and follows == "json")
        for word, follows in zip(options, [*options[1:], ""], strict=True)
    )


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """What the library warns of is a line on standard error, without the line of code that Python would name."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", VecindexWarning)
        shown_otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if isinstance(message, VecindexWarning):
                warn(f"Warning: {printable(str(message))}")
            else:
                shown_otherwise(message, category, *where, **more)

        warnings.showwarning = show
        yield


class _Echo(logging.Handler):
    """The log of the library, on standard error: warnings, and on a terminal what is being done."""

    def __init__(self, voice: OutputMode) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        voice = self._voice
        shown = logging.INFO if is_terminal(sys.stderr) and not voice.quiet else logging.WARNING
        if record.levelno >= (logging.DEBUG if voice.verbose else shown):
            record.args = tuple(getattr(each, "typed", each) for each in record.args or ())
            warn(printable(self.format(record)))


@contextmanager
def _log_on_stderr(voice: OutputMode) -> Iterator[None]:
    log = logging.getLogger("vecindex")
    before = log.level, log.propagate
    handler = _Echo(voice)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
