"""Reads the rows of each import format, a few hundred at a time, with their line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, SourceError
from ..machine.batching import windows
from ..sources import Source
from ..sources.fields import metadata_in
from ..sources.lines import decoded, lines, without_end
from ..sources.opening.files import unreadable
from ..sources.strict_json import parsed
from ..values.keys import checked_key, derived_key
from ..values.metadata import checked_metadata
from ..values.records import NO_VECTOR
from ..values.space import Space
from ..values.texts import checked_text
from .formats import ADVICE, space_from
from .parquet import MissingVector, Parquet
from .places import From, from_of, is_from

_LINES_A_BLOCK = 512
_CHARACTERS_A_BLOCK = 8_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    """The checked record of a row; ``metadata`` is JSON text, or None if the row has none.

    ``tokens_lost`` is how many tokens of the text the vector does not cover; 1 may stand for any number of them.
    ``named`` says whether the row gives a key, or one was derived. ``place`` is where it is from, if it says so.
    """

    key: str
    text: str
    metadata: str | None
    tokens_lost: int
    named: bool = True
    place: From | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Records (n), their line or row numbers, from 1, and their vectors (n, D), of any numeric type.

    Of the rows that are ``missing`` (n,) the vectors mean nothing; D may be 0 if all are.
    """

    lines: Sequence[int]
    records: list[Imported]
    vectors: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_]


class Rows(Protocol):
    """The rows of a file, which can be read repeatedly; ``space`` is final only once all were read."""

    name: str
    space: Space | None

    def blocks(self) -> Iterator[Block]:
        """Raises SourceError at a row that cannot be used; the values of vectors are not checked."""


class LineRows:
    """Lines of JSON, each with its vector. One of them, normally the first, may hold the space."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.space: Space | None = None
        self._source = source

    def blocks(self) -> Iterator[Block]:
        for rows in windows(self._rows(), _LINES_A_BLOCK, lambda row: row[1].text, _CHARACTERS_A_BLOCK):
            numbers, records, vectors = zip(*rows, strict=True)
            missing = np.array([vector is None for vector in vectors])
            dimension = next((len(vector) for vector in vectors if vector is not None), 0)
            nothing = np.zeros(dimension)
            stacked = np.stack([nothing if vector is None else vector for vector in vectors])
            yield Block(numbers, list(records), stacked, missing)

    def _rows(self) -> Iterator[tuple[int, Imported, npt.NDArray[Any] | None]]:
        dimension = 0
        for number, fields in _objects(self._source):
            with _row(self.name, number):
                self._take_space(fields)
                vector = _vector(fields)
                if vector is not None:
                    dimension = dimension or len(vector)
                if vector is not None and len(vector) != dimension:
                    raise ValueError(f"its vector has {len(vector)} numbers, but earlier vectors have {dimension}")
                record = _imported(fields, self.space is not None)
            yield number, record, vector

    def _take_space(self, fields: dict[str, Any]) -> None:
        found = fields.get("space")
        if not isinstance(found, dict) or not {"fingerprint", "architecture"} <= set(found):
            return  # it is metadata
        try:
            space = space_from(fields.pop("space"))
        except ValueError as error:
            raise ValueError(f"its space is invalid: {error}") from None
        if space is not None and self.space is not None and space.fingerprint != self.space.fingerprint:
            raise ValueError(f"its space is {space.describe()}, but an earlier line has {self.space.describe()}")
        self.space = space


class FolderRows:
    """Lines of JSON without vectors, and an array whose row i is the vector of line i."""

    def __init__(self, source: Source, vectors: npt.NDArray[Any], vectors_name: str, space: Space | None) -> None:
        self.name = source.name
        self.space = space
        self._source = source
        self._vectors = vectors
        self._vectors_name = vectors_name

    def blocks(self) -> Iterator[Block]:
        done = 0
        for rows in windows(self._rows(), _LINES_A_BLOCK, lambda row: row[1].text, _CHARACTERS_A_BLOCK):
            numbers, records, missing = zip(*rows, strict=True)
            yield Block(numbers, list(records), np.array(self._vectors[done : done + len(rows)]), np.array(missing))
            done += len(rows)

    def _rows(self) -> Iterator[tuple[int, Imported, bool]]:
        done, total = 0, len(self._vectors)
        for number, fields in _objects(self._source):
            with _row(self.name, number):
                if done == total:
                    raise ValueError(f"{self._vectors_name} has no vector for it: it holds only {total}")
                is_missing = fields.get("vector", ...) is None
                if is_missing:
                    del fields["vector"]
                    if np.any(self._vectors[done]):
                        raise ValueError(f"its vector is null, but {self._vectors_name} has one for it")
                record = _imported(fields, self.space is not None)
            yield number, record, is_missing
            done += 1
        if done != total:
            reason = f"it holds {done} records, but {self._vectors_name} holds {total} vectors"
            raise SourceError(self.name, None, reason, ADVICE)


class ParquetRows:
    """Rows of a Parquet file. Metadata is a string of JSON or a struct; all other columns are metadata too."""

    def __init__(self, path: str, file: Parquet) -> None:
        self.name = path
        self.space = file.space
        self._file = file

    def blocks(self) -> Iterator[Block]:
        done = 0
        batches = self._file.batches()
        while True:
            with file_errors(self.name):
                try:
                    batch = next(batches, None)
                except MissingVector as error:
                    raise SourceError(self.name, done + error.row + 1, str(error), ADVICE) from None
            if batch is None:
                return
            rows, vectors, missing = batch
            records = []
            for number, fields in enumerate(rows, done + 1):
                with _row(self.name, number):
                    if isinstance(fields.get("metadata"), str):
                        fields["metadata"] = parsed(fields["metadata"], ADVICE)
                    _parse_from(fields, self.space is not None)
                    records.append(_imported(fields, self.space is not None))
            yield Block(range(done + 1, done + 1 + len(rows)), records, vectors, missing)
            done += len(rows)


def _objects(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number, from 1, and the object of every line that is not blank."""
    with source.opened() as stream:
        for number, raw in lines(stream, source.name):
            if not raw.strip():
                continue
            with _row(source.name, number):
                fields = parsed(without_end(decoded(raw)), ADVICE)
                if not isinstance(fields, dict):
                    raise ValueError('it is not an object like {"key": "...", "text": "...", "vector": [...]}')
            yield number, fields


def _vector(fields: dict[str, Any]) -> npt.NDArray[np.float64] | None:
    """Removes the vector (D,) from an object, and returns it; None if it is null."""
    if "vector" not in fields:
        raise ValueError(f"the field 'vector' is missing; its fields are: {', '.join(fields) or 'none'}")
    found = fields.pop("vector")
    if found is None:
        return None
    if not isinstance(found, list) or not found or not {*map(type, found)} <= {int, float}:
        raise ValueError("its vector is not a list of numbers")
    try:
        return np.array(found, np.float64)
    except OverflowError:
        raise ValueError("its vector holds a number that is too large") from None


def _imported(fields: dict[str, Any], has_space: bool) -> Imported:
    """The record in a row's fields; ``has_space`` says that this package wrote them."""
    if "text" not in fields:
        raise ValueError(f"the field 'text' is missing; its fields are: {', '.join(fields) or 'none'}")
    text = checked_text(fields.pop("text"))
    key = fields.pop("key", None)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    # Earlier versions wrote "truncated", and at first as a boolean.
    name = "tokens_lost" if "tokens_lost" in fields else "truncated"
    lost = fields.pop(name, 0) if has_space else 0
    if not isinstance(lost, int) or not 0 <= lost < NO_VECTOR:
        raise ValueError(f"the field {name!r} is not a number of tokens")
    own = fields.pop("from") if is_from(fields.get("from")) else None
    metadata = metadata_in(fields)
    said = None if metadata is None else checked_metadata(metadata)
    derived = derived_key(text, said) if key is None else None
    key = derived or checked_key(key)
    return Imported(key, text, said, int(lost), derived is None, None if own is None else from_of(own, key, text))


def _parse_from(fields: dict[str, Any], has_space: bool) -> None:
    """Parses the column ``from`` of a row that this package wrote, as JSON; without a value there is none."""
    if has_space and "from" in fields:
        said = fields.pop("from")
        if isinstance(said, str):
            fields["from"] = parsed(said, ADVICE)


@contextmanager
def _row(name: str, line: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SourceError(name, line, _reason(error), ADVICE) from None


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Maps an OSError or a ValueError to the SourceError that names the file."""
    try:
        yield
    except OSError as error:
        raise unreadable(name, None, error) from error
    except ValueError as error:
        raise SourceError(name, None, _reason(error), ADVICE) from None


def _reason(error: ValueError) -> str:
    # The advice of InvalidInput is for rows that people write by hand.
    return error.message if isinstance(error, InvalidInput) else str(error)
