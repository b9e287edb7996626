"""Cuts many ASCII texts into units at once: `cut`. It finds in each what `Analyzer.units` finds.

Units are compared as numbers of eight bytes each, with the interpreter's lock released: an ``add`` goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

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
    """The different units, in any order; the number of each unit of the texts, in order; and of each text how many."""

    units: list[str]
    numbers: Numbers
    sizes: Numbers


def cut(texts: Sequence[str]) -> Cut:
    """The units of ASCII texts; see `Analyzer.units`."""
    joined = "\n".join(["", *texts, ""]).lower()
    content = joined.encode("ascii") + bytes(_LONGEST)
    data = np.frombuffer(content, np.uint8)
    starts, ends = _spans(data)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    stops = np.cumsum(lengths + 1) + 1
    sizes = np.diff(np.searchsorted(starts, stops), prepend=0)
    firsts, numbers = _numbered(content, joined, starts, ends)
    spans = zip(starts[firsts].tolist(), ends[firsts].tolist(), strict=True)
    return Cut([joined[start:end] for start, end in spans], numbers, sizes)


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


def _numbered(content: bytes, joined: str, starts: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """For each different unit the place of one such unit, and for each unit its number among them."""
    lengths = ends - starts
    like = np.empty(len(starts), np.int64)  # for each unit the place of one that is the same
    short = np.flatnonzero(lengths <= _LONGEST)
    left = short
    keys = _keys(content, starts[short], lengths[short])
    bits = max(8, len(short).bit_length())
    table = np.empty(1 << bits, np.int64)
    mixed = np.zeros(len(short), np.uint64)
    for number, key in enumerate(keys):
        mixed += key * _MIX[number]
    for turn in range(_ROUNDS):
        if not len(left):
            break
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX[turn % len(_MIX)]
        slots = (mixed >> np.uint64(64 - bits)).astype(np.int64)
        places = np.arange(len(left))
        table[slots] = places
        found = table[slots]
        is_same = np.ones(len(left), np.bool_)
        for key in keys:
            is_same &= key[found] == key
        like[left[is_same]] = left[found[is_same]]
        others = np.flatnonzero(~is_same)
        left, mixed, keys = left[others], mixed[others], [key[others] for key in keys]
    rest = np.concatenate([left, np.flatnonzero(lengths > _LONGEST)])
    known: dict[str, int] = {}
    for place, start, end in zip(rest.tolist(), starts[rest].tolist(), ends[rest].tolist(), strict=True):
        like[place] = known.setdefault(joined[start:end], place)
    is_first = np.zeros(len(like), np.bool_)
    is_first[like] = True
    return np.flatnonzero(is_first), (np.cumsum(is_first) - 1)[like]


def _keys(content: bytes, starts: Numbers, lengths: Numbers) -> list[npt.NDArray[np.uint64]]:
    """The bytes of units of at most `_LONGEST`, eight in a number, as many numbers as the longest one needs."""
    eights: npt.NDArray[np.uint64] = np.ndarray((len(content) - 7,), "<u8", content, strides=(1,))
    keys = []
    for begin in range(0, int(lengths.max(initial=0)), 8):
        has_more = np.flatnonzero(lengths > begin) if begin else slice(None)
        key = np.zeros(len(starts), np.uint64)
        key[has_more] = eights[starts[has_more] + begin] & _FIRST_BYTES[np.minimum(lengths[has_more] - begin, 8)]
        keys.append(key)
    return keys
