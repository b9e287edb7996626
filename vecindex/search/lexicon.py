"""Keeps the lexical side of an open index between searches: the segments that are stored, and one of the newest rows.

1. Rows behind the stored segments, or all rows where a segment is missing or damaged, are read and analysed when they
   are first searched, and kept; the next change stores a segment of them.
2. A search of an older snapshot than the one that rows were analysed in analyses them itself: its records may have been
   deleted since.
3. A compaction gives the rows and the vector file other numbers: nothing is kept across it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import CorruptIndex, VecindexError
from ..store.derived import SegmentFile
from ..store.generation import Allowed
from ..store.manifest import Manifest
from ..store.snapshot import Snapshot
from ..store.stored import Stored
from .dense.exact import Ranking, Rows
from .lexical.analysis import Analyzer
from .lexical.building import Document, build, merge
from .lexical.postings import Contribution, Postings
from .lexical.query import LexicalQuery, parse_query
from .lexical.segment import HEADER_BYTES, Segment, load
from .lexical.settings import LexicalSettings
from .segment_files import Refused, load_file

_RECORDS_A_READ = 256
_TAILS = 8
"""How many segments of new rows are kept apart; more are merged."""
T = TypeVar("T")


def lexical_settings(manifest: Manifest) -> LexicalSettings:
    """How the index's texts become terms: as chosen, or the defaults."""
    return LexicalSettings() if manifest.lexical is None else _settings(manifest.lexical.settings)


@lru_cache(8)
def _settings(text: str) -> LexicalSettings:
    """Settings from JSON, which every search asks for."""
    try:
        return LexicalSettings.from_json(text)
    except ValueError:  # settings of a newer version, or damaged: segments are made again
        return LexicalSettings()


class Lexicon:
    """The lexical side of one open index, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: _Side | None = None
        self._refused = Refused("reading the texts")
        self._analyzer: Analyzer | None = None

    def analyzer(self, manifest: Manifest) -> Analyzer:
        """Makes terms as the index does."""
        settings, known = lexical_settings(manifest), self._analyzer
        if known is None or known.settings != settings:
            self._analyzer = known = Analyzer(settings)
        return known

    def of(self, snapshot: Snapshot) -> Words:
        """The lexical side of a snapshot."""
        return Words(self, snapshot)

    def ask(self, snapshot: Snapshot, question: Callable[[Postings], T]) -> T:
        """What ``question`` finds in the postings of a snapshot; without the stored ones, if these are damaged."""
        try:
            return question(self._side(snapshot).postings)
        except VecindexError:
            raise
        except ValueError as error:
            for file in usable_segments(snapshot.manifest):
                self._refused.add(snapshot.folder / file.name, str(error))
            return question(self._side(snapshot).postings)

    def is_damaged(self, file: SegmentFile) -> bool:
        """Whether this segment was found to be damaged."""
        return file.name in self._refused.names

    def replaced(self, name: str) -> None:
        """A sound file has been published under this name, which a damaged one may have had."""
        self._refused.names.discard(name)

    def forget(self) -> None:
        """Drops what is kept, which is read again when it is needed."""
        self._newest = None
        self._refused.names.clear()

    def _side(self, snapshot: Snapshot) -> _Side:
        newest = self._newest
        if newest is not None and newest.manifest == snapshot.manifest and not self._refused.names & newest.names:
            return newest
        with self._lock:
            newest = self._newest
            if newest is not None and newest.manifest == snapshot.manifest and not self._refused.names & newest.names:
                return newest
            side = self._made(snapshot, newest)
            if newest is None or newest.manifest.generation <= side.manifest.generation:
                self._newest = side
            return side

    def _made(self, snapshot: Snapshot, before: _Side | None) -> _Side:
        manifest = snapshot.manifest
        stored, tail = {}, []
        if before is not None and before.precedes(manifest):
            stored, tail = before.stored, before.tail
        kept: dict[str, Segment] = {}
        rows = 0
        for file in usable_segments(manifest):
            segment = stored.get(file.name) or self._loaded(snapshot, file)
            if segment is None or file.name in self._refused.names:
                break
            kept[file.name], rows = segment, file.stop
        tail = [segment for segment in tail if segment.first >= rows]
        if not tail or tail[0].first != rows:
            tail = []
        end = tail[-1].stop if tail else rows
        if end < manifest.rows:
            documents = read_texts(snapshot, end, manifest.rows, self.analyzer(manifest).settings)
            tail = [*tail, build(self.analyzer(manifest), end, manifest.rows, documents)]
            if len(tail) > _TAILS:
                tail = [merge(tail)]
        return _Side(manifest, kept, tail, Postings([*kept.values(), *tail], snapshot.allowed(None).bitmap))

    def _loaded(self, snapshot: Snapshot, file: SegmentFile) -> Segment | None:
        if self.is_damaged(file):
            return None
        try:
            return load_segment(snapshot.folder, file)
        except CorruptIndex as error:
            self._refused.add_if_there(error)
            return None


class Words:
    """The words of the records of one snapshot, to be used while that is open."""

    def __init__(self, lexicon: Lexicon, snapshot: Snapshot) -> None:
        self._lexicon = lexicon
        self._snapshot = snapshot
        self._analyzer = lexicon.analyzer(snapshot.manifest)

    def query(self, text: str) -> LexicalQuery:
        """A query as the index's texts are read."""
        return parse_query(text, self._analyzer)

    def asked(self, text: str, allowed: Allowed) -> LexicalQuery:
        """A query; if none of the ``allowed`` rows has all its phrases, without these, but with their words."""
        query = self.query(text)
        if not query.phrases or not allowed.count or len(self.best(query, 1, allowed).rows):
            return query
        return replace(query, phrases=())

    def best(self, query: LexicalQuery, k: int, allowed: Allowed, least: float = 0.0) -> Ranking:
        """The k best of the allowed rows that match and score at least so much, with their BM25 scores (n,) float64."""
        phrases = partial(self._have_phrases, query)
        return Ranking(*self._ask(lambda postings: postings.top(query, k, allowed.bitmap, phrases, least)))

    def scores(self, query: LexicalQuery, rows: Rows) -> npt.NDArray[np.float64]:
        """The BM25 scores of these rows, 0 for one that has no word of the query."""
        return self._ask(lambda postings: postings.scores(query, rows))

    def contributions(self, query: LexicalQuery, row: int) -> list[Contribution]:
        """What each of the query's terms adds to a row's score, for those that the row has."""
        return self._ask(lambda postings: postings.contributions(query, row))

    def whole(self, query: LexicalQuery) -> float:
        """The BM25 score of a text of the query's words alone; see `Postings.whole`."""
        return self._ask(lambda postings: postings.whole(query))

    def allowed(self, query: LexicalQuery, allowed: Allowed) -> Allowed:
        """Those of the ``allowed`` rows that have the query's phrases, and no words or phrases that it leaves out."""
        if not (query.phrases or query.without or query.without_phrases):
            return allowed
        mask = self._ask(lambda postings: postings.matching(query, allowed.bitmap))
        in_doubt = mask if query.phrases else np.zeros(len(mask), np.bool_)
        for phrase in query.without_phrases:
            in_doubt = in_doubt | mask & self._ask(partial(Postings.having_all, terms=phrase))
        rows = np.flatnonzero(in_doubt)
        mask[rows] = self._have_phrases(query, rows)
        return Allowed(int(np.count_nonzero(mask)), np.packbits(mask, bitorder="little"), len(mask))

    def _ask(self, question: Callable[[Postings], T]) -> T:
        return self._lexicon.ask(self._snapshot, question)

    def _have_phrases(self, query: LexicalQuery, rows: Rows) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(rows), np.bool_)
        for start in range(0, len(rows), _RECORDS_A_READ):
            some = self._snapshot.fetch(rows[start : start + _RECORDS_A_READ].tolist())
            for place, record in enumerate(some, start):
                texts = _texts(self._snapshot, record, self._analyzer.settings)
                found[place] = query.holds_phrases(self._analyzer, texts)
        return found


class _Side:
    """The segments of one generation: those ``stored``, by the name of their file, and the ``tail`` of newer rows."""

    def __init__(self, manifest: Manifest, stored: dict[str, Segment], tail: list[Segment], postings: Postings) -> None:
        self.manifest, self.stored, self.tail, self.postings = manifest, stored, tail, postings
        self.names = frozenset(stored)

    def precedes(self, later: Manifest) -> bool:
        """Whether the segments serve a ``later`` generation too."""
        mine = self.manifest
        return (
            (mine.vectors, mine.created) == (later.vectors, later.created)
            and mine.generation <= later.generation
            and lexical_settings(mine) == lexical_settings(later)
        )


def read_texts(snapshot: Snapshot, first: int, stop: int, settings: LexicalSettings) -> Iterator[Document]:
    """The rows of the records from ``first`` up to ``stop``, and of each what lexical search reads."""
    for record in snapshot.records_within(first, stop):
        yield record.row, _texts(snapshot, record, settings)


def load_segment(folder: Path, file: SegmentFile) -> Segment:
    """A stored segment; raises CorruptIndex."""
    return load_file(folder, file, load, HEADER_BYTES)


def _texts(snapshot: Snapshot, record: Stored, settings: LexicalSettings) -> tuple[str, ...]:
    return settings.texts(record.text, snapshot.metadata(record) if settings.fields else {})


def usable_segments(manifest: Manifest) -> tuple[SegmentFile, ...]:
    """The stored segments, unless another version of vecindex or of the stemming library made their terms."""
    lexical = manifest.lexical
    if lexical is None or lexical.fingerprint != lexical_settings(manifest).fingerprint():
        return ()
    return lexical.segments
