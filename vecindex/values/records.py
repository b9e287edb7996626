"""The nouns that go in and come out: records, hits and reports."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from .arguments import plain, string
from .nested import MAX_NESTING, on_own_stack, read_json
from .unlike_json import unlike_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Metadata = Mapping[str, Any]
"""A JSON object: string keys; values are null, bool, finite numbers, strings, lists and objects.

Integers have 64 bits at most, and all of it is nested at most 100 deep.
"""


UNKNOWN = 1 << 40
"""Is part of how many tokens of a text its vector does not cover (``lost``) where the model knows none of them: no text
has so many tokens, and ``lost % UNKNOWN`` is how many were cut off."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored and found.

    ``key`` is the user's stable name; None derives it from the text (see `derive_key`). ``metadata`` None means
    "not said": a new record gets ``{}``, an existing one keeps what it has. ``vector`` is (D,) float32; in a record
    handed to ``add`` it is None unless it was made elsewhere. ``origin`` is the file and line that the record was read
    from, if any: errors about it name them.
    """

    text: str
    key: str | None = None
    metadata: Metadata | None = None
    vector: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    origin: tuple[str, int] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: ``rank`` counts from 1, ``score`` is a cosine, larger is better.

    ``lost`` is how many tokens at the end of ``text`` the model did not read, so that they are not in the score; 1
    stands for "at least one" in a record that an earlier version truncated. ``unknown`` says that the model knows no
    token of ``text`` (emoji, or a script that it lacks): the score means nothing, and such hits come last.
    """

    rank: int
    key: str
    score: float
    text: str
    metadata: Metadata
    lost: int = 0
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an ``add`` did, in records; ``truncated`` counts texts cut at the model's maximum length.

    ``tokens_lost`` is how many tokens were cut off them together. ``removed`` counts records that stood for a text, or
    for parts of it, which is stored otherwise now (``on_long="split"``). ``unknown`` counts texts of which the model
    knows no token. ``duplicates`` counts rows that were left out
    since the input has their key again: rows without a key that say the same, and with ``on_duplicate="last"`` those
    that another one replaces before it is stored.

    ``written`` is in the reports that ``progress`` gets: the keys of the records that the commit just made added or
    changed. It is empty in the report that ``add`` returns, so that a large input takes no memory for its keys.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    removed: int = 0
    unknown: int = 0
    duplicates: int = 0
    written: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __add__(self, other: AddReport) -> AddReport:
        return AddReport(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.truncated + other.truncated,
            self.tokens_lost + other.tokens_lost,
            self.removed + other.removed,
            self.unknown + other.unknown,
            self.duplicates + other.duplicates,
            other.written,
        )


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """An index at a glance. ``model`` and what follows are None until the first ``add`` fixed the space.

    ``generation`` counts commits, ``dead_rows`` rows of the vector file whose record was deleted or replaced,
    ``tail_rows`` rows that the accelerator does not cover yet and that are scanned exactly, ``codes`` what it is, None
    where there is none, ``indexed_fields`` the metadata fields whose filters are fast, ``truncated`` records whose
    text was longer than the model reads and ``tokens_lost`` how many of their tokens it did not read, ``unknown``
    records of whose text it knows no token, ``cached_texts`` how many texts need not be encoded again, ``cache_bytes``
    about what remembering them takes, ``bytes`` everything in the directory, ``beside`` the indexes that migrations
    keep or have begun, in words, ``runtime`` what encodes on this machine: onnxruntime, torch and why, or nothing yet,
    since the model is compiled when first used.
    """

    path: str
    format: int
    created: str
    generation: int
    records: int
    dead_rows: int
    tail_rows: int
    codes: str | None
    indexed_fields: tuple[str, ...]
    truncated: int
    tokens_lost: int
    unknown: int
    cached_texts: int
    cache_bytes: int
    bytes: int
    model: str | None
    dimension: int | None
    max_tokens: int | None
    pooling: str | None
    precision: str | None
    fingerprint: str | None
    beside: tuple[str, ...] = ()
    runtime: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that ``verify`` found wrong: in which file, what, and the command that repairs it, or what to do."""

    path: str
    reason: str
    repair: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` checked and found; the index is sound if there are no faults, but for those ``repaired``."""

    records: int
    rows: int
    faults: tuple[Fault, ...]
    repaired: tuple[Fault, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What ``compact`` did: rows dropped, the directory's bytes before and after, and texts the cache forgot."""

    dropped_rows: int
    bytes_before: int
    bytes_after: int
    forgotten_texts: int = 0


def derive_key(text: str, metadata: Metadata | None = None) -> str:
    """The key of a record that was given none: the first 128 bits of a SHA-256, in hex.

    That is of its text in UTF-8 and, where there is metadata, of a byte 0xFF and of `as_read` of it behind. So rows
    that say the same have one key, whether a value of theirs was read as a number or as text.
    """
    return derived_key(checked_text(text), None if metadata is None else checked_metadata(metadata))


def derived_key(text: str, metadata: str | None = None) -> str:
    """As `derive_key`, of a text and of metadata in JSON that were checked."""
    digest = hashlib.sha256(text.encode("utf-8"))
    if metadata is not None and (said := as_read(read_json(metadata))) != "{}":
        digest.update(b"\xff" + said.encode("utf-8"))
    return digest.hexdigest()[:32]


def as_read(metadata: Metadata) -> str:
    """Metadata as a reader of a table sees it: in JSON with sorted members, each value a text.

    A value that is not a string is its JSON text, sorted too; null and "" are left out. So it stays the same whether
    1999 is a number or a text, which for the columns of a file the other rows decide.
    """
    return on_own_stack(_as_read, metadata)


def _as_read(metadata: Metadata) -> str:
    return _to_sorted_json(
        {
            name: value if type(value) is str else _JSON_OF.get(type(value), _to_sorted_json)(value)
            for name, value in metadata.items()
            if value is not None and value != ""
        }
    )


LONGEST_TEXT = 500_000_000
LONGEST_METADATA = 100_000_000
LONGEST_KEY = 1_000_000
"""Bytes in UTF-8. SQLite stores a billion in a row, and takes what is longer for damage."""


def checked_text(value: object) -> str:
    """``value`` itself if it is a text that can be stored; raises InvalidInput otherwise."""
    return string(value, "a text", LONGEST_TEXT)


def checked_query(value: object) -> str:
    """``value`` itself if it is a text that can be searched for; raises InvalidInput otherwise, if it is blank too."""
    text = string(value, "a query", LONGEST_TEXT)
    if is_blank(text):
        raise InvalidInput("the query is blank", "Ask with at least one word.")
    return text


def is_blank(text: str) -> bool:
    """Whether nothing of a text shows: it is empty, or of whitespace, control and zero-width characters alone."""
    if _SHOWN.search(text):
        return False
    from unicodedata import category  # few texts get here

    return all(category(character) in _INVISIBLE_KINDS or character in _INVISIBLE for character in text)


def checked_key(value: object) -> str:
    """``value`` itself if it can be a key (a string, not empty); raises InvalidInput otherwise."""
    key = string(value, "a key", LONGEST_KEY)
    if not key:
        raise InvalidInput("a key is the empty string", "Leave the key out to derive one from the text.")
    return key


_SHOWN = re.compile("[!-~]")
_INVISIBLE_KINDS = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and marks that Unicode gives no shape of their own: fillers, joiners and variation selectors.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def _of_numpy(value: object) -> object:
    found = plain(value)
    if found is value or type(found).__module__ == "numpy":
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return found


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_of_numpy).encode
_to_sorted_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
# What the encoder writes of these, without the cost of setting it up for each value.
_JSON_OF: dict[type, Callable[[Any], str]] = {int: repr, float: repr, bool: lambda value: "true" if value else "false"}
_SCALARS = frozenset({str, int, float, bool, type(None)})
_LEAST, _GREATEST = -(2**63), 2**63 - 1  # what SQLite compares exactly


def _shown(name: object) -> str:
    """A member's name as an error shows it."""
    return repr(name if not isinstance(name, str) or len(name) <= 40 else name[:37] + "...")


def checked_metadata(value: object) -> str:
    """The JSON text of ``value``, a JSON object; raises InvalidInput for anything that JSON cannot hold exactly."""
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"metadata must be a JSON object, not {type(value).__name__}", 'Give a mapping such as {"lang": "en"}.'
        )
    members = dict(value)
    is_flat = True
    for name, member in members.items():
        kind = type(member)
        if kind not in _SCALARS or type(name) is not str:
            is_flat = False
        if kind is int and not _LEAST <= member <= _GREATEST:
            raise _too_long(name, member)
        if kind not in _SCALARS:
            _check_nested(name, member)
    try:
        # JSON turns a key that is no string into one, and a tuple into a list: what would not come back is refused.
        text, faithful = (_to_json(members), True) if is_flat else on_own_stack(_written, members)
    except RecursionError:
        raise _too_deep("metadata") from None
    except (TypeError, ValueError) as error:
        raise unlike_json(members, "metadata cannot be written as JSON", error) from None
    if not faithful:
        raise unlike_json(members, "metadata would not come back from JSON as it is")
    if "\\u0000" in text:
        # Some releases of SQLite take a member's name to end at a NUL, and would find it under another name.
        on_own_stack(partial(json.loads, object_pairs_hook=_refuse_nul_names), text)
    return string(text, "metadata", LONGEST_METADATA)


def _written(members: dict[str, Any]) -> tuple[str, bool]:
    """The JSON text, and whether it reads back as the same."""
    text = _to_json(members)
    return text, json.loads(text) == members


def _check_nested(name: object, member: object) -> None:
    """Raises InvalidInput where something in a member of the metadata is nested too deeply or is too long a number."""
    waiting: list[tuple[Any, int]] = [(member, 2)]
    while waiting:
        value, depth = waiting.pop()
        value = plain(value)
        if isinstance(value, (dict, list, tuple)):
            if depth > MAX_NESTING:
                raise _too_deep(f"metadata {_shown(name)}")
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int) and not _LEAST <= value <= _GREATEST:
            raise _too_long(name, value)


def _too_deep(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} is nested more than {MAX_NESTING} deep", "Store it flatter, or as one string that holds its JSON."
    )


def _too_long(name: object, number: int) -> InvalidInput:
    digits = str(number) if number.bit_length() < 400 else f"of {number.bit_length():,} bits"
    return InvalidInput(
        f"metadata {_shown(name)} holds the integer {digits}, and integers have 64 bits at most",
        "Write it as a string to keep every digit, or as a float.",
    )


def _refuse_nul_names(members: list[tuple[str, Any]]) -> None:
    for name, _ in members:
        if "\0" in name:
            raise InvalidInput(f"metadata has a member whose name holds a NUL character: {name!r}", "Rename it.")
