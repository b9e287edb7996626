"""Measures what one core spends its time on in a forward pass in fp32, compared with its matrix products alone.

    python tests/bench/forward.py [--rounds 100]

A batch of sentences of 14 tokens, the most common length, runs on one core, in turns: in the compiled model, and in
torch with oneDNN's kernels, which add biases, GELU and sums while a product is still in registers. A product of two
1,024 x 1,024 matrices in torch is the third. Then follows onnxruntime's own profile of the compiled model, by operator.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gemm import flop
from support.common import common_voice, rounds, where

import vecindex
from vecindex.encoders.locate.resolve import resolve
from vecindex.encoders.run.batches import TOKENS_A_BATCH
from vecindex.encoders.run.onnx import INPUTS, MODEL_FILE, SLOWER_FUSIONS

LENGTH = 14
SIZE = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    count = parser.parse_args().rounds
    encoder: Any = vecindex.load_encoder()
    tokenized = encoder.tokenizer.tokenize(common_voice(3000))
    tokens = [t for t in tokenized if len(t.ids) == LENGTH][: TOKENS_A_BATCH // LENGTH]
    inputs = dict(zip(INPUTS, encoder.padded(tokens), strict=True))
    with tempfile.TemporaryDirectory() as home:
        compiled = session(encoder.folder / MODEL_FILE)
        fused = fused_in_torch(inputs["input_ids"])
        largest = np.abs(compiled.run(None, inputs)[0] - fused()).max()
        jobs: dict[str, Callable[[], object]] = {
            "the compiled model": lambda: compiled.run(None, inputs),
            "torch, oneDNN's fused kernels": fused,
            f"a product, {SIZE}": product(),
        }
        operations = dict.fromkeys(jobs, flop(resolve().folder, [LENGTH] * len(tokens)))
        operations[f"a product, {SIZE}"] = 2.0 * SIZE**3
        seconds = rounds(jobs, count)
        steps = profile(encoder.folder / MODEL_FILE, inputs, Path(home), count)
    print(f"{len(tokens)} sentences of {LENGTH} tokens, one core, medians of {count} rounds; {where()}")
    print(f"the largest difference between the two models: {largest:.1e}\n")
    rates = {name: operations[name] / taken / 1e9 for name, taken in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:34}{rate:>6,.0f} GFLOP/s{rate / rates[f'a product, {SIZE}']:>8.2f}")
    print("\nof the compiled model's time:")
    for kind, share in list(steps.items())[:8]:
        print(f"{kind:34}{share:>7.1%}")


def session(model: Path, **settings: Any) -> Any:
    import onnxruntime  # after vecindex, which keeps it from reporting to its maker

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in settings.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(str(model), options, disabled_optimizers=SLOWER_FUSIONS)


def profile(model: Path, inputs: dict[str, Any], home: Path, count: int) -> dict[str, float]:
    """The share of each kind of step, largest first; products with weights apart from those of tokens with tokens."""
    profiled = session(model, enable_profiling=True, profile_file_prefix=str(home / "profile"))
    for _ in range(count):
        profiled.run(None, inputs)
    times: dict[tuple[str, str], list[float]] = {}
    for event in json.loads(Path(profiled.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            (shape,) = list(event["args"]["input_type_shape"][0].values())[:1]
            if kind in ("MatMul", "Gemm", "FusedMatMul"):
                kind = f"{kind} of {'tokens with weights' if len(shape) < 4 else 'tokens with tokens'}"
            times.setdefault((event["name"], kind), []).append(event["dur"])
    found: defaultdict[str, float] = defaultdict(float)
    for (_, kind), durations in times.items():
        found[kind] += statistics.median(durations)
    return {kind: found[kind] / sum(found.values()) for kind in sorted(found, key=found.__getitem__, reverse=True)}


def product() -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    a, b, out = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE), torch.empty(SIZE, SIZE)
    return lambda: torch.matmul(a, b, out=out)


def fused_in_torch(input_ids: Any) -> Callable[[], Any]:
    """The default model, a BERT, for texts of one length, with all that oneDNN can do within a product done there."""
    import torch
    from safetensors.torch import load_file
    from torch.nn import functional as F

    folder = resolve().folder
    config = json.loads((folder / "config.json").read_text())
    heads, wide, epsilon = config["num_attention_heads"], config["hidden_size"], config["layer_norm_eps"]
    weights = load_file(str(folder / "model.safetensors"))
    texts, length = input_ids.shape
    ids = torch.from_numpy(input_ids)
    onednn: Any = torch.ops.mkldnn

    def of(*names: str) -> tuple[Any, Any]:
        weight, bias = (torch.cat([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
        return weight, bias

    def packed(*names: str) -> tuple[Any, Any]:
        weight, bias = of(*names)
        return onednn._reorder_linear_weight(weight.contiguous(), texts * length), bias

    def norm(x: Any, constants: tuple[Any, Any]) -> Any:
        return F.layer_norm(x, (wide,), *constants, epsilon)

    layers = []
    for place in (f"encoder.layer.{n}" for n in range(config["num_hidden_layers"])):
        attended = packed(*(f"{place}.attention.self.{name}" for name in ("query", "key", "value")))
        dense = [packed(f"{place}.{name}.dense") for name in ("attention.output", "intermediate", "output")]
        layers.append((attended, *dense, of(f"{place}.attention.output.LayerNorm"), of(f"{place}.output.LayerNorm")))
    words = weights["embeddings.word_embeddings.weight"]
    rest = weights["embeddings.position_embeddings.weight"][:length]
    rest = rest + weights["embeddings.token_type_embeddings.weight"][0]
    first = of("embeddings.LayerNorm")

    def forward() -> Any:
        with torch.inference_mode():
            h = norm(F.embedding(ids, words) + rest, first).view(texts * length, wide)
            for attended, output, inner, outer, middle, last in layers:
                parts = onednn._linear_pointwise(h, *attended, "none", [], "").view(texts, length, 3, heads, -1)
                query, key, value = (part.transpose(1, 2) for part in parts.unbind(2))
                found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(h.shape)
                h = norm(onednn._linear_pointwise.binary(found, h, *output, "add"), middle)
                active = onednn._linear_pointwise(h, *inner, "gelu", [], "none")
                h = norm(onednn._linear_pointwise.binary(active, h, *outer, "add"), last)
            return h.view(texts, length, wide).numpy()

    return forward


if __name__ == "__main__":
    main()
