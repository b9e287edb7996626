"""Defines the export formats, and the JSON that they share: lines of records, and the space of the vectors.

::

    jsonl      one object a line: key, text, metadata, vector; tokens_lost if it is not 0; from if the record is from a
               source or a document; the first line also has space
    npy        a folder: vectors.npy (n, D) float32, records.jsonl (line i describes row i, without vector), space.json
    faiss      the same with index.faiss, an IndexFlatIP, instead of vectors.npy
    parquet    one file: key, text and metadata (JSON) as strings, vector as fixed_size_list<float32>[D], tokens_lost as
               int64; from (JSON) as strings, if any record is from a source or a document; space in the file's
               metadata under SPACE_KEY

The vector of a record without one is null; in the arrays of npy and faiss it is zeros, and null in records.jsonl.
``tokens_lost`` is how many tokens of the text the vector does not cover, plus 2^40 if the model knows none of them.
Earlier versions wrote it as ``truncated``, and at first as true or false. For ``from``, see `places`.
``space`` holds the settings of the embedding space as a JSON object, with their fingerprint; it is null in an index
that has no space yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from ..errors import Advice, InvalidInput
from ..store.origins import Whence
from ..store.stored import Stored
from ..store.vectors import Vectors
from ..values.records import place_members
from ..values.scalars import shown
from ..values.space import Space

RECORDS_FILE = "records.jsonl"
SPACE_FILE = "space.json"
VECTORS_FILE = "vectors.npy"
FAISS_FILE = "index.faiss"
SPACE_KEY = b"vecindex.space"
_NO_VECTOR = ', "vector": null'
ADVICE = "Fix the file, or export it again; nothing was stored."

Progress = Callable[[int, int], None]
"""Called with the number of records done and the total."""


class Exported(NamedTuple):
    """Records, the JSON of where each is from, or None, and their vectors (n, D)."""

    records: list[Stored]
    places: list[str | None]
    vectors: Vectors


class Format(str, Enum):
    """A format of records with their vectors; ``description`` is for messages."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Format:  # Format("npy") looks a member up
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    PARQUET = "parquet", "one file, for pandas, DuckDB, Spark and the like"
    NPY = "npy", "a folder: vectors.npy for numpy, and records.jsonl"
    JSONL = "jsonl", "one JSON object a line"
    FAISS = "faiss", "a folder: index.faiss for FAISS, and records.jsonl"


_SUFFIXES = {**{f".{each.value}": each for each in Format}, ".ndjson": Format.JSONL}


def format_named(name: str) -> Format:
    """The format of this name; raises InvalidInput if there is none."""
    for each in Format:
        if isinstance(name, str) and name == each.value:
            return each
    raise InvalidInput(
        f"the format {shown(name)} is unknown", f"Use one of: {', '.join(each.value for each in Format)}."
    )


def format_of(path: str) -> Format:
    """The format that a path's suffix names; raises InvalidInput if it names none."""
    suffix = Path(path).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    what = f"the suffix {suffix!r} is unknown" if suffix else "it has no suffix"
    formats = "; ".join(f"{each.value} ({each.description})" for each in Format)
    raise InvalidInput(
        f"the format of {path} is not clear: {what}",
        Advice(f"Pass one as format=: {formats}.", typed=f"Name one with --format: {formats}."),
    )


def space_json(space: Space | None) -> str:
    """A space as one line of JSON, with its fingerprint; null for None."""
    return json.dumps(None if space is None else {**asdict(space), "fingerprint": space.fingerprint}, sort_keys=True)


def space_from(value: object) -> Space | None:
    """The space in the parsed output of `space_json`; raises ValueError if it is invalid or was changed."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    settings = {name: setting for name, setting in value.items() if name != "fingerprint"}
    try:
        space = Space.from_json(json.dumps(settings))
    except TypeError as error:
        raise ValueError(str(error).partition(" ")[2] or str(error)) from None
    if value.get("fingerprint") != space.fingerprint:
        raise ValueError(f"its fingerprint {value.get('fingerprint')!r} does not match its settings")
    return space


def text_lines(records: Iterable[Stored], places: Iterable[Whence | None]) -> Iterator[bytes]:
    """Each record as a line of JSON that says nothing of its vector, as `vecindex list` prints it."""
    for record, whence in zip(records, places, strict=True):
        known = {} if whence is None else place_members(whence.source, whence.place, whence.span)
        yield _line(
            record, "".join(f', "{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in known.items())
        )


def record_lines(block: Exported) -> Iterator[bytes]:
    """Each record as a line of JSON, without its vector, which is in another file."""
    for record, place in zip(block.records, block.places, strict=True):
        yield _line(record, _lost(record) + _from(place) + ("" if record.has_vector else _NO_VECTOR))


def vector_lines(block: Exported, space: Space | None) -> Iterator[bytes]:
    """Each record as a line of JSON with its vector; the first line also has ``space``, unless None."""
    # Nine digits identify a float32, and take half the room of a double's.
    pattern = ", ".join(["%.9g"] * block.vectors.shape[1])
    for record, place, vector in zip(block.records, block.places, block.vectors.tolist(), strict=True):
        more = "" if space is None else f', "space": {space_json(space)}'
        space = None
        if not record.has_vector:
            yield _line(record, f"{_from(place)}{_NO_VECTOR}{more}")
            continue
        # JSON readers parse "-0" as an integer, which loses the sign.
        numbers = json.dumps(vector)[1:-1] if 0.0 in vector else pattern % tuple(vector)
        yield _line(record, f'{_lost(record)}{_from(place)}, "vector": [{numbers}]{more}')


def _lost(record: Stored) -> str:
    return f', "tokens_lost": {record.lost}' if record.lost and record.has_vector else ""


def _from(place: str | None) -> str:
    return "" if place is None else f', "from": {place}'


def _line(record: Stored, more: str) -> bytes:
    key, text = (json.dumps(value, ensure_ascii=False) for value in (record.key, record.text))
    # The metadata is JSON already; in an index that was written by hand it may span several lines.
    metadata = record.metadata.replace("\n", " ")
    return f'{{"key": {key}, "text": {text}, "metadata": {metadata}{more}}}\n'.encode()
