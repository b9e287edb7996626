"""Decides by patterns which files of a folder are read: --include, --exclude, and the .gitignore files.

The library is pathspec, which Black, mypy and DVC use for the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import InvalidInput

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MAX_SIZE = 2**20
_GITIGNORE = ".gitignore"


class Globs:
    """The patterns that a user gave, in the syntax of .gitignore, for paths below the folder that was named."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _compiled("include", include) if include else None
        self._exclude = _compiled("exclude", exclude) if exclude else None

    def excludes(self, path: str) -> bool:
        """Whether a file is left out."""
        return self.excludes_all_in(path) or (self._include is not None and not self._include.check_file(path).include)

    def excludes_all_in(self, path: str) -> bool:
        """Whether everything in a folder, whose path ends with "/", or in an archive is left out.

        What is in it may be included where it itself is not.
        """
        return self._exclude is not None and bool(self._exclude.check_file(path).include)


class Ignored:
    """What .gitignore files say, the nearest first; made for a folder, and then for each folder within it."""

    def __init__(self, specs: tuple[tuple[str, GitIgnoreSpec], ...] = ()) -> None:
        self._specs = specs

    @classmethod
    def above(cls, folder: str) -> Ignored:
        """What the folders above say, up to the root of the repository, if ``folder`` (absolute) is in one.

        A folder that was named itself is read, even if they ignore it.
        """
        above: list[str] = []
        place = folder
        while not os.path.exists(os.path.join(place, ".git")):
            parent, _ = os.path.split(place)
            if parent == place:
                return cls()
            above.insert(0, parent)
            place = parent
        specs = [(place, spec) for spec in [_read(os.path.join(place, ".git", "info", "exclude"))] if spec is not None]
        specs += [(each, spec) for each in above if (spec := _read(os.path.join(each, _GITIGNORE))) is not None]
        found = cls(tuple(specs))
        return cls() if folder != place and found.ignores(folder, is_folder=True) else found

    def within(self, folder: str) -> Ignored:
        """The same with what the .gitignore of ``folder`` (absolute) says."""
        spec = _read(os.path.join(folder, _GITIGNORE))
        return self if spec is None else Ignored((*self._specs, (folder, spec)))

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether the file or folder at ``path`` (absolute) is ignored."""
        for folder, spec in reversed(self._specs):
            inner = path[len(folder) :].lstrip("/")
            decision = spec.check_file(f"{inner}/" if is_folder else inner).include
            if decision is not None:
                return decision
        return False


def _compiled(option: str, patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    if isinstance(patterns, str):
        patterns = [patterns]
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.strip() or pattern.startswith("#"):
            raise InvalidInput(f"{option} holds {pattern!r}, which is no pattern", "Write one like '*.md' or 'docs/'.")
        try:
            GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise InvalidInput(f"{option} holds {pattern!r}: {error}", "Write one like '*.md' or 'docs/'.") from None
    return GitIgnoreSpec.from_lines(patterns)


def _read(path: str) -> GitIgnoreSpec | None:
    """The patterns in a file; None if there is none. Lines that are no patterns say nothing, as in git."""
    from pathspec import GitIgnoreSpec

    try:
        with open(path, "rb") as stream:
            lines = stream.read(_MAX_SIZE).decode("utf-8", "surrogateescape").removeprefix("\ufeff").splitlines()
    except OSError:
        return None
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
