"""Exports the reference model to ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..cross.cross_encoder import IDS, MASK, TYPES
from ..cross.onnx import OUTPUT as LOGITS
from ..cross.torch import TorchCrossEncoder
from ..run.onnx import INPUTS, MODEL_FILE, OUTPUT
from ..run.text_tokenizer import TOKENIZER_FILE
from ..run.torch import TorchEncoder, model_errors, quiet
from .export_attention import attention_for_export

_OPSET = 17
_TEXTS, _TOKENS = "texts", "tokens"


def export(model: TorchEncoder, folder: Path) -> None:
    """Writes `MODEL_FILE` and `TOKENIZER_FILE` into ``folder``; raises UnsupportedModel if torch cannot export it."""
    # The tokenizer as the reference runs it: its settings override those of the model's tokenizer.json.
    model.tokenizer.save(folder / TOKENIZER_FILE)
    computed = _Output(model.transformer, INPUTS, "last_hidden_state")
    axes = {OUTPUT: {0: _TEXTS, 1: _TOKENS}}
    with model_errors(model.space.model, "exported to ONNX"):
        _export(computed, axes, model.space.max_tokens, folder)


def export_cross(model: TorchCrossEncoder, folder: Path) -> None:
    """As `export`, of a cross-encoder."""
    model.tokenizer.save(folder / TOKENIZER_FILE)
    computed = _Output(model.transformer, model.inputs, "logits")
    with model_errors(model.cross.model, "exported to ONNX"):
        _export(computed, {LOGITS: {0: _TEXTS}}, model.cross.max_tokens, folder)


def _export(computed: _Output, outputs: Mapping[str, Mapping[int, str]], max_tokens: int, folder: Path) -> None:
    ids = torch.ones(2, 8, dtype=torch.long)
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0  # a mask of ones alone would be traced as no mask at all
    types = torch.zeros(2, 8, dtype=torch.long)
    types[:, 4:] = 1
    example = {IDS: ids, MASK: mask, TYPES: types}
    axes = {**{name: {0: _TEXTS, 1: _TOKENS} for name in computed.inputs}, **outputs}
    with quiet(), torch.inference_mode(), attention_for_export(computed.transformer, max_tokens):
        torch.onnx.export(
            # eval() on the wrapper too: the exporter restores the mode that it finds, and dropout with it.
            computed.eval(),
            tuple(example[name] for name in computed.inputs),
            str(folder / MODEL_FILE),
            input_names=list(computed.inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


class _Output(torch.nn.Module):
    """A transformer reduced to the inputs and the output of the compiled graph."""

    def __init__(self, transformer: torch.nn.Module, inputs: Sequence[str], output: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.inputs = inputs
        self.output = output

    def forward(self, *given: torch.Tensor) -> Any:
        return getattr(self.transformer(**dict(zip(self.inputs, given, strict=True))), self.output)
