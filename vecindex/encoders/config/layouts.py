"""Which files make up a model: tables of the kinds of modules and of models.

The readers (`modules`, `read_space`) and the check of the hub's cache (`locate.hub_cache`) both go by these tables.
File formats: https://sbert.net/docs/package_reference/sentence_transformer/models.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MODULES_FILE = "modules.json"
SENTENCE_FILE = "config_sentence_transformers.json"
SENTENCE_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names under which sentence-transformers stores a transformer's settings, in the order in which it looks for them."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one folder.

    ``required`` and ``optional`` are JSON files. Of ``either`` the first that is not empty applies. ``weights`` says
    whether there is a safetensors file, or an index of shards.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    weights: bool = False


_TRANSFORMER = Files(
    ("config.json", "tokenizer.json"),
    ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "adapter_config.json"),
    weights=True,
)
MODULES: dict[str, Files] = {
    "Transformer": replace(_TRANSFORMER, either=SENTENCE_CONFIGS),
    "PlainTransformer": _TRANSFORMER,
    "StaticEmbedding": Files(("tokenizer.json",), weights=True),
    "Pooling": Files(("config.json",)),
    "Dense": Files(("config.json",), weights=True),
    "Normalize": Files(optional=("config.json",)),
}
"""By the name of the module's class in sentence-transformers; a plain transformer is one without modules.json."""
TOP = Files((MODULES_FILE,), (SENTENCE_FILE,))
"""The files beside the modules, except in the folder of a plain transformer."""

Layout = tuple[str, ...]
"""A kind of model: the modules that it begins with. Any number of Dense and Normalize may follow in modules.json."""
TRANSFORMER: Layout = ("Transformer", "Pooling")
STATIC: Layout = ("StaticEmbedding",)
PLAIN: Layout = ("PlainTransformer",)
