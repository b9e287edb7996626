"""The top-level command group: turns errors into messages and exit codes, and shows warnings and the log."""

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
from .suggestions import Group, suggest_option, suggest_report

_EXPECTED = (VecindexError, OSError, MemoryError, ImportError, UnicodeEncodeError)


class MainGroup(Group):
    """The group of all commands; it exits with their status."""

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
        mode = OutputMode()
        extra = {"obj": mode, "standalone_mode": False, **extra}
        with _log_on_stderr(mode):
            if not standalone_mode:
                return super().main(arguments, prog_name, complete_var, **extra)
            try:
                code = super().main(arguments, prog_name, complete_var, **extra) or 0
            except (click.ClickException, click.Abort, *_EXPECTED) as error:
                if isinstance(error, ImportError) and not _is_lack_of_memory(error):
                    raise
                if isinstance(error, click.UsageError) and _asks_for_json(arguments):
                    mode.json = True  # click may not have got as far as --format
                code = _report(error, mode)
            sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _warnings_shown():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            word, code = word_and_code(error)
            warn(f"{word}.")
            raise click.exceptions.Exit(code) from None


def _report(error: BaseException, mode: OutputMode) -> int:
    """Prints the error on standard error; returns the exit code."""
    if isinstance(error, click.NoSuchOption):
        error = suggest_option(error)
    elif isinstance(error, click.BadParameter):
        error = suggest_report(error)
    elif isinstance(error, OSError):
        _abandon_output()
    elif isinstance(error, (MemoryError, ImportError)) and not isinstance(error, VecindexError):
        error = OutOfMemory("the command ran")
    if mode.verbose and not isinstance(error, click.ClickException):
        warn("".join(traceback.format_exception(error)), nl=False)
    described = _described(error)
    if mode.json:
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
    """An error's type, message, advice and fields, for JSON."""
    kind, message, advice = type(error).__name__, str(error), None
    fields: dict[str, Any] = {}
    if isinstance(error, VecindexError):
        message, advice = error.message, error.command_advice
        fields = {name: value for name, value in vars(error).items() if name[0] != "_" and name != "row"}
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


def _is_lack_of_memory(error: ImportError) -> bool:
    """Whether the dynamic linker ran out of memory."""
    said = str(error).lower()
    return "failed to map segment" in said or os.strerror(errno.ENOMEM).lower() in said


def _abandon_output() -> None:
    """Replaces standard output if it cannot be written to, so that the interpreter does not fail on it at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON, where click could not parse them to the end."""
    options = list(takewhile(lambda word: word != "--", arguments))
    return any(
        word in ("--format=json", "--report=json") or (word in ("--format", "--report") and follows == "json")
        for word, follows in zip(options, [*options[1:], ""], strict=True)
    )


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Prints the library's warnings as single lines on standard error, without the line of code they come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", VecindexWarning)
        show_others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if isinstance(message, VecindexWarning):
                advice = getattr(message.advice, "typed", message.advice)
                warn(f"Warning: {printable(f'{message.message}. {advice}')}")
            else:
                show_others(message, category, *where, **more)

        warnings.showwarning = show
        yield


class _LogPrinter(logging.Handler):
    """Prints the library's log on standard error: warnings, and on a terminal also progress messages."""

    def __init__(self, mode: OutputMode) -> None:
        super().__init__()
        self._mode = mode

    def emit(self, record: logging.LogRecord) -> None:
        mode = self._mode
        shown = logging.INFO if is_terminal(sys.stderr) and not mode.quiet else logging.WARNING
        if record.levelno >= (logging.DEBUG if mode.verbose else shown):
            record.args = tuple(getattr(each, "typed", each) for each in record.args or ())
            warn(printable(self.format(record)))


@contextmanager
def _log_on_stderr(mode: OutputMode) -> Iterator[None]:
    log = logging.getLogger("vecindex")
    before = log.level, log.propagate
    handler = _LogPrinter(mode)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
