"""Says what was left out of a folder or an archive, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Reason(str, Enum):
    """Why a file or folder was not read; the value completes "3 files were skipped: 2 hidden, 1 empty"."""

    HIDDEN = "hidden"
    IGNORED = "ignored by .gitignore"
    EXCLUDED = "excluded"
    EMPTY = "empty"
    UNKNOWN = "of unknown format"
    BINARY = "binary"
    LOG = "log or lock file"
    DATABASE = "database without a query"
    NESTED = "archive in an archive"
    LINK = "link to a folder"
    BROKEN = "broken link"
    SPECIAL = "device, pipe or socket"
    INDEX = "index of vecindex"


_PLURALS = {
    Reason.LOG: "logs or lock files",
    Reason.DATABASE: "databases without a query",
    Reason.NESTED: "archives in archives",
    Reason.LINK: "links to folders",
    Reason.BROKEN: "broken links",
    Reason.SPECIAL: "devices, pipes or sockets",
    Reason.INDEX: "indexes of vecindex",
}


@dataclass(frozen=True, slots=True)
class Skip:
    """A file that was not read, or a folder of which nothing was; a folder's path ends with "/"."""

    path: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason.value}"


OnSkip = Callable[[Skip], None]


@dataclass
class Skips:
    """Counts skips by reason when it is called with them, and lists them if ``keep``."""

    keep: bool = False
    counts: Counter[Reason] = field(default_factory=Counter)
    listed: list[Skip] = field(default_factory=list)

    def __call__(self, skip: Skip) -> None:
        self.counts[skip.reason] += 1
        if self.keep:
            self.listed.append(skip)

    def __str__(self) -> str:
        """Like "2 hidden, 1 empty", in the order of `Reason`."""
        found = {each: self.counts[each] for each in Reason if self.counts[each]}
        words = {each: each.value if count == 1 else _PLURALS.get(each, each.value) for each, count in found.items()}
        return ", ".join(f"{count:,} {words[each]}" for each, count in found.items())
