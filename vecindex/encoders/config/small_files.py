"""Reads a model's small files, which may come from anyone: regular files of bounded size and depth only."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

MOST_JSON = 4 << 20
"""The most bytes of a JSON file with settings; the largest known, with a thousand tokens in it, has 1.2 million."""
MOST_VOCABULARY = 128 << 20
"""The most bytes of a file with a vocabulary; the largest known, of 262,144 tokens, has 33 million."""
DEEPEST = 3
"""How many folders deep a model's files are checked and read."""
_MOST_DEPTH = 50
_VOCABULARIES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "added_tokens.json"),
    "model.safetensors.index.json",
)
_TEXTS = (".json", ".txt", ".model", ".jinja")
_POINTER = b"version https://git-lfs.github.com/spec/"
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class OddFileError(ValueError):
    """A file that is not what its name says, or is too large; the message begins with its path."""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: it does not exist.
        OddFileError: it is not a regular file, too large, nested too deeply or not JSON.
    """
    vocabulary = path.name in _VOCABULARIES
    content = _read(path, MOST_VOCABULARY if vocabulary else MOST_JSON)
    try:
        value = json.loads(content)
    except RecursionError:
        raise OddFileError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise OddFileError(f"{path} cannot be read: {error}") from None
    if not vocabulary and _depth(value) > _MOST_DEPTH:
        raise OddFileError(f"{path} is nested more than {_MOST_DEPTH} levels deep")
    return value


def check_weights(path: Path) -> None:
    """Raises OddFileError if a file of weights is not a regular file, or is a pointer of Git LFS."""
    check_regular(path)
    with path.open("rb") as file:
        _check_pointer(path, file.read(len(_POINTER)))


def check_regular(path: Path, most: int | None = None) -> None:
    """Raises OddFileError if a path is not a regular file or is too large, and OSError if it cannot be inspected."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OddFileError(f"{path} is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file")
    if most is not None and found.st_size > most:
        raise OddFileError(f"{path} has {found.st_size:,} bytes; at most {most:,} are read")


def check_folder(root: Path) -> None:
    """Checks everything that the libraries may open in a model's folder: regular files, and no link that leads out.

    The hub's cache keeps a snapshot's files beside it, in the model's ``blobs/``. Raises OddFileError and OSError.
    """
    within = roots(root)
    for folder, folders, files in os.walk(root):
        for name in sorted((*folders, *files)):
            _check_entry(Path(folder) / name, within)
        if len(Path(folder).relative_to(root).parts) >= DEEPEST:
            folders.clear()


def leads_out(path: Path, within: Sequence[str]) -> bool:
    """Whether a path is a link to something outside these folders."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    return not any(target.startswith(f"{folder}{os.sep}") for folder in within)


def roots(root: Path) -> list[str]:
    """The folders that may hold a model's files: its own, and ``blobs/`` beside a snapshot of the hub's cache."""
    found = [os.path.realpath(root)]
    if root.parent.name == "snapshots":
        found.append(os.path.realpath(root.parents[1] / "blobs"))
    return found


def _check_entry(path: Path, within: Sequence[str]) -> None:
    if leads_out(path, within):
        raise OddFileError(f"{path} is a link that leads out of the model's folder, to {os.path.realpath(path)}")
    if path.is_dir() or not path.exists():
        return
    most = None
    if path.suffix in _TEXTS:
        most = MOST_JSON if path.suffix == ".json" and path.name not in _VOCABULARIES else MOST_VOCABULARY
    check_regular(path, most)


def _read(path: Path, most: int) -> bytes:
    check_regular(path, most)
    with path.open("rb") as file:
        content = file.read(most)
    _check_pointer(path, content)
    return content


def _check_pointer(path: Path, content: bytes) -> None:
    if content.startswith(_POINTER):
        raise OddFileError(
            f"{path} is a pointer of Git LFS, not the file itself: "
            "run `git lfs pull` where it was cloned, or download the file"
        )


def _depth(value: Any) -> int:
    """How deeply a value is nested in objects and lists."""
    level, depth = [value], 0
    while level := [child for each in level if isinstance(each, dict | list) for child in _children(each)]:
        depth += 1
    return depth


def _children(value: dict[str, Any] | list[Any]) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value
