"""The fast runtime: tokenizers and onnxruntime over a compiled model; never imports torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

# onnxruntime's wheels report to their maker, from native code (1.32: seen with strace; Python's audit hooks do not see
# it) and keep a device id in the user's cache. Its own disable_telemetry_events() comes too late to prevent either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from tokenizers import Tokenizer

from .encoder import Encoder, IntArray, Tokens
from .spec import Space

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "token_vectors"


class OnnxEncoder(Encoder):
    """An encoder compiled into ``folder``: `MODEL_FILE` and `TOKENIZER_FILE`."""

    def __init__(self, folder: Path, space: Space, padding_id: int, threads: int | None = None) -> None:
        """``threads`` is how many cores one call may use; None takes all that this process may run on."""
        self.space = space
        self._padding_id = padding_id
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(space.max_tokens)
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = 3  # errors: warnings about the graph mean nothing to a user
        self._session = onnxruntime.InferenceSession(
            str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )

    @property
    def padding_id(self) -> int:
        return self._padding_id

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        encodings = self._tokenizer.encode_batch(list(texts))
        return [
            # Each overflowing piece repeats the special tokens.
            Tokens(e.ids, e.tokens, len(e.ids) + sum(len(piece.ids) - self._special for piece in e.overflowing))
            for e in encodings
        ]

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        inputs = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
        return np.asarray(self._session.run([OUTPUT], inputs)[0])


def available_cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
