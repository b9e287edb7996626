"""Makes segments: from texts, from several segments, and from one whose rows get other numbers.

However a segment was made, its bytes are the same as if it were built of its texts at once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .analysis import FORM, Analyzer
from .segment import Array, Segment, term_hash

_UNITS_A_BLOCK = 2_000_000
"""How many words are put in order at once; they take about 120 bytes each."""
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
    block = _Block(analyzer)
    made: list[Segment] = []
    begin, last = first, first - 1
    for row, texts in documents:
        if not last < row < stop:
            raise ValueError(f"row {row} comes after row {last}, in a segment of rows {first} up to {stop}")
        last = row
        if len(block.units) >= _UNITS_A_BLOCK:
            made.append(block.segment(begin, row))
            block, begin = _Block(analyzer), row
        block.add(row - begin, texts)
    made.append(block.segment(begin, stop))
    return made[0] if len(made) == 1 else merge(made)


class _Numbers(dict[str, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class _Block:
    """Words of rows that are put in order together."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._weights = np.array(analyzer.settings.weights, np.float64)
        self._numbers = _Numbers()
        self.units = array("I")
        self._rows = array("q")
        self._sizes = array("q")

    def add(self, row: int, texts: Sequence[str]) -> None:
        """Adds a row, counted from the segment's first."""
        if len(texts) != len(self._weights):
            raise ValueError(f"{len(texts)} texts for {len(self._weights)} fields")
        self._rows.append(row)
        for text in texts:
            units = self._analyzer.units(text)
            self.units.extend(map(self._numbers.__getitem__, units))
            self._sizes.append(len(units))

    def segment(self, first: int, stop: int) -> Segment:
        """The segment of all rows that were added."""
        fields = len(self._weights)
        slots = np.repeat(np.arange(len(self._sizes)), np.frombuffer(self._sizes, np.int64))
        of_units = [self._analyzer.terms_of(unit) for unit in self._numbers]
        lengths = np.array([sum(not term.startswith(FORM) for term in terms) for terms in of_units], np.float64)
        lengths = lengths[np.frombuffer(self.units, np.uint32)]
        sizes = np.bincount(slots, lengths, minlength=len(self._sizes)).reshape(-1, fields)
        hashes, terms, slots = self._terms(of_units, slots)
        row_lengths = np.zeros(stop - first, np.float32)
        numbers = np.frombuffer(self._rows, np.int64)
        row_lengths[numbers] = sizes @ self._weights

        bits = max(1, len(self._sizes)).bit_length()
        keys = np.sort(terms.astype(np.uint64) << np.uint64(bits) | slots.astype(np.uint64))
        starts = _starts(keys)
        counts = np.diff(np.append(starts, len(keys))).astype(np.float64)
        keys = keys[starts]
        if fields > 1:
            slots = (keys & np.uint64((1 << bits) - 1)).astype(np.int64)
            keys = (keys >> np.uint64(bits) << np.uint64(bits)) | (slots // fields).astype(np.uint64)
            starts = _starts(keys)
            counts = np.add.reduceat(counts * self._weights[slots % fields], starts) if len(starts) else counts
            keys = keys[starts]
        found = (keys >> np.uint64(bits)).astype(np.int64)
        rows = numbers[(keys & np.uint64((1 << bits) - 1)).astype(np.int64)]
        offsets = np.searchsorted(found, np.arange(len(hashes) + 1))
        return _segment(first, stop, hashes, offsets, rows, counts, row_lengths)

    def _terms(self, of_units: Sequence[Sequence[str]], slots: Places) -> tuple[npt.NDArray[np.uint64], Places, Places]:
        """The hashes of all terms, ascending, and for each occurrence the number of its term and its slot."""
        terms = _Numbers()
        flat = np.array([terms[term] for each in of_units for term in each], np.int64)
        sizes = np.array([len(each) for each in of_units], np.int64)
        hashes, ranks = np.unique(np.array([term_hash(term) for term in terms], np.uint64), return_inverse=True)
        flat = ranks[flat]
        units = np.frombuffer(self.units, np.uint32)
        repeats = sizes[units]
        begins = (np.cumsum(sizes) - sizes)[units] - (np.cumsum(repeats) - repeats)
        places = np.repeat(begins, repeats) + np.arange(int(repeats.sum()))
        return hashes, flat[places], np.repeat(slots, repeats)


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


def _starts(keys: Array) -> npt.NDArray[np.int64]:
    """Where each of the different ``keys``, sorted, begins."""
    if not len(keys):
        return np.empty(0, np.int64)
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])


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
