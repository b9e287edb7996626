"""Writes an evaluation to a file as JSON, and reads it back to compare another one with it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Advice, InvalidInput, SourceError
from ..sources.formats import Format
from ..sources.origin import source
from ..sources.strict_json import parsed
from ..sources.texts import whole_text
from ..store.disk.atomic_create import check_free, fresh_file, resolved, written
from ..store.disk.files import DATABASE_FILE
from .results import Evaluation

VERSION = 1
LARGEST = 256 * 2**20
"""Bytes of a saved evaluation, which has to be in memory to be read."""
_ADVICE = Advice("Name a file that was saved with save=.", typed="Name a file that `vecindex eval --save FILE` wrote.")


@dataclass(frozen=True, slots=True)
class Saved:
    """What is needed of a saved evaluation: measures are computed anew, by the judgements of now."""

    k: int
    by: str
    queries: Mapping[str, str]
    rankings: Mapping[str, Mapping[str, tuple[str, ...]]]


def check_destination(path: str | os.PathLike[str]) -> None:
    """Raises InvalidInput if an evaluation cannot be saved there, before the work is done."""
    check_free(resolved(path))


def save(evaluation: Evaluation, path: str | os.PathLike[str], index: Path) -> None:
    """Writes a new file, with the permissions of the index in the folder ``index``.

    Raises:
        InvalidInput: there is something at ``path``, or no folder to put it in.
        StorageError.
    """
    members = {
        "evaluation": VERSION,
        **evaluation.to_dict(),
        "texts": dict(evaluation.queries),
        "per_query": {
            system: {query: dict(zip(evaluation.measures, each, strict=True)) for query, each in values.items()}
            for system, values in evaluation.values.items()
        },
        "rankings": evaluation.rankings,
    }
    content = json.dumps(members, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
    with fresh_file(resolved(path)) as temporary, written(temporary, like=index / DATABASE_FILE) as out:
        out.write(content)


def read_saved(path: str | os.PathLike[str]) -> Saved:
    """Raises SourceError if the file is not a saved evaluation."""
    try:
        with source(path, format=Format.TXT) as found, found.opened() as stream:
            text = whole_text(found, stream, LARGEST)
    except SourceError as error:
        raise SourceError(error.path, error.line, error.reason, _ADVICE) from None
    try:
        members = parsed(text, _ADVICE)
    except InvalidInput as error:
        raise SourceError(os.fspath(path), None, f"is no saved evaluation: {error.message}", _ADVICE) from None
    try:
        return _saved(members)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SourceError(os.fspath(path), None, "is no saved evaluation of this version", _ADVICE) from None


def _saved(members: Any) -> Saved:
    """Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    if members["evaluation"] != VERSION:
        raise ValueError(members["evaluation"])
    queries = {name: _string(text) for name, text in members["texts"].items()}
    rankings = {
        system: {query: tuple(map(_string, names)) for query, names in found.items() if query in queries}
        for system, found in members["rankings"].items()
    }
    k, by = members["k"], members["by"]
    if type(k) is not int or k < 1 or any(len(names) > k for found in rankings.values() for names in found.values()):
        raise ValueError(k)
    return Saved(k, _string(by), queries, rankings)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value
