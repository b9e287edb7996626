"""How do tokens become vectors on a device: a transformer in some precision, batch by batch, in the memory there is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import Advice, EncodingFailed
from ...values.space import Precision
from ..run.encoder import IntArray
from ..run.head import Head
from ..run.pooling import FloatArray
from .batches import Batch, next_batch
from .device_head import DeviceHead
from .lanes import Lanes, is_out_of_memory, undisturbed
from .token_arrays import TokenArrays

log = logging.getLogger("vecindex")

TOKENS_A_BATCH = 131_072
"""The most tokens in a batch; an estimate for a large card, not yet measured."""
_TOKENS_AT_LEAST = 2048  # begun with, however little memory there seems to be; half a card's speed is lost below
_TOKENS_ON_PROCESSORS = 4096

_TORCH_TYPES = {np.int32: torch.int32, np.int64: torch.int64}
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """Texts whose vectors are being computed: ``ranks`` (n,) says in which row of what is computed each text is."""

    ranks: IntArray
    computed: Tensor
    wait: Callable[[], None]

    def rows(self) -> FloatArray:
        """The vectors in the order in which they were computed, once they all are."""
        self.wait()
        rows: FloatArray = self.computed.numpy()
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Uploaded:
    """`TokenArrays` on the device; ``starts`` and ``lengths`` in descending order of length."""

    ids: Tensor
    starts: Tensor
    lengths: Tensor


class OnDevice:
    """A transformer and its head on a device; one call at a time uses it, others wait."""

    def __init__(
        self,
        model: Any,
        head: Head,
        device: torch.device,
        precision: Precision,
        *,
        padding_id: int,
        max_tokens: int,
        tokens_a_batch: int | None = None,
    ) -> None:
        """Moves ``model``, of the transformers library, to the device; it is of no use elsewhere afterwards.

        ``tokens_a_batch`` is what to begin with; None lets the device's memory decide.
        """
        self.lanes = Lanes(device)
        self._device = device
        self._padding_id = padding_id
        self._max_tokens = max_tokens
        self._dimension = head.dimension
        self._lock = threading.Lock()
        self._model = _moved(model, device, DTYPES[precision])
        self._head = DeviceHead(head, device)
        self.budget = tokens_a_batch or self._first_budget(DTYPES[precision].itemsize)

    def start(self, tokens: TokenArrays, skipped: int) -> Running:
        """Begins to compute the vectors of tokenized texts, one token each at least.

        Of every text the first ``skipped`` tokens are not pooled. On a GPU this returns while it computes.

        Raises:
            EncodingFailed: the device has too little memory for a single text, or has failed.
        """
        order = np.argsort(-tokens.lengths, kind="stable")
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        lengths = tokens.lengths[order]
        with self._lock, undisturbed(self._device):
            try:
                uploaded = _Uploaded(*(self._upload(each) for each in (tokens.ids, tokens.starts[order], lengths)))
                computed = self.lanes.host(len(order), self._dimension, dtype=torch.float32)
                done = 0
                while done < len(order):
                    batch = next_batch(lengths, done, self.budget, self._max_tokens)
                    vectors = self._attempt(batch, uploaded, skipped)
                    if vectors is not None:
                        self.lanes.download(vectors, computed[batch.start : batch.stop])
                        done = batch.stop
            except RuntimeError as error:
                raise self._failed(error, "the tokens of these texts do not fit into its memory") from error
            downloaded = self.lanes.downloaded()

        def wait() -> None:
            try:
                downloaded()
            except RuntimeError as error:  # a device tells late what went wrong in it
                raise self._failed(error, "these texts do not fit into its memory") from error

        return Running(ranks, computed, wait)

    def states(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        """The last hidden states (B, T, D) of padded token ids (B, T)."""
        with self._lock, undisturbed(self._device):
            ids, real = (torch.from_numpy(each).to(self._device) for each in (input_ids, attention_mask))
            try:
                states = self._hidden(ids, None if attention_mask.all() else real)
                found: npt.NDArray[np.float32] = states.float().cpu().numpy()
                return found
            except RuntimeError as error:
                raise self._failed(error, f"{input_ids.size} tokens at once do not fit into its memory") from error

    def _upload(self, array: npt.NDArray[Any]) -> Tensor:
        pinned = self.lanes.host(*array.shape, dtype=_TORCH_TYPES[array.dtype.type])
        pinned.numpy()[...] = array
        return self.lanes.upload(pinned)

    def _attempt(self, batch: Batch, tokens: _Uploaded, skipped: int) -> Tensor | None:
        """The vectors of a batch; None if it was too large, and the next one will be smaller."""
        try:
            return self._vectors(batch, tokens, skipped)
        except RuntimeError as error:
            if not is_out_of_memory(error) or batch.texts == 1:
                raise self._failed(error, f"a text of {batch.width} tokens does not fit into its memory") from error
        # Only here, behind the handler, is nothing left of what the failed batch had allocated.
        self.lanes.settle()
        self.budget = max(1, batch.texts * batch.width // 2)
        log.info("%s is out of memory; batches have at most %d tokens from now on.", self._device, self.budget)
        return None

    def _vectors(self, batch: Batch, tokens: _Uploaded, skipped: int) -> Tensor:
        here = slice(batch.start, batch.stop)
        columns = torch.arange(batch.width, device=self._device)
        places = tokens.starts[here, None] + columns
        if not batch.padded:
            states = self._hidden(tokens.ids[places].long(), None)
            pooled = (columns >= skipped).expand(places.shape) if skipped else None
            return self._head(states, pooled)
        real = columns < tokens.lengths[here, None]
        rows = tokens.ids[places.clamp_max(len(tokens.ids) - 1)].masked_fill(~real, self._padding_id)
        states = self._hidden(rows.long(), real.long())
        return self._head(states, real & (columns >= skipped) if skipped else real)

    def _hidden(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D) in the transformer's precision; ``mask`` None where nothing is padded.

        With a mask transformers waits for the device, to see whether it is all 1; without one only decoders do.
        """
        states: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def _first_budget(self, bytes_a_number: int) -> int:
        free = self.lanes.free()
        if free is None:
            return _TOKENS_ON_PROCESSORS
        # The widest moment of a layer: hidden states, queries, keys, values and sums beside the feed-forward's two
        # sides. Half of what is free is kept for attention and for others; what is estimated wrongly is halved later.
        config = self._model.config
        hidden = int(getattr(config, "hidden_size", 1024))
        between = int(getattr(config, "intermediate_size", None) or 4 * hidden)
        a_token = bytes_a_number * (10 * hidden + 3 * between) + 8 * hidden
        return min(TOKENS_A_BATCH, max(_TOKENS_AT_LEAST, free // 2 // a_token))

    def _failed(self, error: RuntimeError, full: str) -> EncodingFailed:
        """What to tell of an error of the device; ``full`` says for what its memory is too small, if it is that."""
        if not is_out_of_memory(error):
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            return EncodingFailed(
                f"the device is {self._device}, and it failed ({reason})",
                Advice(
                    'Start the program again, since a device that failed may go on failing in it, or use device="cpu".',
                    typed="Start the program again, since a device that failed may go on failing in it, "
                    "or use --device cpu.",
                ),
            )
        free = self.lanes.free()
        left = "" if free is None else f" ({free / 2**30:.1f} GiB of it are free)"
        return EncodingFailed(
            f"the device is {self._device}, and {full}{left}",
            Advice(
                'End other programs that use it, choose a smaller model, or encode on the processor with device="cpu".',
                typed="End other programs that use it, choose a smaller model, "
                "or encode on the processor with --device cpu.",
            ),
        )


def _moved(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """The model in ``dtype`` on ``device``, with torch's own attention kernels if it knows them."""
    try:
        model.set_attn_implementation("sdpa")
    except (AttributeError, ValueError, ImportError) as error:
        log.info("%s computes its attention step by step, which is slower (%s).", type(model).__name__, error)
    # What the library itself leaves in float32 stays so, and so do tables that are made and not stored (of rotary
    # positions, say), which bf16 would make coarse.
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    stored = set(model.state_dict(keep_vars=True))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and name in stored and kept.isdisjoint(name.split(".")):
            tensor.data = tensor.data.to(dtype)
    return model.eval().to(device)
