"""Reranked searches, in every mode with filters, groups and any k, against token scores that are computed one by one.

How the scores are weighted is tested beside the rule itself; here, whatever the rule, a record that is at least as good
as another by every score comes before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Hit, Index
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.search.derived import token_upkeep, upkeep
from vecindex.search.rerank.second_stage import DEPTH
from vecindex.search.rerank.token_codes import decode, encode, turned_back
from vecindex.values.space import Role

from ..support.extent import examples
from ..support.helpers import opened
from ..support.toy import ToyEncoder

pytestmark = pytest.mark.filterwarnings("ignore::vecindex.FilterWarning")

DIMENSION = 48
WORDS = [f"{word}{end}" for word in ("rain", "sun", "wind", "pump", "error", "light") for end in ("", "er", "E-7")]
FILTERS = ("n >= 0", "lang = 'de'", "n < 9", "lang = 'xx'")
QUERIES = st.lists(st.sampled_from([*WORDS, "zebra"]), min_size=1, max_size=6).map(" ".join)
ROUNDING = 1e-5


@dataclass(frozen=True)
class Texts:
    """The token vectors of texts, as they are and as they are stored; and which records, by key, have stored ones."""

    stored: frozenset[str]
    exact: dict[str, Any]
    quantised: dict[str, Any]

    def score(self, query: Any, hit: Hit) -> float:
        vectors = (self.quantised if hit.key in self.stored else self.exact)[hit.text].astype(float)
        return float(np.mean([min(1.0, max(vectors @ token)) for token in query.astype(float)]))


def own(text: str, role: Role) -> Any:
    encoder = ToyEncoder(dimension=DIMENSION)
    return own_tokens(encoder, tokenized(encoder, [text], role), role)[0].vectors


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, Texts]]:
    """An index with dead rows, codes, several segments of token vectors, one of which is lost, and rows in none."""
    draw = Random(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "LEXICAL_TAIL", 60)
        patch.setattr(upkeep, "ROWS_FOR_CODES", 200)
        patch.setattr(upkeep, "TEXTS_MADE_UP", 30)
        patch.setattr(token_upkeep, "MOST_TOKENS", 700)
        folder = tmp_path_factory.mktemp("i") / "i"
        encoder = ToyEncoder(dimension=DIMENSION)
        with opened(folder, model=encoder) as index:
            index.index_tokens()
            for size in (120, 90, 70, 40):
                texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(size)]
                facts = [
                    {"n": draw.randrange(300), "lang": draw.choice(("de", "en")), "topic": draw.randrange(25)}
                    for _ in texts
                ]
                vectors, space = (encoder.encode(texts), encoder.space) if size == 40 else (None, None)
                index.add(
                    texts, keys=[f"k{size} {n}" for n in range(size)], metadata=facts, vectors=vectors, space=space
                )
                index.delete([f"k{size} {n}" for n in range(0, size, 9)])
        files = sorted(folder.glob("tokens-*"), key=lambda path: int(path.name.split("-")[2]))
        assert len(files) > 2
        files[0].unlink()
        with opened(folder, model=encoder) as index:
            yield index, texts_of(index, folder)


def texts_of(index: Index, folder: Path) -> Texts:
    exact = {text: own(text, "document") for text in {index.get(key).text for key in index.keys()}}  # noqa: SIM118
    quantised = {text: turned_back(decode(encode(vectors), DIMENSION)) for text, vectors in exact.items()}
    with index._snapshots.take() as snapshot:
        tokens = index._tokens.of(snapshot)
        stored = frozenset(
            key for key, record in snapshot.find(index.keys()).items() if tokens.codes(record.row) is not None
        )
    assert 0 < len(stored) < len(index)
    return Texts(stored, exact, quantised)


@examples(100, deadline=None)
@given(
    queries=st.lists(QUERIES, min_size=1, max_size=3),
    mode=st.sampled_from(["dense", "lexical", "hybrid"]),
    where=st.none() | st.sampled_from(FILTERS),
    k=st.sampled_from([1, 5, 40, 110, 1_000]),
    most=st.none() | st.integers(1, 3),
)
def test_reranked_hits_are_the_best_of_the_first_stage_by_all_scores(
    searched: tuple[Index, Texts], queries: list[str], mode: Any, where: str | None, k: int, most: int | None
) -> None:
    index, texts = searched
    how: dict[str, Any] = {"mode": mode} | ({} if most is None else {"group_by": "topic", "per_group": most})
    found = index.search_many(queries, k, where, rerank="tokens", rerank_ms=math.inf, **how)
    for query, hits in zip(queries, found, strict=True):
        assert hits == index.search(query, k, where, rerank="tokens", rerank_ms=math.inf, **how)
        first = index.search(query, max(DEPTH, k), where, **how)
        assert len(hits) == min(k, len(first)) == len({hit.key for hit in hits})
        before, asked = {hit.key: hit for hit in first}, own(query, "query")
        scores = {key: [*hit.scores.values(), texts.score(asked, hit)] for key, hit in before.items()}
        for hit in hits:
            assert [*hit.scores.values()] == pytest.approx(scores[hit.key], abs=ROUNDING)
            assert (hit.text, hit.metadata) == (before[hit.key].text, before[hit.key].metadata)
        chosen = [hit.key for hit in hits]
        order = np.array([scores[key] for key in [*chosen, *(before.keys() - set(chosen))]])
        for place in range(len(hits)):
            better = (order[place + 1 :] >= order[place]).all(axis=1)
            assert not (better & (order[place + 1 :] > order[place] + 2 * ROUNDING).any(axis=1)).any()
