"""Opens Office files (docx, pptx, xlsx) of strangers: zip archives of XML, which are read in pieces and within limits.

Refused are archives with too many parts, or with parts that are too long or shrink too well; XML that declares a
document type, and with it entities; and XML that is nested too deeply. No part outside the archive is ever read.
"""

from __future__ import annotations

import posixpath
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from shutil import copyfileobj
from typing import IO, Generic, NamedTuple, TypeVar, cast
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError, XMLParser
from zipfile import BadZipFile, ZipFile

from ...errors import InvalidInput, SourceError
from ...values.records import Origin
from ..documents import Document
from ..opening.files import unreadable
from ..origin import Source
from ..prose.passages import MAX_TEXT, Passages, too_much_text

MAX_PARTS = 20_000
MAX_PART = 2 * 2**30
"""Bytes of one part of the archive, unpacked."""
MAX_XML = 512 * 2**20
"""Bytes of one part that is read here."""
MAX_LIST = 32 * 2**20
"""Bytes of one that is read for lists of styles, relations or the like."""
MAX_UNPACKED = 4 * 2**30
"""Bytes of all parts, unpacked."""
MAX_RATIO = 200
"""How many times longer than packed a part may be, if it is longer than `FREE`. Office's own reach about 60."""
FREE = 16 * 2**20
MAX_DEPTH = 1_000
"""Levels of elements."""
MAX_TOKEN = 16 * 2**20
"""Bytes of XML in which no element begins or ends, such as one tag or one comment; about 10 MB of text fit."""

_CHUNK = 2**16
_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an OLE file: what Office wrote until 2003, and encrypts into
_ZIP = b"PK\x03\x04"
_FAULTS = (BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, LookupError)
"""What zipfile and expat raise for damaged archives."""

T = TypeVar("T")


class Handler(Generic[T]):
    """Collects what it finds in the XML of a part; a subclass says what to do with each element.

    Names have no namespace; only the ids of relations begin with ``r:``. `Package.parsed` empties ``found`` as it goes.
    """

    def __init__(self) -> None:
        self.found: list[T] = []
        self.events = 0
        self._depth = 0
        self._length = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Called where an element begins."""

    def finish(self, name: str) -> None:
        """Called where an element ends."""

    def data(self, text: str) -> None:
        """Called for characters."""

    def count(self, length: int) -> None:
        """Counts characters of text, or bytes, that are held; refuses a part with too many, before they are."""
        self._length += length
        if self._length > MAX_TEXT:
            raise too_much_text()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Called by the parser."""
        self.events += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidInput(f"its XML is nested more than {MAX_DEPTH:,} deep", _SAVE_AGAIN)
        self.begin(_local(tag), {_attribute(name): value for name, value in attributes.items()})

    def end(self, tag: str) -> None:
        """Called by the parser."""
        self.events += 1
        self._depth -= 1
        self.finish(_local(tag))

    def doctype(self, *_: object) -> None:
        """Called by the parser, before it reads any declaration of an entity."""
        raise InvalidInput("its XML declares a document type, which Office files never have", _SAVE_AGAIN)


_SAVE_AGAIN = "Open it in its own program and save it again, or leave it out."


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(name: str) -> str:
    namespace, _, local = name.rpartition("}")
    return f"r:{local}" if namespace.endswith("/relationships") else local


class Relation(NamedTuple):
    """What a part refers to: the last word of the relation's type, such as ``footnotes``, and the name of the part."""

    kind: str
    part: str


@dataclass
class Package:
    """An opened Office file. Its methods raise InvalidInput, and what `opened` maps."""

    archive: ZipFile
    names: dict[str, str] = field(default_factory=dict)
    """Names of the parts as they are in the archive, by their names in lower case: parts ignore case."""

    def __post_init__(self) -> None:
        self.names = {name.lower(): name for name in self.archive.namelist()}

    def has(self, part: str) -> bool:
        return part.lower() in self.names

    def parsed(self, part: str, handler: Handler[T], most: int = MAX_LIST) -> Iterator[T]:
        """What ``handler`` finds in the part, while the part is being read."""
        parser = XMLParser(target=handler)
        events = waiting = 0
        entry = self.archive.getinfo(self.names[part.lower()])
        if entry.file_size > most:
            raise _too_much(f"its part {part[:100]!r} has {entry.file_size:,} bytes", most)
        with self.archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                parser.feed(chunk)
                waiting = waiting + len(chunk) if handler.events == events else 0
                events = handler.events
                if waiting > MAX_TOKEN:
                    raise InvalidInput(f"its XML has one tag or text of more than {MAX_TOKEN:,} bytes", _SAVE_AGAIN)
                yield from handler.found
                handler.found.clear()
        parser.close()
        yield from handler.found

    def related(self, part: str = "") -> dict[str, Relation]:
        """The parts that ``part``, or without it the file as a whole, refers to, by their ids there."""
        folder, name = posixpath.split(part)
        listing = posixpath.join(folder, "_rels", f"{name}.rels")
        if not self.has(listing):
            return {}
        found = dict(self.parsed(listing, _Relations(folder)))
        return {id: relation for id, relation in found.items() if self.has(relation.part)}

    def main(self) -> str:
        """The part that the file is about."""
        for relation in self.related().values():
            if relation.kind == "officeDocument":
                return relation.part
        raise InvalidInput("it has no main document", _SAVE_AGAIN)

    def document(self, passages: Passages, origin: Origin, title: str | None) -> Iterator[Document]:
        """The document that consists of these passages, if there are any, with the file's core properties.

        ``title`` is for files that do not name one.
        """
        known: dict[str, str] = {}
        for relation in self.related().values():
            if relation.kind == "core-properties":
                known = {name: value for name, value in self.parsed(relation.part, _Properties()) if value}
        pairs = (("author", "creator"), ("date", "created"))
        if passages.blocks:
            yield Document(
                passages.text(),
                origin,
                metadata={name: known[property] for name, property in pairs if property in known} or None,
                title=known.get("title") or title,
                language=known.get("language"),
                blocks=passages.blocks,
            )


class _Relations(Handler[tuple[str, Relation]]):
    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = unquote(attributes.get("Target", ""))
            part = posixpath.normpath(posixpath.join("/", self._folder, target)).lstrip("/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.found.append((attributes.get("Id", ""), Relation(kind, part)))


class _Properties(Handler[tuple[str, str]]):
    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._value: list[str] = []

    def data(self, text: str) -> None:
        if self._depth == 2:
            self._value.append(text)

    def finish(self, name: str) -> None:
        if self._depth == 1:
            self.found.append((name, " ".join("".join(self._value).split())[:1_000]))


@contextmanager
def opened(source: Source, stream: IO[bytes], what: str) -> Iterator[Package]:
    """The Office file in ``stream``, ``what`` in words; raises SourceError, also for what is raised within."""
    with errors(source, what), seekable(stream) as file:
        start = file.read(len(_OLD))
        if start == _OLD:
            raise InvalidInput(
                f"is not {what}, but an old one (Office 97-2003), or one that is locked with a password",
                "Open it in its own program, and save it in today's format without a password.",
            )
        if not start.startswith(_ZIP):
            raise InvalidInput(f"is not {what}: those are zip archives", "Check that its suffix is right.")
        with ZipFile(file) as archive:
            _check(archive)
            yield Package(archive)


@contextmanager
def errors(source: Source, what: str) -> Iterator[None]:
    """Maps what damaged or refused files raise to SourceError."""
    try:
        yield
    except SourceError:
        raise
    except InvalidInput as error:
        raise SourceError(source.name, None, error.message, error.advice) from None
    except OSError as error:
        raise unreadable(source.name, None, error) from error
    except (ParseError, *_FAULTS) as error:
        raise SourceError(
            source.name,
            None,
            f"cannot be read as {what}, it is damaged or cut off ({str(error) or type(error).__name__})",
            _SAVE_AGAIN,
        ) from error


@contextmanager
def seekable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """``stream`` itself, or a copy of it if one cannot go back in it."""
    # Before Python 3.11, a SpooledTemporaryFile can, but does not say so, and zipfile asks.
    if hasattr(stream, "seekable") and stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        copyfileobj(stream, copy)
        copy.seek(0)
        yield cast("IO[bytes]", copy)


def _check(archive: ZipFile) -> None:
    parts = archive.infolist()
    if len(parts) > MAX_PARTS:
        raise InvalidInput(f"it has {len(parts):,} parts; at most {MAX_PARTS:,} are read", _SAVE_AGAIN)
    for part in parts:
        # zipfile never unpacks more than the size that it finds here.
        if part.flag_bits & 1:
            raise InvalidInput("it is locked with a password", "Save it without a password.")
        if part.file_size > MAX_PART:
            raise _too_much(f"its part {part.filename[:100]!r} has {part.file_size:,} bytes", MAX_PART)
        if part.file_size > max(FREE, MAX_RATIO * part.compress_size):
            raise InvalidInput(
                f"its part {part.filename[:100]!r} grows from {part.compress_size:,} to {part.file_size:,} bytes; "
                f"at most {MAX_RATIO} times are unpacked",
                _SAVE_AGAIN,
            )
    total = sum(part.file_size for part in parts)
    if total > MAX_UNPACKED:
        raise _too_much(f"its parts have {total:,} bytes together", MAX_UNPACKED)


def _too_much(what: str, most: int) -> InvalidInput:
    return InvalidInput(f"{what}; at most {most:,} are unpacked", "Divide it into several files.")
