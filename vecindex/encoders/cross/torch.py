"""The reference runtime of cross-encoders: sentence-transformers and torch, the libraries that they were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import CrossEncoder as SentenceCrossEncoder

from ...errors import UnsupportedModel
from ..config.cross_model import CrossModel
from ..config.read_cross import transformer_path
from ..run.text_tokenizer import within_table
from ..run.tokenized import IntArray
from ..run.torch import loaded, model_errors, positions_of, quiet
from .cross_encoder import IDS, MASK, TYPES, CrossEncoder, Scores
from .pair_tokenizer import PairTokenizer

HEAD = "AutoModelForSequenceClassification"


class TorchCrossEncoder(CrossEncoder):
    """The model in ``folder``, run by sentence-transformers."""

    runtime = "torch"
    most_difference = 1e-4
    """The largest accepted `difference` from sentence-transformers' own numbers."""

    def __init__(self, folder: Path, cross: CrossModel, threads: int | None = None) -> None:
        """``threads`` sets the number of threads that torch uses in the whole process; None leaves it as it is."""
        self.cross = cross
        if threads is not None:
            torch.set_num_threads(threads)
        path = transformer_path(folder, cross.model) or ""
        self._model, self.unread = loaded(SentenceCrossEncoder, folder, cross.model, path, HEAD)
        self._model.eval()
        self.padding_id = int(self._model.tokenizer.pad_token_id or 0)  # any id will do, since padding is masked
        self._check_settings()
        self.tokenizer = self._pair_tokenizer()
        with quiet(), model_errors(cross.model, "run"):
            self.inputs = [name for name in (IDS, MASK, TYPES) if name in self._model.preprocess([("a", "b")])]
            found = self.difference(self, "The quick brown fox", ["A fox jumps over the lazy dog.", "No."])
        if not found <= self.most_difference:
            self._refuse(f"its scores differ from sentence-transformers' own by {found:.1e}")

    def _check_settings(self) -> None:
        """Checks that sentence-transformers reads the model's files as `CrossModel` does."""
        if len(self._model) != 1 or self._model.num_labels != 1:
            self._refuse(f"sentence-transformers gives {self._model.num_labels} numbers for a pair")
        activation = type(self._model.activation_fn).__name__
        if activation != self.cross.activation:
            self._refuse(f"its files say {self.cross.activation}, and sentence-transformers applies {activation}")
        read = self._model.max_seq_length
        if min(read, positions_of(self.transformer) or read) != self.cross.max_tokens:
            self._refuse(f"its files say {self.cross.max_tokens} tokens, and sentence-transformers reads {read}")
        self._model.max_seq_length = self.cross.max_tokens

    def _pair_tokenizer(self) -> PairTokenizer:
        """The model's tokenizer, after checking that each token has a vector and that there is room for a pair."""
        try:
            rows = len(self.transformer.get_input_embeddings().weight)
            usable = within_table(self._model.tokenizer.backend_tokenizer, rows)
            return PairTokenizer.like(usable, self.cross.max_tokens, self.cross.truncation)
        except (ValueError, AttributeError, NotImplementedError) as error:
            self._refuse(str(error))

    def _refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModel(self.cross.model, reason)

    @property
    def transformer(self) -> Any:
        """The transformers library's model, which computes the logits."""
        return self._model[0].model

    @property
    def sharing(self) -> int:
        return torch.get_num_threads()

    def logits(self, inputs: Mapping[str, IntArray], beside: bool = False) -> npt.NDArray[Any]:
        with torch.inference_mode():
            given = {name: torch.from_numpy(array) for name, array in inputs.items()}
            return np.asarray(self.transformer(**given).logits.numpy())

    def truth(self, query: str, texts: Sequence[str]) -> Scores:
        """The numbers (n,) that sentence-transformers itself computes, one pair at a time, before the activation."""
        settings = {"activation_fn": torch.nn.Identity(), "show_progress_bar": False}
        return np.array([self._model.predict([(query, text)], **settings)[0] for text in texts], np.float64)

    def difference(self, encoder: CrossEncoder, query: str, texts: Sequence[str]) -> float:
        """The largest difference of an encoder's numbers for these pairs from `truth`, alone and in a batch.

        It is relative to a number that is larger than 1; infinite if any is not finite.
        """
        every = zip(texts, encoder.tokens(query, texts), strict=True)
        some = {text: pair for text, pair in every if pair.ids}
        expected, tokens = self.truth(query, list(some)), list(some.values())
        alone = [encoder.numbers([each])[0] for each in tokens]
        found = np.abs(np.stack([alone, encoder.numbers(tokens)]) - expected) / np.maximum(1, np.abs(expected))
        return float(found.max()) if np.isfinite(found).all() else np.inf
