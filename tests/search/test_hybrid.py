"""Hybrid search of few candidates still finds the best of all records."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from vecindex import Hits, Index
from vecindex.search import hybrid
from vecindex.search.sides import Lexical

from ..support.helpers import opened

COUNT = 400
WORDS = [f"w{number}" for number in range(60)]


@pytest.fixture(scope="module", params=[False, True], ids=["vectors", "some without"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    drawn = Random(2)
    texts = [" ".join(drawn.choices(WORDS, range(60, 0, -1), k=drawn.randint(1, 8))) for _ in range(COUNT)]
    with opened(tmp_path_factory.mktemp("hybrid") / "i") as index:
        index.add(texts[: COUNT // 2], keys=[f"k{n}" for n in range(COUNT // 2)])
        keys = [f"k{n}" for n in range(COUNT // 2, COUNT)]
        index.add(texts[COUNT // 2 :], keys=keys, encode=not request.param)
        yield index


def plain(hits: Hits) -> list[tuple[str, float]]:
    return [(hit.key, hit.score) for hit in hits]


@pytest.mark.parametrize("depth", [2, 5, 20])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_few_candidates_lead_to_the_best_of_all(
    index: Index, depth: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Random(depth)
    queries = [" ".join(drawn.choices(WORDS, k=drawn.randint(1, 6))) for _ in range(20)] + ["nothing", "nothing -w1"]
    expected = [plain(index.search(query, COUNT, mode="hybrid"))[:k] for query in queries]
    monkeypatch.setattr(hybrid, "DEPTHS", {"convex": depth})
    assert [plain(index.search(query, k, mode="hybrid")) for query in queries] == expected
    assert list(map(plain, index.search_many(queries, k, mode="hybrid"))) == expected


def test_where_only_words_can_decide_vectors_are_not_searched_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    reaching = Lexical.reaching

    def kept(lexical: Lexical, number: int, least: float, most: int) -> object:
        found.append(reaching(lexical, number, least, most))
        return found[-1]

    monkeypatch.setattr(Lexical, "reaching", kept)
    monkeypatch.setattr(hybrid, "DEPTHS", {"convex": 6})
    for word in WORDS:
        index.search(f"{word} w3", 3, mode="hybrid")
    assert any(each is not None and len(each.rows) for each in found)
