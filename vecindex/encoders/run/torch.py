"""The reference runtime: a model run by sentence-transformers and torch, the libraries that it was made with."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

# Otherwise some models download kernels from the hub if the `kernels` package is installed.
os.environ.setdefault("USE_HUB_KERNELS", "0")

import torch
import transformers
from sentence_transformers import SentenceTransformer

from ...errors import UnsupportedModel
from ...values.space import Role, Space
from ..config.complete import Held, all_weights_required, check_counts
from ..config.modules import ModelReader, Modules, is_size, read_modules, within
from ..config.remote_code import check_native_classes
from .checks import first_line
from .encoder import Encoder
from .environment import environment
from .head import Head
from .pooling import FloatArray
from .static import StaticEncoder
from .text_tokenizer import TextTokenizer, check_room, within_table
from .tokenized import IntArray

_LEAST_COSINE = 0.99999
# Words in the names of settings that hold a number of tokens beyond which a transformer treats a text differently.
_BOUNDARIES = ("window", "local_attention", "attention_chunk", "original_max_position")
_QUIET = threading.RLock()


class TorchEncoder(Encoder):
    """The model in ``folder``, run by sentence-transformers."""

    tokenizer: TextTokenizer
    runtime = "torch"

    def __init__(self, folder: Path, space: Space, threads: int | None = None) -> None:
        """``threads`` sets the number of threads that torch uses in the whole process; None leaves it as it is."""
        self.space = space
        if threads is not None:
            torch.set_num_threads(threads)
        self._modules = read_modules(ModelReader(folder, space.model))
        self.head = Head.read(self._modules, space)
        self._model, self.unread = _sentence_transformer(folder, space, self._modules)
        self._transformer: Any = self._model[0].eval()
        self.tokenizer = self._text_tokenizer()
        self.padding_id = int(self._model.tokenizer.pad_token_id or 0)  # any id will do, since padding is masked
        self._check_limit()
        self._check_width()
        self._check_vectors()

    def _text_tokenizer(self) -> TextTokenizer:
        """The model's tokenizer, after checking that each token has a vector and that there is room for a text."""
        try:
            rows = len(self._transformer.auto_model.get_input_embeddings().weight)
            usable = within_table(self._model.tokenizer.backend_tokenizer, rows)
            tokenizer = TextTokenizer.like(usable, self.space.max_tokens, self.space.truncation)
            check_room(tokenizer, ("", self.space.document_prompt, self.space.query_prompt))
        except (ValueError, AttributeError, NotImplementedError) as error:
            raise UnsupportedModel(self.space.model, str(error)) from None
        return tokenizer

    def _check_limit(self) -> None:
        """Checks that sentence-transformers reads as many tokens as the space says."""
        read = self._model.max_seq_length
        positions = positions_of(self._transformer.auto_model)
        if min(read, positions or read) != self.space.max_tokens:
            raise UnsupportedModel(
                self.space.model,
                f"its files say {self.space.max_tokens} tokens, and sentence-transformers reads {read}",
            )
        self._model.max_seq_length = self.space.max_tokens

    def _check_width(self) -> None:
        """Checks that the transformer's vectors have the width that the pooling expects."""
        width, pooling = self._transformer.get_embedding_dimension(), self._modules.pooling
        if pooling is None or pooling.width != width:
            raise UnsupportedModel(
                self.space.model,
                f"its pooling says {pooling.width if pooling else 0} dimensions, and its transformer has {width}",
            )

    def _check_vectors(self) -> None:
        """Checks that tokens and mask are all the input that matters, unlike XLNet's segments."""
        text = ["The quick brown fox"]
        with quiet(), model_errors(self.space.model, "run"):
            cosine = float((self.encode(text) * self.truth(text)).sum())
        if not cosine >= _LEAST_COSINE:
            raise UnsupportedModel(
                self.space.model, f"its vectors agree with sentence-transformers' own to a cosine of only {cosine:.6f}"
            )

    def truth(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """The vectors (n, dimension) that sentence-transformers itself computes, one text at a time."""
        return _truth(self._model, self.space, texts, role)

    @property
    def reach(self) -> int:
        """The number of tokens beyond which a text is treated differently from a short one; 0 if there is none.

        This is the largest window of the transformer's attention, or the length beyond which positions are scaled.
        """
        return max(_boundaries(self._transformer.auto_model.config.to_dict()), default=0)

    @property
    def transformer(self) -> Any:
        """The transformers library's model, which computes the last hidden states."""
        return self._transformer.auto_model

    @property
    def sharing(self) -> int:
        return torch.get_num_threads()

    def environment(self) -> dict[str, str]:
        return environment(self.runtime, torch=torch.__version__, transformers=transformers.__version__)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        inputs = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(attention_mask)}
        with torch.inference_mode():
            return np.asarray(self._transformer(inputs)["token_embeddings"].numpy())


class TorchStatic(StaticEncoder):
    """The static embedding in ``folder``, with tokenizer and vectors as sentence-transformers reads them."""

    runtime = "torch"

    def __init__(self, folder: Path, space: Space) -> None:
        modules = read_modules(ModelReader(folder, space.model))
        self._model, _ = _sentence_transformer(folder, space, modules)
        first: Any = self._model[0]
        tokenizer = TextTokenizer.like(first.tokenizer, space.max_tokens, space.truncation, special=False)
        table = first.embedding.weight.detach().float().numpy()
        super().__init__(space, tokenizer, table, Head.read(modules, space))

    def truth(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """The vectors (n, dimension) that sentence-transformers itself computes, one text at a time."""
        return _truth(self._model, self.space, texts, role)


def _sentence_transformer(folder: Path, space: Space, modules: Modules) -> tuple[Any, tuple[str, ...]]:
    """The model as sentence-transformers loads it, and the names of the weights that it does not read.

    A folder without modules.json gets the space's pooling.
    """
    # A static embedding's settings cannot name classes, and sentence-transformers itself checks its weights.
    transformer = None if modules.static else modules.path
    model, unread = loaded(SentenceTransformer, folder, space.model, transformer)
    if modules.plain:
        if len(model) != 2:
            raise UnsupportedModel(space.model, "its transformer has no token vectors")
        # sentence-transformers would pool the last token of a generative model, and wrap texts as chat messages if
        # the tokenizer has a template. Only modules.json could say whether that was intended.
        model[1] = type(model[1])(model[0].get_embedding_dimension())
        getattr(model[0], "modality_config", {}).pop("message", None)
    return model, unread


def loaded(kind: Any, folder: Path, model: str, transformer: str | None, head: str = "") -> tuple[Any, tuple[str, ...]]:
    """A model as sentence-transformers loads it, and the names of the weights that it does not read.

    Args:
        kind: its class in sentence-transformers.
        folder: its files.
        model: its name.
        transformer: the path of the transformer within the folder; None if there is none.
        head: the name of transformers' class for a transformer with a head, all of whose weights are needed.

    Raises:
        UnsupportedModel: it cannot be loaded, lacks weights, or asks to run its own code.
    """
    read = ModelReader(folder, model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(model_errors(model, "loaded"))
        unread: list[str] = []
        if transformer is not None:
            check_native_classes(read, transformer, head)
            held = Held.within(folder / transformer)
            check_counts(read.json(within(transformer, "config.json")), held)
            unread = stack.enter_context(all_weights_required(held, is_headed=bool(head)))
        found = kind(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    return found, tuple(unread)


def _truth(model: Any, space: Space, texts: Sequence[str], role: Role) -> FloatArray:
    encode = model.encode  # puts the default prompt before a text
    if any(model.prompts.get(name) for name in get_args(Role)):
        encode = {"query": model.encode_query, "document": model.encode_document}[role]
    settings = {"normalize_embeddings": True, "truncate_dim": space.dimension, "show_progress_bar": False}
    vectors = [np.asarray(encode(text, **settings), dtype=np.float32) for text in texts]
    return np.stack(vectors) if vectors else np.zeros((0, space.dimension), dtype=np.float32)


def positions_of(transformer: torch.nn.Module) -> int | None:
    """How many tokens have a position embedding; RoBERTa's positions begin after the padding token's id."""
    for module in transformer.modules():
        positions, padding = getattr(module, "position_embeddings", None), getattr(module, "padding_idx", None)
        if isinstance(positions, torch.nn.Embedding) and isinstance(padding, int):
            return positions.num_embeddings - padding - 1
    return None


def _boundaries(config: Mapping[str, Any]) -> Iterator[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _boundaries(value)
        elif any(word in str(name) for word in _BOUNDARIES):
            yield from (size for size in (value if isinstance(value, list) else [value]) if is_size(size))


@contextlib.contextmanager
def model_errors(model: str, done: str) -> Iterator[None]:
    """Raises UnsupportedModel for whatever the libraries raise if a model cannot be loaded or exported."""
    try:
        yield
    except UnsupportedModel:
        raise
    except Exception as error:
        raise UnsupportedModel(model, f"it cannot be {done} ({first_line(error)})") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' progress bars and log messages off the user's terminal; in one thread at a time.

    What is set is that of the whole process: a second thread would take what the first has set for the user's own
    choice, and keep warnings silent for good.
    """
    with _QUIET:
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
