"""Looks at the files of an index's sources: whether they are there, their size and time, and their bytes' digest."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

from ..errors import SourceError
from ..values.sources import SourceState
from .fingerprint import FileState, as_state, digest_in, digest_of
from .locations import Locations, has_path
from .opening.archives import Archives, Member
from .opening.files import unreadable


class Presence:
    """The files of sources as they are now; the list of an archive's members is read once."""

    def __init__(self, locations: Locations) -> None:
        self._locations = locations
        self._sizes: dict[str, dict[str, int]] = {}

    def now(self, state: SourceState) -> FileState | None:
        """The size and time of a source's file, or None if it is gone.

        A member of an archive has a size of its own and the archive's time. Raises SourceError if the system does not
        say, and for a source that has no path.
        """
        if not has_path(state):
            raise SourceError(state.location, None, "is not a file", "Name a file.")
        if state.kind != "member":
            return _file_state(self._locations.path(state.location))
        archive, member = self._parted(state)
        found = _file_state(archive)
        if found is None or member not in self._members(archive):
            return None
        return FileState(self._members(archive)[member], found.mtime_ns)

    def is_gone(self, state: SourceState) -> bool:
        """Whether a source's file is gone, or empty, since nothing is read of that.

        What the system does not say, and what has no path, is not gone.
        """
        try:
            found = self.now(state)
            return found is None or (found.size == 0 and state.size != 0)
        except SourceError:
            return False

    def digest(self, state: SourceState) -> str:
        """The SHA-256 of a source's bytes, in hexadecimal; raises SourceError."""
        if state.kind != "member":
            return digest_of(self._locations.path(state.location))
        archive, member = self._parted(state)
        with closing(Archives()) as archives, Member(archive, member, state.size or 0, archives).opened() as stream:
            return digest_in([stream])

    def _parted(self, state: SourceState) -> tuple[str, str]:
        """The path of an archive and the name of the member in it; any such parting if there is no such archive."""
        path = archive = self._locations.path(state.location)
        while not Path(archive).is_file() and (above := os.path.split(archive)[0]) != archive:
            archive = above
        return archive, path.removeprefix(f"{archive}/")

    def _members(self, archive: str) -> dict[str, int]:
        """The members of an archive and their sizes in bytes."""
        if archive not in self._sizes:
            with closing(Archives()) as archives:
                self._sizes[archive] = {each.filename: each.file_size for each in archives.file(archive).infolist()}
        return self._sizes[archive]


def _file_state(path: str) -> FileState | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, None, error) from error
    # A folder or a pipe with the name of a file that was there is not that file; a pipe may never end, either.
    return as_state(path, found) if stat.S_ISREG(found.st_mode) else None
