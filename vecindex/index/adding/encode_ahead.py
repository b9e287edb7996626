"""Encodes the next texts while the last ones are being committed.

Texts that are stored unchanged, or that the cache knows, are not encoded. Encoding needs no lock: the writer's lock is
held for milliseconds a commit, whatever the speed of the model. One thread makes the commits, in the records' order.
The caller's thread reports each commit before the next one begins.

1. Killed, or Ctrl-C: whole commits stay. A commit that is running at Ctrl-C, or when reading raises an error, is
   awaited and reported.
2. A key comes in two commits: the second one was compared with what was stored before the first. What to write is
   decided again under the lock. A text that then lacks a vector is returned to be encoded, and nothing is written.
3. The index changes its model meanwhile: vectors of the old model are never used, and the texts are encoded again.
4. A text has no tokens, and so no vector. This is known only once it is encoded; then it is left out of its commit, or
   is the error that ends the ``add``. An earlier text under its key is then the last one, and needs a vector after all.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

from ...encoders.run.encoder import Encoder
from ...errors import SpaceMismatch, TextWithoutToken, VecindexError
from ...machine.threads import in_thread
from ...store.changes.legacy_keys import with_legacy_keys
from ...store.changes.reconcile import Incoming, reconcile
from ...store.changes.sources import Finished
from ...store.snapshot import Snapshot, Snapshots
from ...store.vectors import Vectors
from ...store.writer import MissingVectors, TextVector, Writer
from ...values.records import UNKNOWN, AddReport
from ...values.space import Space
from .long_texts import POLICIES
from .options import AddOptions, BadText
from .units import Unit, records_of, unit_windows

RECORDS_A_READ = 16_384
"""Records that are compared with the index at a time, and committed together if few must be encoded."""
SECONDS_A_COMMIT = 2.0
"""How long the encoding of one commit should take: short enough to lose little, long enough to sort by length.

Measured, padding tokens for each 100 real ones, by the number of sentences that are sorted together: 256: 8.6,
600: 4.2, 1,024: 2.8, 4,096: 0.9.
"""
TEXTS_TO_BEGIN_WITH = 64
"""Texts to encode first, to measure the speed of the model."""


@dataclass(slots=True)
class _Batch:
    """What one commit adds, and the texts to encode first."""

    units: list[Unit] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Incoming]:
        return records_of(self.units)

    def without(self, texts: set[str]) -> _Batch:
        """The batch without these texts; with a sentence, all of its text is left out."""
        return _Batch([unit for unit in self.units if not any(record.text in texts for record in unit.records)])


@dataclass(slots=True)
class _Running:
    """A batch that is being committed, and the vectors it seemed to need, all of them in ``space``."""

    batch: _Batch
    vectors: dict[str, TextVector]
    space: Space | None
    future: Future[AddReport]

    def touches(self, keys: set[str]) -> bool:
        """Whether it has a text with one of these keys."""
        return any(unit.key in keys for unit in self.batch.units)


class Pipeline:
    """One ``add`` of texts."""

    def __init__(
        self, snapshots: Snapshots, writer: Writer, encoder: Callable[[], Encoder], options: AddOptions
    ) -> None:
        """``encoder`` is called only when a text must be encoded."""
        self._snapshots = snapshots
        self._writer = writer
        self._encoder = encoder
        self._long_texts = POLICIES[options.on_long]
        self._progress = options.progress
        self._on_bad = options.on_bad
        self._keep_tokens = options.keep_tokens
        self._encodes = options.encode
        self._total = AddReport()
        # Those of this window and of the last one, which may not be committed yet; all in the space below.
        self._vectors: dict[str, TextVector] = {}
        self._unread: set[str] = set()  # all texts so far that have no tokens in this space
        self._space: Space | None = None
        self._renamed: dict[int, list[str]] = {}  # by source, the keys of earlier versions that were found
        self._left_out: set[int | None] = set()  # the sources of texts that were left out
        self._written_by: dict[str, str] | None = None
        self._texts_a_commit: int | None = None
        self._pool = ThreadPoolExecutor(1, "vecindex-commit")
        self._running: _Running | None = None

    def add(self, units: Iterable[Unit]) -> AddReport:
        """Adds the texts; what was committed stays, whatever is raised."""
        try:
            for window in unit_windows(units, RECORDS_A_READ):
                self._add(window)
            self._settle()
        except BaseException:
            with contextlib.suppress(VecindexError):  # the first error is the one to tell
                self._settle(again=False)
            raise
        finally:
            self._pool.shutdown()
        return self._total

    def _add(self, window: list[Unit]) -> None:
        """Adds one window; its last commit may still be on its way afterwards."""
        with self._snapshots.take() as snapshot:
            window = self._with_legacy_keys(window, snapshot)
        units = self._long_texts.units(window, self._snapshots, self._encoder)
        with self._snapshots.take() as snapshot:
            self._keep_to(snapshot.manifest.space)
            replacing = snapshot.replacing(records_of(units))
            changes = reconcile(
                *(replacing.incoming, replacing.followed.stored, _no_vector),
                *(self._long_texts.covers_all, self._encodes, replacing.at),
            )
            wanted = dict.fromkeys(item.text for item in changes.written if self._encodes)
            self._vectors = {text: self._vectors[text] for text in wanted if text in self._vectors}
            self._vectors |= self._cached(snapshot, [text for text in wanted if text not in self._vectors])
            is_stored = not (changes.written or replacing.changes(changes) or any(unit.finished for unit in units))
        if is_stored and (self._running is None or not self._running.touches({unit.key for unit in units})):
            self._settle()
            self._report(AddReport(unchanged=changes.unchanged, updated=changes.updated, duplicates=changes.duplicates))
            return
        missing = [text for text in wanted if text not in self._vectors]
        if self._texts_a_commit is None:
            self._encode(missing[:TEXTS_TO_BEGIN_WITH])
        for batch in self._batches(units, missing):
            self._encode([text for text in batch.missing if text not in self._vectors])
            self._settle()
            self._start(self._checked(batch))

    def _with_legacy_keys(self, window: list[Unit], snapshot: Snapshot) -> list[Unit]:
        """See `with_legacy_keys`; the keys are among those that their sources have, too."""
        records = records_of(window)
        renamed = with_legacy_keys(records, snapshot.find, snapshot.documents)
        if renamed is not records:
            for before, after in zip(records, renamed, strict=True):
                if after.source is not None and after.key != before.key:
                    self._renamed.setdefault(after.source, []).append(after.key)
            each = iter(renamed)
            window = [Unit([next(each) for _ in unit.records], unit.finished) for unit in window]
        for unit in window:
            if unit.finished is not None:
                for key in self._renamed.pop(unit.finished.state.id, ()):
                    unit.finished.seen.add(key)
        return window

    def _batches(self, units: Sequence[Unit], missing: Sequence[str]) -> Iterator[_Batch]:
        """The window in commits with about equally many texts to encode."""
        commits = max(1, -(-len(missing) // (self._texts_a_commit or RECORDS_A_READ)))
        limit = -(-len(missing) // commits)
        is_cut = any(unit.document is not None for unit in units)
        if len(missing) <= limit and not is_cut:
            yield _Batch(list(units), list(missing))
            return
        batch, told, left = _Batch(), dict[str, Unit](), set(missing)
        for unit in units:
            new = list(dict.fromkeys(record.text for record in unit.records if record.text in left))
            # A text replaces all of what was stored of it, so two different ones with one key need two commits.
            again = is_cut and bool(unit.records) and not _same(told.setdefault(unit.key, unit), unit)
            if again or (batch.missing and new and len(batch.missing) + len(new) > limit):
                yield batch
                batch, told = _Batch(), {unit.key: unit}
            batch.units.append(unit)
            batch.missing += new
            left.difference_update(new)
        yield batch

    def _keep_to(self, space: Space | None) -> None:
        """Forgets the vectors at hand if the index has another model now."""
        if space is not None and self._space is not None and space.fingerprint != self._space.fingerprint:
            self._vectors, self._unread = {}, set()
        self._space = space or self._space

    def _cached(self, snapshot: Snapshot, texts: Iterable[str]) -> dict[str, TextVector]:
        return {
            text: TextVector(vector, entry.lost, entry.digest)
            for text, (entry, vector) in snapshot.cached(texts).items()
            if not (entry.lost % UNKNOWN and self._long_texts.covers_all)
        }

    def _encode(self, texts: Iterable[str]) -> None:
        texts = [text for text in texts if text not in self._unread]
        if not texts:
            return
        encoder = self._encoder()
        self._keep_to(encoder.space)  # scenario 3: what is forgotten here, the commit will find to be missing
        started = perf_counter()
        left = texts
        while True:
            try:
                self._vectors |= self._long_texts.encode(
                    left, encoder, self._keep_tokens and partial(self._keep_tokens, encoder)
                )
                break
            except TextWithoutToken:  # for one text; only now look for others, since few models have any
                if not (unread := set(encoder.without_token(left))):
                    raise
                self._unread |= unread
                left = [text for text in left if text not in unread]
        if self._texts_a_commit is None or len(texts) >= TEXTS_TO_BEGIN_WITH:
            a_second = len(texts) / max(perf_counter() - started, 1e-9)
            self._texts_a_commit = max(1, min(encoder.texts_at_once, int(a_second * SECONDS_A_COMMIT)))
        self._written_by = encoder.environment()

    def _checked(self, batch: _Batch) -> _Batch:
        """The batch without its texts that have no tokens, and those that are too long if the policy refuses them.

        These are reported or raised; see scenario 4.
        """
        while unread := [record for record in batch.records if record.text in self._unread]:
            prompted = self._encoder().pooled_from("document") > 0
            for record in {record.item: record for record in unread}.values():
                key = record.key if record.document is None else record.document.key
                self._refuse(record, TextWithoutToken(record.text[:40], prompted, record.item, key, record.origin))
            batch = self._without(batch, unread)
        while refused := dict(self._long_texts.refused(batch.records, self._vectors, self._encoder)):
            for record, error in {record.item: (record, error) for record, error in refused.items()}.values():
                self._refuse(record, error)
            batch = self._without(batch, list(refused))
        return batch

    def _refuse(self, record: Incoming, error: BadText) -> None:
        """Reports a text that is left out, or raises the error."""
        if record.document is None:
            key = {"key": record.key} if record.named else {}
            metadata = None if record.metadata is None else json.loads(record.metadata)
            error.row = {"text": record.text, **key, "metadata": metadata}
        if self._on_bad is None:
            raise error
        self._on_bad(error)
        self._left_out.add(record.source)

    def _without(self, batch: _Batch, bad: Sequence[Incoming]) -> _Batch:
        """The batch without these texts; an earlier one under the key of one of them may need a vector now."""
        keys = {record.key for record in bad}
        batch = batch.without({record.text for record in bad})
        texts = (r.text for r in batch.records if r.key in keys and r.text not in self._vectors)
        self._encode(dict.fromkeys(texts))
        return batch

    def _start(self, batch: _Batch, known: Mapping[str, TextVector] | None = None) -> None:
        """Starts to commit a batch; ``known`` are vectors from outside this window."""
        if not batch.units:
            return
        records = batch.records
        texts = {record.text for record in records}
        vectors = {text: vector for text in texts if (vector := self._vectors.get(text)) is not None}
        vectors = {**(known or {}), **vectors}
        commit = partial(
            self._writer.add,
            *(records, vectors, self._space if self._encodes else None),
            written_by=self._written_by,
            whole=self._long_texts.covers_all,
            finished=[self._finished(unit.finished) for unit in batch.units if unit.finished is not None],
            encode=self._encodes,
        )
        self._running = _Running(batch, vectors, self._space, in_thread(self._pool, commit))

    def _finished(self, finished: Finished) -> Finished:
        """The same end of a source; one of which a text was left out is to be read again."""
        if finished.state.id not in self._left_out:
            return finished
        return replace(finished, state=replace(finished.state, digest=None))

    def _settle(self, again: bool = True) -> None:
        """Waits for the running commit and reports it; one that lacked vectors is made ``again``."""
        while (running := self._running) is not None:
            try:
                report = running.future.result()  # Ctrl-C may come here, and then this is called once more
            except MissingVectors as error:
                self._running = None
                if again:
                    self._find(error.texts)
                    batch = self._checked(running.batch)
                    same = _fingerprint(self._space) == _fingerprint(running.space)  # else scenario 3
                    self._start(batch, running.vectors if same else None)
            except SpaceMismatch:  # scenario 3
                self._running = None
                now = self._encoder().space  # raises it again where a model was named
                # Not with the vectors at hand: the next window may have been read after the switch.
                if not again or now.fingerprint == _fingerprint(running.space):
                    raise
                self._find([record.text for record in running.batch.records])
                self._start(self._checked(running.batch))
            except Exception:
                self._running = None
                raise
            else:
                self._running = None
                self._report(report)

    def _find(self, texts: Sequence[str]) -> None:
        """Gets the vectors of texts that only the commit, under the lock, found to be missing."""
        with self._snapshots.take() as snapshot:
            self._keep_to(snapshot.manifest.space)
            self._vectors |= self._cached(snapshot, [text for text in texts if text not in self._vectors])
        self._encode([text for text in dict.fromkeys(texts) if text not in self._vectors])

    def _report(self, report: AddReport) -> None:
        self._total = self._total + report
        if self._progress is not None:
            self._progress(self._total)


def _same(before: Unit, unit: Unit) -> bool:
    return before is unit or [(r.key, r.text, r.metadata) for r in before.records] == [
        (r.key, r.text, r.metadata) for r in unit.records
    ]


def _fingerprint(space: Space | None) -> str | None:
    return None if space is None else space.fingerprint


def _no_vector(row: int) -> Vectors:
    raise AssertionError("only vectors that were made elsewhere are compared")
