"""Reads the embedding space that a model's files define: its settings, and digests of its weights and tokenizer.

Whatever they ask for that is not supported is refused by name (`UnsupportedModel`), never approximated.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from ...errors import InvalidInput
from ...values.space import STATIC, Space, digest
from .layouts import SENTENCE_CONFIGS, SENTENCE_FILE
from .modules import ModelReader, Modules, Pooling, is_size, read_modules, within
from .remote_code import check_choices
from .small_files import check_folder, check_weights
from .weights import WEIGHTS_FILE, check_header, shapes

log = logging.getLogger("vecindex")

FileDigest = Callable[[Path], str]

_MOST_PROMPT = 10_000
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
_SETTINGS = (
    *("prompts", "default_prompt_name", "similarity_fn_name", "model_type", "truncate_dim"),
    *("__version__", "requirements"),  # of the libraries that load it, which change no vector
)
# Models whose first position embedding comes after that of the padding token, so that they read fewer tokens.
_PADDED_POSITIONS = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "xmod", "ibert"),
    *("data2vec-text", "longformer"),
}


def read_space(folder: Path, model: str, file_digest: FileDigest, dimensions: int | None = None) -> Space:
    """The space that the sentence-transformers model, or the plain transformer, in ``folder`` defines.

    Args:
        folder: holds modules.json and the files that it names.
        model: the name to show for it.
        file_digest: returns the SHA-256 of a file in hex; the caller may remember it for a large file.
        dimensions: keep only the first so many numbers of a vector, as Matryoshka models allow; None keeps what the
            model's files say, nearly always all.

    Raises:
        UnsupportedModel: a file is missing or damaged, or asks for something that is not supported.
        InvalidInput: the model has fewer dimensions.
    """
    read = ModelReader(folder, model)
    read.check(check_folder, folder)
    modules = read_modules(read)
    normalize = modules.layers[-1:] == (None,)
    sentence_config = (not modules.plain and read.json(SENTENCE_FILE, optional=True)) or {}
    query, document = _prompts(read, sentence_config, normalize)
    common = {"model": model, "normalize": normalize, "query_prompt": query, "document_prompt": document}
    common |= {"precision": "fp32", "head": " | ".join(_layers(modules, file_digest))}
    if modules.pooling is None:
        space = _static(read, modules.path, file_digest, common)
    else:
        space = _transformer(read, modules, modules.pooling, file_digest, common)
    return _cut(read, space, modules, sentence_config.get("truncate_dim"), dimensions)


def _transformer(
    read: ModelReader, modules: Modules, pooling: Pooling, file_digest: FileDigest, common: dict[str, Any]
) -> Space:
    path = modules.path
    files = read.module(modules.layout[0], path)
    config, tokenizer = files["config.json"], files.get("tokenizer_config.json", {})
    check_choices(read, within(path, "config.json"), config)
    if "adapter_config.json" in files:
        read.refuse("it is an adapter (adapter_config.json), which needs its base model")
    for side in ("truncation_side", "padding_side"):
        if tokenizer.get(side) not in (None, "right", "left"):
            read.refuse(f"{within(path, 'tokenizer_config.json')} sets {side} to {tokenizer[side]!r}")
    sentence = _sentence_config(read, path, files)
    if modules.plain:
        log.warning(
            "%s has no modules.json, which would say how token vectors become a sentence vector; the mean is used.",
            read.model,
        )
    return Space(
        **common,
        dimension=pooling.width * len(pooling.modes),
        max_tokens=_max_tokens(read, sentence, tokenizer, config),
        pooling="+".join(pooling.modes),
        weights=_weights(read, path, file_digest),
        tokenizer=_tokenizer(files, sentence),
        architecture=digest({k: v for k, v in config.items() if k not in _COSMETIC}),
        prompt_pooled=pooling.prompt_pooled,
        truncation=tokenizer.get("truncation_side") or "right",
    )


def _static(read: ModelReader, path: str, file_digest: FileDigest, common: dict[str, Any]) -> Space:
    file = read.weights(path)
    definition = read.module("StaticEmbedding", path)["tokenizer.json"]
    found = read.check(shapes, file)
    shape = found.get("embedding.weight", found.get("embeddings", ()))
    if len(shape) != 2:
        read.refuse(f"{file} holds no token vectors (embedding.weight or embeddings)")
    rows = found.get("mapping", shape)[0] if "embedding.weight" not in found else shape[0]
    token, number = max(_numbers(definition), key=itemgetter(1), default=("", -1))
    if number >= rows:
        read.refuse(f"its tokenizer gives the token {token[:40]!r} the id {number}, but there are only {rows} vectors")
    limit, side = _static_truncation(read, definition.get("truncation"))
    return Space(
        **common,
        dimension=shape[1],
        max_tokens=limit,
        pooling="mean",
        weights=file_digest(file),
        tokenizer=digest(_without_truncation(definition)),
        architecture=STATIC,
        truncation=side,
    )


def _numbers(definition: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The tokens that a tokenizer.json names, with their ids."""
    model, added = definition.get("model"), definition.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    if isinstance(vocabulary, Mapping):
        yield from ((token, number) for token, number in vocabulary.items() if isinstance(number, int))
    elif isinstance(vocabulary, list):
        yield str(vocabulary[-1:]), len(vocabulary) - 1
    for token in added if isinstance(added, list) else ():
        if isinstance(token, Mapping) and isinstance(token.get("id"), int):
            yield str(token.get("content")), token["id"]


def _layers(modules: Modules, file_digest: FileDigest) -> list[str]:
    """Describes each layer up to the last dense one, with the digest of its weights."""
    return [
        layer.describe(file_digest(layer.folder / WEIGHTS_FILE)) if layer else "Normalize" for layer in modules.dense
    ]


def _cut(read: ModelReader, space: Space, modules: Modules, own: Any, asked: int | None) -> Space:
    """The space with the dimension that its layers give, cut to what was asked for or what the model says."""
    full = space.dimension
    for layer in modules.dense:
        if layer and layer.inputs != full:
            read.refuse(f"{layer.folder} takes {layer.inputs} numbers, but the module before it gives {full}")
        full = layer.outputs if layer else full
    if asked is not None and not (is_size(asked) and asked <= full):
        raise InvalidInput(
            f"{asked} dimensions were asked for, but {read.model} has {full}", f"Use a number from 1 to {full}."
        )
    if own is not None and not is_size(own):
        read.refuse(f"{SENTENCE_FILE} sets truncate_dim to {own!r}")
    return replace(space, dimension=min(full, asked or own or full))


def _prompts(read: ModelReader, config: Mapping[str, Any], normalize: bool) -> tuple[str, str]:
    """The query's and the document's prompt, chosen as sentence-transformers does.

    encode_query and encode_document use the prompts of these names, empty if the model has none, and no other
    ("passage"). Only if a model has neither, its default prompt applies to every text.
    """
    read.only(SENTENCE_FILE, {key: value for key, value in config.items() if value is not None}, _SETTINGS)
    if (similarity := config.get("similarity_fn_name")) not in (None, "cosine", *(["dot"] if normalize else [])):
        read.refuse(f"its vectors are compared by {similarity} (similarity_fn_name); only cosine scores are supported")
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        read.refuse(f"it is a {config['model_type']}, not a SentenceTransformer")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str | None) for v in prompts.values()):
        read.refuse(f"{SENTENCE_FILE} has prompts that are not strings")
    for prompt, text in prompts.items():
        if len(text or "") > _MOST_PROMPT:
            read.refuse(f"its prompt {prompt[:40]!r} has {len(text):,} characters; the limit is {_MOST_PROMPT:,}")
    query, document = (prompts.get(name) or "" for name in ("query", "document"))
    default = config.get("default_prompt_name")
    if default is None or query or document:
        if prompts.get("passage") and not document:
            log.warning(
                "%s has a prompt named 'passage', %r, which is not used, as in sentence-transformers; "
                "to put it before documents, rename it to 'document' in its %s.",
                *(read.model, prompts["passage"], SENTENCE_FILE),
            )
        return query, document
    if default not in (*prompts, "query", "document"):
        read.refuse(f"{SENTENCE_FILE} names {default!r} as the default prompt, but has no prompt of that name")
    return prompts.get(default) or "", prompts.get(default) or ""


def _sentence_config(read: ModelReader, path: str, files: Mapping[str, Any]) -> dict[str, Any]:
    """sentence-transformers' settings of the transformer; an unknown one that may change a vector is refused."""
    name = next((name for name in SENTENCE_CONFIGS if files.get(name)), "")
    sentence = files.get(name, {})
    expected = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    }
    for key, value in sentence.items():
        if key in ("max_seq_length", "do_lower_case", "unpad_inputs") or value in (None, {}, expected.get(key)):
            continue
        read.refuse(f"{within(path, name)} sets {key} to {value}")
    return dict(sentence)


def _max_tokens(
    read: ModelReader, sentence: Mapping[str, Any], tokenizer: Mapping[str, Any], config: Mapping[str, Any]
) -> int:
    kind = config.get("model_type")
    positions = config.get("n_positions" if kind == "gpt2" else "max_position_embeddings")
    limit = sentence.get("max_seq_length")
    if limit is None:
        # As sentence-transformers does: the tokenizer's limit, but no more than there are position embeddings.
        given = (tokenizer.get("model_max_length"), positions)
        if odd := [n for n in given if n is not None and not (isinstance(n, int | float) and math.isfinite(n))]:
            read.refuse(f"its maximum {odd[0]!r} is not a number (model_max_length, max_position_embeddings)")
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
    return digest([_without_truncation(files["tokenizer.json"]), settings, beside, bool(sentence.get("do_lower_case"))])


def _without_truncation(definition: Mapping[str, Any]) -> dict[str, Any]:
    # The encoder sets truncation and padding itself, whatever the file says.
    return {k: v for k, v in definition.items() if k not in ("truncation", "padding")}


def _static_truncation(read: ModelReader, given: Any) -> tuple[int, Literal["right", "left"]]:
    """A static embedding's maximum (0 is none) and the side that is truncated, which tokenizer.json gives."""
    if given is None:
        return 0, "right"
    if not isinstance(given, Mapping) or not is_size(limit := given.get("max_length")):
        read.refuse(f"tokenizer.json sets truncation to {given!r}")
    return limit, "left" if given.get("direction") == "Left" else "right"
