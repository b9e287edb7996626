"""Says where a source is, so that it still holds when the folder that has both the index and its files is moved.

A file has one location, however a path to it is written: links to folders are followed, and ``..`` after them, but a
file that is itself a link keeps its name. Beneath the folder that holds the index, a location is relative to that
folder; elsewhere it is absolute. All of this works for files that are gone, too. A file in a zip archive is located
beneath the archive: ``docs.zip/inner/a.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import SourceError
from ..values.paths import expanded
from ..values.sources import SourceState

_HERE = "."
_WITHOUT_PATH = ("url", "stdin")
"""The kinds of sources whose location is not a path."""


class Locations:
    """The locations of an index; ``index`` is its directory. Relative paths are meant from the current directory."""

    def __init__(self, index: str | os.PathLike[str]) -> None:
        self.base, _ = os.path.split(os.path.realpath(index))
        self._real_folders: dict[str, str] = {}

    def of(self, path: str | os.PathLike[str]) -> str:
        """The location of a file or folder; raises SourceError if its name is not Unicode, and so cannot be stored."""
        real = self.real(path)
        try:
            real.encode()
        except UnicodeEncodeError:
            reason = "the name is not valid UTF-8, so it cannot be stored"
            raise SourceError(real, None, reason, "Rename the file, or the folder that it is in.") from None
        return _HERE if real == self.base else real.removeprefix(_with_slash(self.base))

    def path(self, location: str) -> str:
        """The absolute path of a location."""
        return self.base if location == _HERE else os.path.join(self.base, location)

    def real(self, path: str | os.PathLike[str]) -> str:
        """The absolute path, with links to folders followed; a last name that is a link to a file is kept."""
        given = os.path.join(Path.cwd(), path)  # not abspath, which drops the name before ".." even if it is a link
        folder, name = os.path.split(given)
        if name in ("", ".", "..") or os.path.isdir(given):
            return os.path.realpath(given)
        if folder not in self._real_folders:  # a folder has many files
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)

    def selected(self, typed: str, states: Iterable[SourceState]) -> list[SourceState]:
        """The sources that a person means by ``typed``: a file, or all that is in a folder or an archive.

        It is a path from the current directory; or else, if no source is there, a location as a listing shows it.
        """
        among = list(states)
        if not typed:
            return []
        place = self.real(expanded(typed))
        found = [each for each in among if has_path(each) and is_within(self.path(each.location), place)]
        shown = typed.rstrip("/") or typed
        return found or [
            each for each in among if each.location == typed or (has_path(each) and is_within(each.location, shown))
        ]


def has_path(state: SourceState) -> bool:
    """Whether the location of a source is a path."""
    return state.kind not in _WITHOUT_PATH


def is_within(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or is beneath it, by their names alone."""
    return path == folder or path.startswith(_with_slash(folder))


def _with_slash(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"
