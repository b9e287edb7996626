"""Finds one revision of a model in the hub's local cache, or downloads it into that cache.

huggingface_hub is imported for a download only. The cache is read directly::

    models--OWNER--NAME/refs/main               the commit that a branch or a tag stood for when it was downloaded
    models--OWNER--NAME/snapshots/<commit>/     the files of a revision that were fetched
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

from ...errors import ModelNotFound, UnsupportedModel
from ..config.layouts import MODULES_FILE
from ..config.small_files import check_regular
from ..config.weights import pickle_among, pickle_refused
from .hub_cache import CachedRevision, inspect

log = logging.getLogger("vecindex")

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Weights as safetensors and never as a pickle; no code; no copy of the weights for another runtime.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")
_UNWANTED = ("onnx/*", "openvino/*")
_IN_MODULE = re.compile(r"(\d+_\w+/)?[^/]+")
_CONNECT_SECONDS = 1.5
_MOST_REFERENCE = 1000
_TOKEN = "VECINDEX_HF_TOKEN"


def find(name: str, revision: str, tried: list[str]) -> CachedRevision | None:
    """A cached revision, complete or not; without a name, the one that ``main`` was when it was last downloaded.

    Of several caches, the first that has it complete is used, or else the first that has any of it.
    """
    found = [snapshot for cache in _caches() if (snapshot := _in_cache(cache, name, revision, tried)) is not None]
    return next((snapshot for snapshot in found if not snapshot.missing), found[0] if found else None)


def _caches() -> list[Path]:
    """The cache that the hub's client uses, and the one that sentence-transformers may use instead."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    other = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    given = [named, *([other] if other else [])]
    found = dict.fromkeys(os.path.expanduser(os.path.expandvars(folder)) for folder in given)
    return [Path(folder) for folder in found if not folder.startswith("~")]  # the user has no home directory


def _in_cache(cache: Path, name: str, revision: str, tried: list[str]) -> CachedRevision | None:
    place = cache / f"models--{name.replace('/', '--')}"
    if not os.path.isdir(place):
        tried.append(f"the hub's local cache {cache} (not there)")
        return None
    commit = revision if _COMMIT.fullmatch(revision) else _named_commit(place / "refs" / (revision or "main"))
    folder = place / "snapshots" / commit
    if not commit or not folder.is_dir():
        lacks = f"the revision {revision} is not there" if revision else "incomplete: no snapshot"
        tried.append(f"the hub's local cache {cache} ({lacks})")
        return None
    found = inspect(folder)
    if found.pickle:
        tried.append(f"the hub's local cache {cache} (its weights there are a pickle, {found.pickle})")
    elif found.missing:
        tried.append(f"the hub's local cache {cache} (incomplete: no {found.missing})")
    return found


def download(name: str, revision: str, tried: list[str], advice: str | None = None) -> CachedRevision:
    """Downloads a revision, or else what ``main`` is now; it lacks the files that the repository lacks.

    The token in VECINDEX_HF_TOKEN is sent if it is set, but never one that was stored for other programs.

    Raises:
        ModelNotFound: with the places tried before, and this advice.
        UnsupportedModel: the repository has a module's weights only as a pickle, which is not downloaded.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    # Otherwise the client first reports to its maker's servers, and waits for their answer.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    asked, at = (f"{name}@{revision}" if revision else name), revision or None
    token = os.environ.get(_TOKEN) or False  # None would send that of the stored login
    try:
        # Asked first, with a short timeout: without a network this fails at once instead of after minutes of retries.
        info = HfApi(token=token).model_info(name, revision=at, timeout=_CONNECT_SECONDS)
        listed = {file.rfilename for file in info.siblings or ()}
        pickle = pickle_among(file for file in listed if _IN_MODULE.fullmatch(file))
        if pickle and not any(file.endswith(".safetensors") for file in listed):
            raise pickle_refused(name, pickle)
        log.warning("Downloading %s from the hub; this happens once.", asked)
        unwanted = [*_UNWANTED, MODULES_FILE]
        folder = Path(
            snapshot_download(name, revision=at, allow_patterns=list(_WANTED), ignore_patterns=unwanted, token=token)
        )
        # Last, so that an interrupted download is incomplete: it arrives, or the cache notes that there is none.
        with contextlib.suppress(EntryNotFoundError, HfHubHTTPError):
            hf_hub_download(name, MODULES_FILE, revision=folder.name, token=token)
        found = inspect(folder, listed if listed and info.sha == folder.name else None)
        if found.missing in listed:
            raise FileNotFoundError(f"{found.missing} did not arrive")
        if found.pickle:
            raise pickle_refused(name, found.pickle)
        return found
    except UnsupportedModel:
        raise
    except Exception as error:  # the hub client raises errors of its HTTP library's too
        reason = str(error).strip().splitlines() or [type(error).__name__]
        tried.append(f"a download from the hub ({reason[0]})")
        if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
            advice = f"Check the name. For a private model, set {_TOKEN} to a token that may read it; no other is sent."
        raise ModelNotFound(asked, tried, advice) from error


def _named_commit(file: Path) -> str:
    """The commit that a branch or tag stood for; empty if unknown."""
    try:
        if file.is_symlink():
            return ""
        check_regular(file, _MOST_REFERENCE)
        commit = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""
