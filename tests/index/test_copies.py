"""The temporary copies of pipes are deleted when they were added, and when they could not be."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from vecindex import Index, SourceError
from vecindex.sources.opening.files import copied

from ..support.helpers import opened
from ..support.written_files import write

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / "index") as index:
        yield index


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    made: list[IO[bytes]] = []

    def noted(*given: Any) -> IO[bytes]:
        made.append(copied(*given))
        return made[-1]

    monkeypatch.setattr("vecindex.sources.origin.copied", noted)
    return made


def fed(name: str, text: str) -> threading.Thread:
    """Writes ``text`` to a new pipe, once it is read."""
    os.mkfifo(name)
    writer = threading.Thread(target=lambda: Path(name).write_text(text, encoding="utf-8"))
    writer.start()
    return writer


def test_of_a_pipe_that_was_added(index: Index, copies: list[IO[bytes]]) -> None:
    writer = fed("pipe.txt", "one\ntwo\n")
    assert index.add_files("pipe.txt").added == 2
    writer.join()
    assert [copy.closed for copy in copies] == [True]


@pytest.mark.parametrize(
    ("name", "text"), [("missing.txt", None), ("bad.jsonl", "{}\n"), ("binary.txt", "\0\x01\x02")], ids=str
)
def test_of_a_pipe_beside_something_that_cannot_be_added(
    index: Index, copies: list[IO[bytes]], name: str, text: str | None
) -> None:
    if text is not None:
        write(name, text)
    writer = fed("pipe.txt", "one\ntwo\n")
    with pytest.raises(SourceError):
        index.add_files(["pipe.txt", name])
    writer.join()
    assert [copy.closed for copy in copies] == [True]
    assert len(index) == 0
