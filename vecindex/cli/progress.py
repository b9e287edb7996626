"""Shows the progress of long work on a terminal: one line with a bar, which `click.progressbar` draws."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import click

from .output import shows_progress, warn

if TYPE_CHECKING:
    from ..index.adding.done import Done

T = TypeVar("T")
SECONDS_BETWEEN = 0.1
"""The shortest time between two drawings of the line."""
SECONDS_BEFORE_SPEED = 1.0
"""How long the work must be watched before its speed is shown, and the time that is left."""
_LONGEST_BAR, _SHORTEST_BAR = 30, 10
_BETWEEN = "  "
_LINE = f"%(label)s{_BETWEEN}[%(bar)s]{_BETWEEN}%(info)s"
_CLEAR_LINE = "\r\x1b[K"
_SHOW_CURSOR = "\x1b[?25h"


class Progress:
    """A line on standard error if that is a terminal and -q was not given; else nothing.

    What has no room on the terminal is left out of it. It stays when the work is done, unless it is ``passing``.
    """

    def __init__(self, label: str, passing: bool = False) -> None:
        self._label = label
        self._passing = passing
        self._is_shown = shows_progress()
        self._bar: click._termui_impl.ProgressBar[int] | None = None
        self._size_speed, self._number_speed = _Speed(), _Speed()
        self._next_drawing = 0.0
        self._not_drawn: Callable[[], None] | None = None
        self._info = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is None:
            return
        if kind is None and self._passing:
            warn(_CLEAR_LINE + _SHOW_CURSOR, nl=False)
            return
        if kind is None and self._not_drawn is not None:
            self._not_drawn()
        self._bar.render_finish()  # with the end of the line, so that what is said next has one of its own

    def __call__(self, done: int, total: int | None = None) -> None:
        """Shows how much is done; nothing if the total is unknown, or there is only one thing to do."""
        if total is not None and total > 1:
            self._show(done, total, [f"{done:,}/{total:,}"], self._left(done, total))

    def files(self, done: Done, total: Done, number: int, noun: str) -> None:
        """Shows how many files are done, and the ``number`` of rows or records; nothing if there is only one text.

        The time that is left is estimated by the size; it is not shown if that is unknown.
        """
        if not total.sources and total.rows <= 1:
            return
        facts = [f"{number:,} {noun}{'s' * (number != 1)}"]
        if total.sources:
            facts.insert(0, f"{done.sources:,} of {total.sources:,} file{'s' * (total.sources != 1)}")
        if (speed := self._number_speed.now(number)) is not None:
            facts.append(f"{speed:,.0f} {noun}s/s")
        if done.size is not None and total.size:
            self._show(done.size, total.size, facts, self._left(done.size, total.size))
        elif total.sources:
            self._show(done.sources, total.sources, facts, "")

    def beside(self, say: Callable[[T], None]) -> Callable[[T], None]:
        """``say``, which may print a message: the line makes room for it, and comes back with the next progress."""

        def said(message: T) -> None:
            if self._bar is not None:
                warn(_CLEAR_LINE, nl=False)
            say(message)

        return said

    def _left(self, done: int, total: int) -> str:
        """How much time is left; "" if that is unknown."""
        speed = self._size_speed.now(done)
        return f"{timedelta(seconds=round((total - done) / speed))} left" if speed and done < total else ""

    def _show(self, done: int, total: int, facts: list[str], left: str) -> None:
        """Draws the line, unless it was drawn just now."""
        if not self._is_shown:
            return
        now = monotonic()
        if left:
            facts.insert(1, left)
        self._not_drawn = partial(self._draw, done, total, facts)
        if now >= self._next_drawing:
            self._next_drawing = now + SECONDS_BETWEEN
            self._not_drawn()

    def _draw(self, done: int, total: int, facts: Sequence[str]) -> None:
        self._not_drawn = None
        room = _columns() - 1  # some terminals begin a new line when the last column is written
        beside_the_bar = len(self._label) + len(_LINE % {"label": "", "bar": "", "info": ""})
        if room < beside_the_bar:
            return
        bar = self._bar or click.progressbar(
            length=total,
            label=self._label,
            show_eta=False,  # it would take the time before the first step for none
            show_percent=False,
            item_show_func=lambda _: self._info,
            bar_template=_LINE,
            file=sys.stderr,
        )
        self._bar = bar
        self._info, bar.width = _fitted(facts, room - beside_the_bar)
        if bar.max_width is not None:  # of the lines so far, which the next one must cover
            bar.max_width = min(bar.max_width, room)
        bar.make_step(done - bar.pos)
        bar.render_progress()


class _Speed:
    """How fast a number grows: since it was first told, so that what is done once before, such as loading, is left out.

    So one report alone tells nothing.
    """

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def now(self, number: int) -> float | None:
        """The growth a second; None if it is too early to tell."""
        now = monotonic()
        began, before = self._first = self._first or (now, number)
        return (number - before) / (now - began) if now - began >= SECONDS_BEFORE_SPEED else None


def _fitted(facts: Sequence[str], room: int) -> tuple[str, int]:
    """As many of the facts as there is room for beside a bar, on one line, and the width of the bar."""
    shown = [_BETWEEN.join(facts[:number]) for number in range(len(facts), 0, -1)]
    info = next((each for each in shown if len(each) + _SHORTEST_BAR <= room), "")
    return info, min(_LONGEST_BAR, room - len(info))


def _columns() -> int:
    """The width of the terminal that is standard error; standard output may be another one, or none."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or shutil.get_terminal_size().columns
