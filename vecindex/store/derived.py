"""Names the files that are derived from vectors and texts, and can be made again: codes and lexical segments."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import CorruptIndex, OutOfMemory
from ..values.nested import read_json
from .disk.files import mapped

CODES_FILE = re.compile(r"codes-[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}-[a-z]+\.faiss")
"""The names of files of codes."""
SEGMENT_FILE = re.compile(r"lexical-[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}\.bin")
"""The names of files of lexical segments."""
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CodesFiles:
    """The accelerator over the first ``rows`` rows: its files' names and SHA-256 digests, and its settings as JSON."""

    rows: int
    settings: str
    names: tuple[str, ...]
    digests: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CodesFiles:
        """Reads what `to_json` wrote; raises ValueError for anything else, above all for names of other files."""
        values = _object(text, {"rows", "settings", "names", "digests"}, "codes")
        rows, names, digests = values["rows"], texts(values["names"]), texts(values["digests"])
        if type(rows) is not int or not isinstance(values["settings"], str) or not names or len(names) != len(digests):
            raise ValueError(f"its codes are {shown(text)}")
        for name, digest in zip(names, digests, strict=True):
            _check(name, CODES_FILE, digest, "codes")
        return cls(rows, values["settings"], names, digests)


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A lexical segment of the rows from ``first`` up to ``stop``, and the SHA-256 digest of its header."""

    first: int
    stop: int
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class LexicalFiles:
    """How texts become terms (``settings``, JSON), and the segments: adjacent, from row 0 on.

    ``fingerprint`` is of everything that decided which terms the segments have, the stemming library included.
    """

    settings: str
    fingerprint: str
    segments: tuple[SegmentFile, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows that the segments cover."""
        return self.segments[-1].stop if self.segments else 0

    @property
    def has_fields(self) -> bool:
        """Whether metadata fields are read beside the texts."""
        try:
            return bool(json.loads(self.settings)["fields"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return True  # settings of another version

    def without_segments(self) -> LexicalFiles:
        return LexicalFiles(self.settings, self.fingerprint)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(segment.name for segment in self.segments)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LexicalFiles:
        """Reads what `to_json` wrote; raises ValueError for anything else, above all for names of other files."""
        values = _object(text, {"settings", "fingerprint", "segments"}, "lexical segments")
        (settings, fingerprint), listed = texts([values["settings"], values["fingerprint"]]), values["segments"]
        if not isinstance(listed, list):
            raise ValueError(f"its lexical segments are {shown(text)}")
        segments: list[SegmentFile] = []
        for each in listed:
            segments.append(_segment(each, segments[-1].stop if segments else 0))
        return cls(settings, fingerprint, tuple(segments))


def map_derived(path: Path, at_most: int | None = None) -> memoryview:
    """The content of a derived file; raises CorruptIndex if it is missing or has more bytes than ``at_most``."""
    try:
        return memoryview(mapped(path, at_most=at_most))
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise OutOfMemory(f"{path} was mapped") from error
        raise CorruptIndex(str(path), error.strerror or str(error)) from None
    except ValueError as error:
        raise CorruptIndex(str(path), f"it cannot be read: {error}") from None


def texts(values: object) -> tuple[str, ...]:
    """A list of strings from JSON; raises ValueError."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{shown(values)} is not a list of texts")
    return tuple(values)


def shown(value: object) -> str:
    """A value in an error message."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _object(text: str, names: Collection[str], what: str) -> dict[str, Any]:
    values = read_json(text)
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError(f"its {what} are {shown(text)}")
    return values


def _segment(values: object, first: int) -> SegmentFile:
    if not isinstance(values, dict) or values.keys() != {"first", "stop", "name", "digest"}:
        raise ValueError(f"{shown(values)} is not a lexical segment")
    name, digest = texts([values["name"], values["digest"]])
    _check(name, SEGMENT_FILE, digest, "a lexical segment")
    if [type(values["first"]), type(values["stop"])] != [int, int] or not first == values["first"] < values["stop"]:
        raise ValueError(f"{shown(values)} does not follow row {first}")
    return SegmentFile(values["first"], values["stop"], name, digest)


def _check(name: str, pattern: re.Pattern[str], digest: str, what: str) -> None:
    for label, allowed, given in (("file name", pattern, name), ("digest", _DIGEST, digest)):
        if not allowed.fullmatch(given):
            raise ValueError(f"{shown(given)} is not a valid {label} of {what}")
