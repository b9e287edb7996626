"""What is committed: the one row of the manifest table, with a checksum over all that it says."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from ..encoders.spec import Space


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
        """What `to_json` wrote; raises ValueError or TypeError for anything else."""
        values = json.loads(text)
        return cls(values["rows"], values["settings"], tuple(values["names"]), tuple(values["digests"]))


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


def from_row(row: Row) -> Manifest:
    """The manifest that a row of `COLUMNS` says; raises ValueError with the reason where it says nonsense."""
    generation, vectors, rows, dead, space_json, created, codes_json, fields_json, environment_json = row
    try:
        space = Space.from_json(space_json) if space_json is not None else None
        codes = CodesFiles.from_json(codes_json) if codes_json is not None else None
        names = tuple(str(name) for name in json.loads(fields_json))
        written_by = None if environment_json is None else {str(k): str(v) for k, v in _object(environment_json)}
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"its manifest cannot be read: {error}") from None
    if not 0 <= dead <= rows or (rows and space is None) or (codes is not None and not 0 < codes.rows <= rows):
        raise ValueError(f"its manifest does not add up: {rows} rows, {dead} of them dead, {space_json}")
    return Manifest(generation, vectors, rows, dead, space, created, codes, names, written_by)


def _object(text: str) -> Iterable[tuple[object, object]]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{text} is not an object")
    return found.items()


def checksum(row: tuple[int | str | None, ...]) -> int:
    """CRC-32 of the row as JSON."""
    return zlib.crc32(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
