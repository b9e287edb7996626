"""Does a model ask to run code that comes with it (``auto_map``), and does the library have the same as its own?

Such code is never run. A model that can do without is loaded from a folder in which there is none: links to the model's
files, its settings without ``auto_map``, and no Python.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .modules import ModelReader, within

_MAP = "auto_map"
_HEADED = "AutoModelFor"  # classes with another head, for other tasks


@dataclass(frozen=True, slots=True)
class Native:
    """What a library has as its own.

    ``classes`` gives the names of a model type's config and of its models, nothing where it has none of this type;
    ``has_tokenizer`` says whether it has a tokenizer of this name.
    """

    library: str
    classes: Callable[[str], tuple[str, ...]]
    has_tokenizer: Callable[[str], bool]


@contextlib.contextmanager
def left_out(read: ModelReader, path: str, native: Native) -> Iterator[Path]:
    """The model's folder, or one without its code, for as long as it is loaded; the transformer is in ``path``.

    Raises:
        UnsupportedModel: the library has nothing of its own that the code stands for.
    """
    names = (within(path, "config.json"), within(path, "tokenizer_config.json"))
    config, tokenizer = (read.json(name, optional=True) for name in names)
    asking = {name: file for name, file in zip(names, (config, tokenizer), strict=True) if _MAP in file}
    if not asking:
        yield read.folder
        return
    if reason := _not_the_models(config, native):
        _refuse(read, names[0], config[_MAP], reason)
    if reason := _not_the_tokenizers(tokenizer, native):
        _refuse(read, names[1], tokenizer[_MAP], reason)
    with tempfile.TemporaryDirectory(prefix="vecindex-model-") as copy:
        _link(read.folder, Path(copy), path, asking)
        for name, file in asking.items():
            (Path(copy) / name).write_text(json.dumps({k: v for k, v in file.items() if k != _MAP}), encoding="utf-8")
        yield Path(copy)


def _not_the_models(config: Mapping[str, Any], native: Native) -> str:
    """Why the library's own classes do not stand for those that config.json names; empty if they do.

    A type that the library has learned since has a config of its own, and both have kept their names. Code for a type
    that the library always had is another model under that type's name, with other weights or other attention.
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
    return f"what {native.library} has of the type {kind!r} is not the same ({', '.join(own)})"


def _not_the_tokenizers(config: Mapping[str, Any], native: Native) -> str:
    """As `_not_the_models`, of tokenizer_config.json, which names a slow and a fast class, one of which may be None."""
    named = config.get(_MAP)
    if not named:
        return ""
    if isinstance(named, Mapping) and set(named) == {"AutoTokenizer"}:
        named = named["AutoTokenizer"]
    own = str(config.get("tokenizer_class")).removesuffix("Fast")
    given = {_class(each).removesuffix("Fast") for each in named if each} if isinstance(named, list) else set()
    if given == {own} and native.has_tokenizer(own):
        return ""
    return f"{native.library} has no tokenizer of that name for it"


def _class(reference: object) -> str:
    """The class in "owner/repository--module.Class"."""
    return str(reference).rsplit(".", 1)[-1]


def _refuse(read: ModelReader, name: str, named: object, reason: str) -> None:
    what = f"{name} asks to run code that comes with the model ({_MAP}: {json.dumps(named)})"
    read.refuse(f"{what}, which is never run, and {reason}")


def _link(folder: Path, copy: Path, path: str, but: Mapping[str, Any]) -> None:
    """Makes ``copy`` hold what ``folder`` does, by links, but for Python and the files ``but``, relative to it."""
    way = [str(place) for place in (PurePosixPath(path), *PurePosixPath(path).parents)]
    for place in reversed(way):
        (copy / place).mkdir(exist_ok=True)
        for entry in (folder / place).iterdir():
            name = str(PurePosixPath(place) / entry.name)
            if name not in way and name not in but and entry.suffix != ".py":
                (copy / name).symlink_to(entry.absolute())
