"""Finds the format of a file by its name and by its first bytes."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex

from ...errors import Advice, SourceError
from ..formats import LAYOUTS, SUFFIXES, Format
from ..magic import START as KIND_START
from ..magic import Kind, kind_by_suffix, kind_of
from ..prose.languages import is_text_by_name, language_by_name
from . import compression, encodings
from .files import STDIN
from .plain import is_plain_text

START = max(2**13, KIND_START)
"""The number of bytes needed to find the format of a file."""

_ZIP_FORMATS = ("zip", "docx", "xlsx", "pptx")  # a name within an archive may look like a part of a document

_HTML = re.compile(
    r"(?:<\?xml[^>]*>|<!--.*?-->|\s)*(?:<!doctype\s+html|<html|<head|<body)\b", re.IGNORECASE | re.DOTALL
)
_MAIL_HEADERS = re.compile(r"(?:[\w-]+:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)+\r?\n")
_MAIL = re.compile(
    r"^(?:From|Received|Return-Path|Delivered-To|Message-ID|MIME-Version):", re.IGNORECASE | re.MULTILINE
)
_SUBTITLES = re.compile(r"WEBVTT(?:[ \t\r\n]|$)|\d+\s*\n\d\d:\d\d:\d\d[,.]\d{3} --> \d\d:\d\d:\d\d")


def format_of(path: str, name: str, start: bytes, given: Format | None = None) -> Format:
    """The format of the source ``path``, called ``name`` in errors, whose first `START` unpacked bytes are ``start``.

    What is not text is what its content says it is, whatever its suffix. Text is what its name says: by the suffix, or
    as a whole, as Makefile and README. Without such a name it is what it looks like, and at least text if it has words.
    A format that is ``given`` is only refused if it is for text, and the content is not. Raises SourceError, also for
    an archive.
    """
    kind = kind_of(start)
    if given is not None:
        if kind is not None and LAYOUTS[given].is_text:
            raise other_kind(path, name, kind)
        return given
    suffix = suffix_of(path)
    by_suffix = SUFFIXES.get(suffix)
    if kind is not None:
        if by_suffix is not None and not LAYOUTS[by_suffix].is_text:
            return by_suffix  # several formats are zip archives
        found = _with_value(kind.format)
        if found is None:
            raise other_kind(path, name, kind)
        return found
    if by_suffix in (None, Format.TXT) and language_by_name(path) is not None:
        return Format.CODE
    if found := by_suffix or _looks_like(start):
        return found
    if (other := kind_by_suffix(suffix)) is not None:
        raise other_kind(path, name, other)
    if is_plain_text(start) or (is_text_by_name(path) and not is_binary(start)):
        return Format.TXT
    raise _unknown(name, suffix, start)


def is_archive(path: str, start: bytes) -> bool:
    """Whether a file is a zip archive of other files, by its name and its first bytes.

    Documents of Word, Excel and PowerPoint that are called something else cannot always be told apart.
    """
    by_suffix = SUFFIXES.get(suffix_of(path))
    if by_suffix is not None and not LAYOUTS[by_suffix].is_text:
        return False
    kind = kind_of(start)
    return start.startswith(b"PK\x05\x06") or (kind is not None and kind.format in _ZIP_FORMATS)


def is_binary(start: bytes) -> bool:
    """Whether a file that starts with these unpacked bytes is not a text in any encoding."""
    if kind_of(start) is not None:
        return True
    return b"\0" in start and encodings.marked(start) is None and encodings.wide(start[: len(start) // 4 * 4]) is None


def suffix_of(path: str) -> str:
    """The suffix that says the format, in lower case: ``.txt`` in notes.txt and notes.TXT.gz."""
    stem, suffix = os.path.splitext(path)
    if suffix.lower() in compression.SUFFIXES:
        suffix = os.path.splitext(stem)[1]
    return suffix.lower()


def other_kind(path: str, name: str, kind: Kind) -> SourceError:
    """The error for a file whose kind cannot be read."""
    inner = SUFFIXES.get(os.path.splitext(os.path.splitext(path)[0])[1].lower())
    format = f" --format {inner.value}" if inner else ""
    quoted = "FILE" if path == STDIN else shlex.quote(path)
    advice = Advice(
        *(each.format(path=quoted, format=format) for each in (kind.advice, getattr(kind.advice, "typed", kind.advice)))
    )
    return SourceError(name, None, f"looks like {kind.name}, not text", advice)


def _with_value(value: str) -> Format | None:
    return next((each for each in Format if each.value == value), None)


def _looks_like(start: bytes) -> Format | None:
    """The format of a text without a known suffix, if its beginning is unmistakable."""
    text = _decoded(start)
    if text is None:
        return None
    return next((format for value, is_one in _LOOKS if (format := _with_value(value)) and is_one(text)), None)


def _decoded(start: bytes) -> str | None:
    mark = encodings.marked(start)
    encoding = mark[0] if mark is not None else encodings.wide(start[: len(start) // 4 * 4])
    try:
        text = start.decode(encoding or "utf-8", "replace")
    except UnicodeError:
        return None
    return text.removeprefix("\ufeff")


def _is_jsonl(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and all(line.startswith("{") for line in lines) and _is_json_value(lines[0])


def _is_json(text: str) -> bool:
    """Whether it begins as an object, or as an array of objects."""
    return re.match(r'\s*(?:\{\s*["}]|\[\s*(?:\{\s*["}]|\]\s*$))', text) is not None


def _is_json_value(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_mail(text: str) -> bool:
    headers = _MAIL_HEADERS.match(text)
    return headers is not None and len(_MAIL.findall(headers[0])) >= 2


def _is_mailbox(text: str) -> bool:
    first, _, rest = text.partition("\n")
    return first.startswith("From ") and _is_mail(rest)


def _is_table(text: str, delimiter: str) -> bool:
    """Whether there are rows of the same number of fields beneath a header of short and different names."""
    lines = text.splitlines()[:20]
    if len(text) >= START // 4:
        lines = lines[:-1]  # it may be cut
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return False
    header = rows[0]
    return len(set(header)) == len(header) and all(re.fullmatch(r"\w[\w .-]{0,39}", name) for name in header)


_LOOKS = (
    ("html", lambda text: _HTML.match(text) is not None),
    ("jsonl", _is_jsonl),
    ("json", _is_json),
    ("subtitles", lambda text: _SUBTITLES.match(text) is not None),
    ("mbox", _is_mailbox),
    ("eml", _is_mail),
    ("code", lambda text: re.match(r"#![ \t]*/[^\n]*(?:sh|python|perl|ruby|node|php|lua|awk)", text) is not None),
    ("tsv", lambda text: _is_table(text, "\t")),
    ("csv", lambda text: _is_table(text, ",")),
)


def _unknown(name: str, suffix: str, start: bytes) -> SourceError:
    if is_binary(start):
        reason = "holds binary data of an unknown kind"
        return SourceError(name, None, reason, "Write its texts to a file; `vecindex guide sources` lists the formats.")
    what = f"the suffix {suffix!r} is unknown" if suffix else "the name has no suffix"
    return SourceError(
        name,
        None,
        f"{what}, and the content does not look like text",
        Advice(
            "If it is, pass format='txt'; `vecindex guide sources` lists the formats.",
            typed="If it is, use --format txt; `vecindex guide sources` lists the formats.",
        ),
    )
