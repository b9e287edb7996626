"""Files that tests write into the current folder."""

from __future__ import annotations

import os
from pathlib import Path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def age(path: Path, seconds: int = 10) -> None:
    """Makes a file old enough that its time is trusted."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - seconds * 10**9))
