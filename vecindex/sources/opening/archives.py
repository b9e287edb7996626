"""Finds and opens the files in a zip archive; nothing is written to disk under a name from an archive."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, cast

from ...errors import SourceError
from .chunks import CHUNK, Chunks
from .compression import Meter
from .files import unreadable

MAX_MEMBERS = 100_000
_ADVICE = "If you trust the archive, unpack it and add its files."
_ENCRYPTED = 0x1
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class Archives:
    """Opens archives, and keeps the last one open, since its members are read one after the other."""

    def __init__(self) -> None:
        self._path = ""
        self._file: zipfile.ZipFile | None = None
        self._state: tuple[int, int] | None = None

    def file(self, path: str) -> zipfile.ZipFile:
        """The open archive at ``path``; raises SourceError."""
        try:
            found = os.stat(path)
            state = (found.st_size, found.st_mtime_ns)
            if self._file is None or self._path != path or self._state != state:
                self.close()
                self._file = zipfile.ZipFile(path)
                self._path, self._state = path, state
        except OSError as error:
            raise unreadable(path, None, error) from error
        except _DAMAGE as error:
            raise damaged(path, "the zip archive", error) from None
        return self._file

    def close(self) -> None:
        """Closes the open archive; a member that is being read stays readable."""
        if self._file is not None:
            self._file.close()
        self._file = None


@dataclass(frozen=True)
class Member:
    """A file in an archive. ``location`` is its path beneath the archive's, as errors name it."""

    archive: str
    name: str
    size: int
    archives: Archives = field(repr=False, compare=False)

    @property
    def location(self) -> str:
        return f"{self.archive}/{self.name}"

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The bytes, from the start; raises SourceError where they are damaged or too many."""
        archive = self.archives.file(self.archive)
        try:
            info = archive.getinfo(self.name)
            stream = archive.open(info)
        except KeyError:
            raise SourceError(self.location, None, "is not in the archive any more", "Add the archive again.") from None
        except (*_DAMAGE, OSError) as error:  # a place before the file's start is an OSError
            raise damaged(self.location, "the member", error) from None
        with stream:
            yield cast(IO[bytes], _Unpacked(stream, self.location, info.compress_size))


class _Unpacked(Chunks):
    """The bytes of a member."""

    def __init__(self, stream: IO[bytes], name: str, packed: int) -> None:
        super().__init__()
        self._stream = stream
        self._name = name
        self._packed = packed
        self._meter = Meter(name, "the member")

    def _more(self) -> bytes | None:
        try:
            made = self._stream.read(CHUNK)
        except (*_DAMAGE, OSError) as error:
            raise damaged(self._name, "the member", error) from None
        self._meter.add(len(made), self._packed)
        return made or None

    def tell(self) -> int:
        return self._meter.unpacked


def members(path: str, archives: Archives) -> Iterator[Member | SourceError]:
    """The files in the archive at ``path``, sorted by name; for one that is refused, the error that says why.

    Raises SourceError if the archive cannot be read, or has more than `MAX_MEMBERS` members.
    """
    infos = archives.file(path).infolist()
    if len(infos) > MAX_MEMBERS:
        reason = f"the zip archive has {len(infos):,} members, more than {MAX_MEMBERS:,}"
        raise SourceError(path, None, reason, _ADVICE)
    before = ""
    for info in sorted(infos, key=lambda each: each.filename):
        if info.is_dir():
            continue
        member = Member(path, info.filename, info.file_size, archives)
        reason = _refusal(info) or ("is in the archive twice" if info.filename == before else "")
        before = info.filename
        yield SourceError(_CONTROLS.sub("?", member.location), None, reason, _ADVICE) if reason else member


def is_office_file(path: str) -> str:
    """Which document of Word, Excel or PowerPoint an archive is, as the value of a format; "" for any other."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, *_DAMAGE):
        return ""
    parts = {"word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx"}
    return next((format for part, format in parts.items() if part in names), "")


def damaged(name: str, what: str, error: Exception) -> SourceError:
    """The SourceError for what the library found wrong in an archive."""
    said = _CONTROLS.sub("?", str(error)) or type(error).__name__
    return SourceError(name, None, f"{what} cannot be unpacked: {said}", "Download or make the archive again.")


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why a member is not read, if so."""
    parts = re.split(r"[/\\]", info.filename)
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link, which an archive cannot be trusted with"
    if info.filename.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", info.filename):
        return "has an absolute path in the archive"
    if ".." in parts:
        return "has a path that leads out of the archive"
    if _CONTROLS.search(info.orig_filename):
        return "has a control character in its name"
    return ""
