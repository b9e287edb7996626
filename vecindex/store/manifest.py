"""Reads, checks and writes the manifest: the one row that says what is committed."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from ..filters.tree import Refused, parse_path, path_text
from ..values.nested import read_json
from ..values.space import Space
from .derived import CodesFiles, LexicalFiles, TokenFiles, shown, texts

_TIME = re.compile(r"[0-9]{4}-[0-9T:.+-]{1,40}")
NO_SPACE = "it has vectors, but not the embedding space that they are in"
_MOST = 2**62  # so that a sum still fits into SQLite's integers
_MOST_DIMENSIONS = 2**24


@dataclass(frozen=True, slots=True)
class Manifest:
    """``rows`` in the vector file number ``vectors``, ``dead`` ones included, as of commit ``generation``.

    ``fields`` are the metadata fields that have an SQL index, as filters write them. ``written_by`` is the environment
    of the encoder that wrote the newest vectors (`Encoder.environment`), None if none were encoded here. ``background``
    is what `search.background` made of the vectors, as JSON that is read there.
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
    lexical: LexicalFiles | None = None
    tokens: TokenFiles | None = None
    background: str | None = None

    @property
    def derived(self) -> tuple[str, ...]:
        """The names of all derived files."""
        return tuple(name for files in (self.codes, self.lexical, self.tokens) if files for name in files.names)

    def without_derived(self) -> Manifest:
        """As this, with the settings of what is derived from texts, but no files."""
        lexical, tokens = self.lexical, self.tokens
        return replace(
            self,
            codes=None,
            lexical=lexical and lexical.without_segments(),
            tokens=tokens and tokens.without_segments(),
            background=None,
        )

    @property
    def dimension(self) -> int:
        return self.space.dimension if self.space else 0

    @property
    def records(self) -> int:
        return self.rows - self.dead


COLUMNS = (
    *("generation", "vectors", "rows", "dead", "space", "created"),
    *("codes", "fields", "written_by", "lexical", "tokens", "background"),
)
"""The manifest's columns except format, fingerprint (for people) and crc, the `checksum` of these."""
Row = tuple[int, int, int, int, str | None, str, str | None, str, str | None, str | None, str | None, str | None]

assert tuple(field.name for field in fields(Manifest)) == COLUMNS


def to_row(manifest: Manifest) -> Row:
    m = manifest
    space = m.space.to_json() if m.space else None
    codes = m.codes.to_json() if m.codes else None
    written_by = None if m.written_by is None else json.dumps(dict(m.written_by), sort_keys=True)
    lexical = m.lexical.to_json() if m.lexical else None
    tokens = m.tokens.to_json() if m.tokens else None
    head = (m.generation, m.vectors, m.rows, m.dead, space, m.created)
    return (*head, codes, json.dumps(m.fields), written_by, lexical, tokens, m.background)


def from_row(row: Sequence[object]) -> Manifest:
    """The manifest in a row of `COLUMNS`; raises ValueError with the reason if the row makes no sense."""
    check_types(row)
    generation, vectors, rows, dead, space_json, created, codes_json = cast(Row, row)[:7]
    fields_json, environment_json, lexical_json, tokens_json, background = cast(Row, row)[7:]
    try:
        space = Space.from_json(space_json) if space_json is not None else None
        codes = CodesFiles.from_json(codes_json) if codes_json is not None else None
        names = _fields(fields_json)
        written_by = None if environment_json is None else _environment(environment_json)
        lexical = None if lexical_json is None else LexicalFiles.from_json(lexical_json)
        tokens = None if tokens_json is None else TokenFiles.from_json(tokens_json)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"its manifest cannot be read: {error}") from None
    except RecursionError:
        raise ValueError("its manifest cannot be read: it is nested too deeply") from None
    if (
        not 0 <= dead <= rows <= _MOST
        or (codes is not None and space is None)
        or (space is not None and space.dimension > _MOST_DIMENSIONS)
        or (codes is not None and not 0 < codes.rows <= rows)
        or (lexical is not None and lexical.rows > rows)
        or (tokens is not None and tokens.rows > rows)
        or not 0 <= generation <= _MOST
        or not 0 < vectors <= _MOST
    ):
        raise ValueError(
            f"its manifest does not add up: generation {generation}, vectors {vectors}, {rows} rows, {dead} of them "
            f"dead, {shown(space_json)}, codes {shown(codes_json)}, lexical {shown(lexical_json)}, "
            f"tokens {shown(tokens_json)}"
        )
    if not _TIME.fullmatch(created):
        raise ValueError(f"its manifest has the creation time {shown(created)}")
    facts = (generation, vectors, rows, dead, space, created)
    return Manifest(*facts, codes, names, written_by, lexical, tokens, background)


def check_types(row: Sequence[object]) -> None:
    """Raises ValueError if a value in a manifest's row, or in the first columns of one, has the wrong type."""
    for name, value, types in zip(COLUMNS, row, _TYPES, strict=False):
        if type(value) not in types:
            raise ValueError(f"its manifest's {name} is {shown(value)}")


_NUMBER, _TEXT, _ANY_TEXT = (int,), (str,), (str, type(None))
_TYPES: tuple[tuple[type, ...], ...] = (
    *(_NUMBER, _NUMBER, _NUMBER, _NUMBER),
    *(_ANY_TEXT, _TEXT, _ANY_TEXT, _TEXT, _ANY_TEXT, _ANY_TEXT, _ANY_TEXT, _ANY_TEXT),
)


def _fields(text: str) -> tuple[str, ...]:
    names = texts(read_json(text))
    for name in names:
        try:
            is_one = path_text(parse_path(name)) == name
        except Refused:
            is_one = False
        if not is_one:
            raise ValueError(f"{shown(name)} is not the name of a field")
    if len(set(names)) != len(names):
        raise ValueError("a field is named twice")
    return names


def _environment(text: str) -> dict[str, str]:
    found = read_json(text)
    if not isinstance(found, dict):
        raise ValueError(f"{shown(text)} is not an object")
    texts(list(found.values()))
    return found


def checksum(row: Sequence[object]) -> int:
    """CRC-32 of the row as JSON; its types must have been checked."""
    return zlib.crc32(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
