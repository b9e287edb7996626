"""When memory runs out there is an answer or an error that says so: no crash, and nothing is lost."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex.errors import OutOfMemory, StorageError
from vecindex.machine.memory import has_room, memory_errors
from vecindex.search.dense import codes, settings
from vecindex.search.derived import upkeep
from vecindex.store.disk.files import storage_errors

from ..support.helpers import opened, small_index
from ..support.places import PROJECT

LIMITED = """
import resource, sys
from pathlib import Path
import vecindex
from vecindex.search.derived import upkeep
upkeep.ROWS_FOR_CODES = 100
before = resource.getrlimit(resource.RLIMIT_AS)

def attempt(act, megabytes):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 2**20, before[1]))
    try:
        return act()
    except vecindex.OutOfMemory as error:
        return error.message
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

index = vecindex.open(sys.argv[1])
for megabytes in (16, 100, 200):
    print([hit.key for hit in attempt(lambda: index.similar("k1", k=2), megabytes)])
    print(attempt(index.verify, megabytes))
    print(attempt(index.compact, megabytes))
print(len(index), index.verify().ok, index.compact().dropped_rows, [hit.key for hit in index.similar("k1", k=2)])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory a process has")
def test_searches_work_without_faiss_and_other_calls_report_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 100)
    rows = 4_500  # as many as are searched with codes
    vectors = np.random.default_rng(0).normal(size=(rows, 64))
    with vecindex.open(tmp_path / "i") as index:
        index.add([f"text {n}" for n in range(rows)], keys=[f"k{n}" for n in range(rows)], vectors=vectors)
        index.delete(["k7"])
        assert index.info().codes is not None
        nearest = str([hit.key for hit in index.similar("k1", k=2)])
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "i")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    said = [nearest, "memory ran out while FAISS was loaded", "memory ran out while FAISS was loaded"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*said * 3, f"{rows - 1} True 1 {nearest}"]


def test_a_lack_of_memory_is_not_reported_as_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"memory ran out while .*vectors-1\.f32 was used"):  # noqa: SIM117
        with storage_errors(tmp_path / "vectors-1.f32"):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    with pytest.raises(StorageError), storage_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_every_memory_error_in_an_open_index_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 7.28 TiB")

    with opened(small_index(tmp_path / "i")) as index:
        with monkeypatch.context() as patched:
            patched.setattr("vecindex.search.dense.exact.scores", fail)
            with pytest.raises(OutOfMemory, match="an index was used"):
                index.similar("a")
        assert index.similar("a")[0].rank == 1
    with pytest.raises(OutOfMemory, match="something was done"), memory_errors("something was done"):
        raise MemoryError
    with pytest.raises(OutOfMemory, match="first"), memory_errors("second"), memory_errors("first"):
        raise MemoryError


def test_codes_that_claim_more_than_their_bytes_are_damaged_and_not_out_of_memory() -> None:
    vectors = np.eye(64, dtype=np.float32)
    chosen = settings.default_settings(64)
    assert chosen is not None
    made = codes.build(vectors, chosen)
    name = settings.variants(chosen)[0]
    content = codes.dump(made, name).tobytes()

    class Huge:
        IO_FLAG_ONDISK_SAME_DIR = 0

        def deserialize_index(self, data: object, flags: int) -> None:
            raise MemoryError("std::bad_alloc")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codes, "load_faiss", Huge)
        with pytest.raises(ValueError, match="they ask for more memory than their bytes fill"):
            codes._deserialised(lambda: content, name, chosen, 64, 64)
        patched.setattr(codes, "has_room", lambda needed: False)
        with pytest.raises(OutOfMemory, match="codes were loaded"):
            codes._deserialised(lambda: content, name, chosen, 64, 64)
    assert has_room(1)
    assert not has_room(2**62)


HEAPS = """
import ctypes, sys, threading
from pathlib import Path
from vecindex.machine.memory import share_heaps

share_heaps(2)
together = threading.Barrier(30)

def allocate():
    together.wait()
    kept = [bytearray(10_000) for _ in range(10)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(30)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(Path(sys.argv[1]).read_text().count("<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_many_threads_share_few_heaps(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEAPS, str(tmp_path / "heaps.xml")]
    found = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    assert found.stdout == "2\n"
