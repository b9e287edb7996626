"""The reference runtime, sentence-transformers on torch, and the compiler from it to ONNX."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from sentence_transformers import SentenceTransformer

from ..errors import UnsupportedModel
from .encoder import Encoder, IntArray, Span, Tokens
from .environment import environment
from .onnx import INPUTS, MODEL_FILE, OUTPUT, TOKENIZER_FILE
from .spec import Space
from .tokens import TextTokenizer

_OPSET = 17


class TorchEncoder(Encoder):
    """The model in ``folder`` run by the libraries that it was made with."""

    def __init__(self, folder: Path, space: Space, threads: int | None = None) -> None:
        """``threads`` is torch's setting for the whole process; None leaves it as it is."""
        self.space = space
        if threads is not None:
            torch.set_num_threads(threads)
        with _quiet(), _model_errors(space.model, "loaded"):
            # Eager attention is plain matrix products, which onnxruntime runs faster than the traced fused kernel.
            model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"attn_implementation": "eager", "use_safetensors": True, "dtype": torch.float32},
            )
        transformer: Any = model[0].eval()
        self._transformer = transformer
        self._tokenizer: Any = model.tokenizer
        self._text_tokenizer = TextTokenizer(self._tokenizer.backend_tokenizer, space.max_tokens, space.truncation)
        if model.max_seq_length != space.max_tokens:
            raise UnsupportedModel(
                space.model,
                f"its files say {space.max_tokens} tokens, sentence-transformers reads {model.max_seq_length}",
            )
        if (dimension := transformer.get_embedding_dimension()) != space.dimension:
            raise UnsupportedModel(
                space.model, f"its pooling says {space.dimension} dimensions, its transformer has {dimension}"
            )

    @property
    def padding_id(self) -> int:
        return int(self._tokenizer.pad_token_id)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return self._text_tokenizer.tokenize(texts)

    def strings(self, ids: Sequence[int]) -> list[str]:
        return self._text_tokenizer.strings(ids)

    def spans(self, text: str, room: int) -> list[Span]:
        return self._text_tokenizer.spans(text, room)

    @property
    def runtime(self) -> str:
        return "torch"

    def environment(self) -> dict[str, str]:
        return environment(self.runtime, torch=torch.__version__, transformers=transformers.__version__)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        inputs = dict(zip(INPUTS, map(torch.from_numpy, (input_ids, attention_mask)), strict=True))
        with torch.inference_mode():
            return np.asarray(self._transformer(inputs)["token_embeddings"].numpy())

    def compile(self, folder: Path) -> None:
        """Writes `MODEL_FILE` and `TOKENIZER_FILE` for `onnx.OnnxEncoder` into ``folder``."""
        # As the reference runs it, after its settings were applied to what the model's tokenizer.json says.
        self._tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
        ids = torch.ones(2, 8, dtype=torch.long)
        mask = torch.ones(2, 8, dtype=torch.long)
        mask[1, 5:] = 0  # a mask of ones alone is traced as no mask at all
        axes = {0: "texts", 1: "tokens"}
        with _quiet(), torch.inference_mode(), _model_errors(self.space.model, "exported to ONNX"):
            torch.onnx.export(
                # eval() on the wrapper too: the exporter puts back the mode it found, and dropout with it.
                _LastHiddenState(self._transformer.auto_model).eval(),
                (ids, mask),
                str(folder / MODEL_FILE),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes=dict.fromkeys((*INPUTS, OUTPUT), axes),
                opset_version=_OPSET,
                dynamo=False,
            )


class _LastHiddenState(torch.nn.Module):
    """A transformer reduced to what the compiled graph takes and returns."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        return output.last_hidden_state  # type: ignore[no-any-return]


@contextlib.contextmanager
def _model_errors(model: str, done: str) -> Iterator[None]:
    """Maps whatever the libraries raise for a model that cannot be loaded or exported, which depends on its kind."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedModel(model, f"it cannot be {done} ({reason[0]})") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' progress bars and notes on their own workings from the user's terminal."""
    logging: Any = transformers.utils.logging
    had_bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
