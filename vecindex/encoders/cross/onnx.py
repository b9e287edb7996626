"""The fast runtime of cross-encoders, which never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..config.cross_model import CrossModel
from ..run.onnx import Graph
from ..run.text_tokenizer import TOKENIZER_FILE
from ..run.tokenized import IntArray
from .cross_encoder import CrossEncoder
from .pair_tokenizer import PairTokenizer

OUTPUT = "logits"


class OnnxCrossEncoder(CrossEncoder):
    """A cross-encoder compiled into ``folder``: a `Graph` and `TOKENIZER_FILE`."""

    runtime = "onnxruntime"

    def __init__(self, folder: Path, cross: CrossModel, padding_id: int, threads: int | None = None) -> None:
        """``threads`` is the number of cores that one call may use; None is all that this process may use."""
        self.cross = cross
        self.folder = folder
        self.threads = threads
        self.padding_id = padding_id
        self.tokenizer = PairTokenizer.from_file(folder / TOKENIZER_FILE, cross.max_tokens, cross.truncation)
        self._graph = Graph(folder, cross.model, cross.fingerprint, cross.precision, threads)
        self.inputs = self._graph.inputs
        self.workers = self._graph.workers

    @property
    def sharing(self) -> int:
        return self._graph.sharing

    def logits(self, inputs: Mapping[str, IntArray], beside: bool = False) -> npt.NDArray[Any]:
        return self._graph.run(OUTPUT, inputs, beside)

    def hold(self) -> None:
        """Opens every session that may be needed, so that the files can be removed."""
        self._graph.hold()
