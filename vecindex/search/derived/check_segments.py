"""Checks that lexical segments are sound, and that some rows have the terms of their texts in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import CorruptIndex
from ...store.derived import SegmentFile
from ...store.snapshot import Snapshot
from ...store.vectors import Rows
from ..lexical.analysis import Analyzer
from ..lexical.building import Document, build
from ..lexical.segment import Segment
from ..lexicon import lexical_settings, load_segment, read_texts, usable_segments

_SAMPLE = 64
"""How many rows of each segment are analysed again."""


def check_segments(snapshot: Snapshot) -> list[CorruptIndex]:
    """What is wrong with a snapshot's segments."""
    found: list[CorruptIndex] = []
    analyzer = Analyzer(lexical_settings(snapshot.manifest))
    for file in usable_segments(snapshot.manifest):
        path = str(snapshot.folder / file.name)
        try:
            segment = load_segment(snapshot.folder, file)
            segment.check()
            wrong = _wrong_rows(snapshot, file, segment, analyzer)
            if wrong:
                raise CorruptIndex(path, f"its terms of row {min(wrong)} are not those of the text")
        except ValueError as error:
            found.append(CorruptIndex(path, str(error)))
        except CorruptIndex as error:
            found.append(error)
    return found


def _wrong_rows(snapshot: Snapshot, file: SegmentFile, segment: Segment, analyzer: Analyzer) -> list[int]:
    """Those of a sample of the rows whose texts have another length, or a term less or more often."""
    read: list[int] = []

    def documents() -> Iterator[Document]:
        for row in np.unique(np.linspace(file.first, file.stop - 1, _SAMPLE).astype(np.int64)).tolist():
            for document in read_texts(snapshot, row, row + 1, analyzer.settings):
                read.append(row)
                yield document

    expected = build(analyzer, file.first, file.stop, documents())
    at = np.array(read, np.int64) - file.first
    has_length = segment.row_lengths[at] == expected.row_lengths[at]
    wrong: list[int] = (file.first + at[~has_length]).tolist()
    for number, term in enumerate(map(segment.find, expected.hashes.tolist())):
        wrong += (file.first + _lacking(segment, term, expected, number)).tolist()
    return wrong


def _lacking(segment: Segment, term: int, expected: Segment, number: int) -> Rows:
    """The rows, from 0, that have a term in ``expected``, and not as often in the segment, where it is ``term``."""
    rows, codes = expected.postings(number)
    if term < 0:
        return rows.astype(np.int64)
    its_rows, its_codes = segment.postings(term)
    places = np.minimum(np.searchsorted(its_rows, rows), len(its_rows) - 1)
    is_same = (its_rows[places] == rows) & (segment.counts[its_codes[places]] == expected.counts[codes])
    lacking: Rows = rows[~is_same].astype(np.int64)
    return lacking
