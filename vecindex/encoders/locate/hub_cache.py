"""Is a revision in the hub's local cache whole: which files does its model need, and which does its repository have?

Any program fetches only what it wants itself: transformers leaves out modules.json and all that it names. So what is
not there says nothing, unless the cache knows of it::

    snapshots/<commit>/<name>       the files that were fetched
    .no_exist/<commit>/<name>       the hub was asked for this one, and has none
    trees/<commit>.json             all that the repository has, where a newer client fetched many at once

https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..config.modules import within
from ..config.read_space import SENTENCE_CONFIGS
from ..config.small_files import leads_out, read_json, roots
from ..config.weights import WEIGHTS_FILE, pickle_among

MODULES_FILE = "modules.json"

# By the kind of a module: the files that are read of it, those that it must have and those that it may have.
_MUST = {
    "Transformer": ("config.json", "tokenizer.json"),
    "StaticEmbedding": ("tokenizer.json",),
    "Pooling": ("config.json",),
    "Dense": ("config.json",),
}
_MAY = {
    "Transformer": ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "adapter_config.json"),
    "Normalize": ("config.json",),
}
_WEIGHED = ("Transformer", "StaticEmbedding", "Dense")
_TREE_VERSION = 1


@dataclass(frozen=True, slots=True)
class CachedRevision:
    """A revision in the hub's cache.

    ``missing`` is a file that its model needs and that is not there, ``pickle`` one that stands where a module's
    weights should be; each is empty where there is none.
    """

    folder: Path
    missing: str
    pickle: str

    @property
    def commit(self) -> str:
        """Which revision it is."""
        return self.folder.name


def inspect(folder: Path, listed: Collection[str] | None = None) -> CachedRevision:
    """Looks at snapshots/<commit>; ``listed`` are the repository's files, None where only the cache can say it."""
    held = _Held(folder, listed)
    missing = held.missing()
    return CachedRevision(folder, missing, held.pickle() if missing else "")


class _Held:
    """What is there of a revision, and what is known of the rest."""

    def __init__(self, folder: Path, listed: Collection[str] | None) -> None:
        self.folder = folder
        self.place, self.commit = folder.parents[1], folder.name
        self.roots = roots(folder)
        self.listed = self._tree() if listed is None else listed

    def missing(self) -> str:
        for name, must in self._read():
            if not self._has(name) and (must or name in (self.listed or ())):
                return name
        return ""

    def pickle(self) -> str:
        for kind, path in self._modules():
            if kind in _WEIGHED:
                names = {within(path, file.name) for file in (self.folder / path).glob("*")}
                names |= {name for name in self.listed or () if _path(str(PurePosixPath(name).parent)) == path}
                # The index of parts that are still to come is a sign of safetensors too.
                if not any(".safetensors" in name for name in names) and (found := pickle_among(names)):
                    return found
        return ""

    def _read(self) -> Iterator[tuple[str, bool]]:
        """The files that are read of this model, and whether it must have each."""
        yield MODULES_FILE, not self._is_plain()
        if self._has(MODULES_FILE):
            yield "config_sentence_transformers.json", False
        for kind, path in self._modules():
            yield from ((within(path, name), True) for name in _MUST.get(kind, ()))
            yield from ((within(path, name), False) for name in _MAY.get(kind, ()))
            if kind == "Transformer" and self._has(MODULES_FILE):
                yield from self._sentence_configs(path)
            if kind in _WEIGHED:
                yield from ((name, True) for name in self._weights(path))

    def _is_plain(self) -> bool:
        """Whether the repository is known to have no modules.json: a transformer that says nothing of sentences."""
        asked_for = self.place / ".no_exist" / self.commit / MODULES_FILE
        return asked_for.exists() or (self.listed is not None and MODULES_FILE not in self.listed)

    def _modules(self) -> list[tuple[str, str]]:
        """The kind and the folder of each module, as far as modules.json says; its reader names what is damaged."""
        if not self._has(MODULES_FILE):
            return [("Transformer", "")]
        modules = _json(self.folder / MODULES_FILE)
        known = [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
        return [(_kind(str(module.get("type"))), _path(str(module.get("path", "")))) for module in known]

    def _sentence_configs(self, path: str) -> Iterator[tuple[str, bool]]:
        """One is read, the first that is there; so those behind it need not be."""
        for name in (within(path, config) for config in SENTENCE_CONFIGS):
            yield name, False
            if self._has(name):
                return

    def _weights(self, path: str) -> list[str]:
        """One file, else the index of its parts and each that it names."""
        single = within(path, WEIGHTS_FILE)
        index = f"{single}.index.json"
        if self._has(single) or not self._has(index):
            return [single]
        parts = _json(self.folder / index)
        named = parts.get("weight_map") if isinstance(parts, dict) else None
        return sorted({within(path, str(part)) for part in named.values()}) if isinstance(named, dict) else []

    def _tree(self) -> Collection[str] | None:
        file = self.place / "trees" / f"{self.commit}.json"
        tree = None if file.is_symlink() else _json(file)
        if not isinstance(tree, dict) or tree.get("format_version") != _TREE_VERSION:
            return None
        return tree["files"] if isinstance(tree.get("files"), dict) else None

    def _has(self, name: str) -> bool:
        file = self.folder / name
        return file.is_file() and not leads_out(file, self.roots)


def _kind(full: str) -> str:
    """The name of a module of sentence-transformers; of any other nothing is known but that it is refused."""
    return full.rsplit(".", 1)[-1] if full.startswith("sentence_transformers.") else ""


def _path(given: str) -> str:
    return "" if (path := str(PurePosixPath(given))) == "." else path


def _json(file: Path) -> Any:
    """What a file holds; None where it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_json(file)
    return None
