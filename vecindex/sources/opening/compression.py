"""Unpacks compressed texts while they are read, in bounded memory and within stated limits.

For Zstandard it is the standard library's own module where there is one, and its backport elsewhere.
"""

from __future__ import annotations

import gzip
import importlib
import sys
import zlib
from dataclasses import dataclass, field
from types import ModuleType
from typing import IO, Literal, cast

from ...errors import SourceError
from ...machine.extras import extra_errors
from .chunks import CHUNK, Chunks

Packing = Literal["gzip", "Zstandard"]

SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".zst": "Zstandard", ".zstd": "Zstandard"}
_STARTS: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "Zstandard"}

MAX_UNPACKED = 64 * 2**30
"""Bytes. No compressed text may unpack to more."""
MAX_RATIO = 200
"""No compressed text may unpack to more than this many times its size, from `RATIO_FROM` bytes on."""
RATIO_FROM = 2**30
_MAX_WINDOW = 27
"""The exponent of the largest window, of 128 MiB: what `zstd` needs memory for while it unpacks, without --long."""


def packing(start: bytes) -> Packing | None:
    """How a file that starts with these bytes is compressed."""
    return next((found for magic, found in _STARTS.items() if start.startswith(magic)), None)


@dataclass
class Meter:
    """Refuses what unpacks to more than the limits; ``what`` names it in the error."""

    name: str
    what: str
    unpacked: int = field(default=0, init=False)

    def add(self, size: int, packed: int) -> None:
        """Counts ``size`` bytes more, of which all so far came from ``packed`` bytes."""
        self.unpacked += size
        if self.unpacked > MAX_UNPACKED:
            reason = f"{self.what} unpacks to more than {MAX_UNPACKED:,} bytes"
        elif self.unpacked > RATIO_FROM and self.unpacked > MAX_RATIO * packed:
            reason = f"{self.what} unpacks to more than {MAX_RATIO} times its size"
        else:
            return
        raise SourceError(self.name, None, reason, "If you trust it, unpack it and add what is in it.")


class Unpacked(Chunks):
    """The bytes that were compressed to those in ``raw``; raises SourceError where they are damaged or too many."""

    def __init__(self, raw: IO[bytes], name: str, how: Packing) -> None:
        super().__init__()
        self._raw = raw
        self._name = name
        self._how = how
        self._meter = Meter(name, f"the {how} file")
        if how == "gzip":
            self._file = cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb"))
            self._damage: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error, EOFError)
        else:
            zstd = _zstd()
            window = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW}
            self._file = cast(IO[bytes], zstd.ZstdFile(raw, options=window))
            self._damage = (zstd.ZstdError, EOFError)

    def _more(self) -> bytes | None:
        try:
            made = self._file.read(CHUNK)
        except self._damage as error:
            is_cut = isinstance(error, EOFError)
            what = "ends too early" if is_cut else f"is damaged ({error})"
            raise SourceError(
                self._name,
                None,
                f"the {self._how} file {what}, after {self._meter.unpacked:,} unpacked bytes",
                "Download or make it again, or unpack what is left of it and add that.",
            ) from None
        self._meter.add(len(made), self._raw.tell())
        return made or None


def _zstd() -> ModuleType:
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd")
    with extra_errors("reading .zst files", "zstd"):
        from backports import zstd
    found: ModuleType = zstd
    return found
