"""The whole search, in every mode with filters, groups and any k, gives what a search that scores everything gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vecindex import Hits, Index
from vecindex.search import lexicon
from vecindex.search.dense.exact import scores
from vecindex.search.derived import upkeep
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.query import LexicalQuery, parse_query, plain_query
from vecindex.search.lexical.settings import LexicalSettings

from ..support.bm25_oracle import Oracle, weighed
from ..support.extent import examples
from ..support.helpers import opened
from ..support.toy import ToyEncoder

pytestmark = pytest.mark.filterwarnings("ignore::vecindex.FilterWarning")

SIZES = (580, 160, 100, 40)
DIMENSION = 48
"""How many records each add has; the last are in no segment."""
WORDS = [f"{word}{end}" for word in ("rain", "sun", "wind", "pump", "error", "light") for end in ("", "er", "y", "E-7")]
Metadata = dict[str, Any]
FILTERS: dict[str, Callable[[Metadata], bool]] = {
    "n >= 0": lambda found: True,
    "lang = 'de'": lambda found: bool(found["lang"] == "de"),
    "n < 9": lambda found: bool(found["n"] < 9),
    "topic exists and lang in ('en', 'fr')": lambda found: "topic" in found and found["lang"] != "de",
    "n = 200": lambda found: bool(found["n"] == 200),
    "lang = 'xx'": lambda found: False,
}
PHRASES = ('"rain sun"', "-sun", "-rainer", '"wind"', "zebra")
QUERIES = st.lists(st.sampled_from([*WORDS, *WORDS, *PHRASES]), min_size=1, max_size=7).map(" ".join)


@dataclass(frozen=True)
class Everything:
    """All live records in the order of insertion, and the scores of all."""

    keys: list[str]
    texts: list[str]
    metadata: list[Metadata]
    vectors: Any
    """(n, D), NaN for a record without one."""
    analyzer: Analyzer
    oracle: Oracle
    unrelated: float
    """The mean cosine of pairs of the oldest 512 that have vectors."""

    @classmethod
    def of(cls, index: Index, keys: list[str]) -> Everything:
        records = [index.get(key) for key in keys]
        analyzer = Analyzer(LexicalSettings())
        texts = [record.text for record in records]
        oracle = Oracle({row: [analyzer.terms(text)] for row, text in enumerate(texts)})
        nothing = np.full(DIMENSION, np.nan, np.float32)
        vectors = np.stack([nothing if record.vector is None else record.vector for record in records])
        oldest = vectors[~np.isnan(vectors[:, 0])][:512].astype(np.float64)
        unrelated = float((oldest @ oldest.T)[np.triu_indices(len(oldest), 1)].mean())
        metadata = [dict(record.metadata or {}) for record in records]
        return cls(keys, texts, metadata, vectors, analyzer, oracle, round(unrelated, 6))

    def search(
        self, query: str, vector: Any, k: int, where: str | None, mode: str, most: int | None, without: Sequence[str]
    ) -> list[tuple[str, float]]:
        """The keys and the scores that order them."""
        chosen = [row for row, found in enumerate(self.metadata) if where is None or FILTERS[where](found)]
        chosen = [row for row in chosen if self.keys[row] not in without]
        ranked = _Ranked(self, parse_query(query, self.analyzer), vector, mode)
        rows = ranked.allowed(chosen)
        if not rows:
            ranked = replace(ranked, query=replace(ranked.query, phrases=()))
            rows = ranked.allowed(chosen)
        order = ranked.order(rows)
        return self._named(order[:k] if most is None else self._grouped(order, k, most))

    def _grouped(self, order: list[tuple[int, float]], k: int, most: int) -> list[tuple[int, float]]:
        counts: Counter[Any] = Counter()
        found = []
        for row, score in order:
            topic = self.metadata[row].get("topic", f"none {row}")
            counts[topic] += 1
            if counts[topic] <= most:
                found.append((row, score))
        return found[:k]

    def _named(self, order: list[tuple[int, float]]) -> list[tuple[str, float]]:
        return [(self.keys[row], score) for row, score in order]


@dataclass(frozen=True)
class _Ranked:
    """One query's order of rows."""

    every: Everything
    query: LexicalQuery
    vector: Any
    mode: str

    def allowed(self, rows: list[int]) -> list[int]:
        """Those with the phrases and without the excluded words, which a dense search knows nothing of."""
        if self.mode == "dense":
            return rows
        terms, texts, analyzer = self.every.oracle.counts, self.every.texts, self.every.analyzer
        return [
            row
            for row in rows
            if self.query.holds_phrases(analyzer, [texts[row]])
            and not any(set(word) <= terms[row].keys() for word in self.query.without)
        ]

    def order(self, rows: list[int]) -> list[tuple[int, float]]:
        if self.mode == "dense":
            return self._near(rows)
        worded = self._worded(rows)
        if self.mode == "lexical":
            return worded
        by_words, whole, unrelated = dict(worded), self.every.oracle.whole(self.query), self.every.unrelated
        near = {row: (cosine - unrelated) / (1 - unrelated) for row, cosine in self._near(rows)}
        shares = {row: score / whole for row, score in by_words.items()}
        return _sorted({row: near.get(row, 0.0) + shares.get(row, 0.0) for row in near.keys() | shares.keys()})

    def _near(self, rows: list[int]) -> list[tuple[int, float]]:
        rows = [row for row in rows if not np.isnan(self.every.vectors[row, 0])]
        found = scores(self.every.vectors[rows], self.vector).tolist()
        return _sorted(dict(zip(rows, found, strict=True)))

    def _worded(self, rows: list[int]) -> list[tuple[int, float]]:
        return list(zip(*self.every.oracle.top(weighed(self.query), len(rows), set(rows)), strict=True))


def _sorted(found: dict[int, float]) -> list[tuple[int, float]]:
    return sorted(found.items(), key=lambda item: (-round(item[1], 12), item[0]))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, Everything]]:
    """An index with dead rows, records without vectors, codes, several segments and a tail."""
    draw, live = Random(5), dict[str, None]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "LEXICAL_TAIL", 60)
        patch.setattr(upkeep, "ROWS_FOR_CODES", 400)
        patch.setattr(lexicon, "_TAILS", 1)
        with opened(tmp_path_factory.mktemp("i") / "i", model=ToyEncoder(dimension=DIMENSION)) as index:
            for size in SIZES:
                keys = [
                    f"k{draw.randrange(1_000)}" if draw.random() < 0.2 else f"n{draw.random()}" for _ in range(size)
                ]
                keys = list(dict.fromkeys(keys))
                first = len(keys) // 8
                for some, encode in ((keys[:first], False), (keys[first:], True)):
                    index.add(
                        [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in some],
                        keys=some,
                        metadata=[_metadata(draw) for _ in some],
                        encode=encode,
                    )
                for key in keys:
                    live.pop(key, None)
                    live[key] = None
                gone = draw.sample(list(live), size // 12)
                index.delete(gone)
                for key in gone:
                    del live[key]
            manifest = index._manifest()
            assert manifest.codes is not None
            assert manifest.lexical is not None
            assert len(manifest.lexical.segments) >= 2
            assert manifest.lexical.rows < manifest.rows > len(index) == len(live)
            assert 512 <= len(live) - index.info().without_vector < 1_024
            assert index.info().without_vector >= 50
            yield index, Everything.of(index, list(live))


def _metadata(draw: Random) -> Metadata:
    found = {"n": draw.randrange(300), "lang": draw.choice(("de", "en", "fr"))}
    return found if draw.random() < 0.2 else found | {"topic": draw.randrange(25)}


@examples(150, deadline=None)
@pytest.mark.filterwarnings("ignore::vecindex.PhraseNotFound")
@given(
    queries=st.lists(QUERIES, min_size=1, max_size=3),
    mode=st.sampled_from(["dense", "lexical", "hybrid"]),
    where=st.none() | st.sampled_from(list(FILTERS)),
    k=st.sampled_from([1, 2, 5, 10, 40, 110, 1_000]),
    most=st.none() | st.integers(1, 3),
    without=st.lists(st.integers(0, 500), max_size=3),
)
def test_the_whole_search_gives_what_scoring_everything_gives(
    searched: tuple[Index, Everything],
    queries: list[str],
    mode: Any,
    where: str | None,
    k: int,
    most: int | None,
    without: list[int],
) -> None:
    index, every = searched
    assume(mode != "hybrid" or all(map(plain_query, queries)))
    exclude = [every.keys[row] for row in without]
    grouping: dict[str, Any] = {} if most is None else {"group_by": "topic", "per_group": most}
    found = index.search_many(queries, k, where, mode=mode, exclude=exclude, **grouping)
    encoded = queries if mode == "dense" else [plain_query(query) or "-" for query in queries]
    vectors = [index.encoder.encode([query], role="query")[0] for query in encoded]
    for query, vector, hits in zip(queries, vectors, found, strict=True):
        assert hits == index.search(query, k, where, mode=mode, exclude=exclude, **grouping)
        check(every, hits, every.search(query, vector, k, where, mode, most, exclude), mode)


def check(every: Everything, hits: Hits, expected: list[tuple[str, float]], mode: str) -> None:
    """Sums in another order may change the order of scores that differ by rounding alone."""
    assert len(hits) == len(expected)
    by_key = dict(expected)
    assert {hit.key for hit in hits} == by_key.keys()
    assert [by_key[hit.key] for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-9)
    if mode != "hybrid":
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-6)
        order = [(-hit.score, every.keys.index(hit.key)) for hit in hits]
        assert order == sorted(order)
    assert [(hit.text, hit.metadata) for hit in hits] == [
        (every.texts[row], every.metadata[row]) for row in (every.keys.index(hit.key) for hit in hits)
    ]


@examples(120, deadline=None)
@pytest.mark.filterwarnings("ignore::vecindex.PhraseNotFound")
@given(
    query=QUERIES,
    mode=st.sampled_from(["dense", "lexical", "hybrid"]),
    where=st.none() | st.sampled_from(list(FILTERS)),
    sizes=st.lists(st.sampled_from([1, 3, 10, 45, 110]), min_size=1, max_size=5),
    most=st.none() | st.integers(1, 3),
    without=st.lists(st.integers(0, 500), max_size=3),
)
def test_all_pages_together_give_what_scoring_everything_gives(
    searched: tuple[Index, Everything],
    query: str,
    mode: Any,
    where: str | None,
    sizes: list[int],
    most: int | None,
    without: list[int],
) -> None:
    assume(mode != "hybrid" or plain_query(query))
    index, every = searched
    exclude = [every.keys[row] for row in without]
    grouping: dict[str, Any] = {} if most is None else {"group_by": "topic", "per_group": most}
    options = {"where": where, "mode": mode, "exclude": exclude, **grouping}
    page = index.search(query, sizes[0], **options)
    found = Hits(page)
    while page.cursor is not None:
        page = index.search(query, sizes[min(len(sizes) - 1, len(found) % 5)], cursor=page.cursor, **options)
        found += page
    vector = index.encoder.encode([query if mode == "dense" else plain_query(query) or "-"], role="query")[0]
    whole = every.search(query, vector, 1_000, where, mode, most, exclude)
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    check(every, found, whole, mode)
