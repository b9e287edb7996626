"""Reads mail, single messages (eml) and mailboxes (mbox): each message is a document, with its subject as title.

The standard library parses a message. Its `mailbox` needs a file by name and holds a table of all messages, so
mailboxes are cut here. Headers are taken as they are written and decoded here, since the library's newer policy raises
on some malformed ones and takes long for long ones. A broken header, charset or encoding never fails: what cannot be
decoded is shown as U+FFFD.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO, Any

from ...errors import InvalidInput, SourceError
from ...values.records import Origin
from ..documents import Document
from ..formats import Format
from ..html.page import passages as html_passages
from ..opening.files import unreadable
from ..origin import Source
from .passages import Passages

MAX_MESSAGE = 64 * 2**20
"""Bytes of one message, with its attachments. A longer one is a bad row."""
MAX_NESTING = 50
"""Levels of parts within parts."""
LONGEST_HEADER = 10_000
LONGEST_VALUE = 1_000
"""Characters of a header that are kept as metadata, since every sentence has them."""
MOST_ATTACHMENTS = 100

_FROM_LINE = re.compile(rb"From \S.*\d:\d\d.* \d{4}")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_QUOTED = re.compile(r"(?:> ?)+")
_NOT_CHARSETS = frozenset({"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined", "unicode_escape"})
_CHUNK = 2**16


def read(source: Source, stream: IO[bytes]) -> Iterator[Document | SourceError]:
    """A document for each message; one that is too large or nested too deeply is a bad row."""
    keys: dict[str, int] = {}
    for number, raw in _messages(source, stream):
        origin = Origin(source.name, number, "message")
        try:
            yield _document(raw, origin, keys)
        except InvalidInput as error:
            yield origin.error(error.message, error.advice)


def _messages(source: Source, stream: IO[bytes]) -> Iterator[tuple[int | None, bytes]]:
    try:
        if source.format is Format.EML:
            raw = stream.read(MAX_MESSAGE + 1)
            if raw.strip():
                yield None, raw
        else:
            yield from _in_mailbox(source, stream)
    except OSError as error:
        raise unreadable(source.name, None, error) from error


def _in_mailbox(source: Source, stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each message with its number; one that is too long is cut to MAX_MESSAGE + 1 bytes or a little more."""
    number = size = 0
    lines: list[bytes] = []
    is_start = True
    while line := stream.readline(_CHUNK):
        if is_start and _FROM_LINE.match(line):
            if number:
                yield number, _ESCAPED.sub(rb"\1", b"".join(lines))
            number, size, lines = number + 1, 0, []
        elif number == 0 and line.strip():
            raise SourceError(
                source.name,
                None,
                "is not a mailbox: those begin with a line like 'From NAME Fri Nov 27 15:20:00 2026'",
                "If it is a single message, name it FILE.eml; else check that this is the right file.",
            )
        elif size <= MAX_MESSAGE:
            lines.append(line)
            size += len(line)
        is_start = line.endswith(b"\n")
    if number:
        yield number, _ESCAPED.sub(rb"\1", b"".join(lines))


def _document(raw: bytes, origin: Origin, keys: dict[str, int]) -> Document:
    if len(raw) > MAX_MESSAGE:
        raise InvalidInput(
            f"the message is longer than {MAX_MESSAGE:,} bytes", "Remove its attachments, or leave it out."
        )
    try:
        message = message_from_bytes(raw)
    except RecursionError:
        raise _nested_too_deeply() from None
    subject = _header(message, "subject")
    found = _Found()
    found.collect(message, 0)
    passages = Passages()
    for body in found.bodies:
        if body.is_html:
            _add_html(body.text, passages)
        else:
            _add_plain(body.text, passages)
    if not passages.blocks:
        passages.add(subject, {}, whole=True)
    return Document(
        passages.text(),
        origin,
        key=_key(message, origin, keys),
        metadata=_metadata(message, found.attachments) or None,
        title=subject or None,
        blocks=passages.blocks,
    )


def _key(message: Message, origin: Origin, keys: dict[str, int]) -> str | None:
    """The message's id, with a number where an earlier message of the mailbox has the same, or its place there."""
    id = _header(message, "message-id").strip("<> ")[:500]
    if not id:
        return None if origin.place is None else f"message {origin.place}"
    times = keys[id] = keys.get(id, 0) + 1
    return id if times == 1 else f"{id} ({times})"


def _metadata(message: Message, attachments: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for name in ("from", "to", "cc", "date"):
        if value := _header(message, name)[:LONGEST_VALUE]:
            metadata[name] = _iso(value) if name == "date" else value
    if attachments:
        metadata["attachments"] = attachments[:MOST_ATTACHMENTS]
    return metadata


def _iso(date: str) -> str:
    try:
        return parsedate_to_datetime(date).isoformat()
    except (ValueError, TypeError, OverflowError, IndexError):
        return date


@dataclass(frozen=True, slots=True)
class _Body:
    text: str
    is_html: bool


class _Found:
    """What the parts of a message hold: the texts to read, and the names of attachments."""

    def __init__(self) -> None:
        self.bodies: list[_Body] = []
        self.attachments: list[str] = []

    def collect(self, part: Message, depth: int) -> None:
        """Finds the texts and the names of attachments in ``part``."""
        if depth > MAX_NESTING:
            raise _nested_too_deeply()
        kind = part.get_content_type()
        inner = part.get_payload() if part.is_multipart() else []
        parts = [each for each in inner if isinstance(each, Message)]
        if kind == "multipart/alternative":
            self._collect_one(parts, depth)
        elif kind.startswith("multipart/"):
            for each in parts:
                self.collect(each, depth + 1)
        elif part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
            self.attachments.append(_file_name(part) or kind)
        else:
            text = _decoded(_payload(part), part.get_content_charset())
            if _parameter(part, "format") == "flowed":
                text = _unwrapped(text, deletes_space=_parameter(part, "delsp") == "yes")
            self.bodies.append(_Body(text, kind == "text/html"))

    def _collect_one(self, parts: list[Message], depth: int) -> None:
        """Collects the first alternative that is plain text, or else the first one with any text."""
        found: list[_Found] = []
        for inner in parts:
            each = _Found()
            each.collect(inner, depth + 1)
            found.append(each)
        with_text = [each for each in found if any(body.text.strip() for body in each.bodies)]
        with_text.sort(key=lambda each: each.bodies[0].is_html)
        for each in with_text[:1]:
            self.bodies += each.bodies
        for each in found:
            self.attachments += each.attachments


def _add_plain(text: str, passages: Passages) -> None:
    """Adds a passage for each paragraph; a change between quoted and own lines begins a new one."""
    paragraph: list[str] = []
    state: dict[str, Any] = {}
    is_signature = False
    for line in [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        is_signature = is_signature or line in ("-- ", "--")
        quoted = _QUOTED.match(line)
        own = (line[quoted.end() :] if quoted else line).strip()
        now = {"quoted": True} if quoted else {"signature": True} if is_signature else {}
        if now != state or not own:
            passages.add("\n".join(paragraph), state)
            paragraph, state = [], now
        if own and own != "--":
            paragraph.append(own)


def _add_html(text: str, passages: Passages) -> None:
    """Adds all passages: a message has no navigation that should be left out."""
    for found in html_passages(text).found:
        passages.add(found.text, {"code": True} if found.kind == "code" else {}, whole=found.kind != "text")


def _nested_too_deeply() -> InvalidInput:
    return InvalidInput(f"the message has parts nested more than {MAX_NESTING} deep", "Leave it out.")


def _unwrapped(text: str, deletes_space: bool) -> str:
    """Text whose lines go on in the next one after a space at their end (RFC 3676)."""
    lines: list[str] = []
    goes_on = False
    for line in text.replace("\r\n", "\n").split("\n"):
        quoted = _QUOTED.match(line)
        marks, own = (quoted.group(), line[quoted.end() :]) if quoted else ("", line)
        own = own.removeprefix(" ") if not quoted else own
        if goes_on and lines[-1].startswith(">") == bool(quoted) and own != "-- ":
            last = lines.pop()
            lines.append((last.removesuffix(" ") if deletes_space else last) + own)
        else:
            lines.append(marks + own)
        goes_on = own.endswith(" ") and own != "-- "
    return "\n".join(lines)


def _header(message: Message, name: str) -> str:
    """A header in one line, decoded; empty if there is none."""
    return _words(str(next((value for field, value in message.raw_items() if field.lower() == name), "")))


def _words(raw: str) -> str:
    """What stands in a header, with its encoded words decoded, in one line."""
    raw = raw[:LONGEST_HEADER]
    if not raw.isascii():  # bytes that a header may not have
        raw = _decoded(raw.encode("utf-8", "surrogateescape"), None)
    pieces: list[tuple[Any, str | None]] = [(raw, None)]
    with contextlib.suppress(Exception):  # it raises whatever binascii and codecs do
        pieces = decode_header(raw)
    decoded = [piece if isinstance(piece, str) else _decoded(piece, charset) for piece, charset in pieces]
    return " ".join("".join(decoded).split())


def _payload(part: Message) -> bytes:
    with contextlib.suppress(Exception):
        payload = part.get_payload(decode=True)
        return payload if isinstance(payload, bytes) else b""
    return b""


def _parameter(part: Message, name: str) -> str:
    """A parameter of the part's type, in lower case."""
    with contextlib.suppress(Exception):
        value = part.get_param(name)
        return value.lower() if isinstance(value, str) else ""
    return ""


def _file_name(part: Message) -> str:
    with contextlib.suppress(Exception):
        return _words(part.get_filename() or "")[:200]
    return ""


def _decoded(raw: bytes, charset: str | None) -> str:
    """Text in any state: in its charset if that is known, else as UTF-8, else as Windows shows it."""
    with contextlib.suppress(LookupError, ValueError, TypeError):
        info = codecs.lookup(charset or "")
        if getattr(info, "_is_text_encoding", True) and info.name not in (*_NOT_CHARSETS, "ascii"):
            return raw.decode(info.name, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
