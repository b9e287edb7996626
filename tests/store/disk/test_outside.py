"""What a received index, or what lies beside it, may not make us do: each way out of its folder, by itself."""

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
from vecindex.errors import CorruptIndex, InvalidInput, StorageError, VecindexError
from vecindex.search import codes
from vecindex.search.settings import CodeSettings
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
def test_a_link_within_what_is_removed_goes_alone(folder: Path, victim: Victim, name: str, command: list[str]) -> None:
    (folder / name / "deep").mkdir(parents=True)
    (folder / name / "link").symlink_to(victim.root)
    (folder / name / "deep" / "link").symlink_to(victim.folder)
    with watched(victim):
        assert run(*command, "--index", str(folder)).exit_code == 0
    assert (folder / name).exists() == (name == ".creating-next-x")  # which nothing here ever makes


@pytest.mark.parametrize("name", [f"kept-{HEX}", f"before-{HEX}", f"next-{SPACE}"])
def test_a_link_in_place_of_an_index_beside_is_removed_itself(folder: Path, victim: Victim, name: str) -> None:
    small_index(victim.root / "other")
    (folder / name).symlink_to(victim.root / "other")
    victim.before = victim.state()
    with watched(victim):
        assert run("info", "--index", str(folder)).exit_code == 0
        assert run("migrate", "--drop-old", "--index", str(folder)).exit_code == 0
    assert not os.path.lexists(folder / name)


def test_what_lies_beside_the_target_of_an_export_is_removed_only_if_it_is_a_folder_of_ours(
    folder: Path, victim: Victim, tmp_path: Path
) -> None:
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


def test_a_folder_that_is_swapped_for_a_link_while_it_is_removed_leads_nowhere(victim: Victim, tmp_path: Path) -> None:
    """Names of the victim's files are in the tree too, so that they would be removed by their paths."""
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


def test_a_folder_in_an_index_is_not_entered_through_a_link(folder: Path, victim: Victim) -> None:
    (folder / "next-x").symlink_to(victim.root)
    with watched(victim), pytest.raises(CorruptIndex, match="next-x is damaged: it is a symbolic link"):
        files.write_at(folder / "next-x" / "vectors-1.f32", 0, memoryview(b"x"))


def test_a_folder_of_another_user_is_not_removed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    made = tmp_path / "tree" / "theirs"
    made.mkdir(parents=True)
    (made / "file").write_text("x")
    (tmp_path / "tree" / "ours").write_text("x")
    os.chown(made, 12345, 12345)
    remove_tree(tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree").rglob("*")) == ["file", "theirs"]


def test_root_removes_what_the_owner_of_the_index_left(folder: Path) -> None:
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
def test_only_files_of_our_names_are_removed(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    with opened(folder) as index:
        index.compact()
    assert (folder / name).read_text() == "mine"


def test_what_is_deeper_than_anything_made_here_is_left(tmp_path: Path) -> None:
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
def test_what_is_no_regular_file_is_named_at_once(
    folder: Path, victim: Victim, place: str, kind: str, called: str
) -> None:
    plant(folder / place, kind, victim)
    for act in READING.values():
        with watched(victim, seconds=2):
            assert _said(folder, act) == (str(folder / place), f"it is {called}, not a regular file")


def _said(folder: Path, act: Callable[[Index], Any]) -> tuple[str, str] | None:
    """The file that is damaged, and why, as an error or a report says it."""
    try:
        with opened(folder, create=False) as index:
            (fault,) = act(index).faults
            return fault.path, fault.reason
    except CorruptIndex as error:
        return error.path, error.reason


def test_a_device_is_not_opened(folder: Path) -> None:
    (folder / "writer.lock").unlink()
    try:
        os.mknod(folder / "writer.lock", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")
    with pytest.raises(CorruptIndex, match=r"writer\.lock is damaged: it is a device, not a regular file"):
        opened(folder)


@pytest.mark.parametrize("lock", ["writer.lock", "migrate.lock"])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "hard link", "FIFO"])
def test_a_lock_is_never_taken_on_another_file(folder: Path, victim: Victim, lock: str, kind: str) -> None:
    plant(folder / lock, kind, victim)
    with watched(victim, seconds=2), pytest.raises((CorruptIndex, StorageError)) as caught, opened(folder) as index:
        index.drop_old()
    assert getattr(caught.value, "path", None) == str(folder / lock)


def test_vectors_under_two_names_are_copied_before_they_are_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").hardlink_to(folder / "vectors-1.f32")
    before = (tmp_path / "copy").read_bytes()
    with opened(folder) as index:
        index.add(["five"], keys=["e"])
        assert state_of(index) == SMALL_STATE | {"e": ("five", {})}
        assert index.verify().ok
    assert (tmp_path / "copy").read_bytes() == before
    assert (folder / "vectors-1.f32").read_bytes()[: len(before)] == before


def test_a_database_under_two_names_is_read_and_not_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").hardlink_to(folder / "vecindex.db")
    with opened(folder) as index:
        assert len(index) == 3
        with pytest.raises(StorageError, match="hard links"):
            index.delete(["a"])


def test_a_link_to_the_index_itself_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with opened(tmp_path / "link") as index:
        index.add(["five"], keys=["e"])
        index.compact()
        assert index.search("five", k=1)[0].key == "e"
    assert len(opened(folder)) == 4


@pytest.mark.parametrize("kind", ["link to a folder", "link to nothing", "FIFO", "noise"])
def test_a_migration_is_not_made_in_what_is_no_folder(folder: Path, victim: Victim, kind: str) -> None:
    other = ToyEncoder(model="second", weights="s" * 64)
    plant(folder / f"next-{other.space.fingerprint[:16]}", kind, victim)
    with watched(victim), opened(folder) as index, pytest.raises(CorruptIndex, match="not a directory"):
        index.migrate(other)


# --- what libraries would open by themselves


def test_sqlite_is_not_led_to_remove_another_file(folder: Path, victim: Victim) -> None:
    """A journal may name another file, which SQLite removes once it has played the journal back."""
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
    with closing(sqlite3.connect(twin / "vecindex.db")) as connection:  # what it is refused for
        connection.execute("select 1 from sqlite_master").fetchall()
    assert not victim.file.exists()


def test_faiss_is_not_led_to_open_another_file(victim: Victim, tmp_path: Path) -> None:
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
def test_a_schema_that_does_more_than_hold_tables_is_refused(folder: Path, sql_text: str) -> None:
    sql(folder, sql_text)
    with pytest.raises(CorruptIndex, match="which no index has"):
        opened(folder)


# --- names


def _codes(folder: Path, names: list[str]) -> None:
    """A manifest, its checksum right, that names these files as its codes."""
    from ...support.crafted import rewrite

    codes = {"rows": 5, "settings": '{"bits": 1, "factor": 10}', "names": names, "digests": ["0" * 64] * len(names)}
    rewrite(folder, codes=codes)


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", "vectors-1.f32", "codes-1-1-1-00000000-x/../a.faiss"])
def test_a_name_in_the_manifest_leads_nowhere_else(folder: Path, victim: Victim, tmp_path: Path, name: str) -> None:
    _codes(folder, [name])
    for command in (["backup", str(tmp_path / "out")], ["info"], ["verify"], ["compact"]):
        with watched(victim):
            outcome = run(*command, "--index", str(folder))
        assert outcome.exit_code == 1
        assert "is not a valid file name of codes" in outcome.stderr + outcome.stdout
    assert not (tmp_path / "out").exists()


# --- the doors


DOORS = ("system_calls", "files")
OPENING = {"open", "fdopen", "read_text", "read_bytes", "write_text", "write_bytes", "memmap", "fromfile", "tofile"}
CHANGING = {"unlink", "rename", "replace", "rmdir", "mkdir", "symlink_to", "hardlink_to", "touch", "chmod", "rmtree"}
LISTING = {"iterdir", "glob", "rglob", "scandir", "listdir", "walk"}
ALLOWED = {("atomic_create", "iterdir")}  # of what the user named himself


def test_files_of_an_index_are_opened_changed_and_listed_by_two_modules() -> None:
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


# --- how open files are


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("of_folder", "of_files"), [(0o700, 0o600), (0o750, 0o640)])
def test_what_is_made_of_an_index_is_as_open_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_folder: int, of_files: int
) -> None:
    from vecindex.search import upkeep

    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 32)
    before = os.umask(0o022)
    try:
        with opened(tmp_path / "i", model=ToyEncoder(dimension=48)) as index:
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
            assert any(path.name.startswith("codes-2") or "codes-3" in path.name for path in (tmp_path / "i").iterdir())
    finally:
        os.umask(before)
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {path.name[:5] for path in folders} == {"i", "b", "e", "kept-"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {of_folder}
    assert modes(tmp_path) == {of_files}


def test_a_new_file_is_never_more_open_than_the_umask_but_in_the_index_itself(folder: Path, tmp_path: Path) -> None:
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


def test_an_index_is_kept_out_of_repositories(folder: Path, tmp_path: Path) -> None:
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


def test_an_index_may_be_made_where_only_a_gitignore_is(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    opened(tmp_path).close()
    assert (tmp_path / ".gitignore").read_text() == "mine"
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes").touch()
    with pytest.raises(InvalidInput):
        opened(tmp_path / "x")
    assert issubclass(InvalidInput, VecindexError)
