"""Decides whether a model that asks to run its own code (``auto_map``) can be loaded without that code.

Such code is never run: transformers is told not to trust it, and uses its own classes of the model's type if it has
any. It does so for any model of that type, so this module checks that they are classes of the same model.

A config can also choose among the library's own code, or name kernels to download. Any choice but the plain computation
is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
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


def check_native_classes(read: ModelReader, path: str, head: str = "") -> None:
    """Refuses a model that asks to run code which transformers lacks.

    Args:
        path: the folder of the transformer.
        head: transformers' class by which it is loaded if it is used with a head, such as
            AutoModelForSequenceClassification.
    """
    reasons: dict[str, Callable[[Mapping[str, Any], Any], str]] = {
        "config.json": partial(_not_the_models, head),
        "tokenizer_config.json": _not_the_tokenizers,
    }
    for name, reason_of in reasons.items():
        config = read.json(within(path, name), optional=True) or {}
        if (named := config.get(_MAP)) and (reason := reason_of(config, named)):
            what = f"{within(path, name)} asks to run code that comes with the model ({_MAP}: {json.dumps(named)})"
            read.refuse(f"{what}; such code is never run, and {reason}")


def _not_the_models(head: str, config: Mapping[str, Any], named: Any) -> str:
    """Why transformers' own classes are not those that config.json names; empty if they are.

    If the library adopted a type later, the config and the model kept their names. Code for a type that the library
    always had is a different model under that type's name, with other weights or another kind of attention.
    """
    kind = config.get("model_type")
    own = _own_classes(kind, head) if isinstance(kind, str) else ()
    if not own:
        return f"transformers has no model of the type {kind!r}"
    given = named if isinstance(named, Mapping) else {}
    used = {k: v for k, v in given.items() if k == head or not k.startswith(_HEADED)}
    if (
        "AutoConfig" in used
        and set(used) <= {"AutoConfig", "AutoModel", head}
        and {*map(_class, used.values())} <= {*own}
    ):
        return ""
    return f"the model of the type {kind!r} in transformers is a different one ({', '.join(own)})"


def _own_classes(kind: str, head: str) -> tuple[str, ...]:
    """The names of transformers' own config and models of a type; none if it lacks the type, or it with this head."""
    import transformers

    auto: Any = transformers.models.auto
    config = auto.configuration_auto.CONFIG_MAPPING_NAMES.get(kind)
    models = auto.modeling_auto.MODEL_MAPPING_NAMES.get(kind)
    if config is None or models is None:
        return ()
    found = (config, models) if isinstance(models, str) else (config, *models)
    if not head:
        return found
    headed = auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(kind)
    return () if headed is None else (*found, headed)


def _not_the_tokenizers(config: Mapping[str, Any], named: Any) -> str:
    """As `_not_the_models`, for tokenizer_config.json, which names a slow and a fast class; one of them may be None."""
    import transformers

    if isinstance(named, Mapping) and set(named) == {"AutoTokenizer"}:
        named = named["AutoTokenizer"]
    own = str(config.get("tokenizer_class")).removesuffix("Fast")
    given = {_class(each).removesuffix("Fast") for each in named if each} if isinstance(named, list) else set()
    if given == {own} and isinstance(getattr(transformers, own, None), type):
        return ""
    return "transformers has no tokenizer of that name"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _class(reference: object) -> str:
    """The name of the class in "owner/repository--module.Class"."""
    return str(reference).rsplit(".", 1)[-1]
