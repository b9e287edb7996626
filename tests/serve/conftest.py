"""Gives the tests of the server an index of four records, and a server for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vecindex import Record

from ..support.helpers import opened
from ..support.served import Asked, asked

RECORDS = [
    Record("my name is Aun", "aun", {"lang": "en", "year": 2019}),
    Record("it rains today", "rain", {"lang": "en", "year": 2021}),
    Record("es regnet heute", "docs/de.txt:1", {"lang": "de", "year": 2021}),
    Record("the name of the rose", "rose"),
]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """For tests that change nothing."""
    index = opened(tmp_path_factory.mktemp("served") / "index")
    index.add(RECORDS)
    with asked(index) as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Asked]:
    """For tests that change the index, which is at ``tmp_path / "index"``."""
    index = opened(tmp_path / "index")
    index.add(RECORDS)
    with asked(index) as found:
        yield found
