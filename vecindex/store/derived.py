"""Names the files that are derived from vectors and texts, and can be made again: codes and segments."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..errors import CorruptIndex, OutOfMemory
from ..values.nested import read_json
from .disk.files import mapped

CODES_FILE = re.compile(r"codes-[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}-[a-z]+\.faiss")
"""The names of files of codes."""
SEGMENT_FILE = re.compile(r"(?:lexical|tokens)-[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}\.bin")
"""The names of files of lexical segments and of token vectors."""
_DIGEST = re.compile("[0-9a-f]{64}")
Segments = TypeVar("Segments", bound="SegmentFiles")


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
    """A segment of the rows from ``first`` up to ``stop``, and the SHA-256 digest of its header."""

    first: int
    stop: int
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """How segments are made (``settings``), and the segments, in the order of their rows.

    ``fingerprint`` is of everything that decided what the segments hold, such as the version of a library.
    """

    settings: str
    fingerprint: str
    segments: tuple[SegmentFile, ...] = ()
    kind: ClassVar[str]
    """What the names of its files begin with."""
    word: ClassVar[str]
    """What its segments are called in messages."""
    has_gaps: ClassVar[bool]
    """Whether rows between two segments may be in none."""

    @property
    def rows(self) -> int:
        """The row after the last that the segments cover."""
        return self.segments[-1].stop if self.segments else 0

    def without_segments(self: Segments) -> Segments:
        return replace(self, segments=())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(segment.name for segment in self.segments)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls: type[Segments], text: str) -> Segments:
        """Reads what `to_json` wrote; raises ValueError for anything else, above all for names of other files."""
        values = _object(text, {"settings", "fingerprint", "segments"}, f"{cls.word} segments")
        (settings, fingerprint), listed = texts([values["settings"], values["fingerprint"]]), values["segments"]
        if not isinstance(listed, list):
            raise ValueError(f"its {cls.word} segments are {shown(text)}")
        segments: list[SegmentFile] = []
        for each in listed:
            segments.append(_segment(each, segments[-1].stop if segments else 0, cls))
        return cls(settings, fingerprint, tuple(segments))


@dataclass(frozen=True, slots=True)
class LexicalFiles(SegmentFiles):
    """How texts become terms (JSON), and the segments of these, adjacent from row 0 on."""

    kind: ClassVar[str] = "lexical"
    word: ClassVar[str] = "lexical"
    has_gaps: ClassVar[bool] = False

    @property
    def has_fields(self) -> bool:
        """Whether metadata fields are read beside the texts."""
        try:
            return bool(json.loads(self.settings)["fields"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return True  # settings of another version


@dataclass(frozen=True, slots=True)
class TokenFiles(SegmentFiles):
    """How token vectors are quantised, and the segments of these; rows in none have no stored token vectors."""

    kind: ClassVar[str] = "tokens"
    word: ClassVar[str] = "token"
    has_gaps: ClassVar[bool] = True

    @property
    def covered(self) -> int:
        """How many rows the segments have."""
        return sum(segment.stop - segment.first for segment in self.segments)


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


def _segment(values: object, first: int, files: type[SegmentFiles]) -> SegmentFile:
    """A segment of rows behind those before ``first``."""
    if not isinstance(values, dict) or values.keys() != {"first", "stop", "name", "digest"}:
        raise ValueError(f"{shown(values)} is not a {files.word} segment")
    name, digest = texts([values["name"], values["digest"]])
    _check(name, SEGMENT_FILE, digest, f"a {files.word} segment")
    if not name.startswith(f"{files.kind}-"):
        raise ValueError(f"{shown(name)} is not a valid file name of a {files.word} segment")
    begin, stop = values["first"], values["stop"]
    follows = (
        type(begin) is type(stop) is int and (first <= begin if files.has_gaps else first == begin) and begin < stop
    )
    if not follows:
        raise ValueError(f"{shown(values)} does not follow row {first}")
    return SegmentFile(begin, stop, name, digest)


def _check(name: str, pattern: re.Pattern[str], digest: str, what: str) -> None:
    for label, allowed, given in (("file name", pattern, name), ("digest", _DIGEST, digest)):
        if not allowed.fullmatch(given):
            raise ValueError(f"{shown(given)} is not a valid {label} of {what}")
