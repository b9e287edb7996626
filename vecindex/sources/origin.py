"""Finds a source of sentences, a file or standard input, and its format; opens its bytes as often as needed."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, cast

from ..errors import Advice, SourceError
from ..values.paths import expanded
from .cells import Types, Value
from .formats import LAYOUTS, SUFFIXES, Format
from .magic import START, Kind, kind_by_suffix, kind_of
from .opening.decoding import Decoding, Utf8
from .options import DecodingErrors, ReadOptions, read_options

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A file of sentences, made by `source`; ``path`` "-" is standard input.

    It can be read any number of times, but not twice at the same time. Close it, or use it in a ``with`` statement.
    """

    path: str
    format: Format
    options: ReadOptions = field(default_factory=ReadOptions)
    learnt: list[Mapping[int, Value]] = field(default_factory=list, repr=False, compare=False)
    """The detected kinds of columns, once known; see `delimited.learn`."""
    copy: IO[bytes] | None = field(default=None, repr=False, compare=False)
    """A copy of what can be read only once (standard input, a pipe)."""
    decoding: Decoding = field(default_factory=Decoding, repr=False, compare=False)
    """How the text was decoded when it was last read."""

    @property
    def name(self) -> str:
        """The name in error messages."""
        return _name(self.path)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The bytes that a reader reads, from the start: those of a text as UTF-8."""
        layout = LAYOUTS[self.format]
        with self._stored() as raw:
            if not layout.is_text:
                yield raw
                return
            text = Utf8(
                raw,
                self.decoding,
                encoding=self.options.encoding,
                replace=self.options.errors == "replace",
                only_unicode=layout.only_unicode,
            )
            yield cast(IO[bytes], text)

    @contextmanager
    def _stored(self) -> Iterator[IO[bytes]]:
        """The bytes as they are stored, from the start."""
        if self.copy is not None:
            self.copy.seek(0)
            yield self.copy
            return
        with _open(self.path) as stream:
            yield stream

    def close(self) -> None:
        """Deletes the copy, if there is one."""
        if self.copy is not None:
            self.copy.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def source(
    path: str | os.PathLike[str],
    *,
    format: Format | None = None,
    text_column: str | Iterable[str] | None = None,
    key_column: str | None = None,
    metadata_columns: str | Iterable[str] | None = None,
    types: Types = "auto",
    json_path: str | None = None,
    encoding: str | None = None,
    errors: DecodingErrors = "strict",
    sql: str | None = None,
) -> Source:
    """The source at ``path``; "-" is standard input, which is read to its end and copied.

    ``format`` None goes by the suffix, and is txt for standard input. ``types`` says how to read the cells of csv and
    tsv: "auto" converts columns of only numbers, booleans, lists or objects, and leaves out empty cells; "text" keeps
    each cell as it is written. The other options are those of `ReadOptions`. Raises SourceError if there is nothing to
    read or the format is unknown.
    """
    path = expanded(path)
    options = read_options(
        text_column=text_column,
        key_column=key_column,
        metadata_columns=metadata_columns,
        types=types,
        json_path=json_path,
        encoding=encoding,
        errors=errors,
        sql=sql,
    )
    once = path == STDIN or not _is_regular(path)
    if not once:
        _refuse_other_kinds(path, _start(path))
    if format is None:
        format = Format.TXT if path == STDIN else _from_suffix(path)
    if format is Format.TXT and options.names_columns:
        raise SourceError(
            _name(path),
            None,
            "a txt source has no columns",
            Advice(
                "Leave text_column= and key_column= out, or set format= to csv, tsv or jsonl.",
                typed="Leave --text-column and --key-column out, or set --format to csv, tsv or jsonl.",
            ),
        )
    copy = _copied(path) if once else None
    return Source(path, format, options, copy=copy)


def _name(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _is_regular(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise _unreadable(path, error) from None
    except (OSError, ValueError):
        # Any other failure (a name too long, a NUL in it) means that there is no such file. Most often it is a sentence
        # in the place of a path.
        raise SourceError(
            path,
            None,
            "no such file",
            Advice(
                "Check the path; add a sentence itself with index.add([...]).",
                typed=f"To add this as a sentence: vecindex add --text {_quoted(path)}",
            ),
        ) from None
    if stat.S_ISDIR(mode):
        is_export = os.path.exists(os.path.join(path, "records.jsonl"))
        raise SourceError(
            path,
            None,
            "is a directory",
            Advice(
                "To add an export with its vectors: index.import_(path).",
                typed=f"To add an export with its vectors: vecindex import {shlex.quote(path)}",
            )
            if is_export
            else Advice("Name the files in it.", typed=f"Name the files in it: vecindex add {_inside(path)}*.txt"),
        )
    return stat.S_ISREG(mode)


def _inside(folder: str) -> str:
    return shlex.quote(folder if folder.endswith("/") else f"{folder}/")


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(START)
    except OSError:
        return b""  # whoever reads the file raises the error


def _refuse_other_kinds(path: str, start: bytes) -> None:
    """Raises SourceError for a file that is not text."""
    if (kind := kind_of(start)) is not None:
        raise _other_kind(path, kind)


def _other_kind(path: str, kind: Kind) -> SourceError:
    inner = SUFFIXES.get(os.path.splitext(os.path.splitext(path)[0])[1].lower())
    format = f" --format {inner.value}" if inner else ""
    name = "FILE" if path == STDIN else shlex.quote(path)
    advice = Advice(
        *(each.format(path=name, format=format) for each in (kind.advice, getattr(kind.advice, "typed", kind.advice)))
    )
    return SourceError(_name(path), None, f"looks like {kind.name}, not text", advice)


def _quoted(words: str, longest: int = 60) -> str:
    words = " ".join(words.split())
    if len(words) > longest:
        words = words[:longest].rstrip() + "..."
    # Double quotes work in every shell, also cmd.exe, unless the words contain special characters.
    return shlex.quote(words) if any(c in '"$`\\!%' for c in words) else f'"{words}"'


def _from_suffix(path: str) -> Format:
    suffix = os.path.splitext(path)[1]
    try:
        return SUFFIXES[suffix.lower()]
    except KeyError:
        if (kind := kind_by_suffix(suffix)) is not None:
            raise _other_kind(path, kind) from None
        what = f"unknown suffix {suffix!r}" if suffix else "the name has no suffix"
        formats = "; ".join(f"{each.value} ({each.description})" for each in Format)
        raise SourceError(
            path,
            None,
            what,
            Advice(f"Pass the format with format=: {formats}.", typed=f"Pass the format with --format: {formats}."),
        ) from None


def _copied(path: str) -> IO[bytes]:
    with ExitStack() as on_failure:
        copy = on_failure.enter_context(tempfile.SpooledTemporaryFile(max_size=16 * 2**20))
        with _stdin() if path == STDIN else _open(path) as stream:
            try:
                shutil.copyfileobj(stream, copy)
            except OSError as error:
                raise _unreadable(path, error) from error
        copy.seek(0)
        _refuse_other_kinds(path, copy.read(START))
        on_failure.pop_all()
    return cast(IO[bytes], copy)


@contextmanager
def _stdin() -> Iterator[IO[bytes]]:
    stream = getattr(sys.stdin, "buffer", None)  # sys.stdin is None where the parent process closed it
    if stream is None:
        raise SourceError(_name(STDIN), None, "is closed", "Pipe sentences in, or name a file.")
    yield stream


def _open(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> SourceError:
    return unreadable(_name(path), None, error)


def unreadable(name: str, line: int | None, error: OSError) -> SourceError:
    """The SourceError for a read that the operating system refused."""
    return SourceError(
        name, line, f"cannot be read: {error.strerror or error}", "Check that it exists and that you may read it."
    )
