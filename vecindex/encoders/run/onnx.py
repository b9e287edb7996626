"""The fast runtime: runs a compiled model with tokenizers and onnxruntime, and never imports torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# onnxruntime's wheels send telemetry from native code (1.32: seen with strace; Python's audit hooks do not see it) and
# keep a device id in the user's cache. Its own disable_telemetry_events() comes too late to prevent either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
import tokenizers

from ...errors import Advice, EncodingFailed
from ...machine.cores import available_cores
from ...machine.lacks import lack, said
from ...values.space import Space
from .checks import first_line
from .encoder import Encoder
from .environment import environment, has_exact_int8
from .head import Head
from .pooling import FloatArray
from .text_tokenizer import TOKENIZER_FILE, TextTokenizer
from .tokenized import IntArray

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
"""The model's weights, mapped into memory as they are: a 90 MB model loads in 80 ms instead of 200."""
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "token_vectors"
FUSED = ("int8", "int8-7bit")
"""Precisions whose models were saved with their operators already fused."""
_LARGE = 500_000_000  # bytes of a model whose products are so large that all cores can share each of them
SLOWER_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""Fusions whose kernels are slower than what they replace: the first up to four times, which is a tenth of all the time
(on some processors it is equal), the second, with AVX-512, by 4 % of all the time. See ``tests/bench/sessions.py``."""


class Graph:
    """The compiled graph in ``folder``, `MODEL_FILE` and `DATA_FILE`; safe to use from several threads.

    Several batches run side by side on one core each, which is faster than one after the other on all cores; a single
    batch runs on all cores. Each way has a session of its own, made when it is first needed.
    """

    def __init__(self, folder: Path, model: str, fingerprint: str, precision: str, threads: int | None = None) -> None:
        """Loads the graph.

        ``threads`` is the number of cores that one call may use, None means all that this process may use.
        """
        self.folder = folder
        self._named = (model, fingerprint)
        self._precision = precision
        self._model = folder / MODEL_FILE
        self._threads = threads or available_cores()
        # A large model is in memory once, with all cores sharing each batch.
        size = sum(file.stat().st_size for file in (self._model, folder / DATA_FILE) if file.exists())
        self.workers = 1 if size > _LARGE else self._threads
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        first = self._session(self._threads)  # so that a damaged file raises now
        self.inputs = tuple(each.name for each in first.get_inputs())

    @property
    def sharing(self) -> int:
        """How many cores work on one batch together while others run beside it."""
        return self._threads if self.workers == 1 else 1

    def run(self, output: str, inputs: Mapping[str, IntArray], beside: bool = False) -> FloatArray:
        """The graph's ``output`` for these inputs; ``beside`` says that up to `workers` threads do the same."""
        model, fingerprint = self._named
        try:
            session = self._session(self.sharing if beside else self._threads)
            return np.asarray(session.run([output], dict(inputs))[0])
        except Exception as error:  # onnxruntime has many exception classes
            if reason := lack(error):
                raise said(error, "texts were encoded", reason) from error
            raise EncodingFailed(
                f"onnxruntime cannot run {model} ({first_line(error)})",
                Advice(
                    f"Remove the compiled model, {self.folder}; it is compiled again when it is needed.",
                    typed=f"Remove the compiled model with `vecindex models remove {fingerprint[:12]}`; "
                    "it is compiled again when it is needed.",
                ),
            ) from error

    def hold(self) -> None:
        """Opens every session that may be needed, so that the files can be removed."""
        for threads in {self._threads, self.sharing}:
            self._session(threads)

    def _session(self, threads: int) -> onnxruntime.InferenceSession:
        """The session that uses this many cores; made when it is first needed."""
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = self._made(threads)
            return self._sessions[threads]

    def _made(self, threads: int) -> onnxruntime.InferenceSession:
        try:
            return _open(self._model, _session_options(threads, self._precision))
        except Exception:
            # The files may have been removed since the first session mapped them.
            if not self._sessions:
                raise
            return next(iter(self._sessions.values()))


class OnnxEncoder(Encoder):
    """An encoder compiled into ``folder``: a `Graph` and `TOKENIZER_FILE`."""

    runtime = "onnxruntime"

    def __init__(
        self,
        folder: Path,
        space: Space,
        padding_id: int,
        head: Head,
        threads: int | None = None,
        made_with: str = "",
    ) -> None:
        """Loads the model.

        ``threads`` is the number of cores that one call may use, None means all that this process may use.
        ``made_with`` names the versions that compiled the graph, if they are known.
        """
        self.space = space
        self.head = head
        self.folder = folder
        self.threads = threads
        self.made_with = made_with
        self.padding_id = padding_id
        self.tokenizer = TextTokenizer.from_file(folder / TOKENIZER_FILE, space.max_tokens, space.truncation)
        self._graph = Graph(folder, space.model, space.fingerprint, space.precision, threads)
        self.workers = self._graph.workers

    @property
    def sharing(self) -> int:
        return self._graph.sharing

    def environment(self) -> dict[str, str]:
        versions = {"onnxruntime": onnxruntime.__version__, "tokenizers": tokenizers.__version__}
        return environment(self.runtime, **versions, compiled_with=self.made_with)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        return self._graph.run(OUTPUT, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))

    def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        return self._graph.run(OUTPUT, dict(zip(INPUTS, (input_ids, attention_mask), strict=True)), beside=True)

    def hold(self) -> None:
        """Opens every session that may be needed, so that the files can be removed."""
        self._graph.hold()


def save_optimized(model: Path, folder: Path, fused: bool = False) -> None:
    """Writes a model as `MODEL_FILE` and `DATA_FILE`, with all constants folded.

    ``fused`` also fuses operators, which otherwise takes 50 ms at every start; a graph that is to be rewritten is not.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = _options(available_cores(), levels.ORT_ENABLE_EXTENDED if fused else levels.ORT_ENABLE_BASIC)
    options.optimized_model_filepath = str(folder / MODEL_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", DATA_FILE)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    _open(model, options)


def output_of(model: Path, output: str, inputs: Mapping[str, IntArray]) -> FloatArray:
    """The output of a graph that is not compiled yet."""
    options = _session_options(available_cores(), "fp32")
    options.log_severity_level = 4  # the caller reports errors
    session = _open(model, options)
    return np.asarray(session.run([output], dict(inputs))[0])


def _session_options(threads: int, precision: str) -> onnxruntime.SessionOptions:
    levels = onnxruntime.GraphOptimizationLevel
    if precision == "int8" and not has_exact_int8():
        # This option uses slower instructions for 8-bit weights instead of sums that overflow. It takes effect at this
        # level, and would also replace the fast instructions on processors where they are exact.
        options = _options(threads, levels.ORT_ENABLE_EXTENDED)
        options.add_session_config_entry("session.x64quantprecision", "1")
        return options
    return _options(threads, levels.ORT_DISABLE_ALL if precision in FUSED else levels.ORT_ENABLE_ALL)


def _options(threads: int, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only: warnings about the graph mean nothing to a user
    options.graph_optimization_level = level
    return options


def _open(model: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSIONS
    )
