"""Compares the vectors' quality with sentence-transformers': Spearman's correlation on the STS Benchmark's dev set.

python tests/bench/sts.py
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from typing import Any

from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from support.common import DATA, where

import vecindex
from vecindex.encoders.locate.resolve import resolve


def main() -> None:
    path = DATA / "stsb" / "dev.tsv"
    if not path.exists():
        sys.exit(f"{path} is missing; this benchmark needs the STS Benchmark's dev set.")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    gold = [float(row["score"]) for row in rows]
    firsts, seconds = [row["sentence1"] for row in rows], [row["sentence2"] for row in rows]
    reference = SentenceTransformer(str(resolve().folder), device="cpu")
    fast, slow = vecindex.load_encoder(), vecindex.load_encoder(runtime="torch")
    encoders: dict[str, Callable[[list[str]], Any]] = {
        "sentence-transformers": lambda texts: reference.encode(texts, normalize_embeddings=True),
        "vecindex, onnxruntime": fast.encode,
        "vecindex, torch": slow.encode,
        "vecindex, int8": vecindex.load_encoder(precision="int8").encode,
    }
    results = {
        name: float(spearmanr((encode(firsts) * encode(seconds)).sum(axis=1), gold).statistic)
        for name, encode in encoders.items()
    }
    print(f"STS Benchmark dev, {len(rows)} pairs; {where()}")
    for name, value in results.items():
        print(f"{name:24}{value:>10.6f}  difference {value - results['sentence-transformers']:+.6f}")
    lost = {name: abs(value - results["sentence-transformers"]) for name, value in results.items()}
    sys.exit(0 if all(value <= (0.003 if name.endswith("int8") else 0.0005) for name, value in lost.items()) else 1)


if __name__ == "__main__":
    main()
