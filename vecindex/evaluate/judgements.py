"""Reads queries and relevance judgements from files in the formats of BEIR and TREC, and from plain lists.

A file may be compressed and in any encoding, as the texts that `vecindex add` reads.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..errors import InvalidInput, SourceError
from ..sources.fields import is_blank, sentence
from ..sources.formats import Format
from ..sources.lines import decoded, lines, without_end
from ..sources.opening.compression import SUFFIXES
from ..sources.origin import source
from ..sources.strict_json import parsed

Row = TypeVar("Row")
Queries = Sequence[str] | Mapping[str, str]
"""Texts, or texts by name."""
Judgements = Mapping[str, Mapping[str, float]]
"""How relevant records are, by the name of the query and the key of the record."""
File = str | os.PathLike[str]

_JSONL = (".jsonl", ".ndjson")
_NAMES = ("_id", "id", "key")
"""The members of a query that may be its name; the first that is there is."""
_HEADERS = ("id", "_id", "qid", "query_id", "query-id", "key")
_TAG = re.compile(r"\s*<(/?)(\w+)>\s*")
_LABEL = re.compile(r"(?:Number|Topic)\s*:\s*", re.IGNORECASE)

_QUERY = (
    'Write one object a line, {"_id": "q1", "text": "..."}; or a name, a tab and the text; or, without names, '
    "one query a line."
)
_UNREADABLE = "Name a file that exists and can be read."
_TOPIC = "Write each topic as in TREC: <top>, <num> Number: 301, <title> the words, </top>, a line each."
_JUDGEMENT = "Write query, key and relevance (a number) separated by tabs; a header line is skipped."


def read_queries(path: File) -> Queries:
    """The queries of a file: by name from JSON lines, from lines with a tab and from TREC topics, else as a list.

    The file's suffix says that it is JSON lines; the first line says what else it is, and whether JSON lines have
    names. Raises SourceError if there are none, or one cannot be used.
    """
    rows = _rows(path, str, _QUERY)
    first = next(rows)
    every = _with_first(first, rows)
    if _suffix(path) in _JSONL:
        if _has_only_text(first[1]):
            return [text for _, text in _each(path, every, _unnamed_object)]
        return _named(path, _each(path, every, _object))
    if _TAG.match(first[1]):
        return _named(path, _topics(path, every))
    if "\t" in first[1]:
        return _named(path, _each(path, every, _pair, header=_is_header_of_queries))
    return [text for _, text in _each(path, every, sentence)]


def read_qrels(path: File) -> dict[str, dict[str, float]]:
    """The relevance of records, by query name and key. Raises SourceError if a line cannot be used."""
    found: dict[str, dict[str, float]] = {}
    rows = _each(path, _rows(path, str, _JUDGEMENT), _judgement, _JUDGEMENT, _is_header_of_judgements)
    for number, (name, key, relevance) in rows:
        judged = found.setdefault(name, {})
        if judged.get(key, relevance) != relevance:
            raise SourceError(os.fspath(path), number, f"{key!r} is judged twice for the query {name!r}", _JUDGEMENT)
        judged[key] = relevance
    if not found:
        raise SourceError(os.fspath(path), None, "it holds no judgements", _JUDGEMENT)
    return found


# --- lines


def _rows(path: File, parse: Callable[[str], Row], advice: str) -> Iterator[tuple[int, Row]]:
    """What ``parse`` makes of each line that is not blank, with its number from 1; there is at least one."""
    count, is_open = 0, False
    try:
        with source(path, format=Format.TXT) as found, found.opened() as stream:
            is_open = True
            for number, raw in lines(stream, found.name):
                try:
                    line = without_end(decoded(raw))
                    if is_blank(line):
                        continue
                    row = parse(line)
                except InvalidInput as error:
                    raise SourceError(found.name, number, error.message, advice) from None
                count += 1
                yield number, row
            if not count:
                raise SourceError(found.name, None, "it is empty", advice)
    except SourceError as error:
        # The readers advise how to add a file, which is not what is done here.
        raise SourceError(error.path, error.line, error.reason, advice if is_open else _UNREADABLE) from None


def _with_first(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _each(
    path: File,
    rows: Iterator[tuple[int, str]],
    parse: Callable[[str], Row],
    advice: str = _QUERY,
    header: Callable[[str], bool] = lambda line: False,
) -> Iterator[tuple[int, Row]]:
    """Parses each line, but not a first one that is a ``header``."""
    for place, (number, line) in enumerate(rows):
        if place == 0 and header(line):
            continue
        try:
            yield number, parse(line)
        except InvalidInput as error:
            raise SourceError(os.fspath(path), number, error.message, advice) from None


def _suffix(path: File) -> str:
    """The suffix in small letters, without that of a compressed file."""
    stem, suffix = os.path.splitext(os.fspath(path).lower())
    return os.path.splitext(stem)[1] if suffix in SUFFIXES else suffix


# --- queries


def _named(path: File, rows: Iterator[tuple[int, tuple[str, str]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, (name, text) in rows:
        if name in found:
            raise SourceError(os.fspath(path), number, f"the query {name!r} is repeated", _QUERY)
        found[name] = text
    if not found:
        raise SourceError(os.fspath(path), None, "it holds no queries", _QUERY)
    return found


def _object(line: str) -> tuple[str, str]:
    members = _members(line)
    name = next((members[each] for each in _NAMES if each in members), None)
    if isinstance(name, bool) or not isinstance(name, (str, int)) or "text" not in members:
        raise InvalidInput('it is not an object with "_id" and "text"', _QUERY)
    return str(name), _text(members)


def _unnamed_object(line: str) -> str:
    members = _members(line)
    if "text" not in members:
        raise InvalidInput('it is not an object with "text"', _QUERY)
    if any(each in members for each in _NAMES):
        raise InvalidInput("it has a name, and the queries before it have none", _QUERY)
    return _text(members)


def _has_only_text(line: str) -> bool:
    """Whether an object has a text and no name; what cannot be read is an error later."""
    try:
        members = _members(line)
    except InvalidInput:
        return False
    return "text" in members and not any(each in members for each in _NAMES)


def _members(line: str) -> dict[str, Any]:
    query = parsed(line, _QUERY)
    return query if isinstance(query, dict) else {}


def _text(members: Mapping[str, Any]) -> str:
    if not isinstance(members["text"], str):
        raise InvalidInput("its text is not a string", _QUERY)
    return sentence(members["text"])


def _pair(line: str) -> tuple[str, str]:
    name, tab, text = line.partition("\t")
    if not tab or not name.strip():
        raise InvalidInput("it does not have a name, a tab and a text", _QUERY)
    return name.strip(), sentence(text)


def _is_header_of_queries(line: str) -> bool:
    return line.partition("\t")[0].strip().lower() in _HEADERS


def _topics(path: File, rows: Iterator[tuple[int, str]]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Number and title of each topic; descriptions and narratives are left out."""
    parts: dict[str, str] = {}
    tag = ""
    began = 0
    for number, line in rows:
        found = _TAG.match(line)
        if found is not None:
            is_end, tag = bool(found[1]), found[2].lower()
            line = line[found.end() :]
            if tag == "top":
                if is_end:
                    yield began, _topic(path, began, parts)
                parts, began = {}, number
                continue
        if tag in ("num", "title"):
            text = line.partition(f"</{tag}>")[0].strip()
            parts[tag] = f"{parts.get(tag, '')} {text}".strip()
    if parts:
        raise SourceError(os.fspath(path), began, "the topic has no end", _TOPIC)


def _topic(path: File, number: int, parts: Mapping[str, str]) -> tuple[str, str]:
    name = _LABEL.sub("", parts.get("num", ""), count=1).strip()
    if not name or not parts.get("title"):
        raise SourceError(os.fspath(path), number, "the topic has no <num> or no <title>", _TOPIC)
    return name, _LABEL.sub("", parts["title"], count=1)


# --- judgements


def _judgement(line: str) -> tuple[str, str, float]:
    columns = _columns(line)
    try:
        if len(columns) == 4:
            del columns[1]  # the iteration column of TREC, which is unused
        name, key, number = columns
        relevance = float(number)
        if not math.isfinite(relevance) or not name or not key:
            raise ValueError(number)
    except ValueError:
        raise InvalidInput("it does not have a query, a key and a relevance", _JUDGEMENT) from None
    return name, key, relevance


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _is_header_of_judgements(line: str) -> bool:
    columns = _columns(line)
    try:
        float(columns[-1])
    except ValueError:
        return len(columns) in (3, 4)
    return False
