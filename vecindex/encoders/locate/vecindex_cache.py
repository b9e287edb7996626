"""Keeps what vecindex can make again in its own cache: compiled models, and digests of large files.

``$VECINDEX_CACHE``, else ``$XDG_CACHE_HOME/vecindex``, else ``~/.cache/vecindex``::

    compiled/<fingerprint>/     model.onnx, model.onnx.data, tokenizer.json, encoder.json: one space's compiled encoder
    refused/<fingerprint>.json  why a model's export failed, and with which versions; such a model runs on torch
    folders/<model>.json        the folder that the user gave for this model
    digests.json                {path: [size, modified, changed (ns), inode, SHA-256]} of large files

Everything in it may be deleted at any time. Entries are written under a temporary name and then renamed, so any number
of processes may share the cache. Files that another user could have written are not used (`ownership`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...values.paths import expanded
from ..config.small_files import read_json
from .ownership import distrust, make_folder

Memo = dict[str, list[int | str]]


def cache_folder() -> Path:
    """The cache's folder, which need not exist yet."""
    if given := os.environ.get("VECINDEX_CACHE"):
        return Path(expanded(given))
    try:
        return Path(expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "vecindex"
    except InvalidInput:  # the user has no home directory: nothing can be read or written here
        return Path(os.devnull) / "vecindex"


def compiled_folder(fingerprint: str) -> Path:
    """The folder of this space's compiled encoder, whether or not it exists."""
    return cache_folder() / "compiled" / fingerprint


def refusal_file(fingerprint: str) -> Path:
    """The file that says why the model of this space could not be exported, whether or not it exists."""
    return cache_folder() / "refused" / f"{fingerprint}.json"


def remember_folder(model: str, folder: Path) -> None:
    """Remembers the folder that the user gave for the model with this fingerprint."""
    if known_folder(model) != folder:
        with contextlib.suppress(OSError):
            write_json(_folder_file(model), {"folder": str(folder)})


def known_folder(model: str) -> Path | None:
    """The folder that the user gave for the model with this fingerprint, or None."""
    try:
        return Path(read_trusted(_folder_file(model))["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folder_file(model: str) -> Path:
    return cache_folder() / "folders" / f"{model}.json"


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hex, remembered while its path, size, times and inode stay the same."""
    name, state = str(path.resolve()), _state(path)
    known = _read_memo(_memo_file()).get(name, [])
    if known[:-1] == state:
        return str(known[-1])
    digest = sha256(path)
    _remember({name: [*state, digest]})
    return digest


def remember_digests(digests: Iterable[tuple[Path, str]]) -> None:
    """Remembers the digests of files that were just written, so that `file_digest` does not read them again."""
    _remember({str(path.resolve()): [*_state(path), digest] for path, digest in digests})


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex, always read from the file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def distrusted(path: Path) -> str:
    """Why a file or folder in the cache is not used; empty if it is."""
    return distrust(path, cache_folder())


def read_trusted(path: Path) -> Any:
    """The content of a JSON file in the cache; raises OSError or ValueError if it is missing or not to be trusted."""
    if reason := distrusted(path):
        raise PermissionError(errno.EPERM, reason)
    return read_json(path)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file into the cache atomically, writable by its owner only; raises OSError."""
    make_folder(path.parent, cache_folder())
    temporary = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o644), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    temporary.replace(path)


def _state(path: Path) -> list[int | str]:
    stat = path.stat()
    # Two fine-tuned models may have the same size, and copying may preserve the modification time; nobody can set the
    # change time.
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _memo_file() -> Path:
    return cache_folder() / "digests.json"


def _read_memo(path: Path) -> Memo:
    try:
        memo = read_trusted(path)
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _remember(entries: Memo) -> None:
    # If two processes write at once, one entry is lost, and computed again next time.
    with contextlib.suppress(OSError):
        known = {name: entry for name, entry in _read_memo(_memo_file()).items() if os.path.exists(name)}
        write_json(_memo_file(), {**known, **entries})
