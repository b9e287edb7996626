"""What explains a score adds up to it, with the real model, for random pairs of queries and texts."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from vecindex import Index
from vecindex.encoders.run.checks import OnLong
from vecindex.encoders.run.encoder import Encoder

from ...support.extent import slow
from ...support.helpers import opened
from ...support.places import SHARED

STS = SHARED / "data" / "stsb" / "dev.tsv"
WORDS = [
    *("the", "a", "my", "of", "in", "water", "pump", "rain", "Otto", "error", "E-1042", "naïve", "café", "東京"),
    *("дождь", "unbelievable", "gardening", "it's", "re-read", "3.14", "overheated", "never?", "and", "(names)", "."),
]


def check(index: Index, query: str, pairs: int) -> None:
    """The parts of the scores of all hits, of which there are as many as the query makes pairs."""
    hits, report = index.explain_search(query, k=pairs, mode="hybrid", rerank="tokens", rerank_ms=float("inf"))
    assert len(hits) == len(report.explanations) == pairs
    for hit, explanation in zip(hits, report.explanations, strict=True):
        assert dict(explanation.notes) == {}
        sums = {
            "dense": sum(each.contribution or 0.0 for each in explanation.tokens),
            "lexical": sum(each.score for each in explanation.terms),
            "tokens": sum(each.contribution for each in explanation.pairs),
        }
        assert abs(sums["dense"] - hit.scores["dense"]) <= 1e-5
        assert abs(sums["lexical"] - hit.scores["lexical"]) <= 1e-6
        assert abs(sums["tokens"] - hit.scores["tokens"]) <= 1e-5
        assert abs(sum(each.share for each in explanation.tokens) - 1) <= 1e-5


@pytest.mark.parametrize("stored", [False, True])
def test_the_parts_of_made_up_pairs_add_up(tmp_path: Path, encoder: Encoder, stored: bool) -> None:
    random = Random(1)
    texts = [" ".join(random.choices(WORDS, k=random.randint(1, 12))) for _ in range(12)]
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts, keys=[str(n) for n in range(len(texts))])
        if stored:
            index.index_tokens()
        for _ in range(6):
            check(index, " ".join(random.choices(WORDS[:20], k=random.randint(1, 8))), len(texts))


@pytest.mark.parametrize("on_long", ["truncate", "mean"])
def test_the_tokens_of_long_texts_add_up(tmp_path: Path, encoder: Encoder, on_long: OnLong) -> None:
    random = Random(3)
    texts = [" ".join(random.choices(WORDS, k=length)) for length in (150, 300, 400)]
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts, on_long=on_long)
        hits, report = index.explain_search("the unbelievable pump")
    for hit, explanation in zip(hits, report.explanations, strict=True):
        assert dict(explanation.notes) == {}
        assert abs(sum(each.contribution or 0.0 for each in explanation.tokens) - hit.score) <= 1e-5
    assert max(len(each.tokens) for each in report.explanations) > 400 or on_long == "truncate"


@pytest.mark.skipif(not STS.is_file(), reason="the shared data are not here")
@pytest.mark.parametrize("queries", [4, slow(25)])
def test_the_parts_of_pairs_of_real_sentences_add_up(tmp_path: Path, encoder: Encoder, queries: int) -> None:
    """With 40 texts for each query: the full form has 1,000 pairs."""
    random = Random(2)
    rows = [line.split("\t") for line in STS.read_text(encoding="utf-8").splitlines()[1:]]
    sentences = sorted({sentence.replace('"', "") for row in rows for sentence in row[1:3]})
    chosen = random.sample(sentences, 40 + queries)
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(chosen[:40])
        for query in chosen[40:]:
            check(index, query, 40)
