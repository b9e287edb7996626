"""Measures how fast texts are encoded and added, compared with bare onnxruntime and sentence-transformers.

    python tests/bench/encode.py [--sentences 5000] [--rounds 3]

The share of the limit is the time that the model's matrix products need, padding not counted, at the best rate that
numpy or torch sustains here, divided by the whole time; tokenizing, pooling and everything else count against it. Both
are measured in turns, `TURNS` a round, since a shared machine's speed changes from minute to minute; the share of the
best single product is printed too. ``bare`` is onnxruntime on the same compiled model with nothing around it:
tokenizing, sorting by length, batching and mean pooling are written here independently. ``add`` is index.add into a new
index, until it is durable and searchable. ``add, process`` is the whole command, with start-up and model loading,
compared with a process that only does the bare encoding.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from gemm import Products, flop
from support.common import common_voice, each_round, rounds, where
from tokenizers import Tokenizer

import vecindex
from vecindex.encoders.locate.resolve import resolve
from vecindex.encoders.locate.vecindex_cache import compiled_folder

ST_BATCHES = (32, 64, 128, 256)
TURNS = 4


class Bare:
    """The minimum that turns texts into vectors with onnxruntime."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        import onnxruntime  # after vecindex, which keeps it from reporting to its maker

        options = onnxruntime.SessionOptions()
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: list[str], budget: int = 1024) -> np.ndarray:
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        vectors = np.empty((len(ids), 384), dtype=np.float32)
        start = 0
        while start < len(order):
            width = len(ids[order[start]])
            rows = order[start : start + max(1, budget // width)]
            start += len(rows)
            batch = np.zeros((len(rows), width), dtype=np.int64)
            mask = np.zeros_like(batch)
            for row, i in enumerate(rows):
                batch[row, : len(ids[i])] = ids[i]
                mask[row, : len(ids[i])] = 1
            states = self.session.run(None, {"input_ids": batch, "attention_mask": mask})[0]
            means = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            vectors[rows] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", metavar="FILE", help="(used by itself) encode the lines of a file, and end")
    arguments = parser.parse_args()
    if arguments.bare:
        source = Path(arguments.bare)
        Bare(source.parent / "compiled", max_tokens=256).encode(source.read_text(encoding="utf-8").splitlines())
    else:
        compare(arguments.sentences, arguments.rounds)


def compare(sentences: int, count: int) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = vecindex.load_encoder()
    space = encoder.space
    texts = common_voice(sentences)
    reference = SentenceTransformer(str(resolve().folder), device="cpu")
    bare = Bare(compiled_folder(space.fingerprint), space.max_tokens)
    agreement = float((bare.encode(texts) * reference.encode(texts, normalize_embeddings=True)).sum(axis=1).min())
    with tempfile.TemporaryDirectory() as home:
        source = Path(home) / "sentences.txt"
        source.write_text("\n".join(texts), encoding="utf-8")
        (Path(home) / "compiled").symlink_to(compiled_folder(space.fingerprint))
        fresh = iter(range(10**6))

        def add() -> None:
            with vecindex.open(Path(home) / f"{next(fresh)}.vecindex", model=encoder) as index:
                assert index.add(texts).added == len(texts)

        def command() -> None:
            index = Path(home) / f"{next(fresh)}.vecindex"
            code = "from vecindex.cli import main; main()"
            subprocess.run(
                [sys.executable, "-c", code, "add", str(source), "--index", str(index)], check=True, capture_output=True
            )

        def bare_process() -> None:
            subprocess.run([sys.executable, __file__, "--bare", str(source)], check=True)

        kept = Path(home) / "kept.vecindex"
        with vecindex.open(kept, model=encoder) as index:
            index.add(texts)

        def again() -> None:
            with vecindex.open(kept, model=encoder) as index:
                report = index.add(texts)
                assert (report.unchanged, report.added, report.updated) == (len(texts), 0, 0)

        int8 = vecindex.load_encoder(precision="int8")
        jobs: dict[str, Callable[[], object]] = {
            "bare onnxruntime": lambda: bare.encode(texts),
            "vecindex encode, fp32": lambda: encoder.encode(texts),
            "vecindex encode, int8": lambda: int8.encode(texts),
            "vecindex add": add,
            "vecindex add, again": again,
            **{
                f"sentence-transformers, batch {size}": partial(reference.encode, texts, batch_size=size)
                for size in ST_BATCHES
            },
            "bare onnxruntime, process": bare_process,
            "vecindex add, process": command,
        }
        for job in jobs.values():
            job()  # once unmeasured: pools and allocators are warm for all alike
        seconds = rounds(jobs, count)
    rates = {name: len(texts) / each for name, each in seconds.items()}
    best = max(rate for name, rate in rates.items() if name.startswith("sentence-transformers"))
    print(f"{len(texts)} Common Voice sentences, medians of {count} rounds; {where()}")
    print(f"least cosine of bare onnxruntime to sentence-transformers: {agreement:.7f}\n")
    print(f"{'':34}{'texts/s':>10}{'to bare':>10}{'to s-t':>10}")
    for name, rate in rates.items():
        base = rates["bare onnxruntime, process" if name.endswith("process") else "bare onnxruntime"]
        print(f"{name:34}{rate:>10,.0f}{rate / base:>10.2f}{rate / best:>10.2f}")
    operations = flop(resolve().folder, encoder.count_tokens(texts))
    products = Products()
    turns = each_round({**products.jobs, "encode": lambda: encoder.encode(texts)}, TURNS * count)
    used = operations / median(turns["encode"]) / 1e9
    limit = products.kept_up({name: median(each) for name, each in turns.items()})
    print(f"\nmatrix products: {operations / len(texts) / 1e6:,.0f} MFLOP a text; fp32: {used:,.0f} GFLOP/s")
    print(f"the machine keeps up {limit:,.0f} GFLOP/s; share: {used / limit:.2f}")
    print(f"its best single product: {products.best:,.0f} GFLOP/s; share: {used / products.best:.2f}")


if __name__ == "__main__":
    main()
