"""Decides whether a model that asks to run its own code (``auto_map``) can be loaded without that code.

Such code is never run: transformers is told not to trust it, and uses its own classes of the model's type if it has
any. It does so for any model of that type, so this module checks that they are classes of the same model.

A config can also choose among the library's own code, or name kernels to download. Any choice but the plain computation
is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .modules import ModelReader, within

_MAP = "auto_map"
_HEADED = "AutoModelFor"  # classes with a different head, for other tasks

_PLAIN: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(
        ("attn_implementation", "_attn_implementation", "_attn_implementation_internal"), ("eager", "sdpa")
    ),
    **dict.fromkeys(
        ("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
        ("eager", "batched_mm", "grouped_mm"),
    ),
    **dict.fromkeys(("dtype", "torch_dtype"), ("float32", "float16", "bfloat16", "float64")),
}
"""Settings, at any depth of config.json, that choose how to compute the same, and their values without other code."""
_OTHER_CODE = (
    *("quantization_config", "compression_config", "use_kernels", "kernel_config", "fusion_config"),
    *("distributed_config", "gguf_file", "custom_pipelines", "use_pretrained_backbone"),
    *("configuration_files", "transformers_weights"),  # these name files that were not checked
)
"""Settings that change what is computed, or that run other code."""


@dataclass(frozen=True, slots=True)
class Native:
    """A library's own classes.

    ``classes`` returns the names of the config and the models of a model type, none if the library lacks the type.
    ``has_tokenizer`` says whether it has a tokenizer of this name.
    """

    library: str
    classes: Callable[[str], tuple[str, ...]]
    has_tokenizer: Callable[[str], bool]


def check_choices(read: ModelReader, name: str, config: Mapping[str, Any]) -> None:
    """Refuses a config, read from the file ``name``, that chooses other code, kernels or files."""
    for key, value in config.items():
        if value in (None, False, {}, []):
            continue
        if key in _OTHER_CODE:
            read.refuse(f"{name} sets {key} to {_shown(value)}, which is not supported")
        if key in _PLAIN:
            given = list(value.values()) if isinstance(value, Mapping) else [value]
            if odd := [each for each in given if each is not None and each not in _PLAIN[key]]:
                expected = ", ".join(map(str, _PLAIN[key]))
                read.refuse(f"{name} sets {key} to {_shown(odd[0])}; supported: {expected}")
        elif isinstance(value, Mapping):
            check_choices(read, name, value)


def can_do_without(read: ModelReader, path: str, native: Native) -> bool:
    """Whether the model asks to run its own code, and the library has the same; the transformer is in ``path``.

    Raises:
        UnsupportedModel: the library has no equivalent of that code.
    """
    names = (within(path, "config.json"), within(path, "tokenizer_config.json"))
    config, tokenizer = (read.json(name, optional=True) or {} for name in names)
    if reason := _not_the_models(config, native):
        _refuse(read, names[0], config[_MAP], reason)
    if reason := _not_the_tokenizers(tokenizer, native):
        _refuse(read, names[1], tokenizer[_MAP], reason)
    return _MAP in config or _MAP in tokenizer


def _not_the_models(config: Mapping[str, Any], native: Native) -> str:
    """Why the library's own classes are not those that config.json names; empty if they are.

    If the library adopted a type later, the config and the model kept their names. Code for a type that the library
    always had is a different model under that type's name, with other weights or another kind of attention.
    """
    named = config.get(_MAP)
    if not named:
        return ""
    kind = config.get("model_type")
    own = native.classes(kind) if isinstance(kind, str) else ()
    if not own:
        return f"{native.library} has no model of the type {kind!r}"
    used = {k: v for k, v in named.items() if not k.startswith(_HEADED)} if isinstance(named, Mapping) else {}
    if "AutoConfig" in used and set(used) <= {"AutoConfig", "AutoModel"} and {*map(_class, used.values())} <= {*own}:
        return ""
    return f"the model of the type {kind!r} in {native.library} is a different one ({', '.join(own)})"


def _not_the_tokenizers(config: Mapping[str, Any], native: Native) -> str:
    """As `_not_the_models`, for tokenizer_config.json, which names a slow and a fast class; one of them may be None."""
    named = config.get(_MAP)
    if not named:
        return ""
    if isinstance(named, Mapping) and set(named) == {"AutoTokenizer"}:
        named = named["AutoTokenizer"]
    own = str(config.get("tokenizer_class")).removesuffix("Fast")
    given = {_class(each).removesuffix("Fast") for each in named if each} if isinstance(named, list) else set()
    if given == {own} and native.has_tokenizer(own):
        return ""
    return f"{native.library} has no tokenizer of that name"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _class(reference: object) -> str:
    """The name of the class in "owner/repository--module.Class"."""
    return str(reference).rsplit(".", 1)[-1]


def _refuse(read: ModelReader, name: str, named: object, reason: str) -> None:
    what = f"{name} asks to run code that comes with the model ({_MAP}: {json.dumps(named)})"
    read.refuse(f"{what}; such code is never run, and {reason}")
