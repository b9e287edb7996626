"""An index behaves like an ordered dict, whatever is done to it and in which order."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import vecindex
from vecindex import Hit, InvalidInput, Record, RecordNotFound
from vecindex.search.dense.exact import scores
from vecindex.values.keys import derive_key

from ..support.extent import examples
from ..support.toy import ToyEncoder

# Filters name fields that no record has yet, and queries are longer than the model reads: both are said.
pytestmark = [
    pytest.mark.filterwarnings("ignore::vecindex.FilterWarning"),
    pytest.mark.filterwarnings("ignore::vecindex.QueryTruncated"),
]

TEXTS = st.sampled_from(["", "a", "b", "a a", "c c c", "a b", "b a", "naïve 🦊", "x " * 40])
KEYS = st.sampled_from(["k1", "k2", "k3", "a", "a\0b", " ", "ключ"])
METADATA = st.sampled_from(
    [None, {}, {"m": 1}, {"m": True}, {"m": 1.5, "s": "a'b"}, {"s": "é", "m": 2}, {"deep": {"n": [1, None]}}]
)
ITEM = st.tuples(st.none() | KEYS, TEXTS, METADATA)
FILTERS: list[tuple[Any, Any]] = [
    ({"m": 1}, lambda d: type(d.get("m")) is int and d["m"] == 1),
    ({"m": {"$gte": 1.5}}, lambda d: type(d.get("m")) in (int, float) and d["m"] >= 1.5),
    ("m exists", lambda d: "m" in d),
    ("not m exists", lambda d: "m" not in d),
    ("s = 'a''b' or deep.n exists", lambda d: d.get("s") == "a'b" or "deep" in d),
    ("false", lambda d: False),
]


def canonical(metadata: Any) -> str:
    return json.dumps(metadata, sort_keys=True)  # in which 1, 1.0 and True differ, unlike in a dict


class IndexMachine(RuleBasedStateMachine):
    """``model`` maps keys to (text, metadata), in the order that breaks ties; ``bare`` are those without a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "i"
        self.encoder = ToyEncoder()
        self.model: dict[str, tuple[str, Any]] = {}
        self.bare: set[str] = set()
        self.has_space = False
        self.dead = self.generation = 0
        self.index = vecindex.open(self.folder, model=self.encoder)
        self.reader = vecindex.open(self.folder, readonly=True, model=self.encoder)

    def teardown(self) -> None:
        self.index.close()
        self.reader.close()
        shutil.rmtree(self.folder.parent)

    @rule(items=st.lists(ITEM, max_size=6), columns=st.booleans(), encode=st.booleans())
    def add(self, items: list[tuple[str | None, str, Any]], columns: bool, encode: bool) -> None:
        before = dict(self.model)
        state, added, updated, unchanged = dict(before), 0, 0, 0
        changed: dict[str, None] = {}
        seen: set[str] = set()
        kept: set[str] = set()
        duplicates = 0
        for given, text, metadata in items:
            key = derive_key(text, metadata) if given is None else given
            again = key in seen
            seen.add(key)
            old = state.get(key)
            new = (text, (old[1] if old else {}) if metadata is None else metadata)
            is_lacking = encode and key in self.bare and key not in changed
            if not is_lacking and old is not None and old[0] == text and canonical(old[1]) == canonical(new[1]):
                duplicates, unchanged = duplicates + again, unchanged + (not again)
                kept |= set() if again else {key}
                continue
            if again:
                duplicates += 1
                first = key in kept and key not in changed
                unchanged, updated = unchanged - first, updated + first
            else:
                added, updated = added + (old is None), updated + (old is not None)
            state[key] = new
            if old is None or old[0] != text or is_lacking:  # a new row; new metadata alone does not move the record
                changed.pop(key, None)
            changed[key] = None
        lacking = self.bare if encode else set()
        moved = [k for k in changed if k not in before or before[k][0] != state[k][0] or k in lacking]
        relabelled = any(k not in moved and canonical(before[k][1]) != canonical(state[k][1]) for k in changed)
        if columns:
            report = self.index.add(
                [text for _, text, _ in items],
                keys=[derive_key(text, metadata) if key is None else key for key, text, metadata in items],
                metadata=[metadata for _, _, metadata in items],
                on_duplicate="last",
                encode=encode,
            )
        else:
            records = (Record(text, key, metadata) for key, text, metadata in items)
            report = self.index.add(records, on_duplicate="last", encode=encode)
        assert (report.added, report.updated, report.unchanged) == (added, updated, unchanged)
        assert report.duplicates == duplicates
        assert report.truncated == sum(len(state[key][0].split(" ")) > 32 for key in moved if encode)
        assert report.without_vector == (0 if encode else len(moved))
        self.bare = self.bare - set(moved) if encode else self.bare | set(moved)
        self.has_space |= encode and bool(moved)
        self.dead += sum(key in before for key in moved)
        self.generation += bool(moved or relabelled)
        self.model = {k: state[k] for k in before if k not in moved} | {k: state[k] for k in moved}

    @rule(data=st.data())
    def drop_vectors(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True)) if self.model else []
        dropped = [key for key in keys if key not in self.bare]
        texts = [self.model[key][0] for key in keys]
        report = self.index.add(texts, keys=keys, vectors=[None] * len(keys), encode=False)
        assert (report.added, report.updated, report.unchanged) == (0, len(dropped), len(keys) - len(dropped))
        assert report.without_vector == len(dropped)
        self.bare |= set(dropped)
        self.dead += len(dropped)
        self.generation += bool(dropped)
        self.model |= {key: self.model.pop(key) for key in dropped}

    @rule()
    def encode_missing(self) -> None:
        lacking = [key for key in self.model if key in self.bare]
        report = self.index.encode_missing()
        assert (report.encoded, report.without_vector) == (len(lacking), 0)
        assert report.truncated == sum(len(self.model[key][0].split(" ")) > 32 for key in lacking)
        self.model |= {key: self.model.pop(key) for key in lacking}
        self.dead += len(lacking)
        self.generation += bool(lacking)
        self.has_space |= bool(lacking)
        self.bare = set()

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.model)), max_size=4)) if self.model else []
        assert self.index.delete(keys) == len(set(keys))
        self.dead += len(set(keys))
        self.generation += bool(keys)
        self.model = {k: v for k, v in self.model.items() if k not in keys}
        self.bare -= set(keys)

    @rule()
    def delete_with_a_key_that_is_not_there(self) -> None:
        with pytest.raises(RecordNotFound) as caught:
            self.index.delete([*self.model, "nobody"])
        assert caught.value.key == "nobody"

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        for index in (self.index, self.reader):
            if key not in self.model:
                for ask in (index.get, index.similar):
                    with pytest.raises(RecordNotFound):
                        ask(key)
                continue
            record = index.get(key)
            assert (record.text, record.key) == (self.model[key][0], key)
            assert canonical(record.metadata) == canonical(self.model[key][1])
            if key in self.bare:
                assert (record.vector, record.has_vector) == (None, False)
                with pytest.raises(InvalidInput, match="has no vector"):
                    index.similar(key)
                continue
            assert record.has_vector
            assert record.vector == pytest.approx(self.encoder.encode([record.text])[0], abs=1e-6)

    @rule(query=TEXTS.filter(bool), k=st.integers(1, 12), where=st.none() | st.sampled_from(FILTERS))
    def search(self, query: str, k: int, where: Any) -> None:
        vector = self.encoder.encode([query], role="query")[0]
        keys = [key for key, (_, metadata) in self.model.items() if where is None or where[1](metadata)]
        for index in (self.index, self.reader):
            hits = index.search(query, k=k, where=where and where[0])
            assert plain(hits) == self.expected(keys, vector, k)
            assert plain(index.search_many([query, "other"], k, where and where[0])[0]) == plain(hits)

    @rule(data=st.data(), k=st.integers(1, 12), where=st.none() | st.sampled_from(FILTERS))
    def similar(self, data: st.DataObject, k: int, where: Any) -> None:
        if not self.model:
            return
        key = data.draw(st.sampled_from(sorted(self.model)))
        if key in self.bare:
            return
        vector = self.index.get(key).vector
        keys = [o for o, (_, metadata) in self.model.items() if o != key and (where is None or where[1](metadata))]
        assert plain(self.reader.similar(key, k=k, where=where and where[0])) == self.expected(keys, vector, k)

    @rule()
    def compact(self) -> None:
        report = self.index.compact()
        assert report.dropped_rows == self.dead
        self.generation += bool(self.dead)
        self.dead = 0

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = vecindex.open(self.folder, create=False, model=self.encoder)

    @rule()
    def reopen_reader(self) -> None:
        self.reader.close()
        self.reader = vecindex.open(self.folder, readonly=True, model=self.encoder)

    @invariant()
    def is_sound_and_counts_right(self) -> None:
        rows = len(self.model) + self.dead
        for index in (self.index, self.reader):
            assert len(index) == len(self.model)
            info = index.info()
            assert (info.records, info.dead_rows, info.generation) == (len(self.model), self.dead, self.generation)
            texts = [text for key, (text, _) in self.model.items() if key not in self.bare]
            assert info.truncated == sum(len(text.split(" ")) > 32 for text in texts)
            assert info.without_vector == len(self.bare)
            assert index.verify() == vecindex.VerifyReport(len(self.model), rows, (), (), len(self.bare))
        assert sum(p.stat().st_size for p in self.folder.glob("*.f32")) == rows * 64 * self.has_space

    def expected(self, keys: list[str], query: Any, k: int) -> list[tuple[Any, ...]]:
        """The k best of those of ``keys`` with a vector: each of these scored, then Python's stable sort."""
        keys = [key for key in keys if key not in self.bare]
        if not keys:
            return []
        vectors = np.stack([np.asarray(self.index.get(key).vector) for key in keys])
        found = scores(vectors, query)
        order = sorted(range(len(keys)), key=lambda i: -found[i])[:k]
        return [
            (rank, keys[i], min(float(found[i]), 1.0), self.model[keys[i]][0], canonical(self.model[keys[i]][1]))
            for rank, i in enumerate(order, 1)
        ]


def plain(hits: list[Hit]) -> list[tuple[Any, ...]]:
    return [(h.rank, h.key, h.score, h.text, canonical(h.metadata)) for h in hits]


IndexMachine.TestCase.settings = examples(40, stateful_step_count=30)
TestIndex = IndexMachine.TestCase
