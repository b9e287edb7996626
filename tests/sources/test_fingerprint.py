"""Whether a file is still the one that was read: its size and time, and the digest of its bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources.fingerprint import FileState, digest_of, state_of


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
