"""The benchmarks' corpus: real sentences with real vectors, embedded once and kept outside the project.

    python tests/bench/corpus.py 100000        # embeds what is missing; goes on where an earlier run was stopped

Queries are sentences held out of the corpus. English rows (dialogue turns and Common Voice prompts, shuffled) come
first, the rest of Common Voice after them, so that the first n rows are the same for every n.
"""

from __future__ import annotations

import gzip
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.common import DATA

QUERIES = 1000
DIM = 384
BLOCK = 16384


@dataclass(frozen=True)
class Corpus:
    """``texts``, ``vectors`` (n, 384) float32 of unit length, ``buckets`` (n,) in [0, 1000), ``languages``; queries."""

    texts: list[str]
    languages: list[str]
    buckets: list[int]
    vectors: np.ndarray
    queries: list[str]
    query_vectors: np.ndarray

    def metadata(self) -> list[dict[str, object]]:
        """What each row carries beside its text: its language, and a number to filter by."""
        pairs = zip(self.languages, self.buckets, strict=True)
        return [{"lang": language, "bucket": bucket} for language, bucket in pairs]


def folder() -> Path:
    """Where vectors are kept between runs: ``$VECINDEX_BENCH``, else the user's cache."""
    path = Path(os.environ.get("VECINDEX_BENCH") or Path.home() / ".cache" / "vecindex-bench")
    path.mkdir(parents=True, exist_ok=True)
    return path


def sentences() -> list[tuple[str, str]]:
    """Every different (language, sentence) of the data, in the corpus' order."""
    english: dict[str, None] = {}
    others: dict[str, str] = {}
    with gzip.open(DATA / "sentences" / "dialogue-en.txt.gz", "rt", encoding="utf-8") as lines:
        english.update((line.rstrip("\n"), None) for line in lines)
    with gzip.open(DATA / "sentences" / "commonvoice.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            language, _, text = line.rstrip("\n").partition("\t")
            if language == "en":
                english[text] = None
            else:
                others.setdefault(text, language)
    first = [("en", text) for text in english if text.strip()]
    rest = [(language, text) for text, language in others.items() if text.strip() and text not in english]
    random.Random(0).shuffle(first)
    random.Random(0).shuffle(rest)
    return first + rest


def load(rows: int) -> Corpus:
    """The first ``rows`` of the corpus with its queries; exits with advice where they are not embedded yet."""
    found = sentences()[: QUERIES + rows]
    path = folder() / "corpus.f32"
    size = path.stat().st_size if path.exists() else 0
    if len(found) < QUERIES + rows or size < 4 * DIM * len(found):
        sys.exit(f"{rows:,} rows are not embedded; run: python tests/bench/corpus.py {rows}")
    vectors = np.memmap(path, dtype="<f4", mode="r", shape=(len(found), DIM))
    bucket = random.Random(1)
    return Corpus(
        texts=[text for _, text in found[QUERIES:]],
        languages=[language for language, _ in found[QUERIES:]],
        buckets=[bucket.randrange(1000) for _ in range(rows)],
        vectors=vectors[QUERIES:],
        queries=[text for _, text in found[:QUERIES]],
        query_vectors=np.array(vectors[:QUERIES]),
    )


def embed(rows: int) -> None:
    """Embeds the corpus up to ``rows``, block by block, after what an earlier run wrote whole."""
    from vecindex import load_encoder

    encoder = load_encoder()
    found = sentences()[: QUERIES + rows]
    path = folder() / "corpus.f32"
    done = path.stat().st_size // (4 * DIM) if path.exists() else 0
    with open(path, "r+b" if done else "wb") as file:
        file.truncate(4 * DIM * done)
        file.seek(0, os.SEEK_END)
        for start in range(done, len(found), BLOCK):
            began = time.perf_counter()
            block = [text for _, text in found[start : start + BLOCK]]
            file.write(encoder.encode(block).astype("<f4").tobytes())
            file.flush()
            rate = len(block) / (time.perf_counter() - began)
            print(f"{start + len(block):,} of {len(found):,}, {rate:,.0f}/s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    embed(int(sys.argv[1]))
