"""Sources' files as they are now: there or gone, size and time, digests; also of members of archives."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources.fingerprint import FileState
from vecindex.sources.locations import Locations
from vecindex.sources.presence import Presence
from vecindex.values.sources import SourceKind, SourceState


def state(location: str, kind: SourceKind = "file") -> SourceState:
    return SourceState(1, kind, location, "", "txt", "{}", "00", 1, 1, "2026-01-01T00:00:00+00:00", 0, "line")


@pytest.fixture
def presence(tmp_path: Path) -> Presence:
    """Of an index in a folder with a file and an archive."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("one")
    with zipfile.ZipFile(tmp_path / "docs" / "old.zip", "w") as archive:
        archive.writestr("deep/b.txt", "three")
    for name in ("a.txt", "old.zip"):
        os.utime(tmp_path / "docs" / name, ns=(7, 7))
    return Presence(Locations(tmp_path / ".vecindex"))


def test_a_file_has_its_size_time_and_digest(presence: Presence) -> None:
    assert presence.now(state("docs/a.txt")) == FileState(3, 7)
    assert presence.digest(state("docs/a.txt")) == hashlib.sha256(b"one").hexdigest()
    assert not presence.is_gone(state("docs/a.txt"))


def test_a_member_has_its_own_size_and_digest_and_the_time_of_its_archive(presence: Presence) -> None:
    member = state("docs/old.zip/deep/b.txt", "member")
    assert presence.now(member) == FileState(5, 7)
    assert presence.digest(member) == hashlib.sha256(b"three").hexdigest()


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("docs/b.txt", "file"),
        ("gone/deep/a.txt", "file"),
        ("docs/a.txt/b.txt", "file"),
        ("docs", "file"),
        ("docs/old.zip/deep/c.txt", "member"),
        ("docs/old.zip/b.txt", "member"),
        ("docs/new.zip/b.txt", "member"),
    ],
)
def test_what_is_not_there_is_gone(presence: Presence, location: str, kind: SourceKind) -> None:
    assert presence.now(state(location, kind)) is None
    assert presence.is_gone(state(location, kind))


def test_a_file_that_was_emptied_is_gone(presence: Presence, tmp_path: Path) -> None:
    (tmp_path / "docs" / "a.txt").write_text("")
    assert presence.is_gone(state("docs/a.txt"))
    assert not presence.is_gone(replace(state("docs/a.txt"), size=0))


@pytest.mark.parametrize("kind", ["url", "stdin"])
def test_what_has_no_path_is_never_gone(presence: Presence, kind: SourceKind) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        presence.now(state("docs/b.txt", kind))
    assert not presence.is_gone(state("docs/b.txt", kind))


def test_what_the_system_refuses_to_say_is_not_gone(presence: Presence) -> None:
    unspeakable = state("x" * 300)
    with pytest.raises(SourceError, match="cannot be read: File name too long"):
        presence.now(unspeakable)
    assert not presence.is_gone(unspeakable)


def test_members_of_a_damaged_archive_are_not_gone(presence: Presence, tmp_path: Path) -> None:
    (tmp_path / "docs" / "old.zip").write_bytes(b"PK\x03\x04 and no more")
    member = state("docs/old.zip/deep/b.txt", "member")
    for look in (presence.now, presence.digest):
        with pytest.raises(SourceError, match="the zip archive cannot be unpacked"):
            look(member)
    assert not presence.is_gone(member)


def test_a_member_that_is_damaged_has_no_digest(presence: Presence, tmp_path: Path) -> None:
    archive = tmp_path / "docs" / "old.zip"
    archive.write_bytes(archive.read_bytes().replace(b"three", b"thRee"))
    with pytest.raises(SourceError, match="Bad CRC"):
        presence.digest(state("docs/old.zip/deep/b.txt", "member"))
