"""The reference runtime, sentence-transformers on torch, and the compiler from it to ONNX."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

# Else some models ask the hub for kernels by themselves, where a package that does so is installed.
os.environ.setdefault("USE_HUB_KERNELS", "0")

import torch
import transformers
from sentence_transformers import SentenceTransformer

from ...errors import UnsupportedModel
from ...values.space import Role, Space
from ..compile.export_attention import attention_for_export
from ..config.complete import Held, all_weights_required, check_counts
from ..config.modules import ModelReader, Modules, is_size, read_modules, within
from ..config.remote_code import Native, can_do_without
from .encoder import IntArray
from .environment import environment
from .head import Head
from .onnx import INPUTS, MODEL_FILE, OUTPUT
from .pooling import FloatArray
from .static import StaticEncoder
from .text_tokenizer import TOKENIZER_FILE, TextTokenizer, TokenizingEncoder, check_room, within_table

_OPSET = 17
_LEAST_COSINE = 0.99999
# Parts of the names of settings that say from how many tokens on a transformer treats a text otherwise.
_BOUNDARIES = ("window", "local_attention", "attention_chunk", "original_max_position")


class TorchEncoder(TokenizingEncoder):
    """The model in ``folder`` run by the libraries that it was made with."""

    def __init__(self, folder: Path, space: Space, threads: int | None = None) -> None:
        """``threads`` is torch's setting for the whole process; None leaves it as it is."""
        self.space = space
        if threads is not None:
            torch.set_num_threads(threads)
        self._modules = read_modules(ModelReader(folder, space.model))
        self.head = Head.read(self._modules, space)
        self._model, self.unread = _sentence_transformer(folder, space, self._modules)
        self._transformer: Any = self._model[0].eval()
        self._tokenizer: Any = self._model.tokenizer
        self.text_tokenizer = self._text_tokenizer()
        self._check_limit()
        self._check_width()
        self._check_vectors()

    def _text_tokenizer(self) -> TextTokenizer:
        """The model's tokenizer, of which every token has a vector, and leaves room for a text."""
        try:
            rows = len(self._transformer.auto_model.get_input_embeddings().weight)
            usable = within_table(self._tokenizer.backend_tokenizer, rows)
            tokenizer = TextTokenizer.like(usable, self.space.max_tokens, self.space.truncation)
            check_room(tokenizer, ("", self.space.document_prompt, self.space.query_prompt))
        except (ValueError, AttributeError, NotImplementedError) as error:
            raise UnsupportedModel(self.space.model, str(error)) from None
        return tokenizer

    def _check_limit(self) -> None:
        """That sentence-transformers reads as many tokens as the space says."""
        read = self._model.max_seq_length
        positions = _positions(self._transformer.auto_model)
        if min(read, positions or read) != self.space.max_tokens:
            raise UnsupportedModel(
                self.space.model,
                f"its files say {self.space.max_tokens} tokens, sentence-transformers reads {read}",
            )
        self._model.max_seq_length = self.space.max_tokens

    def _check_width(self) -> None:
        """That the transformer's vectors are what the pooling takes."""
        width, pooling = self._transformer.get_embedding_dimension(), self._modules.pooling
        if pooling is None or pooling.width != width:
            raise UnsupportedModel(
                self.space.model,
                f"its pooling says {pooling.width if pooling else 0} dimensions, its transformer has {width}",
            )

    def _check_vectors(self) -> None:
        """That nothing is given to the transformer beside tokens and mask that matters, as XLNet's segments do."""
        text = ["The quick brown fox"]
        with _quiet(), _model_errors(self.space.model, "run"):
            cosine = float((self.encode(text) * self.truth(text)).sum())
        if not cosine >= _LEAST_COSINE:
            raise UnsupportedModel(
                self.space.model, f"its vectors agree with sentence-transformers' own to a cosine of only {cosine:.6f}"
            )

    def truth(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """The vectors (n, dimension) that sentence-transformers itself makes, of one text at a time."""
        return _truth(self._model, self.space, texts, role)

    @property
    def reach(self) -> int:
        """The number of tokens beyond which a text is treated otherwise than a short one; 0 where there is none.

        The largest window of the transformer's attention, or the length from which on its positions are scaled.
        """
        return max(_boundaries(self._transformer.auto_model.config.to_dict()), default=0)

    @property
    def transformer(self) -> Any:
        """The model of the transformers library that makes the last hidden states."""
        return self._transformer.auto_model

    @property
    def padding_id(self) -> int:
        return int(self._tokenizer.pad_token_id or 0)  # any will do: padding is masked

    @property
    def sharing(self) -> int:
        return torch.get_num_threads()

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
        self.text_tokenizer.save(folder / TOKENIZER_FILE)
        ids = torch.ones(2, 8, dtype=torch.long)
        mask = torch.ones(2, 8, dtype=torch.long)
        mask[1, 5:] = 0  # a mask of ones alone is traced as no mask at all
        axes = {0: "texts", 1: "tokens"}
        with (
            _quiet(),
            torch.inference_mode(),
            _model_errors(self.space.model, "exported to ONNX"),
            attention_for_export(self._transformer.auto_model, self.space.max_tokens),
        ):
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


class TorchStatic(StaticEncoder):
    """The static embedding in ``folder``, its tokenizer and its vectors as sentence-transformers reads them."""

    def __init__(self, folder: Path, space: Space) -> None:
        modules = read_modules(ModelReader(folder, space.model))
        self._model, _ = _sentence_transformer(folder, space, modules)
        first: Any = self._model[0]
        tokenizer = TextTokenizer.like(first.tokenizer, space.max_tokens, space.truncation, special=False)
        table = first.embedding.weight.detach().float().numpy()
        super().__init__(space, tokenizer, table, Head.read(modules, space))

    @property
    def runtime(self) -> str:
        return "torch"

    def truth(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """The vectors (n, dimension) that sentence-transformers itself makes, of one text at a time."""
        return _truth(self._model, self.space, texts, role)


def _sentence_transformer(folder: Path, space: Space, modules: Modules) -> tuple[Any, tuple[str, ...]]:
    """The model as sentence-transformers loads it, and the names of weights that it does not read.

    A plain folder gets the pooling that the space says.
    """
    read = ModelReader(folder, space.model)
    # A static embedding has no classes that its settings could name, and sentence-transformers checks its weights.
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(_model_errors(space.model, "loaded"))
        unread: list[str] = []
        if not modules.static:
            can_do_without(read, modules.path, _NATIVE)
            held = Held.within(folder / modules.path)
            check_counts(read.json(within(modules.path, "config.json")), held)
            unread = stack.enter_context(all_weights_required(held))
        model: Any = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    if modules.plain:
        if len(model) != 2:
            raise UnsupportedModel(space.model, "its transformer has no token vectors")
        # It would take the last token of a model made to continue texts, and wrap texts as turns of a conversation
        # where the tokenizer knows how; whether that was meant, only modules.json could say.
        model[1] = type(model[1])(model[0].get_embedding_dimension())
        getattr(model[0], "modality_config", {}).pop("message", None)
    return model, tuple(unread)


def _own_classes(kind: str) -> tuple[str, ...]:
    """The names of transformers' own config and models of a type; none where it has no such type."""
    auto: Any = transformers.models.auto
    config = auto.configuration_auto.CONFIG_MAPPING_NAMES.get(kind)
    models = auto.modeling_auto.MODEL_MAPPING_NAMES.get(kind)
    if config is None or models is None:
        return ()
    return (config, models) if isinstance(models, str) else (config, *models)


_NATIVE = Native("transformers", _own_classes, lambda name: isinstance(getattr(transformers, name, None), type))


def _truth(model: Any, space: Space, texts: Sequence[str], role: Role) -> FloatArray:
    encode = model.encode  # which puts the default prompt before a text
    if any(model.prompts.get(name) for name in get_args(Role)):
        encode = {"query": model.encode_query, "document": model.encode_document}[role]
    settings = {"normalize_embeddings": True, "truncate_dim": space.dimension, "show_progress_bar": False}
    vectors = [np.asarray(encode(text, **settings), dtype=np.float32) for text in texts]
    return np.stack(vectors) if vectors else np.zeros((0, space.dimension), dtype=np.float32)


def _positions(transformer: torch.nn.Module) -> int | None:
    """How many tokens have a position embedding; those of RoBERTa and its kin begin behind the padding token's."""
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
    except UnsupportedModel:
        raise
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
