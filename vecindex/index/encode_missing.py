"""Gives records that were stored without a vector one, in bounded commits.

1. Killed, or Ctrl-C: whole commits stay, and the next call goes on with the rest.
2. A record was changed or deleted while its text was encoded: the commit leaves it out. If it has a new row without a
   vector by then, that row comes later.
3. A compaction or a migration comes in between: what is missing is looked up again.
4. The model finds no token in a text: the record stays without a vector, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import numpy as np

from ..encoders.run.encoder import Encoder
from ..errors import SpaceMismatch, TextWithoutToken
from ..store.snapshot import Snapshot, Snapshots
from ..store.stored import Stored
from ..store.writer import TextVector, Writer
from ..values.records import UNKNOWN, EncodeReport
from .adding.encode_ahead import SECONDS_A_COMMIT, TEXTS_TO_BEGIN_WITH
from .adding.long_texts import POLICIES
from .adding.options import KeepTokens

Progress = Callable[[int, int], None]
"""Called with the number of records that were looked at, and of those that had no vector at first."""


def encode_missing(
    snapshots: Snapshots,
    writer: Writer,
    encoder: Callable[[], Encoder],
    keep_tokens: KeepTokens | None,
    committed: Callable[[], None],
    progress: Progress | None,
) -> EncodeReport:
    """See `Index.encode_missing`; ``committed`` is called after each commit."""
    vectors = passed = -1
    done, total, size = 0, None, TEXTS_TO_BEGIN_WITH
    written: list[int] = []
    while True:
        with snapshots.take() as snapshot:
            manifest = snapshot.manifest
            if manifest.vectors != vectors:  # scenario 3
                vectors, passed = manifest.vectors, -1
            rows = snapshot.rows_without_vector()
            rows = rows[rows > passed]
            total = len(rows) if total is None else total
            if progress is not None:
                progress(min(done, total), total)
            if not len(rows):
                break
            records = snapshot.fetch(rows[:size].tolist())
            known = _cached(snapshot, records)
        model = encoder()
        if manifest.space is not None and manifest.space.fingerprint != model.space.fingerprint:
            continue  # scenario 3
        started = perf_counter()
        left = list(dict.fromkeys(record.text for record in records if record.text not in known))
        found = known | _encoded(left, model, keep_tokens)
        if left:
            size = _texts_a_commit(len(left), perf_counter() - started, model)
        try:
            given = writer.encode([record.key for record in records], found, model.space, model.environment())
        except SpaceMismatch:
            if encoder().space.fingerprint == model.space.fingerprint:
                raise
            continue  # scenario 3
        written += [each.lost for each in given]
        done, passed = done + len(records), records[-1].row
        committed()
    with snapshots.take() as snapshot:
        missing = len(snapshot.rows_without_vector())
    lost = np.array(written, np.int64)
    cut = lost % UNKNOWN
    counts = (len(lost), np.count_nonzero(cut), cut.sum(), np.count_nonzero(lost >= UNKNOWN), missing)
    return EncodeReport(*map(int, counts))


def _cached(snapshot: Snapshot, records: Sequence[Stored]) -> dict[str, TextVector]:
    found = snapshot.cached(record.text for record in records)
    return {text: TextVector(vector, entry.lost, entry.digest) for text, (entry, vector) in found.items()}


def _encoded(texts: Sequence[str], encoder: Encoder, keep_tokens: KeepTokens | None) -> dict[str, TextVector]:
    """The vectors of those of the texts that have a token."""
    keep = keep_tokens and partial(keep_tokens, encoder)
    while texts:
        try:
            return POLICIES["truncate"].encode(texts, encoder, keep)
        except TextWithoutToken:
            if not (unread := set(encoder.without_token(texts))):
                raise
            texts = [text for text in texts if text not in unread]
    return {}


def _texts_a_commit(texts: int, seconds: float, encoder: Encoder) -> int:
    """How many texts to encode for the next commit, after so many took so long."""
    return max(1, min(encoder.texts_at_once, int(texts / max(seconds, 1e-9) * SECONDS_A_COMMIT)))
