"""Searches that wait for each other are done together, with the answers that each gets alone, whatever happens."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vecindex.search import together
from vecindex.search.together import Together

SECONDS = 120.0
"""No test waits longer; all that is waited for happens at once."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, threads wait longer for each other than a search would."""
    monkeypatch.setattr(together, "_PATIENCE", SECONDS)


class Search:
    """What many threads ask: the answer to a question is itself. A search waits while ``gate`` is shut."""

    def __init__(self, most: int = 1, fails: Callable[[Sequence[Any]], None] = lambda questions: None) -> None:
        self.together: Together[Any] = Together(most)
        self.gate = threading.Event()
        self.done: list[tuple[str, list[Any]]] = []
        self.answers: dict[Any, Any] = {}
        self.threads: dict[Any, threading.Thread] = {}
        self._fails = fails

    def __call__(self, questions: Sequence[Any]) -> list[Any]:
        self.done.append((threading.current_thread().name, list(questions)))
        while not self.gate.wait(0.005):  # in steps, so that an error can be thrown into the thread
            pass
        self._fails(questions)
        return [("answer", question) for question in questions]

    def ask(self, question: Any, alike: Any = None) -> None:
        """Asks in a thread, and returns when it searches or waits."""

        def asked() -> None:
            try:
                self.answers[question] = self.together.ask(question, alike, self)
            except BaseException as error:
                self.answers[question] = error

        known = self.known
        thread = self.threads[question] = threading.Thread(target=asked, name=str(question), daemon=True)
        thread.start()
        until(lambda: self.known > known or not thread.is_alive())

    @property
    def known(self) -> int:
        """How many searches were begun or wait."""
        return len(self.done) + len(self.together._waiting)

    def interrupt(self, question: Any) -> None:
        """Raises KeyboardInterrupt in the thread that asked this."""
        number = ctypes.c_ulong(self.threads[question].ident or 0)
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(KeyboardInterrupt)) == 1

    def finish(self) -> None:
        """Lets all searches go on, and waits for their answers."""
        self.gate.set()
        for thread in self.threads.values():
            thread.join(SECONDS)
            assert not thread.is_alive()
        assert not self.together._leading
        assert not self.together._waiting


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.001)


def test_a_search_without_others_is_done_at_once() -> None:
    search = Search()
    search.gate.set()
    assert search.together.ask("q", None, search) == ("answer", "q")
    assert search.done == [("MainThread", ["q"])]


def test_those_that_wait_are_done_as_one_by_the_first_of_them() -> None:
    search = Search()
    for question in "abcd":
        search.ask(question)
    search.finish()
    assert search.answers == {question: ("answer", question) for question in "abcd"}
    assert search.done == [("a", ["a"]), ("b", ["b", "c", "d"])]


def test_as_many_are_done_at_the_same_time_as_there_may_be() -> None:
    search = Search(most=3)
    for question in "abcde":
        search.ask(question)
    assert [questions for _, questions in search.done] == [["a"], ["b"], ["c"]]
    search.finish()
    assert search.done[3:] == [("d", ["d", "e"])] or sorted(search.done[3:]) == [("d", ["d"]), ("e", ["e"])]


def test_only_those_that_are_alike_are_done_as_one_in_the_order_in_which_they_came() -> None:
    search = Search()
    for question, alike in (("a", 0), ("b", 1), ("c", 2), ("d", 1), ("e", 2)):
        search.ask(question, alike)
    search.finish()
    assert [questions for _, questions in search.done] == [["a"], ["b", "d"], ["c", "e"]]


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_options_that_cannot_be_compared_are_never_alike() -> None:
    search = Search()
    for question in "abc":
        search.ask(question, Incomparable())
    search.ask("d", float("nan"))
    search.ask("e", float("nan"))
    search.finish()
    assert [questions for _, questions in search.done] == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert search.answers["e"] == ("answer", "e")


def test_no_more_than_so_many_are_done_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_MOST", 2)
    search = Search()
    for question in "abcd":
        search.ask(question)
    search.finish()
    assert [questions for _, questions in search.done] == [["a"], ["b", "c"], ["d"]]


def test_each_gets_an_error_of_its_own() -> None:
    def fails(questions: Sequence[Any]) -> None:
        if "bad" in questions:
            raise ValueError(questions)

    search = Search(fails=fails)
    for question in ("first", "good", "bad", "fine"):
        search.ask(question)
    search.finish()
    error = search.answers.pop("bad")
    assert isinstance(error, ValueError)
    assert error.args == (["bad"],)
    assert search.answers == {question: ("answer", question) for question in ("first", "good", "fine")}
    assert {(name, *questions) for name, questions in search.done[2:]} == {(q, q) for q in ("good", "bad", "fine")}


class Steps(Search):
    """Each search waits for a step of its own, so that a test says which ends when."""

    def __init__(self, most: int = 1) -> None:
        super().__init__(most)
        self.steps: dict[str, threading.Event] = {}

    def __call__(self, questions: Sequence[Any]) -> list[Any]:
        name = threading.current_thread().name
        self.done.append((name, list(questions)))
        while not (self.gate.is_set() or name in self.steps):
            time.sleep(0.002)
        return [("answer", question) for question in questions]

    def end(self, question: str) -> None:
        """Lets the search that is done for this question end."""
        known = len(self.done)
        self.steps[question] = threading.Event()
        until(lambda: len(self.done) > known or not self.together._waiting)


def test_a_group_goes_on_alone_when_the_one_that_searches_for_it_is_interrupted() -> None:
    search = Steps()
    for question in "abcd":
        search.ask(question)
    search.end("a")
    assert search.done[-1] == ("b", ["b", "c", "d"])
    search.interrupt("b")
    search.threads["b"].join(SECONDS)
    search.finish()
    assert isinstance(search.answers.pop("b"), KeyboardInterrupt)
    assert search.answers == {question: ("answer", question) for question in "acd"}
    assert {(name, *questions) for name, questions in search.done[2:]} == {("c", "c"), ("d", "d")}


def test_an_interrupted_search_lets_the_next_begin() -> None:
    search = Steps()
    for question in "ab":
        search.ask(question)
    search.interrupt("a")
    search.finish()
    assert isinstance(search.answers["a"], KeyboardInterrupt)
    assert search.answers["b"] == ("answer", "b")


def test_one_that_waits_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Waits(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            while not self.is_set():  # an error is thrown between two steps
                time.sleep(0.002)
            return True

    monkeypatch.setattr(threading, "Event", Waits)
    for interrupted in "bc":  # the one that would search for the others, and another
        search = Steps()
        for question in "abcd":
            search.ask(question)
        search.interrupt(interrupted)
        search.threads[interrupted].join(SECONDS)
        search.finish()
        assert isinstance(search.answers.pop(interrupted), KeyboardInterrupt)
        assert search.answers == {question: ("answer", question) for question in set("abcd") - {interrupted}}
        others = [question for question in "bcd" if question != interrupted]
        assert search.done[1] == (others[0], others)


def test_an_interrupt_while_a_search_ends_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, interrupts = Together._begin_next, [KeyboardInterrupt()]

    def interrupted(self: Together[Any]) -> None:
        if interrupts:
            raise interrupts.pop()
        real(self)

    monkeypatch.setattr(Together, "_begin_next", interrupted)
    search = Search()
    for question in "abc":
        search.ask(question)
    search.finish()
    assert isinstance(search.answers.pop("a"), KeyboardInterrupt)
    assert search.answers == {question: ("answer", question) for question in "bc"}


def test_nobody_waits_for_a_thread_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.05)
    monkeypatch.setattr(Together, "_leave", lambda self, mine: None)  # as if it ended in the midst of a search
    search = Search()
    search.ask("a")
    search.gate.set()
    search.threads["a"].join(SECONDS)
    monkeypatch.undo()
    monkeypatch.setattr(together, "_PATIENCE", 0.05)
    for _ in range(2):
        assert search.together.ask("b", None, search) == ("answer", "b")
    assert not search.together._waiting


def test_one_whose_group_takes_too_long_is_done_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.05)
    search = Steps()
    for question in "ab":
        search.ask(question)
    until(lambda: len(search.done) == 2)
    search.finish()
    assert search.done == [("a", ["a"]), ("b", ["b"])]
    assert search.answers == {question: ("answer", question) for question in "ab"}


def test_a_search_within_another_does_not_wait_for_it() -> None:
    asked: Together[Any] = Together(1)

    def inner(questions: Sequence[Any]) -> list[Any]:
        return [("inner", question) for question in questions]

    def outer(questions: Sequence[Any]) -> list[Any]:
        return [asked.ask(question, None, inner) for question in questions]

    assert asked.ask("q", None, outer) == ("inner", "q")
    assert asked.ask("q", None, inner) == ("inner", "q")


def test_a_search_within_another_by_way_of_a_thread_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.05)
    asked: Together[Any] = Together(1)
    found: list[Any] = []

    def outer(questions: Sequence[Any]) -> list[Any]:
        thread = threading.Thread(target=lambda: found.append(asked.ask("inner", None, list)))
        thread.start()
        thread.join(SECONDS)
        return list(questions)

    assert asked.ask("outer", None, outer) == "outer"
    assert found == ["inner"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_of_its_parent() -> None:
    search = Search()
    for question in "ab":
        search.ask(question)
    with search.together._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if search.together.ask("c", None, list) == "c" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    search.finish()


def test_nothing_is_kept_of_a_search_that_is_over() -> None:
    search = Search()
    for question in "abc":
        search.ask(question)
    waiting = list(search.together._waiting)
    search.finish()
    assert all(each.is_over and not each.group for each in waiting)
