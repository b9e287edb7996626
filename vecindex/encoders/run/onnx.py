"""The fast runtime: tokenizers and onnxruntime over a compiled model; never imports torch."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

# onnxruntime's wheels report to their maker, from native code (1.32: seen with strace; Python's audit hooks do not see
# it) and keep a device id in the user's cache. Its own disable_telemetry_events() comes too late to prevent either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
import tokenizers

from ...errors import Advice, EncodingFailed
from ...machine.cores import available_cores
from ...machine.lacks import lack, said
from ...values.space import Space
from .encoder import IntArray
from .environment import environment, has_exact_int8
from .head import Head
from .text_tokenizer import TOKENIZER_FILE, TextTokenizer, TokenizingEncoder

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
"""Its weights, which are mapped into memory as they are: a 90 MB model is ready in 80 ms instead of 200."""
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "token_vectors"
FUSED = ("int8", "int8-7bit")
"""Precisions whose models were saved with their steps joined."""
_LARGE = 500_000_000  # bytes
SLOWER_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""Their kernels take longer than what they replace: the first up to four times as long, a tenth of all the time, and on
some processors no longer; the second, with AVX-512, 4 % of it. ``tests/bench/sessions.py`` compares them."""


class OnnxEncoder(TokenizingEncoder):
    """An encoder compiled into ``folder``: `MODEL_FILE`, `DATA_FILE` and `TOKENIZER_FILE`.

    Many batches are run side by side, each on one core, which is faster than each on all of them; a batch that comes
    alone is run on all. The two take a session each, made when it is first needed.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        padding_id: int,
        head: Head,
        threads: int | None = None,
        made_with: str = "",
    ) -> None:
        """Opens a session on the graph.

        ``threads`` is the number of cores that one call may use; None means all that this process may use.
        ``made_with`` says what the graph was made with, as far as it is known.
        """
        self.space = space
        self.head = head
        self.folder = folder
        self.threads = threads
        self.made_with = made_with
        self._padding_id = padding_id
        self.text_tokenizer = TextTokenizer.from_file(folder / TOKENIZER_FILE, space.max_tokens, space.truncation)
        self._model = folder / MODEL_FILE
        self._threads = threads or available_cores()
        # What is large is held once: its products are so big that all cores can share each of them.
        size = sum(file.stat().st_size for file in (self._model, folder / DATA_FILE) if file.exists())
        self._workers = 1 if size > _LARGE else self._threads
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self._session(self._threads)  # what is wrong with the file is said now

    @property
    def padding_id(self) -> int:
        return self._padding_id

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def sharing(self) -> int:
        return self._threads if self._workers == 1 else 1

    @property
    def runtime(self) -> str:
        return "onnxruntime"

    def environment(self) -> dict[str, str]:
        versions = {"onnxruntime": onnxruntime.__version__, "tokenizers": tokenizers.__version__}
        return environment(self.runtime, **versions, compiled_with=self.made_with)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        return self._run(self._threads, input_ids, attention_mask)

    def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        return self._run(self.sharing, input_ids, attention_mask)

    def _run(self, threads: int, *inputs: IntArray) -> npt.NDArray[np.float32]:
        try:
            return np.asarray(self._session(threads).run([OUTPUT], dict(zip(INPUTS, inputs, strict=True)))[0])
        except Exception as error:  # onnxruntime has many kinds
            if reason := lack(error):
                raise said(error, "texts were encoded", reason) from error
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise EncodingFailed(
                f"onnxruntime cannot run {self.space.model} ({first})",
                Advice(
                    f"Remove what was compiled of it, {self.folder}: it is made again.",
                    typed="Remove what was compiled of it: "
                    f"`vecindex models remove {self.space.fingerprint[:12]}`; it is made again.",
                ),
            ) from error

    def hold(self) -> None:
        """Makes every session that may be needed, so that the files may go."""
        for threads in {self._threads, self.sharing}:
            self._session(threads)

    def _session(self, threads: int) -> onnxruntime.InferenceSession:
        """The session whose runs use so many cores; made when it is first needed."""
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = self._made(threads)
            return self._sessions[threads]

    def _made(self, threads: int) -> onnxruntime.InferenceSession:
        try:
            return _open(self._model, _session_options(threads, self.space.precision))
        except Exception:
            # The files may have been removed since the first session was made, which still has them.
            if not self._sessions:
                raise
            return next(iter(self._sessions.values()))


def save_parted(model: Path, folder: Path, fused: bool = False) -> None:
    """Writes a model as `MODEL_FILE` and `DATA_FILE`, with all constants worked out.

    ``fused`` also joins steps for speed, which takes 50 ms at every start otherwise; what is to be rewritten is not.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = _options(available_cores(), levels.ORT_ENABLE_EXTENDED if fused else levels.ORT_ENABLE_BASIC)
    options.optimized_model_filepath = str(folder / MODEL_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", DATA_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    _open(model, options)


def token_vectors(model: Path, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
    """What a model that is not compiled yet gives for padded token ids (B, T): the last hidden states (B, T, D)."""
    options = _session_options(available_cores(), "fp32")
    options.log_severity_level = 4  # what is wrong with it is for the caller to say
    session = _open(model, options)
    return np.asarray(session.run([OUTPUT], dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))[0])


def _session_options(threads: int, precision: str) -> onnxruntime.SessionOptions:
    levels = onnxruntime.GraphOptimizationLevel
    if precision == "int8" and not has_exact_int8():
        # Weights of 8 bits are given slower instructions instead of sums that overflow. It is one of the optimisations
        # of this level, and would take the fast instructions away where they are exact.
        options = _options(threads, levels.ORT_ENABLE_EXTENDED)
        options.add_session_config_entry("session.x64quantprecision", "1")
        return options
    return _options(threads, levels.ORT_DISABLE_ALL if precision in FUSED else levels.ORT_ENABLE_ALL)


def _options(threads: int, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: warnings about the graph mean nothing to a user
    options.graph_optimization_level = level
    return options


def _open(model: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSIONS
    )
