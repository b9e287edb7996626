"""Gives the tests of the client an index, and a server of it in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vecindex
from vecindex import Index, RemoteIndex

from ...support.helpers import opened
from ...support.remote_texts import TEXTS
from ...support.served import Running, running


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two texts, and an index of their sentences and of some records."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "notes.txt").write_text("my name is Aun\nthe rain in Spain\n", encoding="utf-8")
    (folder / "tea.md").write_text("# Tea\n\nWarm the pot first. Milk comes last.\n", encoding="utf-8")
    with opened(folder / "index") as index:
        index.add(TEXTS, keys=[f"k/{n}" for n in range(len(TEXTS))], metadata=[{"n": n % 3} for n in range(len(TEXTS))])
        index.add_files([folder / "notes.txt", folder / "tea.md"])
    return folder


@pytest.fixture(scope="session")
def server(notes: Path) -> Iterator[Running]:
    with running(notes / "index") as found:
        yield found


@pytest.fixture
def local(notes: Path) -> Iterator[Index]:
    with opened(notes / "index") as index:
        yield index


@pytest.fixture
def remote(server: Running) -> Iterator[RemoteIndex]:
    with vecindex.connect(server.url) as index:
        yield index


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[RemoteIndex]:
    """A server of an index of its own, which holds nothing yet."""
    with opened(tmp_path / "index"):
        pass
    with running(tmp_path / "index") as found, vecindex.connect(found.url) as index:
        yield index
