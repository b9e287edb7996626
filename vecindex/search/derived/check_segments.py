"""Checks that lexical segments are sound, and that some rows have the terms of their texts in them."""

from __future__ import annotations

import numpy as np

from ...errors import CorruptIndex
from ...store.snapshot import Snapshot
from ..lexical.analysis import Analyzer
from ..lexical.building import build
from ..lexical.segment import Segment
from ..lexicon import lexical_settings, load_segment, read_texts, usable_segments

_SAMPLE = 64
"""How many rows of each segment are analysed again."""


def check_segments(snapshot: Snapshot) -> list[CorruptIndex]:
    """What is wrong with a snapshot's segments."""
    found: list[CorruptIndex] = []
    settings = lexical_settings(snapshot.manifest)
    analyzer = Analyzer(settings)
    for file in usable_segments(snapshot.manifest):
        path = str(snapshot.folder / file.name)
        try:
            segment = load_segment(snapshot.folder, file)
            segment.check()
            for row in np.unique(np.linspace(file.first, file.stop - 1, _SAMPLE).astype(np.int64)).tolist():
                documents = list(read_texts(snapshot, row, row + 1, settings))
                if documents and not _has(segment, build(analyzer, row, row + 1, documents)):
                    raise CorruptIndex(path, f"its terms of row {row} are not those of the text")
        except ValueError as error:
            found.append(CorruptIndex(path, str(error)))
        except CorruptIndex as error:
            found.append(error)
    return found


def _has(segment: Segment, one: Segment) -> bool:
    """Whether a segment has the terms of ``one``, a segment of a single row, as often as that has them."""
    at = one.first - segment.first
    if float(segment.row_lengths[at]) != float(one.row_lengths[0]):
        return False
    for number, term in enumerate(map(segment.find, one.hashes.tolist())):
        rows, codes = segment.postings(term) if term >= 0 else (segment.rows[:0], segment.codes[:0])
        place = int(np.searchsorted(rows, at))
        if place == len(rows) or rows[place] != at:
            return False
        if segment.counts[codes[place]] != one.counts[one.postings(number)[1][0]]:
            return False
    return True
