"""How does a compiled transformer attend to a long text in bounded memory: a few tokens at a time, each to all of them.

Attention takes a table of T x T numbers for each head, 3 GB for 8,192 tokens and 12 heads, of which onnxruntime holds
several at once. Each row is for itself, so a few rows at a time give the same sums. torch's own kernel does likewise,
and is not exported.
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
"""Tokens up to which a model needs none of this: its tables are 50 MB at most."""
NUMBERS_AT_ONCE = 2**22
"""Of the table of a batch; 16 MB."""

_PLAIN = "eager"
_IN_PARTS = "vecindex_in_parts"


@contextlib.contextmanager
def attention_for_export(model: Any, max_tokens: int) -> Iterator[None]:
    """``model``, of the transformers library, computes its attention in plain products, which onnxruntime runs fastest.

    Where it reads long texts these are in parts, if it lets its attention be chosen.
    """
    before = model.config._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register(_IN_PARTS, _in_parts)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_IN_PARTS, ALL_MASK_ATTENTION_FUNCTIONS[_PLAIN])
    try:
        try:
            model.set_attn_implementation(_IN_PARTS if max_tokens > LONG else _PLAIN)
        except ValueError:
            model.set_attn_implementation(_PLAIN)
        yield
    finally:
        model.set_attn_implementation(before)


def _in_parts(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What transformers asks of an attention function: (B, H, T, D) each, and a mask (B, 1, T, T) to add."""
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    mask = query.new_zeros(1, 1, 1, 1).expand(1, 1, query.size(2), 1) if attention_mask is None else attention_mask
    scale = query.size(-1) ** -0.5 if scaling is None else float(scaling)
    return _scripted()(query, key, value, mask, scale, NUMBERS_AT_ONCE).transpose(1, 2).contiguous(), None


@cache
def _scripted() -> Any:
    """`_attend` with its loop, which tracing would unroll as often as it was run for the example."""
    return torch.jit.script(_attend)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, numbers: int) -> Tensor:
    columns = key.transpose(2, 3)
    rows = numbers // (query.size(0) * query.size(1) * key.size(2))
    if rows >= query.size(2):
        found = torch.matmul(torch.softmax(torch.matmul(query, columns) * scale + mask, dim=-1), value)
    else:
        rows = max(rows, 1)
        parts: list[Tensor] = []
        for i in range((query.size(2) + rows - 1) // rows):
            start, stop = i * rows, (i + 1) * rows
            scores = torch.matmul(query[:, :, start:stop], columns) * scale + mask[:, :, start:stop]
            parts.append(torch.matmul(torch.softmax(scores, dim=-1), value))
        found = torch.cat(parts, dim=2)
    return found
