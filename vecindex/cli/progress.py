"""Shows the progress of long work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from time import monotonic

import click

from .output import say, shows_progress

FIRST_LINE = 10.0
"""Seconds before the first line."""
NEXT_LINE = 30.0


class Progress:
    """A bar on standard error if `shows_progress`, else lines, which -q silences.

    It is called with how much is done and with the total, None if unknown.
    """

    def __init__(self, label: str, noun: str = "records") -> None:
        self._label = label
        self._noun = noun
        self._has_bar = shows_progress()
        self._bar: click._termui_impl.ProgressBar[int] | None = None
        self._done = 0
        self._began = monotonic()
        self._next_line = self._began + FIRST_LINE

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, total: int | None = None) -> None:
        if not self._has_bar:
            self._say(done, total)
        elif total is not None and total > 1:
            if self._bar is None:
                self._bar = click.progressbar(length=total, label=self._label, show_pos=True, file=sys.stderr)
                self._bar.__enter__()
            self._bar.update(done - self._done)
            self._done = done

    def _say(self, done: int, total: int | None) -> None:
        now = monotonic()
        if now < self._next_line:
            return
        self._next_line = now + NEXT_LINE
        of = "" if total is None else f" of {total:,}"
        say(f"{self._label}: {done:,}{of} {self._noun}, {now - self._began:,.0f} s.")
