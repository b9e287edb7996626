"""Exports the reference model to ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from ..run.onnx import INPUTS, MODEL_FILE, OUTPUT
from ..run.text_tokenizer import TOKENIZER_FILE
from ..run.torch import TorchEncoder, model_errors, quiet
from .export_attention import attention_for_export

_OPSET = 17


def export(model: TorchEncoder, folder: Path) -> None:
    """Writes `MODEL_FILE` and `TOKENIZER_FILE` into ``folder``; raises UnsupportedModel if torch cannot export it."""
    # The tokenizer as the reference runs it: its settings override those of the model's tokenizer.json.
    model.tokenizer.save(folder / TOKENIZER_FILE)
    ids = torch.ones(2, 8, dtype=torch.long)
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0  # a mask of ones alone would be traced as no mask at all
    axes = {0: "texts", 1: "tokens"}
    with (
        quiet(),
        torch.inference_mode(),
        model_errors(model.space.model, "exported to ONNX"),
        attention_for_export(model.transformer, model.space.max_tokens),
    ):
        torch.onnx.export(
            # eval() on the wrapper too: the exporter restores the mode that it finds, and dropout with it.
            _LastHiddenState(model.transformer).eval(),
            (ids, mask),
            str(folder / MODEL_FILE),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=dict.fromkeys((*INPUTS, OUTPUT), axes),
            opset_version=_OPSET,
            dynamo=False,
        )


class _LastHiddenState(torch.nn.Module):
    """A transformer reduced to the inputs and the output of the compiled graph."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        return output.last_hidden_state  # type: ignore[no-any-return]
