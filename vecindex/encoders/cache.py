"""Where does vecindex keep what it can make again: compiled models and digests of weight files.

``$VECINDEX_CACHE``, else ``$XDG_CACHE_HOME/vecindex``, else ``~/.cache/vecindex``::

    compiled/<fingerprint>/   model.onnx, tokenizer.json, encoder.json: one space's compiled encoder
    digests.json              {path: [size, modified, changed (ns), inode, SHA-256]} of weight files

Everything in it may be deleted at any time. Entries appear whole or not at all (written under another name, then
renamed), so any number of processes may share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """The cache's folder, which may not exist yet."""
    if given := os.environ.get("VECINDEX_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vecindex"


def compiled_folder(fingerprint: str) -> Path:
    """Where the compiled encoder of this space is, if it was compiled."""
    return cache_folder() / "compiled" / fingerprint


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex, remembered while its path, size, times and inode stay the same."""
    stat = path.stat()
    # Two fine-tuned models have one size, and tools that copy set the modification time; the change time nobody can.
    name, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    memo = cache_folder() / "digests.json"
    known = _read_memo(memo)
    if known.get(name, [])[:-1] == state:
        return str(known[name][-1])
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    # Two processes may write at once; the loser's entry is computed again next time.
    with contextlib.suppress(OSError):
        _write_memo(memo, {**_read_memo(memo), name: [*state, digest.hexdigest()]})
    return digest.hexdigest()


def _read_memo(path: Path) -> dict[str, list[int | str]]:
    try:
        memo = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _write_memo(path: Path, memo: dict[str, list[int | str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(memo, file)
    os.replace(temporary, path)
