"""A real folder of many files that are followed, and what becomes of a few of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .every_format import paragraphs

NEW = "A sentence that was not there before, in file {}."
CHANGED, MOVED, DELETED = (0, 50, 100), (1, 51, 101, 151, 199), (2, 102)
_OLD = 10**18


def written(folder: Path, texts: Sequence[str], files: int, suffix: str = "md") -> None:
    """Writes the sentences to files in folders of 20, in paragraphs or, for txt, in lines; all are some time old."""
    share = len(texts) // files
    for number in range(files):
        path = file(folder, number, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = texts[number * share :][:share]
        between = "\n" if suffix == "txt" else "\n\n"
        path.write_text(between.join(own if suffix == "txt" else paragraphs(own)) + "\n", encoding="utf-8")
        os.utime(path, ns=(_OLD + number, _OLD + number))


def file(folder: Path, number: int, suffix: str = "md") -> Path:
    return folder / f"part{number // 20:02}" / f"file{number:03}.{suffix}"


def changed(folder: Path, suffix: str = "md") -> None:
    """Adds a sentence to three files, moves five, and deletes two."""
    for number in CHANGED:
        path = file(folder, number, suffix)
        text = path.read_text(encoding="utf-8")
        between = "\n" if suffix == "txt" else " "
        path.write_text(NEW.format(number) + between + text, encoding="utf-8")
    (folder / "elsewhere").mkdir()
    for number in MOVED:
        path = file(folder, number, suffix)
        path.rename(folder / "elsewhere" / f"moved{number}.{suffix}")
    for number in DELETED:
        file(folder, number, suffix).unlink()
