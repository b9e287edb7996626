"""Which formats are there, and what do they all say in the same words: records as JSON, and what made the vectors.

::

    jsonl      one object a line: key, text, metadata, vector; truncated where it is not 0; in the first line also space
    npy        a folder: vectors.npy (n, D) float32, records.jsonl (line i of row i, without vectors), space.json
    faiss      the same with index.faiss, an IndexFlatIP, in place of vectors.npy
    parquet    one file: key, text, metadata (JSON) as strings, vector as fixed_size_list<float32>[D], truncated as
               int64; space as the file's metadata under SPACE_KEY

``truncated`` is how many tokens of the text the vector does not cover, and 2^40 more where the model knows none of it.
Earlier versions wrote true or false.
The space is the embedding space's settings as a JSON object, with their fingerprint; null in an index without records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from enum import Enum
from pathlib import Path

from ..errors import Advice, InvalidInput
from ..store.stored import Stored
from ..store.vectors import Vectors
from ..values.space import Space

RECORDS_FILE = "records.jsonl"
SPACE_FILE = "space.json"
VECTORS_FILE = "vectors.npy"
FAISS_FILE = "index.faiss"
SPACE_KEY = b"vecindex.space"
ADVICE = "Mend the file, or write it again; nothing was stored."

Progress = Callable[[int, int], None]
"""Called with how many records are done and how many there are."""
Blocks = Iterable[tuple[list[Stored], Vectors]]
"""Records and their vectors (n, D) float32, some hundred at a time."""


class Format(str, Enum):
    """A way to write records with their vectors; ``description`` is for people."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Format:  # one argument is a look-up: Format("npy")
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    PARQUET = "parquet", "one file, for pandas, DuckDB, Spark and the like"
    NPY = "npy", "a folder: vectors.npy for numpy, and records.jsonl"
    JSONL = "jsonl", "one JSON object a line"
    FAISS = "faiss", "a folder: index.faiss for FAISS, and records.jsonl"


_SUFFIXES = {**{f".{each.value}": each for each in Format}, ".ndjson": Format.JSONL}


def format_of(name: str) -> Format:
    """The format that a path's suffix says; raises InvalidInput where it says none."""
    suffix = Path(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    what = f"its suffix {suffix!r} is none that is known" if suffix else "it has no suffix"
    formats = "; ".join(f"{each.value} ({each.description})" for each in Format)
    raise InvalidInput(
        f"{name} does not say its format: {what}",
        Advice(f"Say it with format=: {formats}.", typed=f"Say it with --format: {formats}."),
    )


def space_json(space: Space | None) -> str:
    """The space as JSON on one line, with its fingerprint; null for None."""
    return json.dumps(None if space is None else {**asdict(space), "fingerprint": space.fingerprint}, sort_keys=True)


def space_from(value: object) -> Space | None:
    """The space that `space_json` wrote, parsed; raises ValueError for anything else, or if it was changed since."""
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
        raise ValueError(f"its fingerprint is {value.get('fingerprint')!r}, and that of its settings is another")
    return space


def record_lines(records: Iterable[Stored]) -> Iterator[bytes]:
    """Each record as a line of JSON without its vector."""
    for record in records:
        yield _line(record, "")


def vector_lines(records: Iterable[Stored], vectors: Vectors, space: Space | None) -> Iterator[bytes]:
    """Each record as a line of JSON with its vector, (n, D) of them; ``space`` goes into the first, None into none."""
    # Nine digits say a float32 exactly, in half the room that those of a double take.
    pattern = ", ".join(["%.9g"] * vectors.shape[1])
    for record, vector in zip(records, vectors.tolist(), strict=True):
        # JSON readers take "-0" for an integer, which has no sign.
        numbers = json.dumps(vector)[1:-1] if 0.0 in vector else pattern % tuple(vector)
        more = "" if space is None else f', "space": {space_json(space)}'
        yield _line(record, f', "vector": [{numbers}]{more}')
        space = None


def _line(record: Stored, more: str) -> bytes:
    truncated = f', "truncated": {record.lost}' if record.lost else ""
    key, text = (json.dumps(value, ensure_ascii=False) for value in (record.key, record.text))
    # The metadata is JSON already; an index written by hand may have it on several lines.
    metadata = record.metadata.replace("\n", " ")
    return f'{{"key": {key}, "text": {text}, "metadata": {metadata}{truncated}{more}}}\n'.encode()
