"""Keeps the stored token vectors of an open index between searches.

1. A row is in no segment, or its segment is missing or damaged: it has no stored token vectors, and whoever needs them
   encodes its text.
2. Rows get other numbers by a compaction, which also changes the number of the vector file, and with it the names of
   all segments: one that is kept never serves other rows than its own.
3. Another model's token vectors are of no use: segments carry the fingerprint of their embedding space.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from ...errors import CorruptIndex
from ...store.derived import SegmentFile
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot
from ..segment_files import Refused, load_file
from .token_codes import CODING, Codes, Vectors, decode, turned_back
from .token_segment import HEADER_BYTES, TokenSegment, load


class TokenStore:
    """The stored token vectors of one open index, for any number of threads."""

    def __init__(self) -> None:
        self._loaded: dict[str, TokenSegment] = {}
        self._refused = Refused("encoding the texts")

    def of(self, snapshot: Snapshot) -> StoredTokens:
        """The token vectors that are stored for the rows of a snapshot."""
        return StoredTokens(self, snapshot)

    def segment(self, folder: Path, file: SegmentFile) -> TokenSegment | None:
        """A stored segment; None if it is missing or damaged."""
        if self.is_damaged(file):
            return None
        found = self._loaded.get(file.name)
        if found is None:
            try:
                found = load_segment(folder, file)
            except CorruptIndex as error:
                self._refused.add_if_there(error)
                return None
            self._loaded[file.name] = found
        return found

    def keep_only(self, names: frozenset[str]) -> None:
        """Drops the other segments; they are loaded again when they are needed."""
        for name in list(self._loaded):  # other threads load segments meanwhile
            if name not in names:
                self._loaded.pop(name, None)

    def refuse(self, path: Path, reason: str) -> None:
        """Remembers that a segment is damaged."""
        self._refused.add(path, reason)

    def is_damaged(self, file: SegmentFile) -> bool:
        """Whether this segment was found to be damaged."""
        return file.name in self._refused.names

    def replaced(self, name: str) -> None:
        """A sound file has been published under this name, which a damaged one may have had."""
        self._refused.names.discard(name)
        self._loaded.pop(name, None)

    def forget(self) -> None:
        """Drops what is kept; it is read again when it is needed."""
        self._loaded.clear()
        self._refused.names.clear()


class StoredTokens:
    """The stored token vectors of the records of one snapshot, to be used while that is open.

    They are quantised, see `token_codes`, so that a text's token score from them differs a little from that of its
    exact vectors; on average by 0.005. It is the same in every search, whatever the other candidates are.
    """

    def __init__(self, store: TokenStore, snapshot: Snapshot) -> None:
        self._store = store
        self._folder = snapshot.folder
        self._dimension = snapshot.manifest.dimension
        self._files = usable_segments(snapshot.manifest)
        self._firsts = [file.first for file in self._files]
        store.keep_only(frozenset(file.name for file in self._files))

    def codes(self, row: int) -> Codes | None:
        """The codes of a row's tokens (tokens, bytes); None if none are stored, none of them if its text has none."""
        place = bisect_right(self._firsts, row) - 1
        if place < 0 or row >= self._files[place].stop:
            return None
        file = self._files[place]
        segment = self._store.segment(self._folder, file)
        if segment is None:
            return None
        if segment.dimension != self._dimension:
            self._store.refuse(self._folder / file.name, f"its vectors have {segment.dimension} dimensions")
            return None
        try:
            return segment.of_row(row)
        except ValueError as error:
            self._store.refuse(self._folder / file.name, str(error))
            return None

    def vectors(self, row: int) -> Vectors | None:
        """The vectors (tokens, D) float32 of a row's own tokens, of which its token score is; None if none are stored.

        They are in the order of `own_tokens`, which has the tokens' ids. With them and the query's exact unit vectors,
        `late_interaction.scores` and `pairs` give the score of a hit within 1e-5. A row that has none here is scored by
        the exact vectors of its text.
        """
        found = self.codes(row)
        return None if found is None else turned_back(decode(found, self._dimension))


def load_segment(folder: Path, file: SegmentFile) -> TokenSegment:
    """A stored segment; raises CorruptIndex."""
    return load_file(folder, file, load, HEADER_BYTES)


def usable_segments(manifest: Manifest) -> tuple[SegmentFile, ...]:
    """The stored segments, unless another model or another version of vecindex made them."""
    tokens = manifest.tokens
    if tokens is None or manifest.space is None:
        return ()
    if (tokens.settings, tokens.fingerprint) != (CODING, manifest.space.fingerprint):
        return ()
    return tokens.segments
