"""Runs code in a fork that alone sees a folder mounted read-only, or a small disk in its place."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18


class _Refused(Exception):
    """Mounting is not possible on this system."""


def seen_read_only(folder: Path, act: Callable[[], object]) -> None:
    """Calls ``act`` in a fork in which nothing in ``folder`` can be changed, not even by root."""

    def mount() -> None:
        _mount(folder, folder, None, _BIND)
        _mount(None, folder, None, _REMOUNT | _BIND | _READ_ONLY)

    _in_a_fork(mount, act)


def on_a_small_disk(folder: Path, size: int, act: Callable[[], object]) -> None:
    """Calls ``act`` in a fork in which an empty disk of ``size`` bytes is at ``folder``."""
    _in_a_fork(lambda: _mount(None, folder, "tmpfs", 0, f"size={size}"), act)


def _in_a_fork(mount: Callable[[], None], act: Callable[[], object]) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            _enter()
            mount()
            act()
        except _Refused as refused:
            said = f"skip {refused}"
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(write, said.encode()[:60_000])
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    if said.startswith("skip "):
        pytest.skip(f"mounting is not possible here: {said[5:]}")
    assert said == "", said


def _enter() -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USER)
    if user:
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, Path("/"), None, _RECURSIVE | _PRIVATE)


def _mount(source: Path | None, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    what = os.fsencode(source) if source else b"none"
    _call("mount", what, os.fsencode(target), kind.encode() if kind else None, flags, data.encode())


def _call(name: str, *arguments: object) -> None:
    try:
        library = ctypes.CDLL(None, use_errno=True)
        failed = getattr(library, name)(*arguments) != 0
    except (OSError, AttributeError) as error:  # not Linux
        raise _Refused(str(error)) from error
    if failed:
        raise _Refused(f"{name}: {os.strerror(ctypes.get_errno())}")
