"""The sample data is sound, and search finds in it what its judgements say, as well as it did."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.values.keys import derive_key

from ..support.places import PROJECT

DATA = PROJECT / "data"


def read(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def judgements() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    with (DATA / "qrels.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            found[row["query-id"]][row["corpus-id"]] = int(row["score"])
    return found


def test_sentences_are_different_named_and_on_twenty_topics() -> None:
    sentences = read("sentences.jsonl")
    assert len(sentences) == 500
    assert len({s["key"] for s in sentences}) == len({s["text"] for s in sentences}) == 500
    topics = Counter(s["metadata"]["topic"] for s in sentences)  # type: ignore[index]
    assert len(topics) == 20
    assert set(topics.values()) == {25}


def test_every_judgement_names_a_query_and_a_sentence() -> None:
    known = {s["key"] for s in read("sentences.jsonl")}
    known |= {derive_key(line) for line in (DATA / "hello.txt").read_text(encoding="utf-8").splitlines()}
    queries = {q["key"] for q in read("queries.jsonl")}
    assert set(judgements()) == queries
    assert {key for judged in judgements().values() for key in judged} <= known


def test_search_ranks_the_judged_sentences_as_well_as_it_did(tmp_path: Path, encoder: Encoder) -> None:
    with vecindex.open(tmp_path / "i", model=encoder) as index:
        sentences = read("sentences.jsonl")
        index.add([str(s["text"]) for s in sentences], keys=[str(s["key"]) for s in sentences])
        index.add((DATA / "hello.txt").read_text(encoding="utf-8").splitlines())
        queries = {str(q["key"]): str(q["text"]) for q in read("queries.jsonl")}
        hits = dict(zip(queries, index.search_many(list(queries.values()), k=10), strict=True))
    # Normalised discounted cumulative gain, linear: Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418
    values = []
    for query, judged in judgements().items():
        gains = [judged.get(hit.key, 0) for hit in hits[query]]
        ideal = sorted(judged.values(), reverse=True)[:10]
        dcg, best = (sum(g / math.log2(i + 2) for i, g in enumerate(row)) for row in (gains, ideal))
        values.append(dcg / best)
    assert abs(sum(values) / len(values) - 0.6552) < 0.002
