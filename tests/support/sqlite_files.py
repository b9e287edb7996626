"""Watches SQLite's own file calls (its VFS) by ctypes.

https://www.sqlite.org/c3ref/vfs.html and https://www.sqlite.org/c3ref/io_methods.html: the default VFS's ``xOpen`` and
``xDelete`` are replaced in place, and each file that is opened gets a copy of its table of methods.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

FULL, CANNOT_OPEN = 13, 14
READ, WRITE, FSYNC, TRUNCATE, DELETE = (10 | number << 8 for number in (1, 3, 4, 6, 10))  # SQLITE_IOERR_...
_CREATE = 0x4
_DELETE_ON_CLOSE = 0x8
_SYNCS_ITS_FOLDER = 0x800 | 0x4000 | 0x80000  # SQLite's unix VFS syncs a new journal's or log's folder with it

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Cut = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    open: Any
    delete: Any
    _fields_ = (
        *(("version", c_int), ("file_size", c_int), ("longest_path", c_int), ("next", c_void_p), ("name", c_char_p)),
        *(("data", c_void_p), ("open", c_void_p), ("delete", c_void_p)),
    )


class _Methods(ctypes.Structure):
    version: int
    write: Any
    cut: Any
    sync: Any
    _fields_ = (
        *(("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", c_void_p), ("cut", c_void_p)),
        *(("sync", c_void_p), ("others", c_void_p * 13)),
    )


_METHODS = {1: 12, 2: 16, 3: 18}
"""The number of methods in the table of each version."""
_kept: list[object] = []
"""What SQLite has pointers to; kept for ever, since files may be closed after the hook is gone."""


class Unhookable(Exception):
    """SQLite's functions cannot be reached, because of how it is linked."""


class SqliteFiles:
    """Passes every file call of SQLite, in any thread, to `call`."""

    def __init__(self) -> None:
        self._paths: dict[int, str | None] = {}
        self._new_logs: set[int] = set()
        self._methods: dict[int, _Methods] = {}
        self._errors: list[BaseException] = []

    def call(self, kind: str, path: str | None, do: Callable[[], int], **more: Any) -> int:
        """Makes the call; ``do`` returns SQLite's result code, and an OSError becomes one."""
        raise NotImplementedError

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Watches files that are opened inside for as long as they are open. Raises Unhookable."""
        vfs = _default_vfs()
        before = vfs.open, vfs.delete
        open_, delete = _Open(self._opening(_Open(vfs.open))), _Delete(self._deleting(_Delete(vfs.delete)))
        _kept.extend((open_, delete))
        vfs.open, vfs.delete = (ctypes.cast(function, c_void_p).value for function in (open_, delete))
        try:
            yield
        finally:
            vfs.open, vfs.delete = before
            if self._errors:
                raise self._errors[0]

    def _result(self, code: int, do: Callable[[], int]) -> int:
        """What ``do`` returns; ``code``, or FULL for a full disk, if it raises OSError."""
        try:
            return do()
        except OSError as error:
            return FULL if error.errno == errno.ENOSPC and code in (WRITE, TRUNCATE) else code
        except BaseException as error:  # SQLite would swallow it
            self._errors.append(error)
            return code

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def open_(vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            path = ctypes.string_at(name).decode() if name and not flags & _DELETE_ON_CLOSE else None
            is_new = bool(flags & _CREATE) and path is not None and not os.path.exists(path)

            def do() -> int:
                return self.call("create" if is_new else "open", path, lambda: real(vfs, name, file, flags, out))

            pointer = c_void_p.from_address(file)
            pointer.value = None  # SQLite requires this of an xOpen that fails
            result = self._result(CANNOT_OPEN, do)
            if result == 0 and pointer.value:
                self._paths[file] = path
                self._new_logs.discard(file)
                if flags & _CREATE and flags & _SYNCS_ITS_FOLDER:
                    self._new_logs.add(file)
                pointer.value = ctypes.addressof(self._patched(pointer.value))
            return result

        return open_

    def _deleting(self, real: Callable[..., int]) -> Callable[..., int]:
        def delete(vfs: int, name: bytes, sync: int) -> int:
            path = name.decode()
            if not os.path.exists(path):
                return real(vfs, name, sync)
            result = self._result(DELETE, lambda: self.call("remove", path, lambda: real(vfs, name, sync)))
            if result == 0 and sync & 1:
                return self._result(DELETE, lambda: self.call("sync", str(Path(path).parent), lambda: 0))
            return result

        return delete

    def _patched(self, address: int) -> _Methods:
        if address not in self._methods:
            methods = _Methods()
            count = _METHODS[min(c_int.from_address(address).value, 3)]
            ctypes.memmove(ctypes.byref(methods), address, _Methods.close.offset + count * ctypes.sizeof(c_void_p))
            methods.version = min(methods.version, 3)
            write, cut, sync = _Write(methods.write), _Cut(methods.cut), _Sync(methods.sync)
            wrapped = (_Write(self._writing(write)), _Cut(self._cutting(cut)), _Sync(self._syncing(sync)))
            methods.write, methods.cut, methods.sync = (ctypes.cast(each, c_void_p).value for each in wrapped)
            self._methods[address] = methods
            _kept.extend((methods, *wrapped))
        return self._methods[address]

    def _writing(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(file: int, data: int, amount: int, offset: int) -> int:
            half = amount // 2
            for start, stop in ((0, half), (half, amount)) if half else ((0, amount),):
                args = (file, data + start, stop - start, offset + start)
                piece = ctypes.string_at(data + start, stop - start)
                if result := self._call(WRITE, "write", real, args, offset=offset + start, data=piece):
                    return result
            return 0

        return write

    def _cutting(self, real: Callable[..., int]) -> Callable[..., int]:
        def cut(file: int, size: int) -> int:
            return self._call(TRUNCATE, "cut", real, (file, size), offset=size)

        return cut

    def _syncing(self, real: Callable[..., int]) -> Callable[..., int]:
        def sync(file: int, flags: int) -> int:
            result = self._call(FSYNC, "sync", real, (file, flags))
            path = self._paths[file]
            if result == 0 and file in self._new_logs and path is not None:
                self._new_logs.discard(file)
                return self._result(FSYNC, lambda: self.call("sync", str(Path(path).parent), lambda: 0))
            return result

        return sync

    def _call(self, code: int, kind: str, real: Callable[..., int], args: tuple[int, ...], **more: Any) -> int:
        path = self._paths[args[0]]
        return self._result(code, lambda: self.call(kind, path, lambda: real(*args), **more))


def _default_vfs() -> _Vfs:
    try:
        import _sqlite3

        # The library that this module is linked with, which may be its own.
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        find, version = library.sqlite3_vfs_find, library.sqlite3_libversion
    except (ImportError, OSError, AttributeError) as error:
        raise Unhookable(f"SQLite's functions cannot be reached: {error}") from None
    version.restype, find.restype, find.argtypes = c_char_p, POINTER(_Vfs), [c_char_p]
    if version().decode() != sqlite3.sqlite_version:
        raise Unhookable(f"Python uses SQLite {sqlite3.sqlite_version}, but {version().decode()} was found")
    found: _Vfs = find(None).contents
    return found
