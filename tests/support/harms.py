"""Damages files in random ways, decided by a `random.Random`."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

PAGE = 4096


def damage(folder: Path, other: Path, chance: random.Random, end: str = "") -> tuple[str, str]:
    """Damages one file whose name ends with ``end``; returns the kind of damage and the file's name."""
    kind, (harm, _) = chance.choices(list(HARM.items()), [weight for _, weight in HARM.values()])[0]
    weights = {".db": 5, ".f32": 2, ".faiss": 1, ".bin": 2, "-wal": 2, "-shm": 0.5, ".lock": 0.5}
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(end) and path.name != ".gitignore")
    chosen = [next(w for end, w in weights.items() if name.endswith(end)) for name in names]
    name = chance.choices(names, chosen)[0]
    harm(folder / name, other / name, chance)
    return kind, name


def _rewrite(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    if content:
        change(content)
        path.write_bytes(content)


def cut(path: Path, other: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randint(0, max(0, path.stat().st_size - 1)))


def flip(path: Path, other: Path, chance: random.Random) -> None:
    def change(content: bytearray) -> None:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)

    _rewrite(path, change)


def garbage(path: Path, other: Path, chance: random.Random) -> None:
    def change(content: bytearray) -> None:
        start = chance.randrange(len(content))
        length = min(chance.choice((4, 32, 512, PAGE)), len(content) - start)
        content[start : start + length] = chance.randbytes(length)

    _rewrite(path, change)


def zeros(path: Path, other: Path, chance: random.Random) -> None:
    def change(content: bytearray) -> None:
        start = PAGE * chance.randrange(-(-len(content) // PAGE))
        content[start : start + PAGE] = bytes(min(PAGE, len(content) - start))

    _rewrite(path, change)


def swap(path: Path, other: Path, chance: random.Random) -> None:
    def change(content: bytearray) -> None:
        size = chance.choice((512, PAGE))
        blocks = len(content) // size
        if blocks > 1:
            a, b = (slice(size * i, size * (i + 1)) for i in chance.sample(range(blocks), 2))
            content[a], content[b] = content[b], content[a]

    _rewrite(path, change)


def replace(path: Path, other: Path, chance: random.Random) -> None:
    if other.exists():
        shutil.copyfile(other, path)
    else:
        path.write_bytes(chance.randbytes(10_000))


def remove(path: Path, other: Path, chance: random.Random) -> None:
    path.unlink()


def empty(path: Path, other: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


Harm = Callable[[Path, Path, random.Random], None]
HARM: dict[str, tuple[Harm, float]] = {
    **{"cut": (cut, 2), "bit": (flip, 4), "garbage": (garbage, 3), "zeros": (zeros, 2), "swap": (swap, 2)},
    **{"other": (replace, 1), "removed": (remove, 0.5), "empty": (empty, 0.5)},
}
"""Each kind of damage, with its weight."""
