"""Where does vecindex keep what it can make again: compiled models and digests of large files.

``$VECINDEX_CACHE``, else ``$XDG_CACHE_HOME/vecindex``, else ``~/.cache/vecindex``::

    compiled/<fingerprint>/     model.onnx, model.onnx.data, tokenizer.json, encoder.json: one space's compiled encoder
    refused/<fingerprint>.json  why a model's export failed, and with which versions: it runs on torch
    folders/<model>.json        where the user himself said that this model's files are
    digests.json                {path: [size, modified, changed (ns), inode, SHA-256]} of large files

Everything in it may be deleted at any time. Entries appear whole or not at all (written under another name, then
renamed), so any number of processes may share it. What somebody else could have written is not used (`ownership`).
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
    """The cache's folder, which may not exist yet."""
    if given := os.environ.get("VECINDEX_CACHE"):
        return Path(expanded(given))
    try:
        return Path(expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "vecindex"
    except InvalidInput:  # this user has no home: nothing is kept there, and nothing can be written there
        return Path(os.devnull) / "vecindex"


def compiled_folder(fingerprint: str) -> Path:
    """Where the compiled encoder of this space is, if it was compiled."""
    return cache_folder() / "compiled" / fingerprint


def refusal_file(fingerprint: str) -> Path:
    """Where it says why the model of this space could not be exported, if that was so."""
    return cache_folder() / "refused" / f"{fingerprint}.json"


def remember_folder(model: str, folder: Path) -> None:
    """Keeps in mind where the files of a model are, which ``model`` is the fingerprint of; the user has said so."""
    if known_folder(model) != folder:
        with contextlib.suppress(OSError):
            write_json(_folder_file(model), {"folder": str(folder)})


def known_folder(model: str) -> Path | None:
    """Where the user said that the files of this model are; None if he never did."""
    try:
        return Path(read_trusted(_folder_file(model))["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folder_file(model: str) -> Path:
    return cache_folder() / "folders" / f"{model}.json"


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex, remembered while its path, size, times and inode stay the same."""
    name, state = str(path.resolve()), _state(path)
    known = _read_memo(_memo_file()).get(name, [])
    if known[:-1] == state:
        return str(known[-1])
    digest = sha256(path)
    _remember({name: [*state, digest]})
    return digest


def remember_digests(digests: Iterable[tuple[Path, str]]) -> None:
    """Spares `file_digest` the first reading of files that were just written and digested."""
    _remember({str(path.resolve()): [*_state(path), digest] for path, digest in digests})


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex, read now whatever is remembered."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def distrusted(path: Path) -> str:
    """Why something in the cache is not used; empty where it is."""
    return distrust(path, cache_folder())


def read_trusted(path: Path) -> Any:
    """What a JSON file in the cache holds; raises OSError or ValueError where there is none that may be used."""
    if reason := distrusted(path):
        raise PermissionError(errno.EPERM, reason)
    return read_json(path)


def write_json(path: Path, value: Any) -> None:
    """Writes a file of the cache whole or not at all, for its owner alone to change; raises OSError."""
    make_folder(path.parent, cache_folder())
    temporary = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o644), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    temporary.replace(path)


def _state(path: Path) -> list[int | str]:
    stat = path.stat()
    # Two fine-tuned models have one size, and tools that copy set the modification time; the change time nobody can.
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
    # Two processes may write at once; the loser's entry is computed again next time.
    with contextlib.suppress(OSError):
        known = {name: entry for name, entry in _read_memo(_memo_file()).items() if os.path.exists(name)}
        write_json(_memo_file(), {**known, **entries})
