"""Nonsense about where records are from, with valid checksums, is a named error and repaired; no view runs."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from vecindex.errors import CorruptIndex
from vecindex.store.stored import At, record_crc

from ...support.crafted import loosened
from ...support.helpers import opened, sql
from ...support.sourced import sourced_index


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sourced_index(tmp_path_factory.mktemp("sound") / "i")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "i")


@pytest.mark.parametrize(
    "columns",
    [
        (1, 1, 1, None, 19, 4),
        (1, 1, 1, 19, 10, 4),
        (1, 1, -1, 10, 19, 4),
        (1, 1, "x", 10, 19, 4),
        (1, 1, 1, b"\0", 19, 4),
        ("x", 1, 1, 10, 19, 4),
        (1, 1.5, 1, 10, 19, 4),
        (1, None, None, None, None, None),
    ],
)
def test_a_crafted_place_is_a_damaged_record(folder: Path, columns: tuple[object, ...]) -> None:
    with closing(loosened(folder)) as connection:
        key, text, metadata, lost = connection.execute(
            "select key, text, metadata, lost from records where key = 'cut#2'"
        ).fetchone()
        crc = record_crc(key, text, metadata, lost, At(*columns))  # type: ignore[arg-type]
        sets = 'source = ?, document = ?, position = ?, start = ?, "end" = ?, place = ?, crc = ?'
        connection.execute(f"update records set {sets} where key = 'cut#2'", (*columns, crc))
    with opened(folder) as index:
        assert any("'cut#2' is not what was written" in fault.reason for fault in index.verify().faults)
        with pytest.raises(CorruptIndex):
            index.search("It pours.")
        assert index.delete(["cut#2"]) == 1
        assert index.repair().ok


@pytest.mark.parametrize("id", [9, 2**62, 2**63 - 1, -1, 0])
@pytest.mark.parametrize("column", ["source", "document"])
def test_a_number_of_nothing_is_mended(folder: Path, column: str, id: int) -> None:
    key, text, metadata, lost = sql(folder, "select key, text, metadata, lost from records where key = 'cut#2'")[0]
    at = At(1, 1, 1, 10, 19, 4)._replace(**{column: id})
    crc = record_crc(key, text, metadata, lost, at)
    sql(folder, f"update records set {column} = {id}, crc = {crc} where key = 'cut#2'")
    with opened(folder) as index:
        count = len(index)
        index.search("It pours.", k=20)
        assert not index.verify().ok
        assert index.repair().ok
        assert len(index) == count


@pytest.mark.parametrize(
    "statements",
    [
        ["drop view sentences", "create view sentences as select load_extension('x') as text"],
        ["create view more as select 1 as one"],
        ["create trigger t after insert on records begin delete from sources; end"],
    ],
)
def test_a_view_or_trigger_that_no_index_has_is_refused(folder: Path, statements: list[str]) -> None:
    for statement in statements:
        sql(folder, statement)
    with pytest.raises(CorruptIndex, match="which no index has"):
        opened(folder)
