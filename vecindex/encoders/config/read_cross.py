"""Reads what the files of a cross-encoder define: how it makes a score of a query and a text.

A cross-encoder is a transformer with a head for sequence classification that gives one number. sentence-transformers
saved it as a plain folder of transformers, and saves it with modules.json since version 6; both are read.
https://sbert.net/docs/package_reference/cross_encoder/cross_encoder.html

Whatever the files ask for that is not supported is refused by name (`UnsupportedModel`), never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UnsupportedModel
from .cross_model import LABELS, CrossModel
from .layouts import MODULES_FILE, SENTENCE_FILE
from .modules import Activation, ModelReader, activation_of, listed_modules
from .prompts import default_prompt
from .small_files import check_folder
from .transformer_files import FileDigest, read_transformer

_KIND = "CrossEncoder"
_HEADED = "ForSequenceClassification"
_OUTPUT = {
    "transformer_task": "sequence-classification",
    "module_output_name": "scores",
    "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
}
"""What sentence-transformers' settings may say of what the transformer is run for."""
_ACTIVATION = "activation_fn"
_OLD_ACTIVATION = "sbert_ce_default_activation_function"
_SETTINGS = (
    *("prompts", "default_prompt_name", "model_type", "__version__", "requirements", _ACTIVATION),
    "keep_in_fp32_modules",  # all are, here
)
_TEMPLATE = "chat_template"
_USUAL_LABELS = 2
"""How many transformers takes a model to have whose config.json does not say it."""


def read_cross(folder: Path, model: str, file_digest: FileDigest) -> CrossModel:
    """The cross-encoder in ``folder``.

    Args:
        folder: holds a transformer with a head, and modules.json if it was saved with one.
        model: the name to show for it.
        file_digest: returns the SHA-256 of a file in hex; the caller may remember it for a large file.

    Raises:
        UnsupportedModel: a file is missing or damaged, or asks for something that is not supported.
    """
    read = ModelReader(folder, model)
    read.check(check_folder, folder)
    path, settings = transformer_path(folder, model), _settings(read)
    files = read.module("PlainTransformer" if path is None else "Transformer", path or "")
    _check_head(read, files["config.json"])
    if path is None:
        _check_no_template(read, files.get("tokenizer_config.json", {}))
    transformer = read_transformer(read, path or "", files, _OUTPUT, file_digest)
    return CrossModel(
        model=model,
        max_tokens=transformer.max_tokens,
        activation=_activation(read, settings, files["config.json"]),
        prompt=default_prompt(read, settings),
        weights=transformer.weights,
        tokenizer=transformer.tokenizer,
        architecture=transformer.architecture,
        truncation=transformer.truncation,
    )


def is_cross(folder: Path) -> bool:
    """Whether the files in a folder say that they are a cross-encoder, whether or not it can be used."""
    read = ModelReader(folder, "")
    try:
        if (folder / MODULES_FILE).exists():
            return bool((read.json(SENTENCE_FILE, optional=True) or {}).get("model_type") == _KIND)
        return any(name.endswith(_HEADED) for name in _architectures(read.json("config.json")))
    except UnsupportedModel:
        return False


def transformer_path(folder: Path, model: str) -> str | None:
    """The folder of the transformer, relative to the model's folder; None for a model without modules.json."""
    read = ModelReader(folder, model)
    if not (folder / MODULES_FILE).exists():
        return None
    listed = listed_modules(read)
    kinds = [kind for kind, _ in listed]
    if kinds != ["Transformer"]:
        named = ", ".join(kinds) or "none"
        read.refuse(f"its modules are {named}; supported for a cross-encoder: a Transformer that gives scores")
    return listed[0][1]


def _settings(read: ModelReader) -> dict[str, Any]:
    """sentence-transformers' settings of the model, which it reads only if there is a modules.json."""
    if not (read.folder / MODULES_FILE).exists():
        return {}
    settings: dict[str, Any] = read.json(SENTENCE_FILE, optional=True) or {}
    if (kind := settings.get("model_type", "SentenceTransformer")) != _KIND:
        read.refuse(f"it is a {kind}, not a cross-encoder")
    read.only(SENTENCE_FILE, {key: value for key, value in settings.items() if value is not None}, _SETTINGS)
    return settings


def _check_head(read: ModelReader, config: Mapping[str, Any]) -> None:
    """Refuses a transformer that does not give one number."""
    named = _architectures(config)
    if not named or not named[0].endswith(_HEADED):
        what = f"a {named[0]}" if named else "of no architecture that config.json names"
        read.refuse(f"it is {what}; a cross-encoder has a head for sequence classification (...{_HEADED})")
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, Mapping) else config.get("num_labels", _USUAL_LABELS)
    if count != LABELS:
        read.refuse(f"it gives {count} numbers for a pair (id2label), and an order needs one")


def _architectures(config: Mapping[str, Any]) -> list[str]:
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def _check_no_template(read: ModelReader, tokenizer: Mapping[str, Any]) -> None:
    """Refuses a plain transformer with a chat template, into which sentence-transformers would put each pair."""
    if tokenizer.get(_TEMPLATE) or any(read.folder.glob(f"*{_TEMPLATE}*")):
        read.refuse("its tokenizer has a chat template, and only pairs of plain texts are supported")


def _activation(read: ModelReader, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Activation:
    """What sentence-transformers applies to the number that the model computes."""
    own = config.get("sentence_transformers")
    if (given := settings.get(_ACTIVATION)) is not None:
        return activation_of(read, SENTENCE_FILE, _ACTIVATION, given)
    if isinstance(own, Mapping) and _ACTIVATION in own:
        given, name = own[_ACTIVATION], _ACTIVATION
    else:
        given, name = config.get(_OLD_ACTIVATION), _OLD_ACTIVATION
    return "Sigmoid" if given is None else activation_of(read, "config.json", name, given)
