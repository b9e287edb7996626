"""Acknowledged changes survive a power cut at any moment, and these tests would notice a missing sync."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vecindex.store.disk.system_calls import Disk

from ...support.acts import CHANGES, one_thread
from ...support.extent import every, slow
from ...support.faults import Unsynced, why_unhookable
from ...support.power import Cut, cuts, record

SEQUENCE = ["add", "update", "delete", "extend", "compact", "relabel", "backup", "add"]


@pytest.fixture(autouse=True)
def _conditions() -> Iterator[None]:
    if reason := why_unhookable():
        pytest.skip(reason)
    with one_thread():
        yield


@pytest.mark.parametrize("count", [12, slow(40)])
@pytest.mark.parametrize("act", CHANGES)
def test_power_cut_at_any_moment_leaves_all_of_a_change_or_nothing(tmp_path: Path, act: str, count: int) -> None:
    found = list(cuts(record([act], tmp_path / "r", seed=3), count, 1, tmp_path / "cut"))
    assert [cut for cut in found if cut.finding] == []
    assert {cut.acknowledged for cut in found} == {0, 1}


@pytest.mark.parametrize("seed", every(3, range(3)))
def test_changes_before_a_power_cut_are_all_there(tmp_path: Path, seed: int) -> None:
    acts = Random(seed).sample(SEQUENCE, len(SEQUENCE))
    recording = record(acts, tmp_path / "r", seed, reopen=seed == 1)
    found = list(cuts(recording, 50, seed, tmp_path / "cut"))
    assert [cut for cut in found if cut.finding] == []
    assert len({cut.acknowledged for cut in found}) > len(SEQUENCE) // 2


# --- the test of the test


class SyncsNoFiles(Unsynced):
    def sync(self, path: Path) -> None:
        if path.is_dir():
            super().sync(path)


class SyncsNoFolders(Unsynced):
    def sync(self, path: Path) -> None:
        if not path.is_dir():
            super().sync(path)


class SyncsWithoutSqlite(Unsynced):
    """SQLite does not sync its log before a commit returns: the pragma is lost."""

    def connect(self, database: str, **options: Any) -> sqlite3.Connection:
        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                return super().execute(sql.replace("synchronous = full", "synchronous = normal"), *parameters)

        return Disk.connect(self, database, factory=Connection, **options)


def found_by(disk: type[Unsynced], act: str, folder: Path) -> Iterator[Cut]:
    for seed in range(6):
        # SQLite syncs the folder with a log that it created, which would hide a later missing sync.
        recording = record(
            [act] if act == "create" else ["relabel", act], folder / f"r{seed}", seed, disk, reopen=False
        )
        yield from (cut for cut in cuts(recording, 60, seed, folder / "cut") if cut.finding)


@pytest.mark.parametrize(
    ("disk", "act"),
    [
        *itertools.product([SyncsNoFiles], ["create", "add", "update", "compact"]),
        *itertools.product([SyncsNoFolders], ["create", "compact"]),
        *itertools.product([SyncsWithoutSqlite], ["add", "update", "delete"]),
    ],
)
def test_missing_sync_is_found(tmp_path: Path, disk: type[Unsynced], act: str) -> None:
    cut = next(found_by(disk, act, tmp_path), None)
    assert cut is not None
    assert cut.finding is not None
