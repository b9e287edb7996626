"""A folder in memory whose files are followed: what is stored of it, and the plan for what has become of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from vecindex.index.follow import Found, Plan, plan
from vecindex.values.sources import SourceState


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class Files:
    """A folder: contents and times by name; the digests that were read of it; and the states that are stored of it."""

    contents: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    clock: count[int] = field(default_factory=lambda: count(1))
    read: list[str] = field(default_factory=list)
    states: list[SourceState] = field(default_factory=list)

    def write(self, name: str, content: str) -> None:
        self.contents[name] = content
        self.times[name] = next(self.clock)

    def move(self, source: str, target: str) -> None:
        self.contents[target] = self.contents.pop(source)
        self.times[target] = self.times.pop(source)

    def swap(self, one: str, other: str) -> None:
        self.contents[one], self.contents[other] = self.contents[other], self.contents[one]
        self.times[one], self.times[other] = self.times[other], self.times[one]

    def delete(self, name: str) -> None:
        del self.contents[name]
        del self.times[name]

    def found(self, name: str, options: str = "{}") -> Found:
        return Found(name, "txt", options, len(self.contents[name]), self.times[name])

    def digest(self, item: Found) -> str | None:
        self.read.append(item.location)
        content = self.contents.get(item.location)
        return None if content is None else digest_of(content)


def files(**contents: str) -> Files:
    """Files by name, with "_" for "/", that have just been added."""
    made = Files()
    for name, content in contents.items():
        made.write(name.replace("_", "/"), content)
    made.states = stored(made)
    return made


def stored(files: Files) -> list[SourceState]:
    """The states of all files, as they are stored after a complete reading."""
    return [state_of(files.found(name), id, files) for id, name in enumerate(sorted(files.contents), start=1)]


def state_of(item: Found, id: int, files: Files) -> SourceState:
    digest = digest_of(files.contents[item.location])
    at = "2026-01-01T00:00:00+00:00"
    parts = (item.kind, item.location, item.query, item.reader, item.options)
    return SourceState(id, *parts, digest, item.size, item.modified, at, 0, "line")


def planned(
    files: Files,
    states: Iterable[SourceState] | None = None,
    *,
    options: str = "{}",
    prune: bool = False,
    beneath: str = "",
    only: Iterable[str] | None = None,
) -> Plan:
    """The plan for all files, or those ``only``; what is covered begins with ``beneath``.

    ``states`` are what is stored, if it is not what the files were when they were added.
    """
    names = sorted(files.contents) if only is None else only
    return plan(
        [files.found(name, options) for name in names],
        files.states if states is None else states,
        covers=lambda state: state.location.startswith(beneath),
        is_gone=lambda state: state.location not in files.contents,
        digest=files.digest,
        prune=prune,
    )


def told(found: Plan) -> list[str]:
    return [" ".join(str(step).split()) for step in found.steps]
