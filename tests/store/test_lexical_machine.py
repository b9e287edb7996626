"""Whatever is done to an index, lexical search finds the live records, and scores them as BM25 over these alone."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import vecindex
from vecindex import Index, PhraseNotFound, RecordNotFound
from vecindex.search import lexicon
from vecindex.search.derived import upkeep
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.query import parse_query
from vecindex.search.lexical.settings import LexicalSettings

from ..support.bm25_oracle import Oracle, weighed
from ..support.extent import examples
from ..support.toy import ToyEncoder

ALL = 1_000
WORDS = ("rain", "raining", "rains", "sun", "the", "pump", "E-1042", "foo_bar", "Häuser", "東京都", "naïve")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
KEYS = st.sampled_from([f"k{n}" for n in range(12)])
QUERIES = st.lists(
    st.sampled_from([*WORDS, "E", "foo", "haus", '"the pump"', '"rain sun"', "-sun", "-rains", '-"the sun"', "zebra"]),
    min_size=1,
    max_size=6,
).map(" ".join)
TITLES = st.sampled_from(["", "rain", "the sun", "zebra pump"])
LANGUAGES = ("english", "german", "none")
Item = tuple[str, str]
"""A text and its title."""


class LexicalMachine(RuleBasedStateMachine):
    """``model`` maps keys to texts and titles, in the order that breaks ties.

    Three open indexes of one folder see it alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(upkeep, "LEXICAL_TAIL", 4)
        self.patched.setattr(upkeep, "_DEAD", 12)
        self.patched.setattr(lexicon, "_TAILS", 2)
        self.folder = Path(tempfile.mkdtemp()) / "i"
        self.encoder = ToyEncoder()
        self.model: dict[str, Item] = {}
        self.settings = LexicalSettings()
        self.is_harmed = False
        self.indexes = [self.opened(False), self.opened(False)]
        self.indexes.append(self.opened(True))

    def teardown(self) -> None:
        for index in self.indexes:
            index.close()
        shutil.rmtree(self.folder.parent)
        self.patched.undo()

    def opened(self, readonly: bool) -> Index:
        return vecindex.open(self.folder, readonly=readonly, model=self.encoder)

    # --- what is done

    @rule(writer=st.integers(0, 1), items=st.dictionaries(KEYS, st.tuples(TEXTS, TITLES), min_size=1, max_size=9))
    def add(self, writer: int, items: dict[str, Item]) -> None:
        self.put(writer, items)

    @rule(
        writer=st.integers(0, 1), items=st.lists(st.tuples(TEXTS, TITLES), min_size=4, max_size=12), draw=st.randoms()
    )
    def add_many(self, writer: int, items: list[Item], draw: Any) -> None:
        self.put(writer, {f"more {draw.getrandbits(40):x}": item for item in items})

    def put(self, writer: int, items: dict[str, Item]) -> None:
        texts, titles = zip(*items.values(), strict=True)
        self.indexes[writer].add(texts, keys=list(items), metadata=[{"title": title} for title in titles])
        for key, item in items.items():
            old = self.model.get(key)
            if old is None or old[0] != item[0] or (old != item and self.settings.fields):  # a new row
                self.model.pop(key, None)
            self.model[key] = item

    @precondition(lambda self: self.model)
    @rule(writer=st.integers(0, 1), data=st.data(), title=TITLES)
    def change_metadata(self, writer: int, data: st.DataObject, title: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        self.put(writer, {key: (self.model[key][0], title)})

    @precondition(lambda self: self.model)
    @rule(writer=st.integers(0, 1), data=st.data())
    def delete(self, writer: int, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=8, unique=True))
        self.indexes[writer].delete(keys)
        for key in keys:
            del self.model[key]

    @rule(writer=st.integers(0, 1))
    def fail_to_delete(self, writer: int) -> None:
        with pytest.raises(RecordNotFound):
            self.indexes[writer].delete([*self.model, "nobody"])

    @rule(writer=st.integers(0, 1))
    def compact(self, writer: int) -> None:
        self.indexes[writer].compact()

    @rule(number=st.integers(0, 2))
    def reopen(self, number: int) -> None:
        self.indexes[number].close()
        self.indexes[number] = self.opened(readonly=number == 2)

    @rule(writer=st.integers(0, 1), language=st.sampled_from(LANGUAGES), weight=st.sampled_from([0, 0, 0.5, 2]))
    def choose_settings(self, writer: int, language: str, weight: float) -> None:
        fields = {"title": weight} if weight else {}
        chosen = LexicalSettings(None if language == "none" else language, tuple(fields.items()))
        is_new = self.indexes[writer].index_lexical(language=language, fields=fields)
        assert is_new == (chosen != self.settings)
        self.settings = chosen

    @rule(writer=st.integers(0, 1))
    def repair(self, writer: int) -> None:
        assert self.indexes[writer].repair().ok
        self.is_harmed = False

    @rule(data=st.data(), at=st.integers(0, 10**6), removed=st.booleans())
    def harm_a_segment(self, data: st.DataObject, at: int, removed: bool) -> None:
        """Open indexes keep what they have mapped."""
        found = sorted(self.folder.glob("lexical-*"))
        if not found:
            return
        path = data.draw(st.sampled_from(found))
        content = bytearray(path.read_bytes())
        path.unlink()
        if not removed:
            content[at % len(content)] ^= 1 << at % 8
            path.write_bytes(content)
        self.is_harmed = True

    # --- what must be true

    @rule(query=QUERIES, k=st.integers(1, 6))
    def search(self, query: str, k: int) -> None:
        expected = self.expected(query)
        for index in self.indexes:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PhraseNotFound)
                found = index.search(query, k=ALL, mode="lexical")
                assert index.search(query, k=k, mode="lexical") == found[:k]
            scores = [round(hit.score, 9) for hit in found]
            assert scores == sorted(scores, reverse=True)
            order = list(self.model)
            hits = sorted(found, key=lambda hit: (-round(hit.score, 9), order.index(hit.key)))
            assert [hit.key for hit in hits] == [key for key, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-6)

    def expected(self, query: str) -> list[tuple[str, float]]:
        analyzer = Analyzer(self.settings)
        parsed, keys = parse_query(query, analyzer), list(self.model)
        read = [self.settings.texts(text, {"title": title}) for text, title in self.model.values()]
        terms = {row: [analyzer.terms(text) for text in texts] for row, texts in enumerate(read)}
        allowed = [
            row
            for row, texts in enumerate(read)
            if not any(set(word) <= {term for each in terms[row] for term in each} for word in parsed.without)
        ]
        with_phrases = [row for row in allowed if parsed.holds_phrases(analyzer, read[row])]
        if parsed.phrases and not with_phrases:
            parsed = replace(parsed, phrases=())
            with_phrases = [row for row in allowed if parsed.holds_phrases(analyzer, read[row])]
        rows, scores = Oracle(terms, self.settings.weights).top(weighed(parsed), ALL, with_phrases)
        return [(keys[row], score) for row, score in zip(rows, scores, strict=True)]

    @invariant()
    def finds_every_live_record_and_is_sound(self) -> None:
        self.search(" ".join(WORDS), 3)
        for index in self.indexes:
            assert len(index) == len(self.model)
        if not self.is_harmed:
            assert self.indexes[2].verify().ok
            manifest = self.indexes[2]._manifest()
            assert manifest.rows - (manifest.lexical.rows if manifest.lexical else 0) < 4
            stored = {path.name for path in self.folder.glob("lexical-*")}
            assert stored == {*(manifest.lexical.names if manifest.lexical else ())}


LexicalMachine.TestCase.settings = examples(30, stateful_step_count=40)
TestLexicalSearch = LexicalMachine.TestCase
