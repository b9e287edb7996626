"""Adding a folder is killed or stopped: nothing is damaged, and adding it again ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ..support.every_format import ROW_WRITERS, TEXT_WRITERS, rows, sentences, write_lines, zipped
from ..support.extent import slow
from ..support.helpers import opened, sql
from ..support.toy_command import ended, started

A_FILE = 40
CALL = 0.03
"""Seconds of each call of the model, so that some commits are made before the end."""
_OLD = 10**18
_RECORDS = (
    "select records.key, records.text, records.metadata, location, documents.key, records.position, start, "
    '"end", place from records left join sources on sources.id = records.source '
    "left join documents on documents.id = records.document order by records.key"
)
_SOURCES = (
    "select kind, location, query, reader, options, digest, size, modified, stale, unit from sources order by location"
)
_DOCUMENTS = (
    "select documents.kind, documents.key, location, title, documents.digest, metadata, language "
    "from documents left join sources on sources.id = documents.source order by documents.key"
)
_REPEATS = "select key, location, place from repeats join sources on sources.id = repeats.source order by key, location"


@dataclass(frozen=True)
class Folder:
    """A folder with files of every format in ``docs``, and what an index of them holds that nothing interrupted."""

    path: Path
    contents: dict[str, list[Any]]
    seconds: float


def contents(index: Path) -> dict[str, list[Any]]:
    """All that an index holds, without the rows and ids, which depend on the order of commits."""
    asked = {"records": _RECORDS, "sources": _SOURCES, "documents": _DOCUMENTS, "repeats": _REPEATS}
    return {name: sql(index, statement) for name, statement in asked.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("interrupted")
    write(path / "docs")
    began = time.monotonic()
    status, _, err = ended(started(path, "add", "docs", "--index", "whole", "--on-long", "split", seconds=CALL))
    assert status == 0, err
    return Folder(path, contents(path / "whole"), time.monotonic() - began)


def write(docs: Path) -> None:
    """Files of every format, some with the same rows, in two folders; all of them some time old."""
    for number in range(2):
        inner = docs / f"part{number}"
        inner.mkdir(parents=True)
        for place, (suffix, write_texts) in enumerate(TEXT_WRITERS.items()):
            write_texts(inner / f"text.{suffix}", sentences(A_FILE, seed=100 * number + place))
        for place, (suffix, write_rows) in enumerate(ROW_WRITERS.items()):
            table = rows(A_FILE, seed=1000 + 100 * number + place)
            write_rows(inner / f"rows.{suffix}", [{**row, "key": f"{number}-{suffix}-{row['key']}"} for row in table])
    for name in ("lines", "same lines"):
        write_lines(docs / f"{name}.txt", sentences(A_FILE, seed=7))
    zipped(docs / "texts.zip", [docs / "part0" / "text.md", docs / "part1" / "text.srt"])
    (docs / "long.md").write_text("word " * 500 + ".\n", encoding="utf-8")
    for path in docs.rglob("*.*"):
        os.utime(path, ns=(_OLD, _OLD))


def records(index: Path) -> int:
    """How many records an index has by now."""
    if not (index / "vecindex.db").exists():
        return 0  # opening what is not there would make it
    try:
        return int(sql(index, "select count(*) from records")[0][0])
    except sqlite3.Error:
        return 0


def is_sound(index: Path) -> None:
    with opened(index, readonly=True) as found:
        assert found.verify().faults == ()


def is_completed(folder: Folder, index: Path) -> None:
    """The index is sound, and the same as an unbroken one once the folder is added again."""
    if (index / "vecindex.db").exists():
        is_sound(index)
    status, _, err = ended(started(folder.path, "add", "docs", "--index", index, "--on-long", "split"))
    assert status == 0, err
    found = contents(index)
    for name, expected in folder.contents.items():
        assert found[name] == expected, name
    is_sound(index)
    status, _, err = ended(started(folder.path, "add", "docs", "--index", index, "--on-long", "split"))
    assert f"0 added, 0 updated, {len(folder.contents['records'])} unchanged" in err


@pytest.mark.parametrize("seed", [1, 2, *map(slow, range(3, 21))])
def test_a_killed_add_is_completed_by_adding_again(folder: Folder, seed: int) -> None:
    index = folder.path / f"killed {seed}"
    process = started(folder.path, "add", "docs", "--index", index, "--on-long", "split", seconds=CALL)
    time.sleep(Random(seed).uniform(0.2, 1) * folder.seconds)
    process.kill()
    ended(process)
    is_completed(folder, index)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
def test_a_stopped_add_says_what_is_committed_and_is_completed_by_adding_again(
    folder: Folder, number: int, code: int, word: str
) -> None:
    index = folder.path / word
    process = started(folder.path, "add", "docs", "--index", index, "--on-long", "split", seconds=10 * CALL)
    deadline = time.monotonic() + 120
    while not records(index):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    status, out, err = ended(process)
    kept = records(index)
    assert (status, out) == (code, "")
    assert 0 < kept < len(folder.contents["records"])
    lines = [line for line in err.splitlines() if not line.startswith(("Adding:", "Reading:"))]
    assert lines == [f"{word}: {kept} records of this run committed to {index}; run it again to add the rest."]
    is_completed(folder, index)


def test_an_add_that_is_stopped_while_it_checks_leaves_no_index(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(20):
        write_lines(many / f"{number:02}.txt", sentences(5000, seed=number))
    process = started(tmp_path, "add", "many", "--index", "index")
    deadline = time.monotonic() + 120
    while not any("many" in name for name in _open_files(process.pid)):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "index").exists()


def _open_files(process: int) -> list[str]:
    found = []
    for each in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found.append(str(each.readlink()))
    return found
