"""Measures how fast texts are encoded on a GPU, compared with sentence-transformers at its best, and where time goes.

    python tests/bench/gpu.py [--sentences 300000] [--rounds 3] [--precision bf16] [--texts FILE]
    python tests/bench/gpu.py --device cpu --sentences 200 --rounds 1        # that it runs; its figures say nothing

``vecindex encode`` is the whole call, from texts to vectors; its first pass is over texts that it never saw, so that
what is prepared for each new shape counts. sentence-transformers encodes the same texts with several batch sizes, in
bf16 and fp16, and with flash_attention_2 if that is installed; the best rate is the one compared with. The share of the
card is the model's own floating point operations, padding not counted, divided by the time, relative to a bf16 matrix
product measured in the same run. The steps are timed one by one, each waiting for the device.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from support.common import common_voice, rounds, where

from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.locate.resolve import ModelFiles, resolve
from vecindex.encoders.locate.vecindex_cache import file_digest
from vecindex.encoders.run.cuda import CudaEncoder

ST_BATCHES = (64, 256, 1024, 4096)
ST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=300_000)
    parser.add_argument("--compared", type=int, default=50_000, help="how many texts sentence-transformers encodes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="bf16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="sentences of your own, one a line")
    parser.add_argument("--tokens-a-batch", type=int)
    given = parser.parse_args()

    files = resolve(given.model, offline=True)
    space = replace(read_space(files.folder, files.name, file_digest), precision=given.precision)
    encoder = CudaEncoder(files.folder, space, device=given.device)
    if given.tokens_a_batch:
        encoder.tokens_a_batch = given.tokens_a_batch
    device = encoder.device
    texts = sentences(given.sentences, given.texts)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    print(f"{files.name}, {given.precision}, on {card}; torch {torch.__version__}; {where()}")
    print(f"agreement with fp32 on the processor: {encoder.agreement.describe()}")
    print(f"{len(texts)} sentences; medians of {given.rounds} rounds; batches of {encoder.tokens_a_batch} tokens\n")

    encoder.encode(texts[:100])  # kernels are loaded
    start = time.perf_counter()
    encoder.encode(texts)
    first = len(texts) / (time.perf_counter() - start)
    counted = count_work(encoder, texts)
    seconds = rounds({"vecindex": lambda: encoder.encode(texts)}, given.rounds)["vecindex"]
    print(f"{'vecindex encode, first pass':40}{first:>12,.0f} sentences/s")
    print(f"{'vecindex encode':40}{len(texts) / seconds:>12,.0f} sentences/s")
    best = report_sentence_transformers(files, texts[: given.compared], given.device, given.rounds)
    print(f"{'vecindex to the best of these':40}{len(texts) / seconds / best:>12.1f} times\n")
    report_work(counted, seconds, gemm_peak(device))
    report_steps(encoder, texts)


def sentences(count: int, file: Path | None) -> list[str]:
    """Distinct sentences; if there are too few, first halves are joined to second halves of others."""
    found = common_voice(count) if file is None else list(dict.fromkeys(file.read_text(encoding="utf-8").splitlines()))
    words = [text.split() for text in found]
    seen = dict.fromkeys(found[:count])
    for shift in range(1, len(found)):
        for one, other in zip(words, words[shift:] + words[:shift], strict=True):
            if len(seen) >= count:
                return list(seen)
            seen[" ".join(one[: len(one) // 2] + other[len(other) // 2 :])] = None
    return list(seen)


def report_sentence_transformers(files: ModelFiles, texts: list[str], device: str, count: int) -> float:
    """Prints sentence-transformers' own rates; returns the best."""
    from sentence_transformers import SentenceTransformer

    rates: dict[str, float] = {}
    attentions = ["sdpa", *(["flash_attention_2"] if importlib.util.find_spec("flash_attn") else [])]
    for name, dtype in ST_TYPES.items():
        for attention in attentions:
            model = SentenceTransformer(
                str(files.folder),
                device=device,
                local_files_only=True,
                model_kwargs={"dtype": dtype, "attn_implementation": attention},
            )
            jobs: dict[str, Callable[[], object]] = {
                f"s-t, {name}, {attention}, batch {size}": partial(
                    model.encode, texts, batch_size=size, show_progress_bar=False, normalize_embeddings=True
                )
                for size in ST_BATCHES
            }
            for job in jobs.values():
                job()
            rates |= {named: len(texts) / seconds for named, seconds in rounds(jobs, count).items()}
    for named, rate in rates.items():
        print(f"{named:40}{rate:>12,.0f} sentences/s")
    return max(rates.values())


def gemm_peak(device: torch.device) -> float:
    """Operations per second of a large bf16 matrix product of random numbers (zeros would be faster)."""
    side, repeats = (8192, 20) if device.type == "cuda" else (512, 3)
    a, b = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    times: list[float] = []
    for _ in range(repeats + 3):
        settle(device)
        start = time.perf_counter()
        a @ b
        settle(device)
        times.append(time.perf_counter() - start)
    operations: int = 2 * side * side * side
    return operations / statistics.median(times[3:])


def count_work(encoder: CudaEncoder, texts: list[str]) -> dict[str, float]:
    """Counts tokens, padded tokens, batches, and the floating point operations on real tokens.

    A transformer needs two for each token and weight of its linear layers, and four for each pair of tokens, feature
    and layer in its attention.
    """
    model = encoder._model
    linear = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "pooler" not in name
    )
    config = model.config
    counted: dict[str, float] = defaultdict(float)
    hidden = encoder._hidden

    def counting(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        lengths = torch.full((len(ids),), ids.shape[1]) if mask is None else mask.sum(dim=1).cpu()
        tokens, pairs = int(lengths.sum()), int((lengths**2).sum())
        counted["batches"] += 1
        counted["padded tokens"] += ids.numel()
        counted["tokens"] += tokens
        counted["operations"] += 2 * linear * tokens + 4 * config.num_hidden_layers * config.hidden_size * pairs
        return hidden(ids, mask)

    with patch.object(encoder, "_hidden", counting):
        encoder.encode(texts)
    return counted


def report_work(counted: dict[str, float], seconds: float, peak: float) -> None:
    tokens, padded = counted["tokens"], counted["padded tokens"]
    rate = counted["operations"] / seconds
    print(f"{tokens:,.0f} tokens in {counted['batches']:,.0f} batches, {100 * (padded / tokens - 1):.1f} % more padded")
    print(f"{counted['operations'] / tokens / 1e6:.1f} MFLOP a token; {rate / 1e12:.2f} TFLOP/s over the whole call")
    print(f"a bf16 matrix product: {peak / 1e12:.2f} TFLOP/s; the share of it: {100 * rate / peak:.1f} %\n")


def report_steps(encoder: CudaEncoder, texts: list[str]) -> None:
    """Prints how long each step takes; ``rest`` is batching, copying back and finding each text's place."""
    spent: dict[str, float] = defaultdict(float)

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            settle(encoder.device)
            start = time.perf_counter()
            found = function(*arguments)
            settle(encoder.device)
            spent[step] += time.perf_counter() - start
            return found

        return run

    head, tokenizer = encoder.head, encoder.tokenizer
    with (
        patch.object(tokenizer, "tokenize", timed("tokenize, beside the rest", tokenizer.tokenize)),
        patch.object(encoder, "_hidden", timed("forward", encoder._hidden)),
        patch.object(encoder, "head", timed("pool", head)),
    ):
        timed("whole call", encoder.encode)(texts)
    spent["rest"] = spent["whole call"] - spent["forward"] - spent["pool"]
    for step, seconds in spent.items():
        print(f"{step:40}{1e6 * seconds / len(texts):>12.2f} microseconds a sentence")


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
