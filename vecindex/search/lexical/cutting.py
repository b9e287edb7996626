"""Cuts the ASCII texts among many into units at once: `cut`.

Units are compared as numbers of eight bytes each, with the interpreter's lock released: an ``add`` goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
Eights = npt.NDArray[np.uint64]

_WORD, _JOINT = 1, 2
_JOINTS = b"-./:,"
_LONGEST = 32
"""The most bytes of a unit that is compared as numbers; the few longer ones are compared as texts."""
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""At each count, what keeps so many of the first bytes of eight."""
_ROUNDS = 8
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


def _kinds() -> npt.NDArray[np.uint8]:
    kinds = np.zeros(256, np.uint8)
    kinds[[byte for byte in range(128) if chr(byte).isalnum() or chr(byte) == "_"]] = _WORD
    kinds[list(_JOINTS)] = _JOINT
    return kinds


_KINDS = _kinds()
"""What each byte is."""


class Cut(NamedTuple):
    """The different units, in any order; the number of each unit of the texts, in order; and of each text how many.

    ``others`` are the places of the texts that are not ASCII. They have no units.
    """

    units: list[str]
    numbers: Numbers
    sizes: Numbers
    others: list[int]


def cut(texts: Sequence[str], lengths: Numbers) -> Cut:
    """The units of those texts that are ASCII, as `Analyzer.units` finds them; ``lengths`` are those of all texts."""
    joined = "\n".join(["", *texts, ""])
    content = joined.encode("ascii", "replace").lower() + bytes(_LONGEST)
    stops = np.cumsum(lengths + 1) + 1
    starts, ends = _spans(np.frombuffer(content, np.uint8))
    sizes = np.diff(np.searchsorted(starts, stops), prepend=0)
    others = np.empty(0, np.int64)
    if not joined.isascii():
        characters = np.flatnonzero(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4") > 127)
        others = np.unique(np.searchsorted(stops, characters, side="right"))
        is_ascii = np.ones(len(texts), np.bool_)
        is_ascii[others] = False
        stays = np.repeat(is_ascii, sizes)
        starts, ends, sizes = starts[stays], ends[stays], sizes * is_ascii
    units, numbers = _numbered_units(content, starts, ends)
    return Cut(units, numbers, sizes, others.tolist())


def _numbered_units(content: bytes, starts: Numbers, ends: Numbers) -> tuple[list[str], Numbers]:
    """The different units with these starts and ends, and the number of each."""
    text = content.decode("ascii")
    lengths = ends - starts
    numbers = np.empty(len(starts), np.uint32)
    units: list[str] = []
    for shortest, longest in pairwise((0, 8, _LONGEST)):
        some = np.flatnonzero((lengths > shortest) & (lengths <= longest))
        firsts, numbers[some] = _numbered(_keys(content, starts[some], lengths[some]), len(units))
        spans = zip(starts[some[firsts]].tolist(), ends[some[firsts]].tolist(), strict=True)
        units += [text[start:end] for start, end in spans]
    known: dict[str, int] = {}
    for place in np.flatnonzero(lengths > _LONGEST).tolist():
        numbers[place] = known.setdefault(text[starts[place] : ends[place]], len(units) + len(known))
    return [*units, *known], numbers


def _spans(data: npt.NDArray[np.uint8]) -> tuple[Numbers, Numbers]:
    """Where the units start and end: runs of letters, digits and _, with single joints between, and ++ or # behind."""
    kinds = _KINDS[data]
    is_word = kinds == _WORD
    inside = is_word.copy()
    inside[1:-1] |= (kinds[1:-1] == _JOINT) & is_word[:-2] & is_word[2:]
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2].copy()
    behind = data[ends]
    signs = np.flatnonzero((behind == ord("+")) | (behind == ord("#")))
    at = ends[signs]
    is_double = (data[at] == ord("+")) & (data[at + 1] == ord("+"))
    is_sharp = (data[at] == ord("#")) & ~is_word[at + 1]
    ends[signs] += np.where(is_double, 2, is_sharp)
    return starts, ends


def _numbered(keys: Sequence[Eights], begin: int) -> tuple[Numbers, Numbers]:
    """For each different unit the place of one that is the same, and of each unit its number, from ``begin`` on.

    Each unit is put into a table at a place that follows from it. What is found there then is the same unit, or another
    one that shares the place; those units are put into a table again, at other places.
    """
    count = len(keys[0]) if keys else 0
    like = np.empty(count, np.int32)  # for each unit the place of one that is the same
    left = np.arange(count, dtype=np.int32)
    bits = max(8, count.bit_length())
    table = np.empty(1 << bits, np.int32)
    mixed = np.zeros(count, np.uint64)
    for key, factor in zip(keys, _MIX, strict=False):
        mixed += key * factor
    for turn in range(_ROUNDS):
        if not len(left):
            break
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX[turn % len(_MIX)]
        slots = mixed >> np.uint64(64 - bits)
        table[slots] = np.arange(len(left), dtype=np.int32)
        found = table[slots]
        differs = np.zeros(len(left), np.bool_)
        for key in keys:
            differs |= key[found] != key
        others = np.flatnonzero(differs)
        like[left] = left[found]
        left, mixed, keys = left[others], mixed[others], [key[others] for key in keys]
    if len(left):
        _, firsts, same = np.unique(np.stack(keys, axis=1), axis=0, return_index=True, return_inverse=True)
        like[left] = left[firsts[same.reshape(-1)]]
    is_first = np.zeros(count, np.bool_)
    is_first[like] = True
    return np.flatnonzero(is_first), (np.cumsum(is_first, dtype=np.int64) + (begin - 1))[like]


def _keys(content: bytes, starts: Numbers, lengths: Numbers) -> list[Eights]:
    """The bytes of units, eight in a number, as many numbers as the longest one needs."""
    eights: Eights = np.ndarray((len(content) - 7,), "<u8", content, strides=(1,))
    keys = []
    for begin in range(0, int(lengths.max(initial=0)), 8):
        sizes = np.clip(lengths - begin, 0, 8)
        keys.append(eights[starts + begin] & _FIRST_BYTES[sizes])
    return keys
