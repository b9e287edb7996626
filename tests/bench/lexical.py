"""Lexical search beside tantivy, bm25s and FTS5: build, size, first query, queries of 3, 6 and 12 words; and SciFact.

    python tests/bench/lexical.py 100000 1000000

Rows are the first of the corpus' sentences (see corpus.py): English ones, and from about 250,000 on those of 83 other
languages. Queries are runs of words, stop words included, from two held-out sentences each. All engines reduce English
words to stems, and look for any of the words; each query goes to all of them in turn, and its time is the least of
three rounds, by the clock and of the processor, which other work on the machine changes less. tantivy and bm25s (with
numba) take part where they are installed.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import mmap
import random
import re
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import QUERIES, sentences
from support.common import DATA, where

from vecindex.index.comparing import ndcg
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.building import build
from vecindex.search.lexical.postings import Postings
from vecindex.search.lexical.query import LexicalQuery, parse_query
from vecindex.search.lexical.segment import dump, load
from vecindex.search.lexical.settings import LexicalSettings

LENGTHS = (1, 3, 6, 12)
CLOCKS = {"by the clock": time.perf_counter, "of the processor": time.process_time}
QUERIES_A_LENGTH = 100
ROUNDS = 3
K = 10

Search = Callable[[str], Any]
Opened = Callable[[], Search]


def vecindex(folder: Path, texts: list[str]) -> Opened:
    analyzer = Analyzer(LexicalSettings())
    made = build(analyzer, 0, len(texts), ((row, (text,)) for row, text in enumerate(texts)))
    (folder / "segment").write_bytes(b"".join(dump(made)))

    def opened() -> Search:
        postings, read = open_segment(folder / "segment")
        return lambda query: postings.top(parse_query(query, read), K)

    return opened


def open_segment(path: Path) -> tuple[Postings, Analyzer]:
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    return Postings([load(memoryview(mapped))]), Analyzer(LexicalSettings())


def fts5(folder: Path, texts: list[str]) -> Opened:
    with sqlite3.connect(folder / "fts5.db") as database:
        database.execute("create virtual table texts using fts5(text, content='', tokenize='porter unicode61')")
        database.executemany("insert into texts (rowid, text) values (?, ?)", enumerate(texts))
        database.execute("insert into texts (texts) values ('optimize')")

    def opened() -> Search:
        database = sqlite3.connect(folder / "fts5.db")
        asked = f"select rowid, rank from texts where texts match ? order by rank limit {K}"
        return lambda query: database.execute(asked, (" OR ".join(f'"{word}"' for word in query.split()),)).fetchall()

    return opened


def tantivy(folder: Path, texts: list[str]) -> Opened:
    import tantivy as library

    schema = library.SchemaBuilder()
    schema.add_text_field("text", stored=False, tokenizer_name="en_stem", index_option="freq")
    schema.add_integer_field("row", stored=True, fast=True)
    index = library.Index(schema.build(), path=str(folder))
    writer = index.writer(heap_size=200_000_000, num_threads=1)
    for row, text in enumerate(texts):
        writer.add_document(library.Document(text=text, row=row))
    writer.commit()
    writer.wait_merging_threads()

    def opened() -> Search:
        index = library.Index.open(str(folder))
        searcher = index.searcher()
        return lambda query: searcher.search(index.parse_query(query, ["text"]), K).hits

    return opened


def bm25s(folder: Path, texts: list[str]) -> Opened:
    import bm25s as library
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def tokens(found: list[str], as_ids: bool) -> Any:
        options = {"stopwords": None, "stemmer": stemmer, "show_progress": False, "token_pattern": r"(?u)\b\w+\b"}
        return library.tokenize(found, return_ids=as_ids, **options)

    retriever = library.BM25(backend="numba")
    retriever.index(tokens(texts, True), show_progress=False)
    retriever.save(str(folder))

    def opened() -> Search:
        retriever = library.BM25.load(str(folder), mmap=True, load_corpus=False)
        retriever.backend = "numba"
        retriever.activate_numba_scorer()
        return lambda query: retriever.retrieve(tokens([query], False), k=K, show_progress=False, n_threads=0)

    return opened


def engines() -> dict[str, Callable[[Path, list[str]], Opened]]:
    found: dict[str, Callable[[Path, list[str]], Opened]] = {"vecindex": vecindex, "fts5": fts5}
    if importlib.util.find_spec("tantivy"):
        found["tantivy"] = tantivy
    if importlib.util.find_spec("bm25s") and importlib.util.find_spec("numba"):
        found["bm25s"] = bm25s
    return found


def queries(held_out: list[str]) -> dict[int, list[str]]:
    """For each length, runs of so many words of two sentences, one after the other."""
    drawn = random.Random(0)
    found: dict[int, list[str]] = {length: [] for length in LENGTHS}
    for length, runs in found.items():
        while len(runs) < QUERIES_A_LENGTH:
            words = re.findall(r"\w+", " ".join(drawn.sample(held_out, 2)))
            start = drawn.randrange(max(1, len(words) - length + 1))
            if len(run := words[start : start + length]) == length:
                runs.append(" ".join(run))
    return found


def measure(texts: list[str], asked: dict[int, list[str]], folder: Path) -> None:
    print(f"\n{len(texts):,} rows of {statistics.mean(map(len, texts[:10_000])):.0f} characters")
    searches: dict[str, Search] = {}
    for name, make in engines().items():
        (folder / name).mkdir()
        start, spent = time.perf_counter(), time.process_time()
        opened = make(folder / name, texts)
        rate, cost = len(texts) / (time.perf_counter() - start), (time.process_time() - spent) / len(texts) * 1e6
        size = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
        start = time.perf_counter()
        searches[name] = opened()
        searches[name](asked[6][0])
        first = (time.perf_counter() - start) * 1000
        print(f"{name:10} {rate:9,.0f} rows/s, {cost:5.1f} ms of the processor for 1,000", end="")
        print(f" {size / len(texts):6.1f} bytes a row  open + first query {first:7.1f} ms", flush=True)
    times = {length: timed(searches, asked[length]) for length in LENGTHS}
    fewer = filtered(folder / "vecindex" / "segment", asked)
    for clock in CLOCKS:
        print(f"p50 / p90 ms {clock:17}" + "".join(f"{length:>10} words" for length in LENGTHS))
        for name in searches:
            print(f"{name:30}" + "".join(f"{shown(times[length][clock][name]):>16}" for length in LENGTHS))
        print(f"{'  filter 1 %':30}" + "".join(f"{shown(fewer[length][clock]['']):>16}" for length in LENGTHS))


Times = dict[str, dict[str, list[float]]]
"""By clock and engine, the milliseconds of each query."""


def timed(searches: dict[str, Search], asked: list[str]) -> Times:
    """The least milliseconds of each query in each engine; all engines answer it in turn."""
    least = {clock: {name: [float("inf")] * len(asked) for name in searches} for clock in CLOCKS}
    for _ in range(ROUNDS):
        for number, query in enumerate(asked):
            for name, search in searches.items():
                begun = {clock: now() for clock, now in CLOCKS.items()}
                search(query)
                for clock, now in CLOCKS.items():
                    took = (now() - begun[clock]) * 1000
                    least[clock][name][number] = min(least[clock][name][number], took)
    return least


def shown(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} / {statistics.quantiles(times, n=10)[-1]:.2f}"


def filtered(path: Path, asked: dict[int, list[str]]) -> dict[int, Times]:
    """Ours with a filter that allows 1 % of the rows."""
    postings, analyzer = open_segment(path)
    rows = postings.records
    allowed = np.packbits(np.random.default_rng(0).random(rows) < 0.01, bitorder="little")
    search = {"": lambda query: postings.top(parse_query(query, analyzer), K, allowed)}
    return {length: timed(search, asked[length]) for length in LENGTHS}


def scifact() -> None:
    """nDCG@10 over titles and texts."""
    path = DATA / "scifact"
    if not path.exists():
        print(f"{path} is not here: no figures of quality.")
        return
    corpus = json_lines(path / "corpus.jsonl.gz")
    asked = {each["_id"]: each["text"] for each in json_lines(path / "queries.jsonl.gz")}
    judged: dict[str, dict[str, float]] = {}
    for line in (path / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, key, relevance = line.split("\t")
        judged.setdefault(query, {})[key] = float(relevance)
    for language in ("english", None):
        analyzer = Analyzer(LexicalSettings(language))
        documents = ((row, (f"{each['title']} {each['text']}",)) for row, each in enumerate(corpus))
        postings = Postings([build(analyzer, 0, len(corpus), documents)])
        values = []
        for name, relevance_of in judged.items():
            rows, _ = postings.top(words_of(asked[name], analyzer), K)
            values.append(ndcg([corpus[row]["_id"] for row in rows.tolist()], relevance_of))
        print(f"SciFact, {len(values)} queries, stems of {language}: nDCG@10 {statistics.mean(values):.4f}")


def words_of(text: str, analyzer: Analyzer) -> LexicalQuery:
    """A claim as words alone: its quotation marks and hyphens ask for nothing."""
    return parse_query(re.sub(r'"|\B-', " ", text), analyzer)


def json_lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    print(where())
    scifact()
    if not (DATA / "sentences").exists():
        sys.exit(f"{DATA / 'sentences'} is not here; the other figures need its sentences.")
    texts = [text for _, text in sentences()]
    asked = queries(texts[:QUERIES])
    for rows in [int(argument) for argument in sys.argv[1:]] or [100_000]:
        folder = Path(tempfile.mkdtemp(prefix="vecindex-bench-"))
        try:
            measure(texts[QUERIES : QUERIES + rows], asked, folder)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
