"""What does the hub's local cache hold of a model, and how is a model downloaded into it?

A model is taken in one revision, which is known from then on. The cache's layout is read here, since importing
huggingface_hub takes longer than a whole search::

    models--OWNER--NAME/refs/main               the commit that a branch or a tag stood for when it was downloaded
    models--OWNER--NAME/snapshots/<commit>/     the files of a revision, as many as were fetched
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
# Weights as safetensors, never a pickle; no code; no other runtime's copy of the weights.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")
_UNWANTED = ("onnx/*", "openvino/*")
_IN_MODULE = re.compile(r"(\d+_\w+/)?[^/]+")
_CONNECT_SECONDS = 1.5
_MOST_REFERENCE = 1000
_TOKEN = "VECINDEX_HF_TOKEN"


def find(name: str, revision: str, tried: list[str]) -> CachedRevision | None:
    """The snapshot of a revision, else of what ``main`` was when it was last downloaded; whole or not.

    Of several caches the first that has it whole is taken, else the first that has anything.
    """
    found = [snapshot for cache in _caches() if (snapshot := _in_cache(cache, name, revision, tried)) is not None]
    return next((snapshot for snapshot in found if not snapshot.missing), found[0] if found else None)


def _caches() -> list[Path]:
    """The hub's cache, as its client finds it, and the one that sentence-transformers may have been given instead."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    other = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    given = [named, *([other] if other else [])]
    found = dict.fromkeys(os.path.expanduser(os.path.expandvars(folder)) for folder in given)
    return [Path(folder) for folder in found if not folder.startswith("~")]  # whoever has no home has no cache there


def _in_cache(cache: Path, name: str, revision: str, tried: list[str]) -> CachedRevision | None:
    place = cache / f"models--{name.replace('/', '--')}"
    if not os.path.isdir(place):
        tried.append(f"the hub's local cache {cache} (not there)")
        return None
    commit = revision if _COMMIT.fullmatch(revision) else _named_commit(place / "refs" / (revision or "main"))
    folder = place / "snapshots" / commit
    if not commit or not folder.is_dir():
        lacks = f"the revision {revision} is not there" if revision else "incomplete there: no snapshot"
        tried.append(f"the hub's local cache {cache} ({lacks})")
        return None
    found = inspect(folder)
    if found.pickle:
        tried.append(f"the hub's local cache {cache} (its weights there are a pickle, {found.pickle})")
    elif found.missing:
        tried.append(f"the hub's local cache {cache} (incomplete there: no {found.missing})")
    return found


def download(name: str, revision: str, tried: list[str], advice: str | None = None) -> CachedRevision:
    """Downloads a revision, else what ``main`` is now; it may lack what the repository lacks.

    The token in VECINDEX_HF_TOKEN is sent, where there is one, and never one that was stored for other programs.

    Raises:
        ModelNotFound: with what was tried before, and this advice.
        UnsupportedModel: the repository has a module's weights as a pickle only; none is downloaded.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    # The client would report to its maker's servers first, which nobody asked for, and wait for their answer.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    asked, at = (f"{name}@{revision}" if revision else name), revision or None
    token = os.environ.get(_TOKEN) or False  # False, since None sends the one of the stored login
    try:
        # Asked first, with a short limit: without a network this fails now instead of after minutes of retries.
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
        # Last, so that a download which was interrupted is none: it comes, or the cache notes that there is none.
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
            advice = f"Check the name. For a private model set {_TOKEN} to a token that may read it; no other is sent."
        raise ModelNotFound(asked, tried, advice) from error


def _named_commit(file: Path) -> str:
    """The commit that a branch or tag stood for; empty if it is not known."""
    try:
        if file.is_symlink():
            return ""
        check_regular(file, _MOST_REFERENCE)
        commit = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""
