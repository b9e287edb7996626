"""Computes attention in bounded memory in exported models: a few tokens at a time attend to the whole text.

Attention needs a matrix of T x T numbers for each head, 3 GB for 8,192 tokens and 12 heads, and onnxruntime holds
several at once. Its rows are independent, so a few rows at a time give the same sums. torch's own kernel works the same
way, but cannot be exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

LONG = 1024
"""Models that read at most this many tokens do not need it: their matrices have at most 50 MB."""
NUMBERS_AT_ONCE = 2**22
"""The most numbers of a batch's matrices at a time; 16 MB."""

_PLAIN = "eager"
_SLICED = "vecindex_sliced"


@contextlib.contextmanager
def attention_for_export(model: Any, max_tokens: int) -> Iterator[None]:
    """Makes a transformers model compute its attention in plain matrix products, which onnxruntime runs fastest.

    The products of a model that reads long texts are sliced, if the model lets its attention be chosen.
    """
    before = model.config._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register(_SLICED, _sliced)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_SLICED, ALL_MASK_ATTENTION_FUNCTIONS[_PLAIN])
    try:
        try:
            model.set_attn_implementation(_SLICED if max_tokens > LONG else _PLAIN)
        except ValueError:
            model.set_attn_implementation(_PLAIN)
        yield
    finally:
        model.set_attn_implementation(before)


def _sliced(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Transformers' interface of an attention function: (B, H, T, D) each, and a mask (B, 1, T, T) to add."""
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    mask = query.new_zeros(1, 1, 1, 1).expand(1, 1, query.size(2), 1) if attention_mask is None else attention_mask
    scale = query.size(-1) ** -0.5 if scaling is None else float(scaling)
    return _scripted()(query, key, value, mask, scale, NUMBERS_AT_ONCE).transpose(1, 2).contiguous(), None


@cache
def _scripted() -> Any:
    """`_attend` as a script, which keeps its loop; tracing would unroll it for the length of the example."""
    return torch.jit.script(_attend)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, numbers: int) -> Tensor:
    columns = key.transpose(2, 3)
    rows = numbers // (query.size(0) * query.size(1) * key.size(2))
    if rows >= query.size(2):
        found = torch.matmul(torch.softmax(torch.matmul(query, columns) * scale + mask, dim=-1), value)
    else:
        rows = max(rows, 1)
        slices: list[Tensor] = []
        for i in range((query.size(2) + rows - 1) // rows):
            start, stop = i * rows, (i + 1) * rows
            scores = torch.matmul(query[:, :, start:stop], columns) * scale + mask[:, :, start:stop]
            slices.append(torch.matmul(torch.softmax(scores, dim=-1), value))
        found = torch.cat(slices, dim=2)
    return found
