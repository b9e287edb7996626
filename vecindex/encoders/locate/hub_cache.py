"""Checks whether a revision in the hub's local cache is complete: it has every file that is read of its model.

Each program fetches only what it needs: transformers leaves out modules.json and the modules that it names. So a file
may be missing although the repository has it, unless the cache says otherwise::

    snapshots/<commit>/<name>       the files that were fetched
    .no_exist/<commit>/<name>       the hub was asked for this file, and does not have it
    trees/<commit>.json             all files of the repository, where a newer client fetched many at once

The cache is read directly: huggingface_hub has `try_to_load_from_cache`, but importing it takes 0.15 s, which a search
with a model that is not compiled would pay. https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UnsupportedModel
from ..config.layouts import MODULES, MODULES_FILE, PLAIN, TOP, Files
from ..config.modules import ModelReader, listed_modules, within
from ..config.small_files import leads_out, read_json, roots
from ..config.weights import WEIGHTS_FILE, pickle_among

_TREE_VERSION = 1


@dataclass(frozen=True, slots=True)
class CachedRevision:
    """A revision in the hub's cache.

    ``missing`` is a file that the model needs and the cache lacks. ``pickle`` is one found in place of a module's
    weights. Each is empty if there is none.
    """

    folder: Path
    missing: str
    pickle: str

    @property
    def commit(self) -> str:
        """The revision's commit."""
        return self.folder.name


def inspect(folder: Path, listed: Collection[str] | None = None) -> CachedRevision:
    """Inspects snapshots/<commit>; ``listed`` are the repository's files, or None if only the cache may know them."""
    check = _Check(folder, listed)
    missing = check.missing()
    return CachedRevision(folder, missing, check.pickle() if missing else "")


class _Check:
    """Compares the files of a revision that are cached with those that are read."""

    def __init__(self, folder: Path, listed: Collection[str] | None) -> None:
        self.folder = folder
        self.place, self.commit = folder.parents[1], folder.name
        self.roots = roots(folder)
        self.listed = self._tree() if listed is None else listed

    def missing(self) -> str:
        for name, required in self._read():
            if not self._has(name) and (required or name in (self.listed or ())):
                return name
        return ""

    def pickle(self) -> str:
        for kind, path in self._modules():
            if kind in MODULES and MODULES[kind].weights:
                names = {within(path, file.name) for file in (self.folder / path).glob("*")}
                names |= {name for name in self.listed or () if PurePosixPath(name).parent == PurePosixPath(path)}
                # An index of shards that are not here yet shows that there are safetensors too.
                if not any(".safetensors" in name for name in names) and (found := pickle_among(names)):
                    return found
        return ""

    def _read(self) -> Iterator[tuple[str, bool]]:
        """The files that are read of this model, and whether each is required."""
        if self._has(MODULES_FILE) or not self._is_plain():
            yield from self._files(TOP, "")
        for kind, path in self._modules():
            yield from self._files(MODULES.get(kind, Files()), path)

    def _files(self, files: Files, path: str) -> Iterator[tuple[str, bool]]:
        yield from ((within(path, name), True) for name in files.required)
        yield from ((within(path, name), False) for name in files.optional)
        for name in (within(path, name) for name in files.either):
            yield name, False
            if self._has(name):
                break
        if files.weights:
            yield from ((name, True) for name in self._weights(path))

    def _is_plain(self) -> bool:
        """Whether the repository is known to have no modules.json."""
        if self.listed is not None:
            return MODULES_FILE not in self.listed
        return (self.place / ".no_exist" / self.commit / MODULES_FILE).exists()

    def _modules(self) -> list[tuple[str, str]]:
        """The kind and the folder of each module; none if modules.json is damaged, which its reader reports."""
        if not self._has(MODULES_FILE):
            return [(kind, "") for kind in PLAIN]
        with contextlib.suppress(UnsupportedModel):
            return listed_modules(ModelReader(self.folder, ""))
        return []

    def _weights(self, path: str) -> list[str]:
        """The one file of weights, or else each shard that the index names."""
        single = within(path, WEIGHTS_FILE)
        index = f"{single}.index.json"
        if self._has(single) or not self._has(index):
            return [single]
        shards = _json(self.folder / index)
        named = shards.get("weight_map") if isinstance(shards, dict) else None
        return sorted({within(path, str(shard)) for shard in named.values()}) if isinstance(named, dict) else []

    def _tree(self) -> Collection[str] | None:
        file = self.place / "trees" / f"{self.commit}.json"
        tree = None if file.is_symlink() else _json(file)
        if not isinstance(tree, dict) or tree.get("format_version") != _TREE_VERSION:
            return None
        return tree["files"] if isinstance(tree.get("files"), dict) else None

    def _has(self, name: str) -> bool:
        file = self.folder / name
        return file.is_file() and not leads_out(file, self.roots)


def _json(file: Path) -> Any:
    """The content of a JSON file, or None if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return read_json(file)
    return None
