"""Whether a file is still the one that was read: its size and time, and the digest of its bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Source, source, sources_in
from vecindex.sources.fingerprint import FileState, digest_of, state_of
from vecindex.sources.reading import contents


def test_the_state_is_that_of_the_file_behind_a_link(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"one\n")
    os.utime(path, ns=(5, 1_000_000_000_123_456_789))
    (tmp_path / "link").symlink_to(path)
    assert state_of(path) == state_of(str(tmp_path / "link")) == FileState(4, 1_000_000_000_123_456_789)


def test_the_digest_is_the_sha256_of_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in (b"", b"one\n", bytes(range(256)) * 3000):
        path.write_bytes(content)
        assert digest_of(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("function", [state_of, digest_of])
def test_a_file_that_is_gone_is_a_source_error(tmp_path: Path, function: type) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file or directory") as caught:
        function(tmp_path / "gone.txt")
    assert caught.value.path == str(tmp_path / "gone.txt")


def test_a_file_changed_just_before_it_was_seen_is_not_settled() -> None:
    second = 10**9
    assert FileState(4, 10 * second).is_settled(12 * second)
    assert not FileState(4, 10 * second).is_settled(11 * second)
    assert not FileState(4, 10 * second).is_settled(9 * second)  # its time is in the future


def digest_on_reading(given: Source) -> list[str]:
    found: list[str] = []
    assert len(list(contents(given, on_digest=found.append))) == 2
    return found


ROWS = b'{"text": "one"}\n{"text": "two"}\n'
FILES = {
    "a.jsonl": ROWS,
    "utf16.txt": "one\ntwo\n".encode("utf-16"),
    "padded.jsonl.gz": gzip.compress(ROWS) + bytes(100_000),
    "spaced.json": b'[{"text": "one"}, {"text": "two"}]' + b" " * 100_000,
    "box.mbox": (
        b"From a Fri Nov 27 15:20:00 2026\nSubject: x\n\none\n\nFrom b Fri Nov 27 15:21:00 2026\nSubject: y\n\ntwo\n"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_reading_tells_the_digest_of_all_bytes_as_they_are_stored(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert digest_on_reading(source(path)) == [hashlib.sha256(FILES[name]).hexdigest()]


def test_a_reading_tells_the_digest_of_a_member_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "rows.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.jsonl", ROWS)
    (member,) = sources_in([tmp_path / "rows.zip"])
    assert digest_on_reading(member) == [hashlib.sha256(ROWS).hexdigest()] == [member.digest()]


def test_a_reading_that_ends_early_tells_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(ROWS + b"nothing\n")
    found: list[str] = []
    with pytest.raises(SourceError):
        list(contents(source(path), on_digest=found.append))
    next(contents(source(path), on_digest=found.append))
    assert found == []
