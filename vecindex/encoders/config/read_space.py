"""Which space do the files in this folder define: the model's own configs, digests of its weights and its tokenizer.

What they ask for and this version does not do is refused by name (`UnsupportedModel`), never approximated.
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
from .modules import ModelReader, Modules, Pooling, is_size, read_modules, within
from .remote_code import check_choices
from .small_files import check_folder, check_weights
from .weights import WEIGHTS_FILE, check_header, shapes

log = logging.getLogger("vecindex")

FileDigest = Callable[[Path], str]

_MOST_PROMPT = 10_000
_LARGE = 64 << 20  # bytes; of such a file the digest takes long, and is made only where its header is sound
# Entries of config.json that say how a file was written or run, not what the weights compute.
_COSMETIC = {
    *("_name_or_path", "_commit_hash", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("use_cache", "gradient_checkpointing", "auto_map"),
}
# Entries of tokenizer_config.json that change no token, or that the encoder sets itself; all others may change one.
_COSMETIC_TOKENIZER = {
    *("name_or_path", "is_local", "local_files_only", "backend", "tokenizer_file", "special_tokens_map_file"),
    *("model_max_length", "max_length", "stride", "truncation_strategy", "padding", "pad_token_type_id"),
    *("pad_to_multiple_of", "clean_up_tokenization_spaces", "model_input_names", "chat_template", "auto_map"),
}
# The names under which sentence-transformers keeps a transformer's settings, in the order in which it looks.
SENTENCE_CONFIGS = [
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
_SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
_SETTINGS = (
    *("prompts", "default_prompt_name", "similarity_fn_name", "model_type", "truncate_dim"),
    *("__version__", "requirements"),  # of the libraries that load it, which change no vector
)
# Models whose first position embedding is behind that of the padding token: as many fewer can be read.
_PADDED_POSITIONS = {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "xmod", "ibert"),
    *("data2vec-text", "longformer"),
}


def read_space(folder: Path, model: str, file_digest: FileDigest, dimensions: int | None = None) -> Space:
    """The space that the sentence-transformers model, or the plain transformer, in ``folder`` defines.

    Args:
        folder: holds modules.json and the files that it names.
        model: the name to show for it.
        file_digest: SHA-256 of a file in hex; the caller may remember it for a large one.
        dimensions: only so many of a vector's numbers are kept, the first ones, as Matryoshka models are made for;
            None is what the model's files say, nearly always all.

    Raises:
        UnsupportedModel: a file is missing or damaged, or asks for what this version does not do.
        InvalidInput: there are no so many dimensions.
    """
    read = ModelReader(folder, model)
    read.check(check_folder, folder)
    modules = read_modules(read)
    normalize = modules.layers[-1:] == (None,)
    sentence_config = {} if modules.plain else read.json(_SENTENCE_TRANSFORMERS, optional=True)
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
    config = read.json(within(path, "config.json"))
    check_choices(read, within(path, "config.json"), config)
    tokenizer = read.json(within(path, "tokenizer_config.json"), optional=True)
    if (read.folder / path / "adapter_config.json").exists():
        read.refuse("it is an adapter (adapter_config.json), which needs another model")
    for side in ("truncation_side", "padding_side"):
        if tokenizer.get(side) not in (None, "right", "left"):
            read.refuse(f"{within(path, 'tokenizer_config.json')} sets {side} to {tokenizer[side]!r}")
    sentence = {} if modules.plain else _sentence_config(read, path)
    if modules.plain:
        log.warning(
            "%s has no modules.json, which would say how token vectors become a sentence vector: the mean is taken.",
            read.model,
        )
    return Space(
        **common,
        dimension=pooling.width * len(pooling.modes),
        max_tokens=_max_tokens(read, sentence, tokenizer, config),
        pooling="+".join(pooling.modes),
        weights=_weights(read, path, file_digest),
        tokenizer=_tokenizer(read, path, tokenizer, sentence),
        architecture=digest({k: v for k, v in config.items() if k not in _COSMETIC}),
        prompt_pooled=pooling.prompt_pooled,
        truncation=tokenizer.get("truncation_side") or "right",
    )


def _static(read: ModelReader, path: str, file_digest: FileDigest, common: dict[str, Any]) -> Space:
    file = read.weights(path)
    definition = read.json(within(path, "tokenizer.json"))
    try:
        found = shapes(file)
    except ValueError as error:
        read.refuse(str(error))
    shape = found.get("embedding.weight", found.get("embeddings", ()))
    if len(shape) != 2:
        read.refuse(f"{file} holds no token vectors (embedding.weight or embeddings)")
    rows = found.get("mapping", shape)[0] if "embedding.weight" not in found else shape[0]
    token, number = max(_numbers(definition), key=itemgetter(1), default=("", -1))
    if number >= rows:
        read.refuse(f"its tokenizer gives the token {token[:40]!r} the number {number}, and there are {rows} vectors")
    limit, side = _static_truncation(read, definition.get("truncation"))
    return Space(
        **common,
        dimension=shape[1],
        max_tokens=limit,
        pooling="mean",
        weights=file_digest(file),
        tokenizer=digest(_without_cutting(definition)),
        architecture=STATIC,
        truncation=side,
    )


def _numbers(definition: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The tokens that a tokenizer.json names, with their numbers."""
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
    """What each layer up to the last dense one does, in words and digests."""
    return [
        layer.describe(file_digest(layer.folder / WEIGHTS_FILE)) if layer else "Normalize" for layer in modules.dense
    ]


def _cut(read: ModelReader, space: Space, modules: Modules, own: Any, asked: int | None) -> Space:
    """The space with as many dimensions as its layers leave, and no more than were asked for."""
    full = space.dimension
    for layer in modules.dense:
        if layer and layer.inputs != full:
            read.refuse(f"{layer.folder} takes {layer.inputs} numbers, and what is before it gives {full}")
        full = layer.outputs if layer else full
    if asked is not None and not (is_size(asked) and asked <= full):
        raise InvalidInput(
            f"{asked} dimensions were asked for, and {read.model} has {full}", f"Give a number from 1 to {full}."
        )
    if own is not None and not is_size(own):
        read.refuse(f"{_SENTENCE_TRANSFORMERS} sets truncate_dim to {own!r}")
    return replace(space, dimension=min(full, asked or own or full))


def _prompts(read: ModelReader, config: Mapping[str, Any], normalize: bool) -> tuple[str, str]:
    """The query's and the document's prompt, chosen as sentence-transformers does.

    encode_query and encode_document always find a prompt of these names, empty where the model saved none, and no
    other ("passage"). Only a model that has neither, and names a default, means it for every text.
    """
    name = _SENTENCE_TRANSFORMERS
    read.only(name, {key: value for key, value in config.items() if value is not None}, _SETTINGS)
    if (similarity := config.get("similarity_fn_name")) not in (None, "cosine", *(["dot"] if normalize else [])):
        read.refuse(f"its vectors are to be compared by {similarity} (similarity_fn_name); a score here is a cosine")
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        read.refuse(f"it is a {config['model_type']}, not a SentenceTransformer")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str | None) for v in prompts.values()):
        read.refuse(f"{name} has prompts that are no strings")
    for prompt, text in prompts.items():
        if len(text or "") > _MOST_PROMPT:
            read.refuse(f"its prompt {prompt[:40]!r} has {len(text):,} characters, and {_MOST_PROMPT:,} are the most")
    query, document, default = (
        prompts.get("query") or "",
        prompts.get("document") or "",
        config.get("default_prompt_name"),
    )
    if default is None or query or document:
        if prompts.get("passage") and not document:
            log.warning(
                "%s has a prompt named 'passage', %r, which is put before no text, as in sentence-transformers; "
                "if documents are to have it, rename it to 'document' in its %s.",
                *(read.model, prompts["passage"], name),
            )
        return query, document
    if default not in (*prompts, "query", "document"):
        read.refuse(f"{name} names {default!r} as the default prompt, and has none of that name")
    return prompts.get(default) or "", prompts.get(default) or ""


def _sentence_config(read: ModelReader, path: str) -> dict[str, Any]:
    """The transformer's settings; those that change no vector, or say what is so anyway, are as good as none."""
    found = ((name, read.json(within(path, name), optional=True)) for name in SENTENCE_CONFIGS)
    name, sentence = next(((name, config) for name, config in found if config), ("", {}))
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
            read.refuse(f"its maximum {odd[0]!r} is no number (model_max_length, max_position_embeddings)")
        limit = min((int(n) for n in given if n is not None), default=None)
    if not is_size(limit) or limit >= 1_000_000:
        read.refuse("its files do not say how many tokens a text may have (max_seq_length)")
    if not isinstance(positions, int) or positions <= 0:
        return limit
    if limit > positions:
        read.refuse(f"it would read {limit} tokens with {positions} position embeddings")
    # Where sentence-transformers would fail for a text of the last few tokens, it is cut before them.
    padding = 1 if kind == "mpnet" else config.get("pad_token_id", 1)
    return min(limit, positions - padding - 1) if kind in _PADDED_POSITIONS and is_size(padding) else limit


def _weights(read: ModelReader, path: str, file_digest: FileDigest) -> str:
    """The digest of the weights: of the one safetensors file, or of the names and digests of its parts."""
    files = sorted((read.folder / path).glob("*.safetensors"))
    if not files:
        read.no_weights(path)
    for file in files:
        read.check(check_weights, file)
        if file.stat().st_size > _LARGE:
            _check_header(read, file)
    if WEIGHTS_FILE not in (file.name for file in files):
        _check_parts(read, path, [file.name for file in files])
    digests = {file.name: file_digest(file) for file in files}
    return digests[WEIGHTS_FILE] if list(digests) == [WEIGHTS_FILE] else digest(digests)


def _check_header(read: ModelReader, file: Path) -> None:
    try:
        check_header(file)
    except ValueError as error:
        read.refuse(str(error))


def _check_parts(read: ModelReader, path: str, there: list[str]) -> None:
    """That the parts which the libraries will read, as an index of them says, are those that were looked at."""
    name = within(path, f"{WEIGHTS_FILE}.index.json")
    parts = read.json(name, optional=True).get("weight_map", {})
    named = {str(part) for part in parts.values()} if isinstance(parts, Mapping) else {repr(parts)}
    if odd := sorted(named - {*there}):
        read.refuse(f"{name} names {odd[0]}, which is no file of weights in its folder")


def _tokenizer(read: ModelReader, path: str, config: Mapping[str, Any], sentence: Mapping[str, Any]) -> str:
    definition = _without_cutting(read.json(within(path, "tokenizer.json")))
    settings = {k: v for k, v in config.items() if k not in _COSMETIC_TOKENIZER and v is not None}
    # Read by transformers too, and applied over tokenizer.json.
    names = ("special_tokens_map.json", "added_tokens.json")
    beside = [read.json(within(path, name), optional=True) for name in names]
    return digest([definition, settings, beside, bool(sentence.get("do_lower_case"))])


def _without_cutting(definition: Mapping[str, Any]) -> dict[str, Any]:
    # Cutting and padding are set by the encoder, whatever the file says.
    return {k: v for k, v in definition.items() if k not in ("truncation", "padding")}


def _static_truncation(read: ModelReader, given: Any) -> tuple[int, Literal["right", "left"]]:
    """The maximum (0 is none) and the side that is cut: of a static embedding the tokenizer's own file says them."""
    if given is None:
        return 0, "right"
    if not isinstance(given, Mapping) or not is_size(limit := given.get("max_length")):
        read.refuse(f"tokenizer.json sets truncation to {given!r}")
    return limit, "left" if given.get("direction") == "Left" else "right"
