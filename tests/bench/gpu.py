"""How fast are texts encoded on a GPU, against sentence-transformers there at its best, and where does the time go.

    python tests/bench/gpu.py [--sentences 300000] [--rounds 3] [--precision bf16] [--texts FILE]
    python tests/bench/gpu.py --device cpu --sentences 200 --rounds 1        # that it runs; its figures say nothing

``vecindex encode`` is the whole call, texts in and vectors out; its first pass is over texts that it never saw, so that
what is prepared for each new shape counts. sentence-transformers encodes the same texts with each of several batch
sizes, in bf16 and fp16, with flash_attention_2 too where that is installed; the best of them is the one compared with.
The share of the card is the model's own floating point operations, padding not counted, over the time, against a bf16
matrix product measured in the same run. The steps are timed one by one, each waiting for the device, so their sum is
more than the whole, in which they run side by side.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from support.common import common_voice, rounds, where

from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.gpu.cuda import CudaEncoder
from vecindex.encoders.locate.resolve import ModelFiles, resolve
from vecindex.encoders.locate.vecindex_cache import file_digest

ST_BATCHES = (64, 256, 1024, 4096)
ST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=300_000)
    parser.add_argument("--compared", type=int, default=50_000, help="how many sentence-transformers encodes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="bf16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="sentences of your own, one a line")
    parser.add_argument("--processes", type=int, help="how many tokenize; half the cores and all of them, say")
    parser.add_argument("--tokens-a-batch", type=int)
    given = parser.parse_args()

    files = resolve(given.model, offline=True)
    space = replace(read_space(files.folder, files.name, file_digest), precision=given.precision)
    encoder = CudaEncoder(
        *(files.folder, space),
        device=given.device,
        processes=given.processes,
        tokens_a_batch=given.tokens_a_batch,
    )
    device = encoder._on_device.lanes.device
    texts = sentences(given.sentences, given.texts)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    print(f"{files.name}, {given.precision}, on {card}; torch {torch.__version__}; {where()}")
    print(f"agreement with fp32 on the processor: {encoder.agreement.describe()}")
    print(f"{len(texts)} sentences; medians of {given.rounds} rounds; batches of {encoder._on_device.budget} tokens\n")

    encoder.encode(texts[:100] * 100)  # processes are started
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
    encoder.close()


def sentences(count: int, file: Path | None) -> list[str]:
    """Different sentences; where there are too few, the first half of each is joined to the second half of another."""
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
    """Prints sentence-transformers' own rates; gives the best."""
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
    """Operations a second of a large bf16 matrix product of random numbers (zeros would be faster)."""
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
    """Tokens, what they became with padding, batches, and the floating point operations on those that are none.

    Of a transformer these are two for each weight of its linear layers and each token, and four for each pair of
    tokens, feature and layer in its attention.
    """
    model = encoder._on_device._model
    linear = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "pooler" not in name
    )
    config = model.config
    counted: dict[str, float] = defaultdict(float)
    hidden = encoder._on_device._hidden

    def counting(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        lengths = torch.full((len(ids),), ids.shape[1]) if mask is None else mask.sum(dim=1).cpu()
        tokens, pairs = int(lengths.sum()), int((lengths**2).sum())
        counted["batches"] += 1
        counted["padded tokens"] += ids.numel()
        counted["tokens"] += tokens
        counted["operations"] += 2 * linear * tokens + 4 * config.num_hidden_layers * config.hidden_size * pairs
        return hidden(ids, mask)

    with patch.object(encoder._on_device, "_hidden", counting):
        encoder.encode(texts)
    return counted


def report_work(counted: dict[str, float], seconds: float, peak: float) -> None:
    tokens, padded = counted["tokens"], counted["padded tokens"]
    rate = counted["operations"] / seconds
    print(f"{tokens:,.0f} tokens in {counted['batches']:,.0f} batches, {100 * (padded / tokens - 1):.1f} % more padded")
    print(f"{counted['operations'] / tokens / 1e6:.1f} MFLOP a token; {rate / 1e12:.2f} TFLOP/s over the whole call")
    print(f"a bf16 matrix product: {peak / 1e12:.2f} TFLOP/s; the share of it: {100 * rate / peak:.1f} %\n")


def report_steps(encoder: CudaEncoder, texts: list[str]) -> None:
    """Prints how long each step takes where nothing else runs beside it."""
    device = encoder._on_device
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        settle(device.lanes.device)
        start = time.perf_counter()
        yield
        settle(device.lanes.device)
        spent[step] += time.perf_counter() - start

    def around(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            with timed(step):
                return function(*arguments)

        return run

    with timed("tokenise"):
        blocks = list(encoder._blocks(texts, "document"))
    with (
        patch.object(device, "_upload", around("copy there", device._upload)),
        patch.object(device, "_hidden", around("forward", device._hidden)),
        patch.object(device, "_head", around("pool", device._head)),
        patch.object(device.lanes, "download", around("copy back", device.lanes.download)),
    ):
        for block in blocks:
            with timed("all on the device"):
                running = device.start(block.tokens, 0)
            with timed("to their places"):
                np.take(running.rows(), running.ranks[block.places], axis=0)
    spent["the rest of it"] = spent["all on the device"] - sum(
        spent[step] for step in ("copy there", "forward", "pool", "copy back")
    )
    for step in ("tokenise", "copy there", "forward", "pool", "copy back", "the rest of it", "to their places"):
        print(f"{step:40}{1e6 * spent[step] / len(texts):>12.2f} microseconds a sentence")


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
