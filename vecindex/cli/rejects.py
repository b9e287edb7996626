"""Reports the rows that ``add --skip-bad`` leaves out, and writes them to the file of --rejects."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from .output import warn
from .render.results import counted, printable

if TYPE_CHECKING:
    from ..errors import VecindexError
    from ..sources.origin import Source

_SHOWN = 20


class Rejects:
    """Counts the bad rows and files that are left out, names the first few, and writes all to the file ``path``.

    The file appears, or replaces an earlier one, when the block ends, unless it ends with an error before
    `are_complete`. It is written in place only if it is not a regular file, such as a pipe.
    """

    def __init__(self, path: str | None) -> None:
        self.count = 0
        self._held_back: VecindexError | None = None
        self._holds_back = True
        self.are_complete = False
        """Whether all rows have been read, so that the file is of use even if adding them is interrupted."""
        self._name = path
        self._path = None if path is None else Path(os.path.realpath(path))
        self._temporary: Path | None = None
        self._out: IO[bytes] | None = None

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.tell()
            if self._path is not None and (kind is None or self.are_complete):
                self._publish(self._path)
        finally:
            if self._out is not None:
                with contextlib.suppress(OSError):
                    self._out.close()
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)

    def check(self, paths: Iterable[str], sources: Iterable[Source]) -> None:
        """Refuses to overwrite a file that is to be added."""
        from ..sources.locations import is_within

        read = (os.path.realpath(path) for path in (*paths, *(source.path for source in sources)))
        if self._path is not None and any(is_within(path, str(self._path)) for path in read):
            raise click.UsageError(f"--rejects {printable(str(self._name))} is one of the files to add; name another.")

    def add(self, error: VecindexError) -> None:
        """Leaves out a row or file. The first one is named only when a second comes, or by `tell`; see `failure`."""
        self.count += 1
        if self.count == 1 and self._holds_back:
            self._held_back = error
        else:
            self.tell()
            if self.count <= _SHOWN:
                _say_skipped(error)
        if self._path is not None:
            self._write(self._path, error)

    def tell(self) -> None:
        """Names the first one if that was held back; from now on, each is named at once."""
        first, self._held_back, self._holds_back = self._held_back, None, False
        if first is not None:
            _say_skipped(first)

    def failure(self) -> Exception:
        """What to raise if everything is bad: the error itself if there is only one."""
        only, self._held_back = self._held_back, None
        if only is not None:
            return only
        self.report()
        return click.ClickException("nothing was added, since every row that was read is bad.")

    def report(self) -> None:
        """Says how many rows were left out."""
        if self.count:
            where = f"; see {printable(self._name)}" if self._name else ""
            warn(f"Warning: {counted(self.count, 'bad row')} left out{where}.")

    def _write(self, path: Path, error: VecindexError) -> None:
        from ..sources.rows.rejects import rejected
        from ..store.disk.files import storage_errors

        line = json.dumps(rejected(error), ensure_ascii=False) + "\n"
        try:
            raw = line.encode()
        except UnicodeEncodeError:  # a lone surrogate, which JSON writes as an escape
            raw = (json.dumps(json.loads(line)) + "\n").encode()
        with storage_errors(path):
            if self._out is None:
                self._out = self._opened(path)
            self._out.write(raw)

    def _opened(self, path: Path) -> IO[bytes]:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            return path.open("wb")
        self._temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        return self._temporary.open("xb")

    def _publish(self, path: Path) -> None:
        from ..store.disk.files import storage_errors

        with storage_errors(path):
            if self._out is None:
                if path.is_file():
                    path.write_bytes(b"")  # what it holds is of an earlier run
                return
            self._out.close()
            if self._temporary is not None:
                self._temporary.replace(path)
                self._temporary = None


def _say_skipped(error: VecindexError) -> None:
    warn(f"Skipped: {printable(error.message)}")
