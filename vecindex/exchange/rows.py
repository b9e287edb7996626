"""Which format is this, and what is in each of its rows: some hundred at a time, each with its line."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import Advice, InvalidInput, SourceError
from ..machine.batching import windows
from ..sources import Format as TextFormat
from ..sources import Source, source
from ..sources.fields import metadata_in
from ..sources.lines import decoded, lines, without_end
from ..sources.magic import START, kind_of
from ..sources.origin import STDIN, unreadable
from ..sources.strict_json import parsed
from ..store.disk.files import beginning
from ..store.disk.system_calls import Irregular
from ..store.sql.schema import index_exists
from ..values.paths import expanded
from ..values.records import checked_key, checked_metadata, checked_text, derived_key
from ..values.space import Space
from .formats import ADVICE, FAISS_FILE, RECORDS_FILE, SPACE_FILE, VECTORS_FILE, space_from
from .parquet import MAGIC, MissingVector, Parquet
from .vector_files import read_faiss, read_npy

_LINES_A_BLOCK = 512
_CHARACTERS_A_BLOCK = 8_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    """A record as a row says it, checked; ``metadata`` is JSON text, None where the row says nothing of it.

    ``lost`` is how many tokens of the text the vector does not cover; 1 where the row says no more than that some are.
    """

    key: str
    text: str
    metadata: str | None
    lost: int
    named: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Records (n), the lines or rows that they are in, from 1, and their vectors (n, D), numbers of any type."""

    lines: Sequence[int]
    records: list[Imported]
    vectors: npt.NDArray[Any]


class Blocks(Protocol):
    """A file's rows, which can be read again and again; ``space`` is known for sure once they were."""

    name: str
    space: Space | None

    def blocks(self) -> Iterator[Block]:
        """Raises SourceError at a row that is not usable; whether vectors are is for others to say."""


@contextmanager
def blocks_of(path: str | os.PathLike[str]) -> Iterator[Blocks]:
    """What is at ``path``, in the format that its content says; raises SourceError, MissingExtra."""
    path = expanded(path)
    with ExitStack() as stack:
        yield _recognised(path, stack)


def _recognised(path: str, stack: ExitStack) -> Blocks:
    if path == STDIN:
        return _Lines(stack.enter_context(source(path, format=TextFormat.JSONL)))
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return _folder(Path(path), stack)
    if not stat.S_ISREG(mode) and not path.startswith(_OPENED):
        reason = str(Irregular(Path(path), mode).strerror)
        advice = Advice("Import a file.", typed="Import a file, or pipe jsonl into `vecindex import -`.")
        raise SourceError(path, None, reason, advice)
    start = _start(path) if stat.S_ISREG(mode) else b""  # a pipe can be read only once
    suffix = os.path.splitext(path)[1].lower()
    if start.startswith(MAGIC) or suffix == ".parquet":
        with _named(path):
            return _ParquetRows(path, stack.enter_context(closing(Parquet(Path(path)))))
    _refuse_others(path, start, suffix)
    return _Lines(stack.enter_context(source(path, format=TextFormat.JSONL)))


_OPENED = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Pipes that this process holds already, as shells give them for <(COMMAND): to open them waits for nobody."""
_READS = "import reads Parquet, jsonl, and the folders that an export as npy or faiss writes"
_WRITE = 'Write texts and vectors as Parquet, or as lines like {"text": "...", "vector": [...]}.'
_TEXTS = (".csv", ".tsv", ".txt", ".md")


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except PermissionError as error:
        raise unreadable(path, None, error) from error
    except (OSError, ValueError):
        typed = "Name what `vecindex export` wrote, or a .jsonl file."
        advice = Advice("Name what an export wrote, or a .jsonl file.", typed=typed)
        raise SourceError(path, None, "no such file or folder", advice) from None


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(START)
    except OSError as error:
        raise unreadable(path, None, error) from error


def _refuse_others(path: str, start: bytes, suffix: str) -> None:
    """Raises SourceError for a file that is something else than import reads, and says what it is."""
    if start.startswith((b"\x93NUMPY", b"IxF")):
        raise SourceError(
            path, None, "holds vectors alone", "Name the folder that it is in, with records.jsonl and space.json."
        )
    quoted = shlex.quote(path)
    if (kind := kind_of(start)) is not None:
        advice: str = _WRITE
        if kind.name == "a gzip file":
            unpack = f"Unpack it first: gunzip -k {quoted}"
            typed = f"{unpack}, or gunzip -c {quoted} | vecindex import - for jsonl."
            advice = Advice(f"{unpack}.", typed=typed)
        raise SourceError(path, None, f"is {kind.name}; {_READS}", advice)
    first = start.lstrip()[:1]
    if first == b"[":
        write = f"Write one object a line: jq -c '.[]' {quoted}"
        typed = f"{write} | vecindex import -"
        advice = Advice(f"{write} > NEW.jsonl", typed=typed)
        raise SourceError(path, None, f"is a JSON array; {_READS}", advice)
    if suffix in _TEXTS and first not in (b"{", b""):
        more = f"With their vectors: {_WRITE[:1].lower()}{_WRITE[1:]}"
        typed = f"To add its texts: vecindex add {quoted}. {more}"
        advice = Advice(f"Its texts are added with index.add. {more}", typed=typed)
        raise SourceError(path, None, f"is a {suffix[1:]} file without vectors; {_READS}", advice)


def _folder(path: Path, stack: ExitStack) -> Blocks:
    if index_exists(path):
        raise SourceError(
            str(path),
            None,
            "is an index itself",
            Advice("Open it as it is.", typed=f"Use it as it is: --index {path}."),
        )
    readers = {VECTORS_FILE: read_npy, FAISS_FILE: read_faiss}
    there = [name for name in readers if os.path.lexists(path / name)]
    if len(there) != 1 or not os.path.lexists(path / RECORDS_FILE):
        raise SourceError(
            str(path),
            None,
            f"is no folder with {RECORDS_FILE} and either {VECTORS_FILE} or {FAISS_FILE}",
            Advice(
                "Name what an export as npy or as faiss wrote.",
                typed="Name what `vecindex export --format npy` or `--format faiss` wrote.",
            ),
        )
    file = path / there[0]
    with _named(str(file)):
        vectors = readers[there[0]](file)
    space = None
    if os.path.lexists(path / SPACE_FILE):
        with _named(str(path / SPACE_FILE)):
            said = beginning(path / SPACE_FILE, _LONGEST_SPACE + 1)
            if len(said) > _LONGEST_SPACE:
                raise ValueError(f"it holds more than {_LONGEST_SPACE:,} bytes, and a space is some hundred")
            space = space_from(parsed(said.decode().strip(), ADVICE))
    with _named(str(path / RECORDS_FILE)):
        beginning(path / RECORDS_FILE, 1)  # no link out of the folder, and nothing that waits
    records = stack.enter_context(source(path / RECORDS_FILE, format=TextFormat.JSONL))
    return _LinesBeside(records, vectors, there[0], space)


_LONGEST_SPACE = 2**24


class _Lines:
    """Lines of JSON, each with its vector. One of them, the first as a rule, may hold the space."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.space: Space | None = None
        self._source = source

    def blocks(self) -> Iterator[Block]:
        for rows in windows(self._rows(), _LINES_A_BLOCK, lambda row: row[1].text, _CHARACTERS_A_BLOCK):
            numbers, records, vectors = zip(*rows, strict=True)
            yield Block(numbers, list(records), np.stack(vectors))

    def _rows(self) -> Iterator[tuple[int, Imported, npt.NDArray[Any]]]:
        dimension = 0
        for number, fields in _objects(self._source):
            with _row(self.name, number):
                self._take_space(fields)
                vector = _vector(fields)
                dimension = dimension or len(vector)
                if len(vector) != dimension:
                    raise ValueError(f"its vector has {len(vector)} numbers, and those before have {dimension}")
                record = _imported(fields, self.space is not None)
            yield number, record, vector

    def _take_space(self, fields: dict[str, Any]) -> None:
        found = fields.get("space")
        if not isinstance(found, dict) or not {"fingerprint", "architecture"} <= set(found):
            return  # metadata of that name
        try:
            space = space_from(fields.pop("space"))
        except ValueError as error:
            raise ValueError(f"its space cannot be used: {error}") from None
        if space is not None and self.space is not None and space.fingerprint != self.space.fingerprint:
            raise ValueError(f"its space is {space.describe()}, and before that it was {self.space.describe()}")
        self.space = space


class _LinesBeside:
    """Lines of JSON without vectors, and an array beside that holds a line's vector in the row of its number."""

    def __init__(self, source: Source, vectors: npt.NDArray[Any], vectors_name: str, space: Space | None) -> None:
        self.name = source.name
        self.space = space
        self._source = source
        self._vectors = vectors
        self._vectors_name = vectors_name

    def blocks(self) -> Iterator[Block]:
        done = 0
        for rows in windows(self._rows(), _LINES_A_BLOCK, lambda row: row[1].text, _CHARACTERS_A_BLOCK):
            numbers, records = zip(*rows, strict=True)
            yield Block(numbers, list(records), np.array(self._vectors[done : done + len(rows)]))
            done += len(rows)

    def _rows(self) -> Iterator[tuple[int, Imported]]:
        done, total = 0, len(self._vectors)
        for number, fields in _objects(self._source):
            with _row(self.name, number):
                if done == total:
                    raise ValueError(f"{self._vectors_name} has no vector for it: it holds {total}")
                record = _imported(fields, self.space is not None)
            yield number, record
            done += 1
        if done != total:
            reason = f"holds {done} records, and {self._vectors_name} beside it {total} vectors"
            raise SourceError(self.name, None, reason, ADVICE)


class _ParquetRows:
    """Rows of a Parquet file; metadata is JSON in a string, or a struct; other columns are metadata too."""

    def __init__(self, path: str, file: Parquet) -> None:
        self.name = path
        self.space = file.space
        self._file = file

    def blocks(self) -> Iterator[Block]:
        done = 0
        batches = self._file.batches()
        while True:
            with _named(self.name):
                try:
                    batch = next(batches, None)
                except MissingVector as error:
                    raise SourceError(self.name, done + error.row + 1, str(error), ADVICE) from None
            if batch is None:
                return
            rows, vectors = batch
            records = []
            for number, fields in enumerate(rows, done + 1):
                with _row(self.name, number):
                    if isinstance(fields.get("metadata"), str):
                        fields["metadata"] = parsed(fields["metadata"], ADVICE)  # as `writing` and others write it
                    records.append(_imported(fields, self.space is not None))
            yield Block(range(done + 1, done + 1 + len(rows)), records, vectors)
            done += len(rows)


def _objects(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line that is not blank: its number, from 1, and the object in it."""
    with source.opened() as stream:
        for number, raw in lines(stream, source.name):
            if not raw.strip():
                continue
            with _row(source.name, number):
                fields = parsed(without_end(decoded(raw)), ADVICE)
                if not isinstance(fields, dict):
                    raise ValueError('it is not an object like {"key": "...", "text": "...", "vector": [...]}')
            yield number, fields


def _vector(fields: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Takes the vector (D,) out of an object."""
    if "vector" not in fields:
        raise ValueError(f"it has no field 'vector'; its fields are: {', '.join(fields) or 'none'}")
    found = fields.pop("vector")
    if not isinstance(found, list) or not found or not {*map(type, found)} <= {int, float}:
        raise ValueError("its vector is not a list of numbers")
    try:
        return np.array(found, np.float64)
    except OverflowError:
        raise ValueError("its vector holds a number that is too large") from None


def _imported(fields: dict[str, Any], has_space: bool) -> Imported:
    """The record in a row's fields."""
    if "text" not in fields:
        raise ValueError(f"it has no field 'text'; its fields are: {', '.join(fields) or 'none'}")
    text = checked_text(fields.pop("text"))
    key = fields.pop("key", None)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    lost = fields.pop("truncated", 0) if has_space else 0
    if not isinstance(lost, int) or not 0 <= lost < 2**63:
        raise ValueError("the field 'truncated' is neither a number of tokens nor true or false")
    metadata = metadata_in(fields)
    said = None if metadata is None else checked_metadata(metadata)
    derived = derived_key(text, said) if key is None else None
    return Imported(derived or checked_key(key), text, said, int(lost), key is not None)


@contextmanager
def _row(name: str, line: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SourceError(name, line, _reason(error), ADVICE) from None


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(name, None, error) from error
    except ValueError as error:
        raise SourceError(name, None, _reason(error), ADVICE) from None


def _reason(error: ValueError) -> str:
    # Without the advice of InvalidInput, which is for what people write by hand.
    return error.message if isinstance(error, InvalidInput) else str(error)
