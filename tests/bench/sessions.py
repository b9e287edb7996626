"""Which settings of onnxruntime are best on this machine: the figures behind those in encoders/onnx.py and encoder.py.

    python tests/bench/sessions.py [--sentences 2000] [--rounds 3]

Every line is one setting changed from ``as shipped``: how many batches run side by side and on how many cores each, how
many padded tokens a batch has, the arena for memory, spinning threads. Rates are texts a second; ``one query`` is the
median of a query's forward pass alone; memory is what the process grew by for all of it, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from support.common import common_voice, where

import vecindex
from vecindex.encoders.run.batches import TOKENS_A_BATCH, TOKENS_A_SHARE
from vecindex.encoders.run.onnx import MODEL_FILE, SLOWER_FUSIONS
from vecindex.machine.cores import available_cores


@dataclass(frozen=True)
class Setting:
    """``workers`` batches of ``budget`` padded tokens at once, each on ``threads`` cores; a slow ``fusion`` is done."""

    workers: int
    threads: int
    budget: int = TOKENS_A_BATCH
    arena: bool = True
    spinning: bool = True
    fusion: str = ""


def settings() -> dict[str, Setting]:
    cores = available_cores()
    shipped = Setting(cores, 1)
    return {
        "as shipped": shipped,
        "one batch on all cores": replace(shipped, workers=1, threads=cores, budget=cores * TOKENS_A_SHARE),
        **{f"{budget} tokens a batch": replace(shipped, budget=budget) for budget in (128, 512, 1024, 2048)},
        "no arena": replace(shipped, arena=False),
        "no spinning": replace(shipped, spinning=False),
        **{f"with {fusion}": replace(shipped, fusion=fusion) for fusion in SLOWER_FUSIONS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", metavar="JSON", help="(used by itself) measure one setting, and end")
    arguments = parser.parse_args()
    texts = common_voice(arguments.sentences)
    if arguments.one:
        print(json.dumps(measure(Setting(**json.loads(arguments.one)), texts)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in settings()}
    for _ in range(arguments.rounds):  # every round runs all of them, so that noise hits all
        for name, setting in settings().items():
            command = [sys.executable, __file__, "--sentences", str(len(texts)), "--one", json.dumps(asdict(setting))]
            found[name].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{len(texts)} Common Voice sentences, medians of {arguments.rounds} rounds; {where()}\n")
    print(f"{'':28}{'texts/s':>9}{'one query':>12}{'memory':>10}")
    for name, rounds in found.items():
        rate, query, memory = (statistics.median(r[key] for r in rounds) for key in ("rate", "query", "memory"))
        print(f"{name:28}{rate:>9,.0f}{query * 1000:>9.2f} ms{memory / 1e6:>7,.0f} MB")


def measure(setting: Setting, texts: list[str]) -> dict[str, float]:
    encoder: Any = vecindex.load_encoder()
    model = encoder.folder / MODEL_FILE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import onnxruntime  # after vecindex, which keeps it from reporting to its maker

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.enable_cpu_mem_arena = setting.arena
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(setting.spinning)))
    disabled = [fusion for fusion in SLOWER_FUSIONS if fusion != setting.fusion]
    session = onnxruntime.InferenceSession(str(model), options, disabled_optimizers=disabled)
    lengths = encoder.tokenizer.tokenize(texts)
    order = sorted(range(len(texts)), key=lambda i: -len(lengths[i].ids))
    batches, start = [], 0
    while start < len(order):
        rows = order[start : start + max(1, setting.budget // len(lengths[order[start]].ids))]
        batches.append(encoder.padded([lengths[row] for row in rows]))
        start += len(rows)

    def run(batch: tuple[np.ndarray, np.ndarray]) -> None:
        session.run(None, {"input_ids": batch[0], "attention_mask": batch[1]})

    with ThreadPoolExecutor(setting.workers) as pool:
        list(pool.map(run, batches[-4:]))
        begin = time.perf_counter()
        list(pool.map(run, batches))
        seconds = time.perf_counter() - begin
    query = encoder.padded(encoder.tokenizer.tokenize(["my name"]))
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        run(query)
        times.append(time.perf_counter() - begin)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"rate": len(texts) / seconds, "query": statistics.median(times), "memory": grown * 1024}


if __name__ == "__main__":
    main()
