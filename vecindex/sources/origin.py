"""Finds a source of texts, such as a file or standard input, and opens its bytes as often as needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, cast
from urllib.parse import urlsplit

from ..errors import Advice, SourceError
from ..values.paths import expanded
from ..values.sources import SourceKind
from .cells import Value
from .fingerprint import FileState, Hashed, digest_in, digest_of, state_of
from .formats import LAYOUTS, Format
from .opening.archives import Member, is_office_file
from .opening.chunks import Chunks
from .opening.compression import Unpacked, packing
from .opening.decoding import Decoding, Utf8
from .opening.detect import START, format_of
from .opening.files import STDIN, as_opened, copied, is_regular, is_url, opened, standard_input, unreadable
from .options import ReadOptions

OnDigest = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A source of texts, made by `source` or `walk.sources_in`; ``path`` "-" is standard input.

    It can be read any number of times, but not twice at the same time. Close it, or use it in a ``with`` statement.
    A file is opened when it is read, so many sources take no descriptors.
    """

    path: str
    format: Format
    options: ReadOptions = field(default_factory=ReadOptions)
    learnt: list[Mapping[int, Value]] = field(default_factory=list, repr=False, compare=False)
    """The detected kinds of columns, once known; see `delimited.learn`."""
    copy: IO[bytes] | None = field(default=None, repr=False, compare=False)
    """A copy of what can be read only once (standard input, a pipe, a URL)."""
    decoding: Decoding = field(default_factory=Decoding, repr=False, compare=False)
    """How the text was decoded when it was last read."""
    label: str | None = None
    """What standard input is called, in errors and in the index."""
    member: Member | None = field(default=None, repr=False, compare=False)
    """The file in a zip archive that this is; then ``path`` is like docs.zip/inner/a.md."""
    state: FileState | None = field(default=None, repr=False, compare=False)
    """The state of the file when it was found, if it is one: for a member, its own size and the archive's time."""
    is_named: bool = True
    """False if it was found in a folder or an archive, so that it does not matter if it holds nothing."""
    is_format_given: bool = False
    """Whether the format was named, and not recognised."""

    @property
    def name(self) -> str:
        """The name in error messages."""
        return self.label or _name(self.path)

    @property
    def kind(self) -> SourceKind:
        """What it is; see `SourceState`."""
        if self.path == STDIN:
            return "stdin"
        if self.member is not None:
            return "member"
        if is_url(self.path):
            return "url"
        return "database" if self.options.sql is not None else "file"

    @contextmanager
    def opened(self, on_digest: OnDigest | None = None) -> Iterator[IO[bytes]]:
        """The bytes that a reader reads, from the start: those of a text unpacked, and as UTF-8.

        ``on_digest`` is called with what `digest` would return. A text is not read once more for it: its bytes are
        hashed as they are read, and it is called at the end, unless an error comes before.
        """
        layout = LAYOUTS[self.format]
        if on_digest is not None and not layout.is_text:
            on_digest(self.digest())
        with self._stored(seekable=not layout.is_text) as raw:
            if layout.is_text and on_digest is not None:
                hashed = Hashed(raw, self.name)
                yield self._as_text(cast(IO[bytes], hashed))
                on_digest(hashed.digest())
            elif layout.is_text:
                yield self._as_text(raw)
            elif layout.may_be_packed:
                yield unpacked(raw, self.name)
            else:
                _refuse_packed(raw, self.name)
                yield raw

    def _as_text(self, raw: IO[bytes]) -> IO[bytes]:
        """The text in stored bytes, unpacked and as UTF-8."""
        text = Utf8(
            unpacked(raw, self.name),
            self.decoding,
            encoding=self.options.encoding,
            replace=self.options.errors == "replace",
            only_unicode=LAYOUTS[self.format].only_unicode,
        )
        return cast(IO[bytes], text)

    def digest(self) -> str:
        """The SHA-256 of the bytes as they are stored, in hexadecimal; reads all of them, in bounded memory."""
        if self.kind == "database":
            return digest_of(self.path)
        with self._stored() as raw:
            try:
                return digest_in([raw])
            except OSError as error:
                raise unreadable(self.name, None, error) from error

    @contextmanager
    def _stored(self, seekable: bool = False) -> Iterator[IO[bytes]]:
        """The bytes as they are stored, from the start."""
        if self.copy is not None:
            self.copy.seek(0)
            yield self.copy
        elif self.member is not None:
            with self.member.opened() as raw:
                if not seekable:
                    yield raw
                    return
                with copied(raw, self.name) as copy:  # going back in a member means to unpack it again
                    yield copy
        else:
            with opened(self.path) as raw:
                yield raw if seekable else as_opened(raw, self.name)

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
    options: ReadOptions | None = None,
    *,
    format: Format | None = None,
    label: str | None = None,
    offline: bool = False,
) -> Source:
    """The source at ``path``, which is a file, a URL, or "-" for standard input, which is read to its end and copied.

    ``options`` say how it is read. ``format`` None goes by the suffix and the content, and is txt for standard input.
    ``label`` is what standard input is called. ``offline`` refuses URLs. Raises SourceError if there is nothing to read
    or the format is unknown.
    """
    options = options or ReadOptions()
    is_given = format is not None
    path = os.fspath(path)
    name = label or _name(path)
    if is_url(path):
        from .opening.urls import downloaded

        download = downloaded(path, offline)
        if options.encoding is None:
            options = replace(options, encoding=download.encoding)
        with _closing_on_error(download.copy):
            start = beginning(download.copy, name)
            format = format_of(urlsplit(path).path, name, start, format or download.format)
            return _checked(Source(path, format, options, copy=download.copy, is_format_given=is_given))
    path = expanded(path)
    name = label or _name(path)
    if path != STDIN and is_regular(path):
        state = state_of(path)
        with opened(path) as raw:
            start = beginning(raw, name)
        if format is None and start.startswith(b"PK") and (document := is_office_file(path)):
            format = Format(document)
        format = format_of(path, name, start, format)
        return _checked(Source(path, format, options, state=state, is_format_given=is_given))
    with standard_input(name) if path == STDIN else opened(path) as stream:
        copy = copied(stream, name)
    with _closing_on_error(copy):
        start = beginning(copy, name)
        if format is None:
            format = Format.TXT if path == STDIN else format_of(path, name, start)
        format = format_of(path, name, start, format)
        label = label if path == STDIN else None
        return _checked(Source(path, format, options, copy=copy, label=label, is_format_given=is_given))


def unpacked(raw: IO[bytes], name: str) -> IO[bytes]:
    """The bytes of a text, which may be compressed; ``raw`` is at its start."""
    start = raw.peek(4) if isinstance(raw, Chunks) else raw.read(4)
    if not isinstance(raw, Chunks):
        raw.seek(0)
    how = packing(start)
    return raw if how is None else cast(IO[bytes], Unpacked(raw, name, how))


def _refuse_packed(raw: IO[bytes], name: str) -> None:
    """Raises SourceError if a file that is not a text is compressed as one might be."""
    how = packing(raw.read(4))
    raw.seek(0)
    if how is not None:
        reason = f"is a {how} file, and only texts and mail are read compressed"
        raise SourceError(name, None, reason, "Unpack it, and add what is in it.")


def beginning(raw: IO[bytes], name: str) -> bytes:
    """The first bytes, unpacked, of what is at its start; b"" if they cannot be read, so that the reader says why."""
    try:
        return unpacked(raw, name).read(START)
    except OSError:
        return b""


def _checked(source: Source) -> Source:
    if source.format is Format.TXT and source.options.names_columns:
        raise SourceError(
            source.name,
            None,
            "a txt source has no columns",
            Advice(
                "Leave text_column= and key_column= out, or set format= to csv, tsv or jsonl.",
                typed="Leave --text-column and --key-column out, or set --format to csv, tsv or jsonl.",
            ),
        )
    return source


@contextmanager
def _closing_on_error(copy: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        copy.close()
        raise


def _name(path: str) -> str:
    return "<stdin>" if path == STDIN else path
