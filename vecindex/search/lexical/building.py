"""Makes segments: from texts, from several segments, and from one whose rows get other numbers.

However a segment was made, its bytes are the same as if it were built of its texts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from .analysis import FORM, Analyzer
from .cutting import cut
from .segment import Array, Segment, term_hashes

_UNITS_A_BLOCK = 2_000_000
"""How many words are put in order at once; they take about 120 bytes each."""
_CHARACTERS_AT_ONCE = 1_000_000
"""Texts of so many characters, or one that is longer, are cut into words together."""
_TEXTS_AT_ONCE = 16_384
_COMBINATIONS = 4_000_000
"""Up to so many possible values, a table says which occur; beyond, they are sorted."""

Places = npt.NDArray[np.int64]
Document = tuple[int, Sequence[str]]
"""A row and its texts, one for each of the settings' weights."""


def build(analyzer: Analyzer, first: int, stop: int, documents: Iterable[Document]) -> Segment:
    """A segment of the rows from ``first`` up to ``stop``; those that are not in ``documents``, ascending, are empty.

    Raises:
        ValueError: the rows are not ascending, or not in this range.
    """
    builder = Builder(analyzer, first)
    for row, texts in documents:
        builder.add((row,), texts)
    return builder.segment(stop)


class Builder:
    """Makes a segment of the rows from ``first`` on; their words are kept as numbers until then."""

    def __init__(self, analyzer: Analyzer, first: int) -> None:
        self.analyzer = analyzer
        self.first = first
        self.stop = first
        """The row behind the last one that was added."""
        self._fields = len(analyzer.settings.weights)
        self._rows: list[int] = []
        self._texts: list[str] = []
        self._lengths: list[int] = []
        self._characters = 0
        self._block = _Block(analyzer, first)
        self._made: list[Segment] = []

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Adds rows, ascending, and the texts of each, one for each of the settings' weights.

        Raises:
            ValueError: the rows are not ascending, or have not as many texts.
        """
        if len(texts) != len(rows) * self._fields:
            raise ValueError(f"{len(texts)} texts for {self._fields} fields of {len(rows)} rows")
        for row in rows:
            if row < self.stop:
                raise ValueError(f"row {row} comes after row {self.stop - 1}")
            self.stop = row + 1
        self._rows += rows
        self._texts += texts
        lengths = list(map(len, texts))
        self._lengths += lengths
        self._characters += sum(lengths)
        if self._characters >= _CHARACTERS_AT_ONCE or len(self._texts) >= _TEXTS_AT_ONCE:
            self._cut()

    def segment(self, stop: int) -> Segment:
        """The segment of all rows up to ``stop``; those that were not added are empty.

        Raises:
            ValueError: there are rows beyond.
        """
        if self.stop > stop:
            raise ValueError(f"row {self.stop - 1} comes after row {stop - 1}, the last of the segment")
        self._cut()
        made = [*self._made, self._block.segment(stop)]
        return made[0] if len(made) == 1 else merge(made)

    def _cut(self) -> None:
        """Cuts the texts that wait into words, some at a time."""
        rows, texts, lengths = self._rows, self._texts, np.array(self._lengths, np.int64)
        self._rows, self._texts, self._lengths, self._characters = [], [], [], 0
        ends = np.cumsum(lengths.reshape(-1, self._fields).sum(axis=1))
        start = 0
        while start < len(rows):
            before = int(ends[start - 1]) if start else 0
            stop = int(np.searchsorted(ends, before + _CHARACTERS_AT_ONCE)) + 1
            if self._block.units >= _UNITS_A_BLOCK:
                self._made.append(self._block.segment(rows[start]))
                self._block = _Block(self.analyzer, rows[start])
            some = slice(start * self._fields, stop * self._fields)
            self._block.add(rows[start:stop], texts[some], lengths[some])
            start = stop


class _Numbers(dict[str, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class _Block:
    """Words of rows that are put in order together. Each text has a slot, those of a row one after the other."""

    def __init__(self, analyzer: Analyzer, first: int) -> None:
        self._analyzer = analyzer
        self._first = first
        self._weights = np.array(analyzer.settings.weights, np.float64)
        self._numbers = _Numbers()
        self._rows = [np.empty(0, np.int64)]
        self._units = [np.empty(0, np.uint32)]
        self._sizes = [np.empty(0, np.int64)]
        self.units = 0

    def add(self, rows: Sequence[int], texts: Sequence[str], lengths: Places) -> None:
        """Adds rows with the texts of each, and how long these are."""
        found, numbers, sizes, others = cut(texts, lengths)
        units = self._numbered(found)[numbers]
        if others:
            units_of_others = [self._analyzer.units(texts[slot]) for slot in others]
            before = np.cumsum(sizes)[others]
            sizes[others] = [len(units) for units in units_of_others]
            more = self._numbered([unit for units in units_of_others for unit in units])
            units = np.insert(units, np.repeat(before, sizes[others]), more)
        self._rows.append(np.array(rows, np.int64) - self._first)
        self._units.append(units)
        self._sizes.append(sizes)
        self.units += len(units)

    def segment(self, stop: int) -> Segment:
        """The segment of the rows that were added, and up to ``stop``."""
        fields = len(self._weights)
        rows, units, sizes = np.concatenate(self._rows), np.concatenate(self._units), np.concatenate(self._sizes)
        slots = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
        hashes, of_units, terms_of_units, are_forms = self._terms()
        counts_of_units = np.bincount(of_units, ~are_forms, minlength=len(self._numbers))
        row_lengths = np.zeros(stop - self._first, np.float32)
        sums = np.bincount(slots, counts_of_units[units], minlength=len(sizes))
        row_lengths[rows] = sums.reshape(-1, fields) @ self._weights
        terms, slots = _repeated(units, slots, np.bincount(of_units, minlength=len(self._numbers)), terms_of_units)
        slots = slots[_by_number(terms, len(hashes))]
        terms = np.repeat(np.arange(len(hashes), dtype=np.uint32), np.bincount(terms, minlength=len(hashes)))
        starts = _starts(terms, slots)
        counts = np.diff(starts, append=len(terms)).astype(np.float64)
        terms, slots = terms[starts], slots[starts]
        if fields > 1:
            counts *= self._weights[slots % fields]
            slots = slots // fields
            starts = _starts(terms, slots)
            counts = np.add.reduceat(counts, starts) if len(starts) else counts
            terms, slots = terms[starts], slots[starts]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(terms, minlength=len(hashes)))])
        return _segment(self._first, stop, hashes, offsets, rows[slots], counts, row_lengths)

    def _numbered(self, units: Sequence[str]) -> npt.NDArray[np.uint32]:
        return np.fromiter(map(self._numbers.__getitem__, units), np.uint32, len(units))

    def _terms(self) -> tuple[npt.NDArray[np.uint64], Array, Array, npt.NDArray[np.bool_]]:
        """The hashes of all terms, ascending, and what is known of the terms of the units, one unit after the other.

        These are the number of the unit, the number of the term, and whether it is an exact form.
        """
        of_units = self._analyzer.terms_of_all(list(self._numbers))
        numbers = _Numbers()
        flat = np.array([*map(numbers.__getitem__, chain.from_iterable(of_units))], np.int64)
        are_forms = np.fromiter((term.startswith(FORM) for term in numbers), np.bool_, len(numbers))
        hashes, ranks = np.unique(term_hashes(numbers), return_inverse=True)
        sizes = np.fromiter(map(len, of_units), np.int64, len(of_units))
        return hashes, np.repeat(np.arange(len(sizes)), sizes), ranks.astype(np.uint32)[flat], are_forms[flat]


def _repeated(units: Array, slots: Array, sizes: Array, terms_of_units: Array) -> tuple[Array, Array]:
    """For each occurrence of a unit its terms, of which unit ``i`` has ``sizes[i]``, and for each of these its slot."""
    repeats = sizes[units]
    begins = (np.cumsum(sizes) - sizes)[units] - (np.cumsum(repeats) - repeats)
    places = np.repeat(begins, repeats)
    places += np.arange(len(places))
    return terms_of_units[places], np.repeat(slots, repeats)


def _by_number(numbers: Array, stop: int) -> Places:
    """The order of ``numbers``, all below ``stop``; equal ones stay in theirs. NumPy sorts two bytes at a time fast."""
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in range(16, stop.bit_length(), 16):
        order = order[np.argsort((numbers[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def merge(segments: Sequence[Segment]) -> Segment:
    """One segment of several, each of which begins where the one before ends.

    Raises:
        ValueError: they do not, or there are none, or one is damaged.
    """
    if not segments or any(one.stop != other.first for one, other in pairwise(segments)):
        raise ValueError("only segments of adjacent rows are merged")
    first, stop = segments[0].first, segments[-1].stop
    for segment in segments:
        segment.check()
    hashes = np.unique(np.concatenate([each.hashes for each in segments]))
    places = [np.searchsorted(hashes, each.hashes) for each in segments]
    sizes = np.zeros((len(segments), len(hashes)), np.int64)
    for i, segment in enumerate(segments):
        sizes[i, places[i]] = np.diff(segment.offsets.astype(np.int64))
    offsets = np.concatenate([[0], np.cumsum(sizes.sum(axis=0))])
    begins = offsets[:-1] + np.cumsum(sizes, axis=0) - sizes
    rows = np.empty(int(offsets[-1]), np.int64)
    counts = np.empty(len(rows), np.float64)
    for i, segment in enumerate(segments):
        shifts = begins[i, places[i]] - segment.offsets[:-1].astype(np.int64)
        targets = np.repeat(shifts, sizes[i, places[i]]) + np.arange(len(segment.rows))
        rows[targets] = segment.rows.astype(np.int64) + (segment.first - first)
        counts[targets] = segment.counts[segment.codes]
    lengths = np.concatenate([each.row_lengths for each in segments])
    return _segment(first, stop, hashes, offsets, rows, counts, lengths)


def renumbered(segment: Segment, rows: npt.NDArray[np.int64], first: int, stop: int) -> Segment:
    """The segment with other rows, from ``first`` up to ``stop``.

    Args:
        segment: the segment as it is.
        rows: for each of its rows the new number, ascending, or -1 for one that is dropped.
        first: the first row of the new segment.
        stop: the row after its last.

    Raises:
        ValueError: the rows are others than that, or the segment is damaged.
    """
    kept = np.flatnonzero(rows >= 0)
    new = rows[kept] - first
    if len(rows) != segment.stop - segment.first or (np.diff(new) <= 0).any():
        raise ValueError("the new numbers of the rows are not one for each, ascending")
    if len(new) and not (new[0] >= 0 and new[-1] < stop - first):
        raise ValueError(f"the new numbers of the rows are not between {first} and {stop}")
    segment.check()
    lengths = np.zeros(stop - first, np.float32)
    lengths[new] = segment.row_lengths[kept]
    stays = rows[segment.rows] >= 0
    before = np.concatenate([[0], np.cumsum(stays)])
    offsets = before[segment.offsets.astype(np.int64)]
    has_any = np.append(np.diff(offsets) > 0, True)
    counts = segment.counts[segment.codes[stays]]
    moved = rows[segment.rows[stays]] - first
    return _segment(first, stop, segment.hashes[has_any[:-1]], offsets[has_any], moved, counts, lengths)


def _segment(
    first: int,
    stop: int,
    hashes: npt.NDArray[np.uint64],
    offsets: Array,
    rows: npt.NDArray[np.int64],
    counts: npt.NDArray[np.float64],
    row_lengths: npt.NDArray[np.float32],
) -> Segment:
    """The segment of postings in order: ``rows`` from 0, and how often each has the term."""
    lengths = row_lengths[rows]
    count_values, count_places = _ranked(counts)
    length_values, row_places = _ranked(row_lengths)
    keys = count_places * len(length_values) + row_places[rows]
    pairs, codes = _ranked(keys)
    starts = offsets[:-1].astype(np.int64)
    return Segment(
        first=first,
        stop=stop,
        counts=count_values[pairs // max(1, len(length_values))].astype("<f8"),
        lengths=length_values[pairs % max(1, len(length_values))].astype("<f8"),
        hashes=hashes.astype("<u8"),
        offsets=offsets.astype("<u8"),
        largest=(np.maximum.reduceat(counts, starts) if len(starts) else counts).astype("<f4"),
        shortest=(np.minimum.reduceat(lengths, starts) if len(starts) else lengths).astype("<f4"),
        row_lengths=row_lengths.astype("<f4"),
        rows=rows.astype("<u4"),
        codes=codes.astype("<u2" if len(pairs) <= 1 << 16 else "<u4"),
        total=float(row_lengths.sum(dtype=np.float64)),
    )


def _starts(terms: Array, slots: Array) -> npt.NDArray[np.int64]:
    """Where each of the different pairs of a term and a slot, in order, begins."""
    differs = (terms[1:] != terms[:-1]) | (slots[1:] != slots[:-1])
    return np.concatenate([np.zeros(min(1, len(terms)), np.int64), np.flatnonzero(differs) + 1])


def _ranked(values: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """The different values, none negative, ascending, and the place of each value among them."""
    if not len(values):
        return values, np.empty(0, np.int64)
    whole = values.astype(np.int64)
    if whole.max() < _COMBINATIONS and (whole == values).all():
        occurs = np.zeros(int(whole.max()) + 1, bool)
        occurs[whole] = True
        return np.flatnonzero(occurs).astype(values.dtype), (np.cumsum(occurs) - 1)[whole]
    different = np.unique(values)
    return different, np.searchsorted(different, values)
