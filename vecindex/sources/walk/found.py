"""Finds the sources in what a user named: files, folders and zip archives, in a fixed order, none of them held open.

A file that was named is read or is an error. What is found in a folder or an archive is read if its format is known,
and skipped otherwise; every skip is reported.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...errors import SourceError
from ...values.paths import expanded
from ..fingerprint import FileState
from ..formats import LAYOUTS, Format
from ..opening import compression
from ..opening.archives import Archives, Member, is_office_file, members
from ..opening.detect import format_of, is_archive, is_binary
from ..opening.files import STDIN, is_url, opened, unreadable
from ..options import ReadOptions
from ..origin import Source, beginning, source
from .patterns import Globs, Ignored
from .skips import OnSkip, Reason, Skip

OnBad = Callable[[SourceError], None]
INDEX_FILE = "vecindex.db"
"""A folder that has it is an index."""
_LOG = re.compile(r"\.(?:log|lock)(?:\.\d+)?$", re.IGNORECASE)
"""The end of the name of a file that programs write for themselves; it is read only if it is named."""


def sources_in(
    paths: Iterable[str | os.PathLike[str]],
    options: ReadOptions | None = None,
    *,
    format: Format | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: str | os.PathLike[str] | None = None,
    label: str | None = None,
    offline: bool = False,
    on_skip: OnSkip | None = None,
    on_bad: OnBad | None = None,
) -> Iterator[Source]:
    """The sources at ``paths``, one after another, each file once.

    A folder stands for all files in it and in its folders, and a zip archive for its members, in the order of their
    names. ``include`` and ``exclude`` are patterns as in .gitignore, relative to the folder or archive that was named.
    In folders, what .gitignore files ignore is skipped, up to the root of the repository; and everywhere what is
    hidden, empty, binary or of unknown format, logs and lock files, links to folders, and indexes, such as ``index``
    itself. ``on_skip`` is called for each. With ``format``, all texts are read as that, also those of unknown format.

    Raises SourceError for what cannot be read, such as a folder without permission or an encrypted member; with
    ``on_bad`` it is called instead, and the search goes on. ``label`` and ``offline`` are as in `source`.
    """
    search = _Search(
        options=options or ReadOptions(),
        format=format,
        globs=Globs(include, exclude),
        index=_identity(index),
        on_skip=on_skip or (lambda skip: None),
        on_bad=on_bad or _raised,
    )
    seen: set[str] = set()
    try:
        for path in paths:
            for found in search.named(os.fspath(path), label, offline):
                place = found.path if is_url(found.path) or found.path == STDIN else os.path.abspath(found.path)
                if place not in seen:
                    seen.add(place)
                    yield found
    finally:
        search.archives.close()


@dataclass(frozen=True)
class _Search:
    options: ReadOptions
    format: Format | None
    globs: Globs
    index: tuple[int, int] | None
    on_skip: OnSkip
    on_bad: OnBad
    archives: Archives = field(default_factory=Archives)

    def named(self, path: str, label: str | None, offline: bool) -> Iterator[Source]:
        """The sources in what was named."""
        if path != STDIN and not is_url(path):
            path = expanded(path)
            if os.path.isdir(path):
                yield from self._folder(path)
                return
            if self._may_be_archive and _is_archive(path):
                yield from self._archive(path, os.stat(path).st_mtime_ns)
                return
        yield source(path, self.options, format=self.format, label=label, offline=offline)

    @property
    def _may_be_archive(self) -> bool:
        """Whether zip archives are taken apart: all formats that are not text are for files as they are."""
        return self.format is None or LAYOUTS[self.format].is_text

    # --- folders

    def _folder(self, root: str) -> Iterator[Source]:
        """The sources in a folder; without recursion, so that any depth that the system allows is no problem."""
        full = os.path.abspath(root)
        prefix = root if root.endswith("/") else f"{root}/"
        waiting = [iter(self._entries(root, full, Ignored.above(full)))]
        while waiting:
            entry = next(waiting[-1], None)
            if entry is None:
                waiting.pop()
                continue
            inner = entry.path.removeprefix(prefix)
            if entry.is_folder:
                if (reason := self._folder_skip(entry, inner)) is not None:
                    self._skip(f"{entry.path}/", reason)
                else:
                    waiting.append(iter(self._entries(entry.path, entry.full, entry.ignored)))
                continue
            try:
                yield from self._file(entry, inner)
            except SourceError as error:
                self.on_bad(error)

    def _entries(self, folder: str, full: str, ignored: Ignored) -> list[_Entry]:
        """What is in a folder, sorted as whole paths are; nothing if it is an index."""
        try:
            with os.scandir(folder) as listing:
                found = list(listing)
            if any(each.name == INDEX_FILE for each in found):
                self._skip(f"{folder.rstrip('/')}/", Reason.INDEX)
                return []
            ignored = ignored.within(full)
            entries = [_Entry(folder, full, each.name, each.is_symlink(), ignored) for each in found]
        except OSError as error:
            self.on_bad(unreadable(folder, None, error))
            return []
        return sorted(entries, key=lambda entry: f"{entry.name}/" if entry.is_folder else entry.name)

    def _folder_skip(self, entry: _Entry, inner: str) -> Reason | None:
        if entry.name.startswith("."):
            return Reason.HIDDEN
        if entry.is_link:
            return Reason.LINK
        if self.index is not None and _identity(entry.path) == self.index:
            return Reason.INDEX
        if entry.ignored.ignores(entry.full, is_folder=True):
            return Reason.IGNORED
        return Reason.EXCLUDED if self.globs.excludes_all_in(f"{inner}/") else None

    def _file(self, entry: _Entry, inner: str) -> Iterator[Source]:
        if entry.name.startswith("."):
            return self._skip(entry.path, Reason.HIDDEN)
        if entry.ignored.ignores(entry.full, is_folder=False):
            return self._skip(entry.path, Reason.IGNORED)
        excludes = self.globs.excludes_all_in if entry.name.lower().endswith(".zip") else self.globs.excludes
        if excludes(inner):
            return self._skip(entry.path, Reason.EXCLUDED)
        try:
            found = os.stat(entry.path)
        except OSError as error:
            if entry.is_link:
                return self._skip(entry.path, Reason.BROKEN)
            if isinstance(error, FileNotFoundError):
                return  # it was deleted meanwhile
            raise unreadable(entry.path, None, error) from error
        if not stat.S_ISREG(found.st_mode):
            return self._skip(entry.path, Reason.SPECIAL)
        if found.st_size == 0:
            return self._skip(entry.path, Reason.EMPTY)
        with opened(entry.path) as raw:
            start = beginning(raw, entry.path)
        if self._may_be_archive and start.startswith(b"PK") and _is_archive(entry.path):
            yield from self._archive(entry.path, found.st_mtime_ns)
            return
        format = self._format(entry.path, start, is_office_file)
        if format is Format.SQLITE and self.options.sql is None:
            return self._skip(entry.path, Reason.DATABASE)
        if format is not None:
            state = FileState(found.st_size, found.st_mtime_ns)
            yield self._found(entry.path, format, state)

    # --- archives

    def _archive(self, path: str, mtime_ns: int) -> Iterator[Source]:
        for found in members(path, self.archives):
            try:
                if isinstance(found, SourceError):
                    raise found
                yield from self._member(found, mtime_ns)
            except SourceError as error:
                self.on_bad(error)

    def _member(self, member: Member, mtime_ns: int) -> Iterator[Source]:
        location = member.location
        if any(part.startswith(".") or part == "__MACOSX" for part in member.name.split("/")):
            return self._skip(location, Reason.HIDDEN)
        if self.globs.excludes(member.name):
            return self._skip(location, Reason.EXCLUDED)
        if member.size == 0:
            return self._skip(location, Reason.EMPTY)
        with member.opened() as raw:
            start = beginning(raw, location)
        if is_archive(location, start):
            return self._skip(location, Reason.NESTED)
        format = self._format(location, start)
        if format is not None:
            state = FileState(member.size, mtime_ns)
            yield self._found(location, format, state, member)

    # --- both

    def _found(self, path: str, format: Format, state: FileState, member: Member | None = None) -> Source:
        is_given = self.format is not None
        return Source(path, format, self.options, member=member, state=state, is_named=False, is_format_given=is_given)

    def _format(self, path: str, start: bytes, office: Callable[[str], str] | None = None) -> Format | None:
        """The format of a file that was found; None if it is skipped."""
        if is_binary(start) and (self.format is None or LAYOUTS[self.format].is_text):
            found: Format | None
            try:
                found = format_of(path, path, start)
            except SourceError:
                value = office(path) if office is not None and start.startswith(b"PK") else ""
                found = Format(value) if value else None
            if found is None or LAYOUTS[found].is_text or self.format is not None or _is_packed(path, found):
                self._skip(path, Reason.BINARY)
                return None
            return found
        if self.format is None and _LOG.search(path):
            self._skip(path, Reason.LOG)
            return None
        try:
            return format_of(path, path, start, self.format)
        except SourceError:
            self._skip(path, Reason.UNKNOWN)
            return None

    def _skip(self, path: str, reason: Reason) -> None:
        self.on_skip(Skip(path, reason))


class _Entry:
    """A file or folder in a folder; ``full`` is its absolute path."""

    def __init__(self, folder: str, full: str, name: str, is_link: bool, ignored: Ignored) -> None:
        self.path = os.path.join(folder, name)
        self.full = os.path.join(full, name)
        self.name = name
        self.is_link = is_link
        self.is_folder = os.path.isdir(self.path)
        self.ignored = ignored


def _is_packed(path: str, format: Format) -> bool:
    """Whether the file is compressed, of a format that is only read as it is."""
    layout = LAYOUTS[format]
    is_compressed = os.path.splitext(path)[1].lower() in compression.SUFFIXES
    return is_compressed and not (layout.is_text or layout.may_be_packed)


def _is_archive(path: str) -> bool:
    """Whether the file is a zip archive of other files, and not one that is a document."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            start = stream.read(2**9)
    except (OSError, ValueError):
        return False  # whoever reads the file raises the error
    return is_archive(path, start) and not is_office_file(path)


def _identity(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _raised(error: SourceError) -> None:
    raise error
