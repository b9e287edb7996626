"""Reads the embedding space that a model's files define: its settings, and digests of its weights and tokenizer.

Whatever they ask for that is not supported is refused by name (`UnsupportedModel`), never approximated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from ...errors import InvalidInput
from ...values.space import STATIC, Space, digest
from .layouts import SENTENCE_FILE
from .modules import ModelReader, Modules, Pooling, is_size, read_modules
from .prompts import default_prompt, prompts_in
from .small_files import check_folder
from .transformer_files import FileDigest, read_transformer, without_truncation
from .weights import WEIGHTS_FILE, shapes

log = logging.getLogger("vecindex")

_OUTPUT = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
}
"""What sentence-transformers' settings may say of what the transformer is run for."""
_SETTINGS = (
    *("prompts", "default_prompt_name", "similarity_fn_name", "model_type", "truncate_dim"),
    *("__version__", "requirements"),  # of the libraries that load it, which change no vector
)


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
    files = read.module(modules.layout[0], modules.path)
    transformer = read_transformer(read, modules.path, files, _OUTPUT, file_digest)
    if modules.plain:
        log.warning(
            "%s has no modules.json, which would say how token vectors become a sentence vector; the mean is used.",
            read.model,
        )
    return Space(
        **common,
        dimension=pooling.width * len(pooling.modes),
        max_tokens=transformer.max_tokens,
        pooling="+".join(pooling.modes),
        weights=transformer.weights,
        tokenizer=transformer.tokenizer,
        architecture=transformer.architecture,
        prompt_pooled=pooling.prompt_pooled,
        truncation=transformer.truncation,
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
        tokenizer=digest(without_truncation(definition)),
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
    prompts = prompts_in(read, config)
    query, document = (prompts.get(name, "") for name in ("query", "document"))
    if config.get("default_prompt_name") is None or query or document:
        if prompts.get("passage") and not document:
            log.warning(
                "%s has a prompt named 'passage', %r, which is not used, as in sentence-transformers; "
                "to put it before documents, rename it to 'document' in its %s.",
                *(read.model, prompts["passage"], SENTENCE_FILE),
            )
        return query, document
    prompt = default_prompt(read, config, ("query", "document"))
    return prompt, prompt


def _static_truncation(read: ModelReader, given: Any) -> tuple[int, Literal["right", "left"]]:
    """A static embedding's maximum (0 is none) and the side that is truncated, which tokenizer.json gives."""
    if given is None:
        return 0, "right"
    if not isinstance(given, Mapping) or not is_size(limit := given.get("max_length")):
        read.refuse(f"tokenizer.json sets truncation to {given!r}")
    return limit, "left" if given.get("direction") == "Left" else "right"
