"""Reads queries and relevance judgements from files in the formats of BEIR and TREC, and from plain lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import InvalidInput, SourceError
from ..sources.fields import is_blank, sentence
from ..sources.lines import decoded, lines, without_end
from ..sources.opening.files import unreadable
from ..sources.strict_json import parsed

Row = TypeVar("Row")
Queries = Sequence[str] | Mapping[str, str]
"""Texts, or texts by name."""

_JSONL = (".jsonl", ".ndjson")
_QUERY = 'Write one object a line, {"_id": "q1", "text": "..."}, or a .txt file with one query a line, without names.'
_JUDGEMENT = "Write query, key and relevance (a number) separated by tabs; a header line is skipped."


def read_queries(path: Path) -> Queries:
    """The queries of a .jsonl file by "_id", or of any other file as a list, one a line.

    Raises SourceError if there are none or one cannot be used.
    """
    rows = _rows(path, _query if path.suffix.lower() in _JSONL else lambda line: ("", sentence(line)), _QUERY)
    if path.suffix.lower() not in _JSONL:
        return [text for _, (_, text) in rows]
    found: dict[str, str] = {}
    for number, (name, text) in rows:
        if name in found:
            raise SourceError(str(path), number, f"the query {name!r} is repeated", _QUERY)
        found[name] = text
    return found


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """The relevance of records, by query name and key. Raises SourceError if a line cannot be used."""
    found: dict[str, dict[str, float]] = {}
    for _, judgement in _rows(path, _judgement, _JUDGEMENT, header=True):
        name, key, relevance = judgement
        found.setdefault(name, {})[key] = relevance
    return found


def _query(line: str) -> tuple[str, str]:
    query = parsed(line, _QUERY)
    if not isinstance(query, dict) or not isinstance(query.get("_id"), (str, int)) or "text" not in query:
        raise InvalidInput('it is not an object with "_id" and "text"', _QUERY)
    if not isinstance(query["text"], str):
        raise InvalidInput("its text is not a string", _QUERY)
    return str(query["_id"]), sentence(query["text"])


def _judgement(line: str) -> tuple[str, str, float]:
    columns = line.split("\t") if "\t" in line else line.split()
    try:
        if len(columns) == 4:
            del columns[1]  # the iteration column of TREC, which is unused
        name, key, number = columns
        relevance = float(number)
        if not math.isfinite(relevance):
            raise ValueError(number)
    except ValueError:
        raise InvalidInput("it does not have a query, a key and a relevance", _JUDGEMENT) from None
    return name, key, relevance


def _rows(path: Path, parse: Callable[[str], Row], advice: str, header: bool = False) -> Iterator[tuple[int, Row]]:
    """Parses each line that is not blank, and numbers it from 1; with ``header`` an invalid first line is skipped."""
    count = 0
    try:
        stream = path.open("rb")
    except OSError as error:
        raise unreadable(str(path), None, error) from None
    with stream:
        for number, raw in lines(stream, str(path)):
            try:
                line = without_end(decoded(raw))
                if is_blank(line):
                    continue
                row = parse(line)
            except InvalidInput as error:
                if header and number == 1:
                    continue
                raise SourceError(str(path), number, error.message, advice) from None
            count += 1
            yield number, row
    if not count:
        raise SourceError(str(path), None, "it is empty", advice)
