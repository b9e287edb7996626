"""Threads that search one index at the same time get what each would get alone: hits, errors and warnings."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import Index
from vecindex.encoders.run.tokenized import Tokens
from vecindex.search import together
from vecindex.search.options import Mode
from vecindex.search.together import Together

from ..support.helpers import opened
from ..support.toy import DIMENSION, MAX_TOKENS, BareEncoder, ToyEncoder

SECONDS = 120.0
WORDS = ["sun", "rain", "pump", "again", "error", "name", "sea", "fog"]
TEXTS = [f"{one} {other} in the {third}" for one in WORDS for other in WORDS for third in WORDS[:3]]
LONG = "word " * MAX_TOKENS + "end"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, threads wait longer for each other than a search would."""
    monkeypatch.setattr(together, "_PATIENCE", SECONDS)


class TellingEncoder(ToyEncoder):
    """``asked`` has what was encoded in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        self.asked.append(list(texts))
        return super().tokenize(texts)


class Held:
    """Begins with something that lets all others wait until it may end."""

    def __init__(self) -> None:
        self.together: Together[Any] = Together(1)
        self._gate = threading.Event()
        self._thread = threading.Thread(target=self.together.ask, args=("first", Held, self._first), daemon=True)
        self._thread.start()

    def _first(self, questions: Sequence[Any]) -> Sequence[Any]:
        assert self._gate.wait(SECONDS)
        return questions

    @property
    def waiting(self) -> int:
        return len(self.together._waiting)

    def end(self) -> None:
        self._gate.set()
        self._thread.join(SECONDS)


class Threads:
    """Asks an index in many threads, whose texts wait to be encoded, and which all wait to be searched for.

    ``sizes`` are those of the groups in which they are then searched for, the smallest first.
    """

    def __init__(self, index: Index, encoder: TellingEncoder) -> None:
        self.index, self.encoder = index, encoder
        self.sizes: list[int] = []
        real = index._answers
        index._answers = lambda several, options: self.sizes.append(len(several)) or real(several, options)  # type: ignore[method-assign,func-returns-value]

    def ask(
        self,
        asked: Sequence[Callable[[], Any]],
        meanwhile: Callable[[], None] = lambda: None,
        once_encoded: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        """What each of these searches returns, or raises, in the order in which they are given."""
        found: dict[int, Any] = {}

        def one(number: int, search: Callable[[], Any]) -> None:
            try:
                found[number] = search()
            except Exception as error:
                found[number] = error

        encoding, searching = Held(), Held()
        self.index._encoded_together, self.index._together = encoding.together, searching.together
        self.encoder.asked.clear()
        self.sizes.clear()
        threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(asked)]
        for number, thread in enumerate(threads):
            thread.start()
            until(lambda number=number: encoding.waiting + searching.waiting + len(found) > number)  # type: ignore[misc]
        meanwhile()
        encoding.end()
        until(lambda: searching.waiting + len(found) == len(asked))
        once_encoded()
        searching.end()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
        self.sizes.sort()
        return [found[number] for number in range(len(asked))]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "a search does not wait"
        time.sleep(0.001)


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    encoder = TellingEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(TEXTS, metadata=[{"n": n} for n in range(len(TEXTS))])
        yield Threads(index, encoder)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"mode": "lexical"},
    {"mode": "hybrid"},
    {"where": "n < 50"},
    {"group_by": "n", "k": 3},
    {"diversity": 0.4, "min_score": 0.1},
    {"min_percentile": 5.0, "mode": "hybrid", "exclude": None},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_that_wait_are_encoded_and_searched_together_with_the_hits_of_each(
    threads: Threads, options: dict[str, Any]
) -> None:
    if "exclude" in options:
        options = {**options, "exclude": threads.index.keys()[:5]}
    queries = ["sun pump", "the rain", "fog", "name again sea", "error"]
    alone = [threads.index.search(query, **options) for query in queries]
    found = threads.ask([lambda query=query: threads.index.search(query, **options) for query in queries])  # type: ignore[misc]
    assert threads.sizes == [len(queries)]
    assert found == alone
    assert [hits.cursor for hits in found] == [hits.cursor for hits in alone]
    encoded = [] if options.get("mode") == "lexical" else [queries]
    assert threads.encoder.asked == encoded


def test_texts_that_wait_are_encoded_together_whatever_the_options(threads: Threads) -> None:
    queries = ["sun pump", "the rain", "fog", "name again sea", "error", "fog"]
    every: list[dict[str, Any]] = [*OPTIONS[:1], *OPTIONS[2:-1], {"k": 2, "where": {"n": 7}}]
    asked = [partial(threads.index.search, query, **options) for query, options in zip(queries, every, strict=True)]
    alone = [search() for search in asked]
    assert threads.ask(asked) == alone
    assert threads.encoder.asked == [list(dict.fromkeys(queries))]
    assert threads.sizes == [1] * len(queries)


@pytest.mark.filterwarnings("ignore")  # not in the threads: what is caught is not that of one thread
def test_texts_whose_tokens_are_compared_are_encoded_together(threads: Threads) -> None:
    queries = ["sun pump", "the rain", LONG]
    threads.index.index_tokens()
    search = partial(threads.index.search, k=3, rerank="tokens")
    asked = [partial(search, query) for query in queries]
    asked += [partial(search, "fog", mode="hybrid"), partial(search, "sea", vector=np.ones(DIMENSION))]
    alone = [each() for each in asked]
    assert threads.ask(asked) == alone
    assert threads.encoder.asked[0] == [*queries, "fog", "sea"]


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_vectors_that_wait_are_searched_together(threads: Threads, mode: Mode) -> None:
    drawn = np.random.default_rng(0).normal(size=(4, DIMENSION)).astype(np.float32)
    given: list[Any] = [drawn[0], drawn[1], drawn[2].tolist(), drawn[3].astype(np.float64)]

    def search(vector: Any) -> Any:
        if mode == "dense":
            return threads.index.search(vector, k=7)
        return threads.index.search("the pump", k=7, vector=vector, mode=mode)

    alone = [search(vector) for vector in given]
    assert threads.ask([lambda vector=vector: search(vector) for vector in given]) == alone  # type: ignore[misc]
    assert threads.sizes == [2, 2]  # arrays of one type each


def test_those_with_other_options_or_questions_are_apart(threads: Threads) -> None:
    index, vector = threads.index, np.ones(DIMENSION)
    asked: list[Callable[[], Any]] = [
        lambda: index.search("sun", k=2),
        lambda: index.search("sun", k=3),
        lambda: index.search(vector, k=2),
        lambda: index.search("sun", k=2, vector=vector),
        lambda: index.search("rain", k=2),
        lambda: index.search("sun", k=2, where={"n": 1}),
        lambda: index.search("sun", k=2, where={"n": True}),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = [search() for search in asked]
        assert threads.ask(asked) == alone
    assert threads.sizes == [1, 1, 1, 1, 1, 2]


def test_an_error_is_that_of_the_query_alone(threads: Threads) -> None:
    index = threads.index
    vectors: list[Any] = [np.ones(DIMENSION), np.zeros(DIMENSION), np.full(DIMENSION, np.nan), np.ones(3)]
    found = threads.ask([lambda vector=vector: index.search(vector) for vector in vectors])  # type: ignore[misc]
    assert found[0] == index.search(vectors[0])
    assert [error.message for error in found[1:]] == [
        "a query vector is zero or not finite",
        "a query vector is zero or not finite",
        f"a query vector has the shape (3,); the index holds vectors of shape ({DIMENSION},)",
    ]
    found = threads.ask([lambda: index.search("sun"), lambda: index.search(" "), lambda: index.search("rain")])
    assert [found[0], found[2]] == [index.search("sun"), index.search("rain")]
    assert found[1].message == "the query is blank"


def test_a_commit_before_the_search_is_seen_by_all_that_wait(threads: Threads) -> None:
    index = threads.index
    queries = ["moon", "star"]

    def commit() -> None:
        with opened(index.path, model=ToyEncoder()) as other:
            other.add(queries)

    with opened(index.path, model=ToyEncoder()) as other:
        other.add(["moon and star"])
    found = threads.ask([lambda query=query: index.search(query, k=1) for query in queries], commit)  # type: ignore[misc]
    assert [hits[0].text for hits in found] == queries


def test_texts_are_encoded_again_if_the_index_got_its_model_meanwhile(tmp_path: Path) -> None:
    encoder = TellingEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        threads = Threads(index, encoder)

        def add() -> None:
            with opened(index.path, model=ToyEncoder()) as other:
                other.add(TEXTS)

        asked = [partial(index.search, query, k=k) for query, k in (("sun", 1), ("rain", 1), ("fog", 10))]
        found = threads.ask(asked, once_encoded=add)
        assert found == [search() for search in asked]
        assert [len(hits) for hits in found] == [1, 1, 10]
        assert sorted(map(sorted, encoder.asked[:2])) == [["fog"], ["rain", "sun"]]


def test_a_text_that_cannot_be_encoded_is_an_error_of_its_own(tmp_path: Path) -> None:
    encoder = BareEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(TEXTS)
        threads = Threads(index, TellingEncoder())
        asked = [partial(index.search, query, k=len(query)) for query in ("sun", "~", "rain")]
        sun, error, rain = threads.ask(asked)
        assert [sun, rain] == [asked[0](), asked[2]()]
        assert error.message == "toy finds no tokens in the query '~'"


@pytest.mark.parametrize("mode", ["dense", "hybrid", "lexical"])
def test_a_blank_query_keeps_no_other_from_being_encoded_together(threads: Threads, mode: Mode) -> None:
    index = threads.index
    found = threads.ask(
        [lambda: index.search("sun"), lambda: index.search(" ", mode=mode), lambda: index.search("sea")]
    )
    assert found[1].message == "the query is blank"
    assert threads.encoder.asked == [["sun", "sea"]]


def test_each_thread_gets_the_warnings_of_its_own_query(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    index = threads.index
    given: dict[str, list[str]] = {}

    def shown(message: Any, *more: Any) -> None:
        given.setdefault(threading.current_thread().name, []).append(str(message))

    def search(query: str) -> Callable[[], Any]:
        def asked() -> Any:
            threading.current_thread().name = query
            return index.search(query, mode="hybrid", where="m = 1 or n >= 0")

        return asked

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", shown)
        threads.ask([search(LONG), search("sun"), search('"nowhere at all"')])
    filtered = "the filter asks for the field m"
    assert threads.sizes == [3]
    assert {name: [re.split("[,;]", text)[0] for text in texts] for name, texts in given.items()} == {
        LONG: [f"the query has {MAX_TOKENS + 1} tokens", filtered],
        "sun": [filtered],
        '"nowhere at all"': ['no record that may be found has the phrase "nowhere at all"', filtered],
    }


def test_many_threads_find_what_one_finds(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(TEXTS)
        queries = [f"{one} {other}" for one in WORDS for other in WORDS]
        wanted = {query: index.search(query, k=4) for query in queries}
        wrong: list[str] = []

        def ask(start: int) -> None:
            turn = queries[start:] + queries[:start]
            wrong.extend(query for query in turn if index.search(query, k=4) != wanted[query])

        threads = [threading.Thread(target=ask, args=(start,), daemon=True) for start in range(0, 64, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
        assert not wrong
