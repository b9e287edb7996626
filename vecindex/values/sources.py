"""What an index knows of a source that was added: where it is, how it was read, and what its bytes were then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SourceKind = Literal["file", "member", "database", "url", "stdin"]
"""What a source is; a member is a file within a zip archive."""
Condition = Literal["current", "changed", "gone", "incomplete", "imported", "unchecked"]
"""What has become of a source. "incomplete" was not read to its end, "imported" is known only from an import and was
never read here, and "unchecked" cannot be looked at, such as standard input, a URL, or a file in a folder that may not
be read."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source as the index last read it.

    Attributes:
        id: its number in the index.
        location: a path, relative to the folder that holds the index where the file is in there, with posix
            separators; else an absolute path, a URL or a label.
        query: the SQL of a database source, else "".
        reader: the value of the `Format` that it was read as.
        options: how it was read and split, as canonical JSON. Another value means that it has to be read again.
        digest: the SHA-256 of its bytes, in hexadecimal. None means that it was never read to its end, or has to be
            read again.
        size: of the file, in bytes; None for what has no size.
        modified: the file's time of modification, in nanoseconds; None for what has none, and where a later change
            may have the same time.
        added: the time when it was last read to its end, in ISO format.
        stale: how many of its records were gone from it at the last reading and are still stored.
        unit: what places in it count, such as "line".
        imported: 1 if its records come from an import and it was never read to its end here, so that it says nothing
            if there is no such file; else 0.
    """

    id: int
    kind: SourceKind
    location: str
    query: str
    reader: str
    options: str
    digest: str | None
    size: int | None
    modified: int | None
    added: str
    stale: int
    unit: str | None
    imported: int = 0


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source of an index, as `Index.sources` lists it.

    Attributes:
        location: a path, relative to the folder that holds the index where the file is in there; else an absolute path,
            a URL or a label.
        kind: "file", "member" of an archive, "database", "url" or "stdin".
        query: the SQL of a database source, else "".
        reader: the format that it was read as.
        state: "current"; "changed" or "gone" since it was read; "incomplete" if it was not read to its end; "imported"
            if it is known only from an import; or "unchecked" if it cannot be looked at, such as standard input.
        records: how many records come from it.
        stale: how many of these were gone from it when it was last read.
        size: in bytes, when it was last read; None for what has no size.
        added: when it was last read to its end, in ISO format; None if it never was.
    """

    location: str
    kind: SourceKind
    query: str
    reader: str
    state: Condition
    records: int
    stale: int
    size: int | None
    added: str | None
