"""Indexes inside an index are listed, continued and removed, also under the names that earlier versions gave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecindex.store.side_indexes import next_path

from ..support.helpers import opened, small_index
from ..support.toy import ToyEncoder

SPACE = ToyEncoder().space
DIGITS = SPACE.fingerprint[:16]
OTHER = ToyEncoder(model="second", weights="s" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


@pytest.fixture
def unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interrupted migration to the same model, with one of three texts committed."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vecindex.index.adding.encode_ahead.RECORDS_A_READ", 1)
    with opened(folder) as index, pytest.raises(KeyboardInterrupt):
        index.migrate(anew=True, progress=interrupt)
    return next_path(folder, SPACE, anew=True)


def beside(folder: Path) -> list[tuple[str, str]]:
    """The kind and the name of each listed side index."""
    with opened(folder) as index:
        return [(line.split(":")[0], line.split(", in ")[1]) for line in index.info().beside]


@pytest.mark.parametrize("name", [f"next-{SPACE.fingerprint[16:32]}", f"anew-{DIGITS}"])
def test_unfinished_migration_is_listed_and_continued(folder: Path, unfinished: Path, name: str) -> None:
    unfinished.rename(folder / name)
    assert beside(folder) == [("an unfinished migration", name)]
    with opened(folder) as index:
        index.delete(where="false")  # a writer removes leftovers, but this is not one
        assert index.migrate(anew=True).encoded == 2
    assert beside(folder) == [("kept from before", f"kept-{1:016x}")]


@pytest.mark.parametrize("name", [f"kept-{1:016x}", f"before-{1:016x}"])
def test_kept_index_of_the_same_space_is_listed_opened_and_dropped(folder: Path, name: str) -> None:
    with opened(folder) as index:
        kept = index.migrate(anew=True).kept
    assert kept == str(folder / f"kept-{1:016x}")
    Path(kept).rename(folder / name)
    with opened(folder) as index:
        index.delete(["a"])
        assert beside(folder) == [("kept from before", name)]
        with opened(folder / name) as old:
            assert (len(old), old.verify().ok) == (3, True)
        assert index.drop_old() > 0
    assert not (folder / name).exists()


@pytest.mark.parametrize(
    "name",
    [f"next-{DIGITS}", f"kept-{DIGITS}", f"kept-{1:016x}", f"before-{1:016x}", f".creating-anew-{DIGITS}-{DIGITS}"],
)
def test_leftover_is_removed_by_the_next_writer(folder: Path, name: str) -> None:
    small_index(folder / name)
    assert beside(folder) == []
    with opened(folder) as index:
        index.add(["five"])
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", [f"kept-{2:016x}", f"before-{2:016x}", f"anew-{DIGITS}", f"kept-{'f' * 16}"])
def test_side_index_that_may_be_needed_is_left_by_writers(folder: Path, name: str) -> None:
    small_index(folder / name)
    with opened(folder) as index:
        index.add(["five"])
    assert [found for _, found in beside(folder)] == [name]


def test_migration_back_continues_with_the_kept_index(folder: Path) -> None:
    with opened(folder) as index:
        assert index.migrate(OTHER).kept == str(folder / f"kept-{DIGITS}")
        assert index.migrate(ToyEncoder()).encoded == 0
