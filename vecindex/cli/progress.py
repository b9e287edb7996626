"""The bar that shows how far long work is."""

from __future__ import annotations

import sys

import click

from .voice import shows_progress


class Progress:
    """A bar on standard error, where `shows_progress`; called with how much is done and how much there is."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._visible = shows_progress()
        self._bar: click._termui_impl.ProgressBar[int] | None = None
        self._done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, total: int) -> None:
        if not self._visible or total < 2:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done
