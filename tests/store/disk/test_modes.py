"""New files get the modes of their index, and an index is kept out of repositories."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vecindex.errors import InvalidInput, VecindexError

from ...support.helpers import opened, small_index
from ...support.sandbox import quick_folder
from ...support.toy import ToyEncoder


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("of_folder", "of_files"), [(0o700, 0o600), (0o750, 0o640)])
def test_new_files_get_the_modes_of_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_folder: int, of_files: int
) -> None:
    from vecindex.search.derived import upkeep

    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 32)
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 32)
    before = os.umask(0o022)
    try:
        with opened(tmp_path / "i", model=ToyEncoder(dimension=48)) as index:
            index.index_tokens()
            index.add([f"text {n}" for n in range(64)], keys=[f"k{n}" for n in range(64)])
        (tmp_path / "i").chmod(of_folder)
        for path in (tmp_path / "i").iterdir():
            path.chmod(of_files)
        with opened(tmp_path / "i", model=ToyEncoder(dimension=48)) as index:
            index.backup(tmp_path / "b")
            index.export(tmp_path / "e", "npy")
            index.export(tmp_path / "e.jsonl")
            index.delete(["k1"])
            index.compact()
            index.migrate(ToyEncoder(model="second", dimension=48, weights="s" * 64))
            for kind in ("codes", "lexical"):
                assert list((tmp_path / "i").glob(f"{kind}-[23]-*"))
                assert list((tmp_path / "b").glob(f"{kind}-1-*"))
            assert list((tmp_path / "b").glob("tokens-1-*"))
            index.index_tokens()
            assert list((tmp_path / "i").glob("tokens-3-*"))
    finally:
        os.umask(before)
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.name[:5] for path in folders} == {"i", "b", "e", "kept-"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {of_folder}
    assert modes(tmp_path) == {of_files}


def test_umask_applies_to_new_files_outside_the_index_only(folder: Path, tmp_path: Path) -> None:
    (folder / "vecindex.db").chmod(0o664)
    before = os.umask(0o077)
    try:
        with opened(folder) as index:
            index.backup(tmp_path / "b")
            index.compact()
    finally:
        os.umask(before)
    assert modes(tmp_path / "b") == {0o600}
    assert stat.S_IMODE((folder / ".gitignore").stat().st_mode) == 0o644  # made before
    assert stat.S_IMODE((folder / "vectors-2.f32").stat().st_mode) == 0o644  # as the vectors were


# --- repositories


def test_index_is_kept_out_of_repositories(folder: Path, tmp_path: Path) -> None:
    ignored = folder / ".gitignore"
    assert ignored.read_text().splitlines()[-1] == "*"
    ignored.unlink()
    with opened(folder) as index:
        index.verify()
        assert not ignored.exists()  # nothing was written
        index.backup(tmp_path / "b")
        index.add(["five"])
        assert ignored.exists()
        ignored.write_text("")
        index.add(["six"])
    assert ignored.read_text() == ""  # as the user wants it
    assert (tmp_path / "b" / ".gitignore").exists()


def test_index_may_be_created_beside_a_gitignore(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    opened(tmp_path).close()
    assert (tmp_path / ".gitignore").read_text() == "mine"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes").touch()
    with pytest.raises(InvalidInput):
        opened(tmp_path / "x")
    assert issubclass(InvalidInput, VecindexError)
