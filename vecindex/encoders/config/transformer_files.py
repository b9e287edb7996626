"""Reads the files of a transformer: its settings, how much it reads, and digests of its weights and tokenizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...values.space import digest
from .layouts import SENTENCE_CONFIGS
from .modules import ModelReader, is_size, within
from .remote_code import check_choices
from .small_files import check_weights
from .weights import WEIGHTS_FILE, check_header

FileDigest = Callable[[Path], str]

_LARGE = 64 << 20  # bytes; the digest of such a file takes long, so its header is checked first
# Entries of config.json that say how a file was written or run, not what the weights compute.
_COSMETIC = {
    *("_name_or_path", "_commit_hash", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("use_cache", "gradient_checkpointing", "auto_map"),
}
# Entries of tokenizer_config.json that change no token, or that the encoder sets itself; any other may change one.
_COSMETIC_TOKENIZER = {
    *("name_or_path", "is_local", "local_files_only", "backend", "tokenizer_file", "special_tokens_map_file"),
    *("model_max_length", "max_length", "stride", "truncation_strategy", "padding", "pad_token_type_id"),
    *("pad_to_multiple_of", "clean_up_tokenization_spaces", "model_input_names", "chat_template", "auto_map"),
}
# Models whose first position embedding comes after that of the padding token, so that they read fewer tokens.
_PADDED_POSITIONS = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "xmod", "ibert"),
    *("data2vec-text", "longformer"),
}


@dataclass(frozen=True, slots=True)
class TransformerFiles:
    """What the files of a transformer say: how many tokens it reads, and from which side a text is truncated.

    ``weights``, ``tokenizer`` and ``architecture`` are digests of what changes its output.
    """

    max_tokens: int
    truncation: Literal["right", "left"]
    weights: str
    tokenizer: str
    architecture: str


def read_transformer(
    read: ModelReader, path: str, files: Mapping[str, Any], expected: Mapping[str, Any], file_digest: FileDigest
) -> TransformerFiles:
    """Reads the transformer in ``path``; refuses it if it asks for other code or anything that is not supported.

    Args:
        files: its JSON files, as `ModelReader.module` returns them.
        expected: what sentence-transformers' settings may say of what it is run for.
        file_digest: returns the SHA-256 of a file in hex.
    """
    config, tokenizer = files["config.json"], files.get("tokenizer_config.json", {})
    check_choices(read, within(path, "config.json"), config)
    if "adapter_config.json" in files:
        read.refuse("it is an adapter (adapter_config.json), which needs its base model")
    for side in ("truncation_side", "padding_side"):
        if tokenizer.get(side) not in (None, "right", "left"):
            read.refuse(f"{within(path, 'tokenizer_config.json')} sets {side} to {tokenizer[side]!r}")
    sentence = _sentence_config(read, path, files, expected)
    return TransformerFiles(
        max_tokens=_max_tokens(read, sentence, tokenizer, config),
        truncation=tokenizer.get("truncation_side") or "right",
        weights=_weights(read, path, file_digest),
        tokenizer=_tokenizer(files, sentence),
        architecture=digest({k: v for k, v in config.items() if k not in _COSMETIC}),
    )


def _sentence_config(
    read: ModelReader, path: str, files: Mapping[str, Any], expected: Mapping[str, Any]
) -> dict[str, Any]:
    """sentence-transformers' settings of the transformer; an unknown one that may change its output is refused."""
    name = next((name for name in SENTENCE_CONFIGS if files.get(name)), "")
    sentence = files.get(name, {})
    for key, value in sentence.items():
        if key in ("max_seq_length", "do_lower_case", "unpad_inputs") or value in (None, {}, expected.get(key)):
            continue
        read.refuse(f"{within(path, name)} sets {key} to {value}")
    return dict(sentence)


def _max_tokens(
    read: ModelReader, sentence: Mapping[str, Any], tokenizer: Mapping[str, Any], config: Mapping[str, Any]
) -> int:
    kind = config.get("model_type")
    if not isinstance(kind, str | None):
        read.refuse(f"config.json sets model_type to {repr(kind)[:40]}, which is no name")
    positions = config.get("n_positions" if kind == "gpt2" else "max_position_embeddings")
    limit = sentence.get("max_seq_length")
    if limit is None:
        # As sentence-transformers does: the tokenizer's limit, but no more than there are position embeddings.
        given = (tokenizer.get("model_max_length"), positions)
        if odd := [n for n in given if n is not None and not _is_finite(n)]:
            read.refuse(f"its maximum {repr(odd[0])[:40]} is not a number (model_max_length, max_position_embeddings)")
        limit = min((int(n) for n in given if n is not None), default=None)
    if not is_size(limit) or limit >= 1_000_000:
        read.refuse("its files do not say how many tokens it reads (max_seq_length)")
    if not isinstance(positions, int) or positions <= 0:
        return limit
    if limit > positions:
        read.refuse(f"its maximum is {limit} tokens, but it has only {positions} position embeddings")
    # sentence-transformers fails on a text that uses the last few positions; here such a text is truncated.
    padding = 1 if kind == "mpnet" else config.get("pad_token_id", 1)
    return min(limit, positions - padding - 1) if kind in _PADDED_POSITIONS and is_size(padding) else limit


def _is_finite(value: object) -> bool:
    """Whether this is a number that fits into a float."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _weights(read: ModelReader, path: str, file_digest: FileDigest) -> str:
    """The digest of the weights: of the one safetensors file, or of the names and digests of the shards."""
    files = sorted((read.folder / path).glob("*.safetensors"))
    if not files:
        read.no_weights(path)
    for file in files:
        read.check(check_weights, file)
        if file.stat().st_size > _LARGE:
            read.check(check_header, file)
    if WEIGHTS_FILE not in (file.name for file in files):
        _check_shards(read, path, {file.name for file in files})
    digests = {file.name: file_digest(file) for file in files}
    return digests[WEIGHTS_FILE] if list(digests) == [WEIGHTS_FILE] else digest(digests)


def _check_shards(read: ModelReader, path: str, found: set[str]) -> None:
    """Checks that the index of shards, by which the libraries load them, names only files that were digested."""
    name = within(path, f"{WEIGHTS_FILE}.index.json")
    shards = (read.json(name, optional=True) or {}).get("weight_map", {})
    named = {str(shard) for shard in shards.values()} if isinstance(shards, Mapping) else {repr(shards)}
    if odd := sorted(named - found):
        read.refuse(f"{name} names {odd[0]}, which is not a file of weights in its folder")


def _tokenizer(files: Mapping[str, Any], sentence: Mapping[str, Any]) -> str:
    config = files.get("tokenizer_config.json", {})
    settings = {k: v for k, v in config.items() if k not in _COSMETIC_TOKENIZER and v is not None}
    # transformers reads these too, and applies them over tokenizer.json.
    beside = [files.get(name, {}) for name in ("special_tokens_map.json", "added_tokens.json")]
    return digest([without_truncation(files["tokenizer.json"]), settings, beside, bool(sentence.get("do_lower_case"))])


def without_truncation(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer.json without its truncation and padding."""
    # The encoder sets truncation and padding itself, whatever the file says.
    return {k: v for k, v in definition.items() if k not in ("truncation", "padding")}
