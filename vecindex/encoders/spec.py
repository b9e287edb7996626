"""Which embedding space is this: everything that changes a vector, read from the model's own files.

What these files ask for and this version does not do is refused by name (`UnsupportedModel`), never approximated.
File formats: https://sbert.net/docs/package_reference/sentence_transformer/models.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from ..errors import UnsupportedModel

Role = Literal["document", "query"]
PoolingMode = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""Which tokens make the sentence vector.

``mean`` is the mean of all real tokens, ``cls`` the first one alone, ``lasttoken`` the last one, ``max`` the largest
number of each feature, ``mean_sqrt_len_tokens`` the sum over the square root of how many there are, ``weightedmean``
the mean in which the t-th token (from 1) counts t times.
"""
Precision = Literal["fp32", "int8", "int8-7bit", "bf16", "fp16"]
"""How exactly the transformer computes; ``int8-7bit`` has its weights cut to 7 bits, for processors without VNNI."""

EXTERNAL = "external"
"""Stands where a space of vectors made elsewhere has nothing to say."""

_MODULE_ORDERS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Entries of config.json that say how a file was written or run, not what the weights compute.
_COSMETIC = {
    *("_name_or_path", "_commit_hash", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("use_cache", "gradient_checkpointing"),
}
# Entries of tokenizer_config.json that change no token, or that the encoder sets itself; all others may change one.
_COSMETIC_TOKENIZER = {
    *("name_or_path", "is_local", "local_files_only", "backend", "tokenizer_file", "special_tokens_map_file"),
    *("model_max_length", "max_length", "stride", "truncation_strategy", "padding", "pad_token_type_id"),
    *("pad_to_multiple_of", "clean_up_tokenization_spaces", "model_input_names", "chat_template"),
}


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: two vectors may be compared only if their spaces' fingerprints are equal.

    ``model`` and ``revision`` are where it came from and no part of the fingerprint: the same files elsewhere are the
    same space. ``normalize`` says whether the model itself ends in unit length; stored vectors always do. ``pooling``
    is a `PoolingMode`, or several joined by ``+``, whose vectors are concatenated; ``head`` describes the dense layers
    behind it. A ``max_tokens`` of 0 is no limit.
    """

    model: str
    dimension: int
    max_tokens: int
    pooling: str
    normalize: bool
    query_prompt: str
    document_prompt: str
    precision: str
    weights: str
    tokenizer: str
    architecture: str
    head: str = ""
    prompt_pooled: bool = True
    truncation: Literal["right", "left"] = "right"
    revision: str = ""

    @classmethod
    def external(cls, name: str, dimension: int) -> Space:
        """The space of vectors that were made elsewhere: nothing is known of it but a name and the dimension."""
        return cls(
            model=name,
            dimension=dimension,
            max_tokens=0,
            pooling=EXTERNAL,
            normalize=False,
            query_prompt="",
            document_prompt="",
            precision=EXTERNAL,
            weights=name,
            tokenizer=EXTERNAL,
            architecture=EXTERNAL,
        )

    @property
    def is_external(self) -> bool:
        """Whether its vectors were made elsewhere, so that no text can be encoded into it here."""
        return self.architecture == EXTERNAL

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of everything above but where it came from, as canonical JSON.

        What was added after the first release counts only where it says something, so that no fingerprint changed.
        """
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ORIGIN}
        return _digest({k: v for k, v in settings.items() if k not in _LATER or v != _LATER[k]})

    @property
    def pooling_modes(self) -> tuple[PoolingMode, ...]:
        """The modes in the order in which their vectors are concatenated."""
        return cast("tuple[PoolingMode, ...]", tuple(self.pooling.split("+")))

    def prompt(self, role: Role) -> str:
        """What is put before a text of this role."""
        return self.query_prompt if role == "query" else self.document_prompt

    def describe(self) -> str:
        """The space in half a line, for people."""
        if self.is_external:
            return f"{self.model} ({self.dimension} dimensions, vectors made elsewhere)"
        return f"{self.model} ({self.dimension} dimensions, {self.precision}, fingerprint {self.fingerprint[:12]})"

    def differences(self, other: Space) -> str:
        """The settings in which two spaces differ, with both values; digests are shortened."""
        names = (f.name for f in fields(self) if f.name not in _ORIGIN)
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return ", ".join(f"{name}: {_short(mine)} / {_short(theirs)}" for name, mine, theirs in pairs if mine != theirs)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Space:
        """The space that `to_json` wrote; raises ValueError or TypeError for anything else."""
        space = cls(**json.loads(text))
        if not isinstance(space.dimension, int) or space.dimension < 1:
            raise ValueError(f"dimension is {space.dimension!r}")
        return space


_ORIGIN = ("model", "revision")
_LATER = {"head": "", "prompt_pooled": True, "truncation": "right"}


def read_space(folder: Path, model: str, file_digest: Callable[[Path], str]) -> Space:
    """The space that the sentence-transformers model in ``folder`` defines.

    Args:
        folder: holds modules.json and the files that it names.
        model: the name to show for it.
        file_digest: SHA-256 of a file in hex; the caller may remember it for a large one.

    Raises:
        UnsupportedModel: a file is missing or damaged, or asks for what this version does not do.
    """
    read = _Reader(folder, model)
    modules = read.json("modules.json", "list")
    names = [_module_name(read, module) for module in modules]
    if names not in _MODULE_ORDERS:
        read.refuse(f"its modules are {', '.join(names) or 'none'}; supported: Transformer, Pooling[, Normalize]")
    if modules[0].get("path", ""):
        read.refuse(f"its transformer is in the folder {modules[0]['path']!r} instead of beside modules.json")
    config = read.json("config.json")
    if "auto_map" in config:
        read.refuse("config.json asks to run code that comes with the model (auto_map)")
    if (folder / "adapter_config.json").exists():
        read.refuse("it is an adapter (adapter_config.json), which needs another model")
    sentence = read.json("sentence_bert_config.json", optional=True)
    tokenizer = read.json("tokenizer_config.json", optional=True)
    for side in ("truncation_side", "padding_side"):
        if tokenizer.get(side) not in (None, "right"):
            read.refuse(f"tokenizer_config.json sets {side} to {tokenizer[side]!r}; supported: right")
    pooling, dimension = _pooling(read, f"{modules[1].get('path', '')}/config.json")
    query, document = _prompts(read, normalize=len(names) == 3)
    _check_transformer(read, sentence)
    return Space(
        model=model,
        dimension=dimension,
        max_tokens=_max_tokens(read, sentence, tokenizer, config),
        pooling=pooling,
        normalize=len(names) == 3,
        query_prompt=query,
        document_prompt=document,
        precision="fp32",
        weights=_weights(read, file_digest),
        tokenizer=_tokenizer(read, tokenizer, sentence),
        architecture=_digest({k: v for k, v in config.items() if k not in _COSMETIC}),
    )


class _Reader:
    """Reads a model's JSON files and refuses it by name."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model

    def refuse(self, reason: str) -> NoReturn:
        raise UnsupportedModel(self.model, reason)

    def json(self, name: str, kind: str = "dict", optional: bool = False) -> Any:
        path = self.folder / name
        if optional and not path.exists():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnsupportedModel(self.model, f"its folder {self.folder} holds no {name}") from None
        except (OSError, ValueError) as error:
            raise UnsupportedModel(self.model, f"{path} cannot be read: {error}") from None
        if type(value).__name__ != kind:
            self.refuse(f"{path} holds a {type(value).__name__}, not a {kind}")
        return value


def _module_name(read: _Reader, module: Mapping[str, Any]) -> str:
    if not isinstance(module, Mapping) or not isinstance(module.get("path", ""), str):
        read.refuse(f"modules.json holds {module!r}, which is no module")
    kind = str(module.get("type"))
    if not kind.startswith("sentence_transformers."):
        read.refuse(f"its module {kind} is code of its own")
    return kind.rsplit(".", 1)[-1]


def _pooling(read: _Reader, name: str) -> tuple[PoolingMode, int]:
    config = read.json(name)
    mode = config.get("pooling_mode")
    if mode is None:
        active = [new for old, new in _LEGACY_POOLING.items() if config.get(old)] or ["mean"]
        mode = active if len(active) > 1 else active[0]
    if mode not in ("mean", "cls"):
        read.refuse(f"its pooling mode {mode} in {name}; supported: mean, cls")
    if not config.get("include_prompt", True):
        read.refuse(f"its pooling leaves the prompt out (include_prompt in {name})")
    known = {*_LEGACY_POOLING, "pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension"}
    if unknown := sorted(set(config) - known):
        read.refuse(f"{name} has settings that are not known here: {', '.join(unknown)}")
    dimension = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if not isinstance(dimension, int) or dimension < 1:
        read.refuse(f"{name} does not say the dimension")
    return mode, dimension


def _prompts(read: _Reader, normalize: bool) -> tuple[str, str]:
    """The query's and the document's prompt, chosen as sentence-transformers' encode_query and encode_document do."""
    config = read.json("config_sentence_transformers.json", optional=True)
    known = {"__version__", "prompts", "default_prompt_name", "similarity_fn_name", "model_type"}
    if unknown := sorted(k for k, v in config.items() if k not in known and v is not None):
        read.refuse(f"config_sentence_transformers.json has settings that are not known here: {', '.join(unknown)}")
    if (similarity := config.get("similarity_fn_name")) not in (None, "cosine", *(["dot"] if normalize else [])):
        read.refuse(f"its vectors are to be compared by {similarity} (similarity_fn_name); a score here is a cosine")
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        read.refuse(f"it is a {config['model_type']}, not a SentenceTransformer")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str | None) for v in prompts.values()):
        read.refuse("config_sentence_transformers.json has prompts that are no strings")
    # encode_query and encode_document always find a prompt of these names, empty where the model saved none: neither
    # another name ("passage") nor the default prompt is ever reached.
    return prompts.get("query") or "", prompts.get("document") or ""


def _check_transformer(read: _Reader, sentence: Mapping[str, Any]) -> None:
    expected = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    }
    for name, value in sentence.items():
        if name in ("max_seq_length", "do_lower_case") or value is None or value == expected.get(name):
            continue
        read.refuse(f"sentence_bert_config.json sets {name} to {value}")


def _max_tokens(
    read: _Reader, sentence: Mapping[str, Any], tokenizer: Mapping[str, Any], config: Mapping[str, Any]
) -> int:
    limit = sentence.get("max_seq_length")
    if limit is None:
        # As sentence-transformers does: the tokenizer's limit, but no more than there are position embeddings.
        given = (tokenizer.get("model_max_length"), config.get("max_position_embeddings"))
        if odd := [n for n in given if not isinstance(n, int | float | None)]:
            read.refuse(f"its maximum {odd[0]!r} is no number (model_max_length, max_position_embeddings)")
        limit = min((int(n) for n in given if n is not None), default=None)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit < 1_000_000:
        read.refuse("its files do not say how many tokens a text may have (max_seq_length)")
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and limit > positions > 0:
        read.refuse(f"it would read {limit} tokens with {positions} position embeddings")
    return limit


def _weights(read: _Reader, file_digest: Callable[[Path], str]) -> str:
    """The digest of the weights: of the one safetensors file, or of the names and digests of its parts."""
    files = sorted(read.folder.glob("*.safetensors"))
    if not files:
        pickles = [p.name for p in (*read.folder.glob("*.bin"), *read.folder.glob("*.pt"))]
        read.refuse(
            f"its weights are a pickle ({pickles[0]}), which can run any code; only safetensors are read"
            if pickles
            else f"its folder {read.folder} holds no model.safetensors"
        )
    digests = {file.name: file_digest(file) for file in files}
    return digests["model.safetensors"] if list(digests) == ["model.safetensors"] else _digest(digests)


def _tokenizer(read: _Reader, config: Mapping[str, Any], sentence: Mapping[str, Any]) -> str:
    definition = read.json("tokenizer.json")
    # Cutting and padding are set by the encoder, whatever the file says.
    definition = {k: v for k, v in definition.items() if k not in ("truncation", "padding")}
    settings = {k: v for k, v in config.items() if k not in _COSMETIC_TOKENIZER and v is not None}
    # Read by transformers too, and applied over tokenizer.json.
    beside = [read.json(name, optional=True) for name in ("special_tokens_map.json", "added_tokens.json")]
    return _digest([definition, settings, beside, bool(sentence.get("do_lower_case"))])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else repr(value)
