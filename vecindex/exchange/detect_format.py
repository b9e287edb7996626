"""Detects the format of a file or folder to import by its content, and opens its rows."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from ..errors import Advice, SourceError
from ..sources import Format as TextFormat
from ..sources import source
from ..sources.magic import START, kind_of
from ..sources.opening.files import STDIN, unreadable
from ..sources.strict_json import parsed
from ..store.disk.files import beginning
from ..store.disk.system_calls import Irregular
from ..store.sql.schema import index_exists
from ..values.paths import expanded
from .formats import ADVICE, FAISS_FILE, RECORDS_FILE, SPACE_FILE, VECTORS_FILE, space_from
from .parquet import MAGIC, Parquet
from .rows import FolderRows, LineRows, ParquetRows, Rows, file_errors
from .vector_files import read_faiss, read_npy


@contextmanager
def rows_of(path: str | os.PathLike[str]) -> Iterator[Rows]:
    """The rows of the file or folder at ``path``, in whatever format it is; raises SourceError, MissingExtra."""
    with ExitStack() as stack:
        yield _detected(expanded(path), stack)


def _detected(path: str, stack: ExitStack) -> Rows:
    if path == STDIN:
        return LineRows(stack.enter_context(source(path, format=TextFormat.JSONL)))
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
        with file_errors(path):
            return ParquetRows(path, stack.enter_context(closing(Parquet(Path(path)))))
    _refuse_others(path, start, suffix)
    return LineRows(stack.enter_context(source(path, format=TextFormat.JSONL)))


_OPENED = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Pipes that this process already holds, such as a shell's <(COMMAND); opening them does not block."""
_READS = "import reads Parquet, jsonl, and folders exported as npy or faiss"
_WRITE = 'Write texts and vectors as Parquet, or as lines like {"text": "...", "vector": [...]}.'
_TEXTS = (".csv", ".tsv", ".txt", ".md")


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except PermissionError as error:
        raise unreadable(path, None, error) from error
    except (OSError, ValueError):
        typed = "Name a file or folder that `vecindex export` wrote, or a .jsonl file."
        advice = Advice("Name a file or folder that an export wrote, or a .jsonl file.", typed=typed)
        raise SourceError(path, None, "no such file or folder", advice) from None


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(START)
    except OSError as error:
        raise unreadable(path, None, error) from error


def _refuse_others(path: str, start: bytes, suffix: str) -> None:
    """Raises SourceError for a file of another kind, and says which."""
    if start.startswith((b"\x93NUMPY", b"IxF")):
        raise SourceError(
            path, None, "holds only vectors", "Name its folder, which also holds records.jsonl and space.json."
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
        more = f"To import vectors too: {_WRITE[:1].lower()}{_WRITE[1:]}"
        typed = f"To add its texts: vecindex add {quoted}. {more}"
        advice = Advice(f"To add its texts: index.add(texts). {more}", typed=typed)
        raise SourceError(path, None, f"is a {suffix[1:]} file without vectors; {_READS}", advice)


def _folder(path: Path, stack: ExitStack) -> Rows:
    if index_exists(path):
        raise SourceError(
            str(path),
            None,
            "is an index",
            Advice("Open it with vecindex.open.", typed=f"Use it directly: --index {shlex.quote(str(path))}"),
        )
    readers = {VECTORS_FILE: read_npy, FAISS_FILE: read_faiss}
    there = [name for name in readers if os.path.lexists(path / name)]
    if len(there) != 1 or not os.path.lexists(path / RECORDS_FILE):
        raise SourceError(
            str(path),
            None,
            f"is not a folder with {RECORDS_FILE} and either {VECTORS_FILE} or {FAISS_FILE}",
            Advice(
                "Name a folder that an export as npy or faiss wrote.",
                typed="Name a folder that `vecindex export --format npy` or `--format faiss` wrote.",
            ),
        )
    file = path / there[0]
    with file_errors(str(file)):
        vectors = readers[there[0]](file)
    space = None
    if os.path.lexists(path / SPACE_FILE):
        with file_errors(str(path / SPACE_FILE)):
            said = beginning(path / SPACE_FILE, _LONGEST_SPACE + 1)
            if len(said) > _LONGEST_SPACE:
                raise ValueError(f"it has more than {_LONGEST_SPACE:,} bytes, far too many for a space")
            space = space_from(parsed(said.decode().strip(), ADVICE))
    with file_errors(str(path / RECORDS_FILE)):
        beginning(path / RECORDS_FILE, 1)  # raises for a link out of the folder, or for something that blocks
    records = stack.enter_context(source(path / RECORDS_FILE, format=TextFormat.JSONL))
    return FolderRows(records, vectors, there[0], space)


_LONGEST_SPACE = 2**24
