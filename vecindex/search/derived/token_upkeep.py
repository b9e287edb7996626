"""Stores token vectors of records: they are made outside the writer's lock, a piece at a time, and then published.

1. An ``add`` has the token vectors of the texts that it encodes at hand, and keeps their codes here until the rows are
   committed and their segment is published. Nothing is encoded twice then.
2. Other rows lack theirs: they came with vectors, or in an ``add`` that was interrupted, or their segment was lost or
   damaged. Each ``add`` makes up for a bounded number of them; `Index.index_tokens` for all.
3. A compaction or a migration comes in between: the piece is dropped, and its rows are found to be missing again.
4. Killed: the segments that were published stay, and the rest is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...encoders.run.encoder import Encoder
from ...encoders.run.own_tokens import own_tokens, tokenized
from ...encoders.run.tokenized import Tokens
from ...errors import CorruptIndex
from ...machine.memory import memory_errors
from ...store.derived import SegmentFile, TokenFiles
from ...store.manifest import Manifest
from ...store.snapshot import Snapshot, Snapshots
from ...store.vectors import Rows
from ...store.writer import Writer
from ...values.records import TokenReport
from ...values.space import Space
from ..rerank.stored_tokens import TokenStore, load_segment, usable_segments
from ..rerank.token_codes import CODING, Codes, bytes_a_token, encode
from ..rerank.token_segment import TokenSegment, build, dump, merge, renumbered
from .kept_tokens import Kept
from .segment_life import SegmentLife

ROWS_A_PIECE = 1_024
"""So many rows, or fewer with this many characters, are encoded for one segment: little is lost when it is stopped."""
CHARACTERS_A_PIECE = 2_000_000
MOST_A_PIECE = 2**25
"""With more bytes of codes a piece ends sooner, but for those of a single text."""
MOST_TOKENS = 1_000_000
"""Segments with more are not merged any further."""
_TOKENS_AT_ONCE = 16_384

Progress = Callable[[int, int], None]
"""Called with the number of rows that have stored token vectors, and of all."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows of vector file number ``vectors`` that lost their token vectors: ranges, first and after the last."""

    vectors: int
    ranges: Sequence[tuple[int, int]]

    def within(self, manifest: Manifest, gaps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """What ``gaps`` and the ranges share; nothing if the rows have other numbers by now."""
        if manifest.vectors != self.vectors:
            return []
        shared = [(max(gap[0], first), min(gap[1], stop)) for gap in gaps for first, stop in self.ranges]
        return sorted((first, stop) for first, stop in shared if first < stop)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The rows from ``first`` up to ``stop``: what is known of their texts, and the texts to encode.

    ``rows`` has the text of each; None for one that needs no token vectors.
    """

    first: int
    rows: list[str | None]
    codes: dict[str, Codes]
    missing: list[str]

    @property
    def stop(self) -> int:
        return self.first + len(self.rows)

    @property
    def behind_missing(self) -> int:
        """The row after the last one whose text is to be encoded: new rows may follow old ones in a piece."""
        missing = set(self.missing)
        return max((row + 1 for row, text in enumerate(self.rows, self.first) if text in missing), default=self.stop)

    def cut(self, sizes: Mapping[str, int]) -> _Piece:
        """Its first rows, as many as `MOST_A_PIECE` allows; ``sizes`` are those of the codes that are to be made."""
        sizes = {**sizes, **{text: codes.nbytes for text, codes in self.codes.items()}}
        size = 0
        for count, text in enumerate(self.rows):
            size += 0 if text is None else sizes.get(text, 0)
            if size > MOST_A_PIECE and count:
                rows = self.rows[:count]
                left = set(rows)
                codes = {each: found for each, found in self.codes.items() if each in left}
                return _Piece(self.first, rows, codes, [each for each in self.missing if each in left])
        return self


class TokenUpkeep:
    """The upkeep of the stored token vectors of one open index."""

    def __init__(
        self,
        folder: Path,
        snapshots: Snapshots,
        store: TokenStore,
        writer: Callable[[], AbstractContextManager[Writer]],
        encoder: Callable[[], Encoder],
    ) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._store = store
        self._writer = writer
        self._encoder = encoder
        self.kept = Kept()
        self._skipped = (0, 0)
        self._life: SegmentLife[TokenSegment] = SegmentLife(
            *(TokenFiles.kind, folder, store, self._load, merge, renumbered, dump),
            size=lambda segment: segment.tokens,
            most=MOST_TOKENS,
        )

    def choose(self) -> bool:
        """Makes the index store token vectors from now on; False if it does."""
        return self._set(lambda now: now.tokens or TokenFiles(CODING, ""))

    def remove(self) -> bool:
        """Removes the stored token vectors, and stores none from now on; False if there were none."""
        return self._set(lambda now: None)

    @memory_errors("token vectors were made")
    def renew(
        self, most: float, progress: Progress | None = None, only: Dropped | None = None, meanwhile: bool = False
    ) -> int:
        """Gives rows their token vectors, and encodes at most so many texts for it; returns how many it encoded.

        Args:
            only: the rows that are looked at; None for all.
            meanwhile: pass over the rows that such a call has skipped before, until `end_add`: an ``add`` goes on.
        """
        encoded = 0
        vectors, passed = self._skipped if meanwhile else (0, 0)
        while True:
            with self._snapshots.take() as snapshot:
                manifest = snapshot.manifest
                space = manifest.space
                if manifest.tokens is None or space is None or space.is_external:
                    return encoded
                sound = self._sound(manifest)
                if progress is not None:
                    progress(sum(file.stop - file.first for file, _ in sound), manifest.rows)
                if manifest.vectors != vectors:  # scenario 3
                    vectors, passed = manifest.vectors, 0
                gaps = _gaps(sound, manifest.rows)
                if only is not None:
                    gaps = only.within(manifest, gaps)
                gap = next((gap for gap in gaps if gap[1] > passed), None)
                if gap is None:
                    return encoded
                first = max(gap[0], passed)
                piece = self._piece(snapshot, space, first, gap[1])
            if len(piece.missing) > most - encoded:
                passed = piece.behind_missing
                if meanwhile:
                    self._skipped = (vectors, passed)
                continue
            if piece.missing:
                encoder = self._encoder()
                if encoder.space.fingerprint != space.fingerprint:
                    continue  # scenario 3
                tokens = dict(zip(piece.missing, tokenized(encoder, piece.missing, "document"), strict=True))
                width = bytes_a_token(space.dimension)
                piece = piece.cut({text: width * len(each.ids) for text, each in tokens.items()})
                piece.codes.update(_codes_of(encoder, {text: tokens[text] for text in piece.missing}))
                encoded += len(piece.missing)
            self._publish(manifest, space, sound, piece)

    def report(self, encoded: int) -> TokenReport:
        """What is stored, after so many texts were encoded for it."""
        with self._snapshots.borrow() as catalog:
            manifest = catalog.manifest()
        sound = self._sound(manifest)
        rows = sum(file.stop - file.first for file, _ in sound)
        tokens, size = (sum(getattr(segment, what) for _, segment in sound) for what in ("tokens", "size"))
        return TokenReport(rows, tokens, size, bytes_a_token(manifest.dimension), encoded)

    def end_add(self) -> None:
        """Forgets what was kept for an ``add``, whether that succeeded or not."""
        self.kept.forget()
        self._skipped = (0, 0)

    def drop_damaged(self) -> Dropped | None:
        """Checks all segments, and removes those that are damaged or missing; returns their rows, None for none.

        Segments of another model or another version of vecindex are removed too, but they are no damage.
        """
        with self._snapshots.borrow() as catalog:
            manifest = catalog.manifest()
        files = manifest.tokens
        if files is None:
            return None
        usable = usable_segments(manifest)
        unusable = [file for file in files.segments if file not in usable]
        bad: list[SegmentFile] = []
        for file in usable:
            try:
                segment = load_segment(self._folder, file)  # as it is now, and not as it was once mapped
                segment.check(manifest.dimension)
            except CorruptIndex:
                bad.append(file)
            except ValueError as error:
                self._store.refuse(self._folder / file.name, str(error))
                bad.append(file)
        if bad or unusable:
            with self._writer() as writer:
                is_done = writer.set_derived(manifest.vectors, lambda now: _without(now, [*bad, *unusable]))
            if bad and is_done:
                return Dropped(manifest.vectors, [(file.first, file.stop) for file in bad])
        return None

    def renumbered(self, manifest: Manifest, live: Rows) -> TokenFiles | None:
        """Publishes the segments that ``manifest`` names for its rows, which were the rows ``live`` before."""
        tokens = manifest.tokens
        return tokens and self._life.moved(tokens, usable_segments(manifest), manifest, live)

    def _set(self, choose: Callable[[Manifest], TokenFiles | None]) -> bool:
        while True:
            with self._snapshots.borrow() as catalog:
                manifest = catalog.manifest()
            if choose(manifest) == manifest.tokens:
                return False
            with self._writer() as writer:
                if writer.set_derived(manifest.vectors, lambda now: replace(now, tokens=choose(now))):
                    return True
            # A compaction came in between.

    def _load(self, folder: Path, file: SegmentFile) -> TokenSegment:
        segment = self._store.segment(folder, file)
        if segment is None:
            raise CorruptIndex(str(folder / file.name), "it is missing or damaged")
        return segment

    def _sound(self, manifest: Manifest) -> list[tuple[SegmentFile, TokenSegment]]:
        return self._life.sound(usable_segments(manifest))

    def _piece(self, snapshot: Snapshot, space: Space, first: int, stop: int) -> _Piece:
        """The first rows of those from ``first`` up to ``stop``."""
        rows: list[str | None] = []
        characters = 0
        for text in _texts(snapshot, first, stop):
            rows.append(text)
            characters += len(text or "")
            if len(rows) >= ROWS_A_PIECE or characters >= CHARACTERS_A_PIECE:
                break
        wanted = dict.fromkeys(text for text in rows if text is not None)
        codes = {text: found for text in wanted if (found := self.kept.get(text, space)) is not None}
        return _Piece(first, rows, codes, [text for text in wanted if text not in codes]).cut({})

    def _publish(
        self, manifest: Manifest, space: Space, sound: list[tuple[SegmentFile, TokenSegment]], piece: _Piece
    ) -> None:
        nothing = np.empty((0, bytes_a_token(manifest.dimension)), np.uint8)
        codes = [nothing if text is None else piece.codes[text] for text in piece.rows]
        new = build(piece.first, codes, manifest.dimension)
        before = [each for each in sound if each[0].stop <= piece.first]
        after = [file for file, _ in sound if file.first >= piece.stop]
        left = list(before)
        try:
            segment = self._life.merged(left, new)
        except ValueError:
            left, segment = before, new

        def choose(now: Manifest) -> Manifest:
            if (now.tokens, now.space) != (manifest.tokens, space):  # scenario 3, or another process was first
                return now
            file = self._life.write(now, segment)
            files = (*(each for each, _ in left), file, *after)
            return replace(now, tokens=TokenFiles(CODING, space.fingerprint, files))

        with self._writer() as writer:
            writer.set_derived(manifest.vectors, choose)
        with self._snapshots.borrow() as catalog:
            now = catalog.manifest()
        if now.tokens is not None and now.vectors == manifest.vectors and _has(now.tokens, piece):
            self.kept.published(piece.codes, space)


def describe_tokens(manifest: Manifest) -> str | None:
    """The stored token vectors in half a line, for people."""
    if manifest.tokens is None:
        return None
    return f"{bytes_a_token(manifest.dimension)} bytes a token, {manifest.tokens.covered} rows"


def _codes_of(encoder: Encoder, tokens: Mapping[str, Tokens]) -> dict[str, Codes]:
    """The codes of the own ones of each text's tokens."""
    found: dict[str, Codes] = {}
    some: list[str] = []
    size = 0
    ordered = sorted(tokens, key=lambda text: -len(tokens[text].ids))  # similar lengths take less padding
    for place, text in enumerate(ordered, 1):
        some.append(text)
        size += len(tokens[text].ids)
        if place == len(ordered) or size >= _TOKENS_AT_ONCE:
            own = own_tokens(encoder, [tokens[each] for each in some], "document")
            found |= {each: encode(one.vectors) for each, one in zip(some, own, strict=True)}
            some, size = [], 0
    return found


def _texts(snapshot: Snapshot, first: int, stop: int) -> Iterator[str | None]:
    """For each of the rows its text; None for one that needs no token vectors.

    It is dead, or has no vector, or is of a text of which the model knows no token.
    """
    row = first
    for record in snapshot.records_within(first, stop):
        yield from (None for _ in range(row, record.row))
        yield None if record.unknown or not record.has_vector else record.text
        row = record.row + 1
    yield from (None for _ in range(row, stop))


def _gaps(sound: Sequence[tuple[SegmentFile, TokenSegment]], rows: int) -> list[tuple[int, int]]:
    """The ranges of rows, first and after the last, that are in none of the segments."""
    stops = [0, *(file.stop for file, _ in sound)]
    firsts = [*(file.first for file, _ in sound), rows]
    return [(stop, first) for stop, first in zip(stops, firsts, strict=True) if stop < first]


def _has(tokens: TokenFiles, piece: _Piece) -> bool:
    return any(file.first <= piece.first and piece.stop <= file.stop for file in tokens.segments)


def _without(manifest: Manifest, files: Sequence[SegmentFile]) -> Manifest:
    """The manifest without these segments."""
    tokens = manifest.tokens
    if tokens is None:
        return manifest
    return replace(manifest, tokens=replace(tokens, segments=tuple(f for f in tokens.segments if f not in files)))
