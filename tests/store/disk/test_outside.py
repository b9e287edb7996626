"""A received index, or files beside it, cannot make us touch anything outside its folder."""

from __future__ import annotations

import ast
import os
import shutil
import sqlite3
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from vecindex import Index, search, store
from vecindex.errors import CorruptIndex, StorageError
from vecindex.search.dense import codes
from vecindex.search.dense.settings import CodeSettings
from vecindex.store.disk import files
from vecindex.store.disk.files import remove_tree
from vecindex.store.disk.system_calls import Disk, replaced

from ...support.helpers import SMALL_STATE, opened, small_index, sql, state_of
from ...support.sandbox import Victim, plant, quick_folder, run, watched
from ...support.toy import ToyEncoder, toy_space

HEX = "0123456789abcdef"
SPACE = toy_space().fingerprint[:16]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


# --- removal


@pytest.mark.parametrize(
    "name",
    [
        *(f".creating-next-{HEX}-{HEX}", f".creating-kept-{HEX}-{HEX}", f"kept-{SPACE}", f"next-{SPACE}"),
        *(f"kept-{1:016x}", f"before-{1:016x}", ".creating-next-x"),
    ],
)
@pytest.mark.parametrize("command", [["delete", "a"], ["compact"], ["index-field", "n"], ["migrate", "--drop-old"]])
def test_removal_does_not_follow_links(folder: Path, victim: Victim, name: str, command: list[str]) -> None:
    (folder / name / "deep").mkdir(parents=True)
    (folder / name / "link").symlink_to(victim.root)
    (folder / name / "deep" / "link").symlink_to(victim.folder)
    with watched(victim):
        assert run(*command, "--index", str(folder)).exit_code == 0
    assert (folder / name).exists() == (name == ".creating-next-x")  # not a name that is ever made


@pytest.mark.parametrize("name", [f"kept-{HEX}", f"before-{HEX}", f"next-{SPACE}"])
def test_link_in_place_of_a_side_index_is_removed_and_not_followed(folder: Path, victim: Victim, name: str) -> None:
    small_index(victim.root / "other")
    (folder / name).symlink_to(victim.root / "other")
    victim.before = victim.state()
    with watched(victim):
        assert run("info", "--index", str(folder)).exit_code == 0
        assert run("migrate", "--drop-old", "--index", str(folder)).exit_code == 0
    assert not os.path.lexists(folder / name)


def test_export_removes_only_its_own_unfinished_folders(folder: Path, victim: Victim, tmp_path: Path) -> None:
    beside = {digit: tmp_path / f".creating-out.jsonl-{digit * 16}" for digit in "abcde"}
    beside["a"].mkdir()
    (beside["a"] / "link").symlink_to(victim.root)
    beside["b"].symlink_to(victim.root)
    beside["c"].mkdir()
    os.mkfifo(beside["c"] / "writer.lock")
    beside["d"].mkdir()
    (beside["d"] / "writer.lock").hardlink_to(victim.file)
    beside["e"].write_text("a file")
    with watched(victim):
        assert run("export", str(tmp_path / "out.jsonl"), "--index", str(folder)).exit_code == 0
    assert [digit for digit, path in beside.items() if os.path.lexists(path)] == ["b", "c", "d", "e"]


def test_folder_swapped_for_a_link_during_removal_is_not_followed(victim: Victim, tmp_path: Path) -> None:
    """The tree has the names of the victim's files, so removal by path would remove those."""
    tree = shutil.copytree(victim.root, tmp_path / "tree")

    class Swapping(Disk):
        def remove(self, path: Path, folder: int | None = None) -> None:
            if not tree.is_symlink():
                tree.rename(tmp_path / "moved")
                tree.symlink_to(victim.root)
            super().remove(path, folder)

    with watched(victim), replaced(Swapping()):
        remove_tree(tree)
    assert tree.is_symlink()
    assert [path.name for path in (tmp_path / "moved").rglob("*") if path.is_file()] == []


def test_folder_inside_an_index_is_not_entered_through_a_link(folder: Path, victim: Victim) -> None:
    (folder / "next-x").symlink_to(victim.root)
    with watched(victim), pytest.raises(CorruptIndex, match="next-x is damaged: it is a symbolic link"):
        files.write_at(folder / "next-x" / "vectors-1.f32", 0, memoryview(b"x"))


def test_folder_of_another_user_is_not_removed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    made = tmp_path / "tree" / "theirs"
    made.mkdir(parents=True)
    (made / "file").write_text("x")
    (tmp_path / "tree" / "ours").write_text("x")
    os.chown(made, 12345, 12345)
    remove_tree(tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree").rglob("*")) == ["file", "theirs"]


def test_root_removes_leftovers_of_the_owner_of_the_index(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    left = folder / f".creating-next-{HEX}-{HEX}"
    left.mkdir()
    for path in (folder, *folder.iterdir()):
        os.chown(path, 12345, 12345)
    assert run("delete", "a", "--index", str(folder)).exit_code == 0
    assert not left.exists()
    assert {(path.name, path.stat().st_uid) for path in folder.iterdir() if path.stat().st_uid != 12345} == set()


@pytest.mark.parametrize("name", ["vectors-backup.f32", "codes-mine.faiss", ".creating-notes", "vectors-.f32"])
def test_only_files_with_our_names_are_removed(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    with opened(folder) as index:
        index.compact()
    assert (folder / name).read_text() == "mine"


def test_very_deep_folder_is_not_removed(tmp_path: Path) -> None:
    deep = tmp_path / "tree" / Path(*("x" for _ in range(300)))
    deep.mkdir(parents=True)
    remove_tree(tmp_path / "tree")
    assert deep.is_dir()


# --- opening


PLACES = ["vecindex.db", "vecindex.db-wal", "vecindex.db-shm", "vectors-1.f32", "writer.lock"]
READING: dict[str, Callable[[Index], Any]] = {
    "search": lambda index: index.search("one"),
    "verify": lambda index: index.verify(),
    "info": lambda index: index.info(),
    "get": lambda index: index.get("a"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("kind", "called"),
    [("FIFO", "a FIFO"), ("socket", "a socket"), ("link", "a symbolic link"), ("folder", "a directory")],
)
def test_irregular_file_is_named_at_once(folder: Path, victim: Victim, place: str, kind: str, called: str) -> None:
    plant(folder / place, kind, victim)
    for act in READING.values():
        with watched(victim, seconds=2):
            assert _said(folder, act) == (str(folder / place), f"it is {called}, not a regular file")


def _said(folder: Path, act: Callable[[Index], Any]) -> tuple[str, str] | None:
    """The damaged file and the reason, from an error or a report."""
    try:
        with opened(folder, create=False) as index:
            (fault,) = act(index).faults
            return fault.path, fault.reason
    except CorruptIndex as error:
        return error.path, error.reason


def test_device_is_not_opened(folder: Path) -> None:
    (folder / "writer.lock").unlink()
    try:
        os.mknod(folder / "writer.lock", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")
    with pytest.raises(CorruptIndex, match=r"writer\.lock is damaged: it is a device, not a regular file"):
        opened(folder)


@pytest.mark.parametrize("lock", ["writer.lock", "migrate.lock"])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "hard link", "FIFO"])
def test_lock_is_never_taken_on_another_file(folder: Path, victim: Victim, lock: str, kind: str) -> None:
    plant(folder / lock, kind, victim)
    with watched(victim, seconds=2), pytest.raises((CorruptIndex, StorageError)) as caught, opened(folder) as index:
        index.drop_old()
    assert getattr(caught.value, "path", None) == str(folder / lock)


def test_hard_linked_vectors_are_copied_before_they_are_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").hardlink_to(folder / "vectors-1.f32")
    before = (tmp_path / "copy").read_bytes()
    with opened(folder) as index:
        index.add(["five"], keys=["e"])
        assert state_of(index) == SMALL_STATE | {"e": ("five", {})}
        assert index.verify().ok
    assert (tmp_path / "copy").read_bytes() == before
    assert (folder / "vectors-1.f32").read_bytes()[: len(before)] == before


def test_hard_linked_database_is_read_but_not_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").hardlink_to(folder / "vecindex.db")
    with opened(folder) as index:
        assert len(index) == 3
        with pytest.raises(StorageError, match="hard links"):
            index.delete(["a"])


def test_link_to_the_index_itself_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with opened(tmp_path / "link") as index:
        index.add(["five"], keys=["e"])
        index.compact()
        assert index.search("five", k=1)[0].key == "e"
    assert len(opened(folder)) == 4


@pytest.mark.parametrize("kind", ["link to a folder", "link to nothing", "FIFO", "noise"])
def test_migration_is_refused_where_there_is_no_real_folder(folder: Path, victim: Victim, kind: str) -> None:
    other = ToyEncoder(model="second", weights="s" * 64)
    plant(folder / f"next-{other.space.fingerprint[:16]}", kind, victim)
    with watched(victim), opened(folder) as index, pytest.raises(CorruptIndex, match="not a directory"):
        index.migrate(other)


# --- what libraries would open by themselves


def test_crafted_journal_does_not_make_sqlite_remove_a_file(folder: Path, victim: Victim) -> None:
    """A journal can name another file, which SQLite removes after it has played the journal back."""
    name, magic = os.fsencode(victim.file), bytes.fromhex("d9d505f920a163d7")
    head = (magic + struct.pack(">5I", 0, 0, (folder / "vecindex.db").stat().st_size // 4096, 512, 4096)).ljust(
        512, b"\0"
    )
    tail = struct.pack(">I", 0x40000000 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    journal = folder / "vecindex.db-journal"
    journal.write_bytes(head + tail)
    twin = shutil.copytree(folder, folder.with_name("twin"))
    for readonly in (False, True):
        with watched(victim), pytest.raises(CorruptIndex, match=r"-journal is damaged: an index has no such"):
            opened(folder, readonly=readonly)
    with closing(sqlite3.connect(twin / "vecindex.db")) as connection:  # why it is refused
        connection.execute("select 1 from sqlite_master").fetchall()
    assert not victim.file.exists()


def test_crafted_codes_do_not_make_faiss_open_a_file(victim: Victim, tmp_path: Path) -> None:
    settings = CodeSettings(bits=1, factor=10, lists=2, probes=1)
    vectors = np.random.default_rng(1).standard_normal((300, 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    part = codes.build(vectors, settings).variant("masked")
    lists = faiss.OnDiskInvertedLists(2, part.index.code_size, str(tmp_path / "lists"))
    lists.merge_from_1(part.index.invlists)
    part.index.replace_invlists(lists, False)
    found = faiss.serialize_index(part.file).tobytes()
    name = os.fsencode(tmp_path / "lists")
    named = os.fsencode(os.path.relpath(victim.file))
    data = found.replace(struct.pack("<Q", len(name)) + name, struct.pack("<Q", len(named)) + named)
    assert data != found
    with watched(victim), pytest.raises(ValueError, match="cannot be read"):
        codes.load({"masked": lambda: data}, settings, 48, 300)


@pytest.mark.parametrize(
    "sql_text",
    [
        "create trigger t after delete on records begin delete from records; end",
        "create view v as select 1",
        "create virtual table f using fts5(x)",
    ],
)
def test_schema_with_more_than_tables_is_refused(folder: Path, sql_text: str) -> None:
    sql(folder, sql_text)
    with pytest.raises(CorruptIndex, match="which no index has"):
        opened(folder)


# --- names


def _codes(folder: Path, names: list[str]) -> None:
    """Writes a manifest with a valid checksum that names these files as its codes."""
    from ...support.crafted import rewrite

    codes = {"rows": 5, "settings": '{"bits": 1, "factor": 10}', "names": names, "digests": ["0" * 64] * len(names)}
    rewrite(folder, codes=codes)


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", "vectors-1.f32", "codes-1-1-1-00000000-x/../a.faiss"])
def test_name_in_the_manifest_cannot_leave_the_index(folder: Path, victim: Victim, tmp_path: Path, name: str) -> None:
    _codes(folder, [name])
    for command in (["backup", str(tmp_path / "out")], ["info"], ["verify"], ["compact"]):
        with watched(victim):
            outcome = run(*command, "--index", str(folder))
        assert outcome.exit_code == 1
        assert "is not a valid file name of codes" in outcome.stderr + outcome.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../lexical-1-0-5-00000000.bin", "/etc/passwd", "vectors-1.f32", "vecindex.db"])
def test_name_of_a_segment_cannot_leave_the_index(folder: Path, victim: Victim, tmp_path: Path, name: str) -> None:
    from ...support.crafted import rewrite

    segment = {"first": 0, "stop": 5, "name": name, "digest": "0" * 64}
    rewrite(folder, lexical={"settings": "{}", "fingerprint": "x", "segments": [segment]})
    for command in (["backup", str(tmp_path / "out")], ["search", "one", "--mode", "lexical"], ["verify"], ["compact"]):
        with watched(victim):
            outcome = run(*command, "--index", str(folder))
        assert outcome.exit_code == 1
        assert "is not a valid file name of a lexical segment" in outcome.stderr + outcome.stdout
    assert not (tmp_path / "out").exists()


def test_name_of_token_vectors_cannot_leave_the_index(folder: Path, victim: Victim, tmp_path: Path) -> None:
    from ...support.crafted import rewrite

    segment = {"first": 0, "stop": 5, "name": "../tokens-1-0-5-00000000.bin", "digest": "0" * 64}
    rewrite(folder, tokens={"settings": "{}", "fingerprint": "x", "segments": [segment]})
    for command in (["backup", str(tmp_path / "out")], ["index-tokens"], ["verify"], ["compact"]):
        with watched(victim):
            outcome = run(*command, "--index", str(folder))
        assert outcome.exit_code == 1
        assert "is not a valid file name of a token segment" in outcome.stderr + outcome.stdout


# --- the doors


DOORS = ("system_calls", "files")
OPENING = {"open", "fdopen", "read_text", "read_bytes", "write_text", "write_bytes", "memmap", "fromfile", "tofile"}
CHANGING = {"unlink", "rename", "replace", "rmdir", "mkdir", "symlink_to", "hardlink_to", "touch", "chmod", "rmtree"}
LISTING = {"iterdir", "glob", "rglob", "scandir", "listdir", "walk"}
ALLOWED = {("atomic_create", "iterdir")}  # of a path that the user gave


def test_only_two_modules_open_change_and_list_files_of_an_index() -> None:
    package = Path(store.__file__).parent
    paths = [path for path in package.rglob("*.py") if path.stem not in DOORS]
    paths += Path(search.__file__).parent.glob("*.py")
    assert len(paths) > 20
    assert set(_calls(paths)) <= ALLOWED


def _calls(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                yield path.stem, "open"
            elif isinstance(node.func, ast.Attribute):
                goes_by = ast.unparse(node.func.value) == "disk()" or len(node.args) == 2  # str.replace has two
                if node.func.attr in OPENING | CHANGING | LISTING and not goes_by:
                    yield path.stem, node.func.attr
