"""How well each way to search answers queries whose right answers are known, with 95 % intervals, on several sets.

    python tests/bench/relevance.py                     # all sets; encodes what is missing, once
    python tests/bench/relevance.py scifact words       # or some of them

- scifact: 300 judged claims, 5,183 abstracts (BEIR).
- words: 1,000 words and codes that stand in exactly one title of SciFact have to find it: first those whose stem is in
  no other title, then any, other forms of which may be in other titles.
- paraphrases: sentences of STS-B find those that people called nearly or wholly equivalent.
- voice, dialogue: shortened and misspelt copies find their record among 5,000 prompts of Common Voice, or turns.

Known items share their words with the texts, so they flatter the words' side; claims and paraphrases do not.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus import folder
from support.common import DATA, common_voice, where

import vecindex
from vecindex.cli.render.evaluations import evaluation_as
from vecindex.evaluate.judgements import read_qrels, read_queries
from vecindex.evaluate.known_items import misspelt, plain, shortened
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.settings import LexicalSettings

KNOWN_RECORDS = 5_000
KNOWN_QUERIES = 300
WORDS = 1_000
BEHIND = 0.005
"""So much of nDCG@10 a search by several sides may be behind the better of them without being called so."""
EQUIVALENT = 4.0
"""Of 5: "mostly equivalent, but some unimportant details differ"."""

Expected = dict[tuple[str, str], tuple[float, float]]
"""The range in which a measure of a system has to be."""


@dataclass(frozen=True)
class JudgedSet:
    """Texts by key, which are in the index ``index``; queries by name; and what is relevant to each."""

    title: str
    index: str
    texts: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, float]]
    expected: Expected


def scifact() -> Iterator[JudgedSet]:
    documents = _documents()
    queries = read_queries(DATA / "scifact" / "queries.jsonl.gz")
    assert isinstance(queries, dict)
    expected: Expected = {
        ("dense", "nDCG@10"): (0.6431, 0.6471),
        ("lexical", "nDCG@10"): (0.68, 1),
        ("hybrid", "nDCG@10"): (0.73, 1),
        ("hybrid+tokens", "nDCG@10"): (0.74, 1),
    }
    texts = {key: f"{title}\n{text}" for key, (title, text) in documents.items()}
    qrels = read_qrels(DATA / "scifact" / "qrels.tsv")
    yield JudgedSet("SciFact: claims and abstracts", "scifact", texts, queries, qrels, expected)


def words() -> Iterator[JudgedSet]:
    titles = {key: title for key, (title, _) in _documents().items()}
    analyzer = Analyzer(LexicalSettings())
    standing: dict[str, set[str]] = defaultdict(set)
    frequency: Counter[str] = Counter()
    for key, title in titles.items():
        frequency.update(set(analyzer.terms(title)))
        for word in re.findall(r"\w+(?:-\w+)*", title.casefold()):
            standing[word].add(key)
    single = sorted(word for word, keys in standing.items() if len(keys) == 1 and len(word) > 1)
    unlike = [word for word in single if all(frequency[term] == 1 for term in analyzer.terms(word))]
    exactly: Expected = {("hybrid", "success@1"): (0.9, 1), ("hybrid", "success@10"): (0.99, 1)}
    for what, found in (("their stem too", unlike), ("other forms may be elsewhere", single)):
        chosen = random.Random(0).sample(found, min(WORDS, len(found)))
        qrels: dict[str, dict[str, float]] = {word: dict.fromkeys(standing[word], 1.0) for word in chosen}
        title = f"Words of one title ({what}): {len(chosen):,} of {len(found):,}"
        yield JudgedSet(title, "titles", titles, {word: word for word in chosen}, qrels, exactly)


def paraphrases() -> Iterator[JudgedSet]:
    with (DATA / "stsb" / "dev.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts = {text: text for row in rows if (text := row["sentence2"])}
    qrels: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if float(row["score"]) >= EQUIVALENT and row["sentence1"] not in texts:
            qrels[row["sentence1"]][row["sentence2"]] = 1.0
    # Their quotation marks are not meant for a search, where they ask for a phrase.
    queries = {text: plain(text) for text in qrels}
    yield JudgedSet("STS-B: paraphrases", "stsb", texts, queries, dict(qrels), {})


def voice() -> Iterator[JudgedSet]:
    yield from _known_items("Common Voice", "voice", common_voice(KNOWN_RECORDS))


def dialogue() -> Iterator[JudgedSet]:
    found: dict[str, None] = {}
    with gzip.open(DATA / "sentences" / "dialogue-en.txt.gz", "rt", encoding="utf-8") as lines:
        while len(found) < KNOWN_RECORDS:
            found[next(lines).rstrip("\n")] = None
    yield from _known_items("Dialogue", "dialogue", list(found))


def _known_items(title: str, index: str, sentences: list[str]) -> Iterator[JudgedSet]:
    for name, change in (("shortened", shortened), ("misspelt", misspelt)):
        draw = random.Random(0)
        queries: dict[str, str] = {}
        for text in draw.sample(sentences, len(sentences)):
            if len(queries) < KNOWN_QUERIES and (query := change(text, draw)):
                queries[text] = query
        qrels: dict[str, dict[str, float]] = {text: {text: 1.0} for text in queries}
        yield JudgedSet(f"{title}: {name} copies", index, {text: text for text in sentences}, queries, qrels, {})


def _documents() -> dict[str, tuple[str, str]]:
    with gzip.open(DATA / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        return {row["_id"]: (row["title"], row["text"]) for row in map(json.loads, lines)}


SETS: dict[str, tuple[Callable[[], Iterator[JudgedSet]], Path]] = {
    "scifact": (scifact, DATA / "scifact"),
    "words": (words, DATA / "scifact"),
    "paraphrases": (paraphrases, DATA / "stsb"),
    "voice": (voice, DATA / "sentences"),
    "dialogue": (dialogue, DATA / "sentences"),
}


def measured(judged: JudgedSet) -> list[str]:
    """Prints a set's table; returns what is not as it should be."""
    path = folder() / f"relevance-{judged.index}"
    with vecindex.open(path) as index:
        if len(index) != len(judged.texts):
            print(f"encoding {len(judged.texts):,} texts into {path} ...", file=sys.stderr, flush=True)
            index.add(list(judged.texts.values()), keys=list(judged.texts))
        print(f"storing token vectors in {path} ...", file=sys.stderr, flush=True)
        index.index_tokens()
        found = vecindex.evaluate_index(
            index, judged.queries, judged.qrels, fusions=("convex", "rrf"), reranks=(None, "tokens")
        )
    print(f"\n## {judged.title}\n\n{evaluation_as('text', found)}")
    values = {(each.system, one.measure): one.mean for each in found.systems for one in each.estimates}
    for system, rankings in found.rankings.items():
        for depth in (1, 10):
            found_any = [not judged.qrels[query].keys().isdisjoint(names[:depth]) for query, names in rankings.items()]
            values[system, f"success@{depth}"] = sum(found_any) / len(rankings)
    for depth, place in ((1, "first"), (10, "among the first ten")):
        shares = (f"{name} {values[name, f'success@{depth}']:.1%}" for name in found.rankings)
        print(f"a right record {place}: " + ", ".join(shares))
    gaps = {name: behind(name, {each: values[each, "nDCG@10"] for each in found.rankings}) for name in found.rankings}
    for name, (part, gap) in gaps.items():
        if part:
            said = f"{gap:.4f} behind {part}" if gap > BEHIND else "not behind the best of its parts"
            print(f"{name} is {said}")
    faults = [f"{judged.title}: hybrid+tokens is behind {gaps['hybrid+tokens'][0]}"]
    return (faults if gaps["hybrid+tokens"][1] > BEHIND else []) + [
        f"{judged.title}: {measure} of {system} is {values[system, measure]:.4f}, not within {low:g} to {high:g}"
        for (system, measure), (low, high) in judged.expected.items()
        if not low <= values[system, measure] <= high
    ]


def behind(system: str, means: dict[str, float]) -> tuple[str, float]:
    """The best of the searches that a search is made of, "" if it is of none, and how much better that is."""
    first, _, second = system.partition("+")
    parts = ["dense", "lexical"] if first.startswith("hybrid") else []
    parts += [first] if second else []
    best = max(parts, key=lambda part: means[part], default="")
    return best, means[best] - means[system] if best else 0.0


def main() -> None:
    print(f"{where()}, {vecindex.load_encoder().space.describe()}")
    faults = []
    for name in sys.argv[1:] or SETS:
        make, data = SETS[name]
        if not data.exists():
            print(f"\n## {name}: left out, for {data} is not here")
            continue
        for judged in make():
            faults += measured(judged)
    if faults:
        sys.exit("\n" + "\n".join(faults))


if __name__ == "__main__":
    main()
