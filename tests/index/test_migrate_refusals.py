"""Another model for an index: what is refused before anything is encoded, and what ``info`` says of a migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import InvalidInput

from ..support.migrating import TEXTS, Other
from ..support.toy import ToyEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    with vecindex.open(path, model=ToyEncoder()) as index:
        index.add(TEXTS)
    return path


# --- refused before anything is encoded


def test_queries_that_the_old_space_cannot_take_are_refused_at_once(tmp_path: Path) -> None:
    encoder = Other()
    with vecindex.open(tmp_path / "index") as index:
        index.add(["red", "blue"], vectors=np.eye(2, 5, dtype=np.float32), space="elsewhere")
        with pytest.raises(InvalidInput, match="made elsewhere"):
            index.migrate(encoder, queries=["red"])
        assert encoder.encoded == 0
        assert index.migrate(encoder).encoded == 2


@pytest.mark.parametrize("queries", [(), ["red"], {"1": "red"}])
def test_judgements_of_no_query_are_refused_at_once(folder: Path, queries: Any) -> None:
    encoder = Other()
    with vecindex.open(folder, model=ToyEncoder()) as index:
        with pytest.raises(InvalidInput, match="name none of the queries"):
            index.migrate(encoder, queries=queries, qrels={"2": {"a": 1}})
        assert encoder.encoded == 0


def test_an_index_of_which_all_was_deleted_is_empty(folder: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.delete(where="true")
        with pytest.raises(InvalidInput, match="empty"):
            index.migrate(Other())


# --- what lies beside the index


def test_info_tells_how_far_a_migration_is_and_what_is_kept_of_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def committed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with vecindex.open(folder, model=ToyEncoder()) as index:
        monkeypatch.setattr("vecindex.index.adding.encode_ahead.RECORDS_A_READ", 7)
        with pytest.raises(KeyboardInterrupt):
            index.migrate(Other(), progress=committed)
        (line,) = index.info().beside
        assert line.startswith(f"an unfinished migration: {Other().space.describe()}, 7 of {len(TEXTS)} records, ")
        report = index.migrate(Other())
        assert report.encoded == len(TEXTS) - 7
        assert report.kept is not None
        index.info()  # what it leaves of SQLite's shared memory in there is counted from now on
        info = index.info()
        within = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        kept = sum(size for path, size in within.items() if path.parent == Path(report.kept))
        assert info.bytes == sum(within.values())
        assert info.beside == (
            f"kept from before: {ToyEncoder().space.describe()}, {len(TEXTS)} records, {kept:,} bytes, "
            f"in {Path(report.kept).name}",
        )
        assert index.drop_old() == kept
        assert index.info().bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
