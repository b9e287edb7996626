"""Does searches together that wait for each other, so that they share what a search costs besides its scores.

In one process, Python code of only one thread runs at a time. Many threads that search take turns at it after every
step of a search, which costs more than it gains: eight threads got less done than one. So as many searches run at the
same time as there are cores. Others wait, and when one ends, all that wait for the same options are done as one. Before
that, their texts are encoded in the same way, whatever the options are: one batch at a time, and what came meanwhile is
the next one.

1. A search begins after it was asked for, also with others: it sees every commit before.
2. Where several fail together, each is done again alone, by the thread that asked, which gets its own answer or error.
3. Whoever waits may be interrupted, and whoever searches for others too: these are then done alone.
4. A search that is asked for within another, by a callback, does not wait: it might wait for itself.
5. Nobody waits forever: after `_PATIENCE` seconds, a search is done alone. It may wait for itself in a way that cannot
   be seen, such as a callback that leaves the search to another thread; and a thread may end wherever it is.
6. In a forked child, the parent's threads do not run: there every search is done alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from ..machine.cores import available_cores

Answer = TypeVar("Answer")

_MOST = 64
"""As many searches are done as one."""
_PATIENCE = 5.0
"""Seconds; in longer searches, the time that was waited for others matters little."""


class _Asked(Generic[Answer]):
    """A search that was asked for: it waits, or its thread searches for a group, or it is over.

    Attributes:
        question: what is looked for.
        alike: equal for searches that can be done as one.
        group: the searches that its thread does as one, this one among them; empty while it waits.
        answers: its answer, if it has been found.
        is_over: whether nobody has to do anything for it any more.
        turn: set when it has an answer, or a group, or has to be done alone.
    """

    __slots__ = ("alike", "answers", "group", "is_over", "question", "turn")

    def __init__(self, question: object, alike: object) -> None:
        self.question = question
        self.alike = alike
        self.group: list[_Asked[Answer]] = []
        self.answers: list[Answer] = []
        self.is_over = False
        self.turn: threading.Event | None = None

    def can_join(self, other: _Asked[Answer]) -> bool:
        """Whether both can be done as one."""
        try:
            return bool(self.alike == other.alike)
        except Exception:  # options that cannot be compared
            return False

    def wake(self) -> None:
        if self.turn is not None:
            self.turn.set()


class Together(Generic[Answer]):
    """The searches of one index, for any number of threads; ``most`` of them run at the same time."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most or available_cores()
        self._process = os.getpid()
        self._within = threading.local()
        self._lock = threading.Lock()
        self._leading: list[_Asked[Answer]] = []
        self._waiting: list[_Asked[Answer]] = []

    def ask(self, question: object, alike: object, search: Callable[[Sequence[Any]], Sequence[Answer]]) -> Answer:
        """The answer to a question: one of those that ``search`` gives, in order, to several that are ``alike``."""
        if getattr(self._within, "asks", False) or os.getpid() != self._process:
            return search([question])[0]
        mine: _Asked[Answer] = _Asked(question, alike)
        try:
            self._within.asks = True
            self._join(mine)
            if mine.turn is not None:
                mine.turn.wait(_PATIENCE)
            if mine.group:
                self._lead(mine.group, search)
        finally:
            try:
                self._leave(mine)
            except BaseException:  # an interrupt in the midst of it
                self._leave(mine)
                raise
            finally:
                self._within.asks = False
        return mine.answers[0] if mine.answers else search([question])[0]

    def _join(self, mine: _Asked[Answer]) -> None:
        with self._lock:
            if len(self._leading) < self._most:
                mine.group = [mine]
                self._leading.append(mine)
            else:
                mine.turn = threading.Event()
                self._waiting.append(mine)

    def _lead(self, group: Sequence[_Asked[Answer]], search: Callable[[Sequence[Any]], Sequence[Answer]]) -> None:
        try:
            answers = search([each.question for each in group])
            for each, answer in zip(group, answers, strict=True):
                each.answers.append(answer)
        except Exception:
            if len(group) == 1:
                raise

    def _leave(self, mine: _Asked[Answer]) -> None:
        """Lets those go on that wait for this search, and begins the next; nothing is done twice."""
        if mine.is_over:
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if mine in self._leading:
                self._leading.remove(mine)
            for each in mine.group:
                each.is_over = each is not mine
                each.wake()
            mine.group = []  # it is in there itself, and would have to be found by the garbage collector
            while self._waiting and len(self._leading) < self._most:
                self._begin_next()
            mine.is_over = True

    def _begin_next(self) -> None:
        first, *others = self._waiting
        first.group = [first, *(each for each in others if first.can_join(each))][:_MOST]
        self._leading.append(first)
        chosen = set(first.group)
        self._waiting = [each for each in others if each not in chosen]
        first.wake()
