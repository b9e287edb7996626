"""What lexical search reads and how words become terms: `LexicalSettings`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from ...filters.tree import Path, Refused, parse_path
from . import stemming

ANALYSIS = 2
"""Counts the changes of `analysis` that make other terms of the same text."""
DEFAULT_LANGUAGE = "english"
_MOST_FIELDS = 16
_HEAVIEST = 1000.0


@dataclass(frozen=True, slots=True)
class LexicalSettings:
    """``language`` is that of the stems, None for words as they are; ``fields`` are read beside the text, with weights.

    A weight of 2 counts each word of the field as two words of the text.

    Raises:
        ValueError: the settings make no sense; the message says which.
    """

    language: str | None = DEFAULT_LANGUAGE
    fields: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.language is not None and self.language not in stemming.languages():
            raise ValueError(f"there are no stems for {self.language!r}: only for {', '.join(stemming.languages())}")
        names = [name for name, _ in self.fields]
        if len(set(names)) < len(names):
            raise ValueError("a field is named twice")
        if len(names) > _MOST_FIELDS:
            raise ValueError(f"{len(names)} fields are more than {_MOST_FIELDS}")
        for name, weight in self.fields:
            _path(name)
            if not (math.isfinite(weight) and 1 / _HEAVIEST <= weight <= _HEAVIEST):
                raise ValueError(f"the weight of {name!r} is not between {1 / _HEAVIEST:g} and {_HEAVIEST:g}: {weight}")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the text and of the fields."""
        return (1.0, *(weight for _, weight in self.fields))

    def texts(self, text: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
        """What is read of a record, one string for each of `weights`."""
        return (text, *(_words(_at(metadata, name)) for name, _ in self.fields))

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LexicalSettings:
        """The settings that `to_json` wrote.

        Raises:
            ValueError: it is not the JSON of settings.
        """
        try:
            found = json.loads(text)
        except RecursionError as error:
            raise ValueError("the settings are nested too deep") from error
        if not isinstance(found, dict) or set(found) != {"language", "fields"}:
            raise ValueError("the settings are not an object with a language and fields")
        language, fields = found["language"], found["fields"]
        if not isinstance(language, str | None) or not isinstance(fields, list):
            raise ValueError("the language or the fields of the settings are of another kind")
        return cls(language, tuple(_field(each) for each in fields))

    def fingerprint(self) -> str:
        """A digest of everything that changes a term or its weight."""
        made = self.to_json(), ANALYSIS, stemming.version() if self.language else ""
        return hashlib.blake2b(json.dumps(made).encode(), digest_size=16).hexdigest()


def _field(found: Any) -> tuple[str, float]:
    match found:
        case [str(name), int(weight) | float(weight)] if not isinstance(weight, bool):
            try:
                return name, float(weight)
            except OverflowError as error:
                raise ValueError(f"the weight of {name!r} is too large") from error
    raise ValueError("a field of the settings is not a name with a weight")


@cache
def _path(name: str) -> Path:
    """The names in a field's name, as in filters; raises ValueError."""
    try:
        return parse_path(name)
    except Refused as refused:
        raise ValueError(f"{name!r} is not a field name: {refused.reason}") from None


def _at(metadata: Mapping[str, Any], name: str) -> Any:
    found: Any = metadata
    for each in _path(name):
        found = found.get(each) if isinstance(found, Mapping) else None
    return found


def _words(value: Any) -> str:
    """The words of a metadata value: those of a list are in a line each, and nothing is read of objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Sequence):
        return "\n".join(_words(each) for each in value if not isinstance(each, Sequence) or isinstance(each, str))
    return ""
