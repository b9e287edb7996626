"""What is committed: the one row of the manifest table, with a checksum over all that it says."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import cast

from ..filters.tree import Refused, parse_path, path_text
from ..values.nested import read_json
from ..values.space import Space

CODES_FILE = re.compile(r"codes-[0-9]+-[0-9]+-[0-9]+-[0-9a-f]{8}-[a-z]+\.faiss")
"""What a file of codes is named."""
_DIGEST = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9T:.+-]{1,40}")
_MOST = 2**62  # what is added to it is still a number of SQLite's
_MOST_DIMENSIONS = 2**24


@dataclass(frozen=True, slots=True)
class CodesFiles:
    """The accelerator over the first ``rows`` rows: its files' names and SHA-256 digests, and the search's settings.

    ``settings`` is JSON that `search.settings` reads. The files are made of the vectors; nothing is lost with them.
    """

    rows: int
    settings: str
    names: tuple[str, ...]
    digests: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CodesFiles:
        """What `to_json` wrote; raises ValueError for anything else, names of other files above all."""
        values = read_json(text)
        if not isinstance(values, dict) or values.keys() != {"rows", "settings", "names", "digests"}:
            raise ValueError(f"its codes are {_shown(text)}")
        rows, names, digests = values["rows"], _texts(values["names"]), _texts(values["digests"])
        if type(rows) is not int or not isinstance(values["settings"], str) or not names or len(names) != len(digests):
            raise ValueError(f"its codes are {_shown(text)}")
        for what, pattern, given in (("file", CODES_FILE, names), ("digest", _DIGEST, digests)):
            for each in given:
                if not pattern.fullmatch(each):
                    raise ValueError(f"{_shown(each)} is no name of a {what} of codes")
        return cls(rows, values["settings"], names, digests)


@dataclass(frozen=True, slots=True)
class Manifest:
    """``rows`` in the vector file number ``vectors``, ``dead`` ones included, as of commit ``generation``.

    ``fields`` are the metadata fields that have an SQL index, as filters write them. ``written_by`` is the environment
    of the encoder that wrote the newest vectors (`Encoder.environment`), None where none were encoded here.
    """

    generation: int
    vectors: int
    rows: int
    dead: int
    space: Space | None
    created: str
    codes: CodesFiles | None = None
    fields: tuple[str, ...] = ()
    written_by: Mapping[str, str] | None = None

    @property
    def dimension(self) -> int:
        return self.space.dimension if self.space else 0

    @property
    def records(self) -> int:
        return self.rows - self.dead


COLUMNS = ("generation", "vectors", "rows", "dead", "space", "created", "codes", "fields", "written_by")
"""The manifest's columns besides format, fingerprint (for people) and check, which is `checksum` of these."""
Row = tuple[int, int, int, int, str | None, str, str | None, str, str | None]

assert tuple(field.name for field in fields(Manifest)) == COLUMNS


def to_row(manifest: Manifest) -> Row:
    m = manifest
    space = m.space.to_json() if m.space else None
    codes = m.codes.to_json() if m.codes else None
    written_by = None if m.written_by is None else json.dumps(dict(m.written_by), sort_keys=True)
    return (m.generation, m.vectors, m.rows, m.dead, space, m.created, codes, json.dumps(m.fields), written_by)


def from_row(row: Sequence[object]) -> Manifest:
    """The manifest that a row of `COLUMNS` says; raises ValueError with the reason where it says nonsense."""
    check_types(row)
    generation, vectors, rows, dead, space_json, created, codes_json, fields_json, environment_json = cast(Row, row)
    try:
        space = Space.from_json(space_json) if space_json is not None else None
        codes = CodesFiles.from_json(codes_json) if codes_json is not None else None
        names = _fields(fields_json)
        written_by = None if environment_json is None else _environment(environment_json)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"its manifest cannot be read: {error}") from None
    except RecursionError:
        raise ValueError("its manifest cannot be read: it is nested too deep") from None
    if (
        not 0 <= dead <= rows <= _MOST
        or (rows and space is None)
        or (space is not None and space.dimension > _MOST_DIMENSIONS)
        or (codes is not None and not 0 < codes.rows <= rows)
        or not 0 <= generation <= _MOST
        or not 0 < vectors <= _MOST
    ):
        raise ValueError(
            f"its manifest does not add up: generation {generation}, vectors {vectors}, {rows} rows, {dead} of them "
            f"dead, {_shown(space_json)}, codes {_shown(codes_json)}"
        )
    if not _TIME.fullmatch(created):
        raise ValueError(f"its manifest says that it was created {_shown(created)}")
    return Manifest(generation, vectors, rows, dead, space, created, codes, names, written_by)


def check_types(row: Sequence[object]) -> None:
    """Raises ValueError where a column of a manifest's row, or of the first of its columns, has another type."""
    for name, value, types in zip(COLUMNS, row, _TYPES, strict=False):
        if type(value) not in types:
            raise ValueError(f"its manifest's {name} is {_shown(value)}")


_NUMBER, _TEXT, _ANY_TEXT = (int,), (str,), (str, type(None))
_TYPES: tuple[tuple[type, ...], ...] = (
    *(_NUMBER, _NUMBER, _NUMBER, _NUMBER),
    *(_ANY_TEXT, _TEXT, _ANY_TEXT, _TEXT, _ANY_TEXT),
)


def _fields(text: str) -> tuple[str, ...]:
    names = _texts(read_json(text))
    for name in names:
        try:
            is_one = path_text(parse_path(name)) == name
        except Refused:
            is_one = False
        if not is_one:
            raise ValueError(f"{_shown(name)} is no name of a field")
    if len(set(names)) != len(names):
        raise ValueError("a field is named twice")
    return names


def _environment(text: str) -> dict[str, str]:
    found = read_json(text)
    if not isinstance(found, dict):
        raise ValueError(f"{_shown(text)} is not an object")
    _texts(list(found.values()))
    return found


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{_shown(values)} is not a list of texts")
    return tuple(values)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def checksum(row: Sequence[object]) -> int:
    """CRC-32 of the row, of `check_types`, as JSON."""
    return zlib.crc32(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
