"""Upkeep after a change: makes codes of new rows and the background, and compacts an index with many dead rows.

1. Codes are built outside the writer's lock, of committed rows, which never change: no writer waits for them.
2. A compaction came in between: its rows are numbered differently, and it made codes of its own. The ones built here
   are dropped.
3. The process was killed while publishing: a temporary file, or files that no manifest names, are left. The next writer
   removes both.
4. The files were deleted or damaged: searches go without them, and the next change makes them again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING

import numpy as np

from ...encoders.run.encoder import Encoder
from ...errors import InvalidInput, ModelNotFound, VecindexError
from ...machine.memory import memory_errors
from ...machine.threads import in_thread
from ...store.compact import compact
from ...store.derived import CodesFiles
from ...store.disk.files import is_file
from ...store.manifest import Manifest
from ...store.snapshot import Snapshots
from ...store.vectors import Rows, Sums, Vectors
from ...store.writer import Writer
from ...values.records import CompactReport
from ..background import background, covered, sampled
from ..dense.codes import Codes, build, extend
from ..dense.settings import CodeSettings, default_settings
from ..dense.tune import QUERIES, Trial, tune
from ..view import Accelerator, background_of, near, stored_background
from .codes_files import check_vectors, loaded_codes, with_vectors, write_codes
from .recent_records import RecentRecords

if TYPE_CHECKING:
    from ...encoders.run.tokenized import FloatArray, Tokens
    from ..lexical.settings import LexicalSettings
    from ..lexicon import Lexicon
    from ..rerank.stored_tokens import TokenStore
    from .lexical_upkeep import LexicalUpkeep
    from .token_upkeep import TokenUpkeep

_log = logging.getLogger("vecindex")

ROWS_FOR_CODES = 8_192
"""The number of rows from which codes are made, a little before they pay (`plan.CODED_ROWS`)."""
TAIL = 4_096
_TAIL_SHARE = 32
TAIL_WITHIN_AN_ADD = 16_384
LEXICAL_TAIL = 4_096
"""Up to so many new rows are left to searches, which read and analyse them in 25 ms."""
LEXICAL_TAIL_WITHIN_AN_ADD = 65_536
"""So many rows cost another process's first search by words half a second; each segment costs the ``add`` a merge."""
RECORDS_FOR_BACKGROUND = 1_024
"""With fewer, a search makes the background when it needs it: that takes less time than encoding the query."""
TOKENS_WITHIN_AN_ADD = 4_096
TEXTS_MADE_UP = 4_096
"""How many texts are encoded at the end of an ``add`` for rows whose token vectors are missing: some seconds."""
TEXTS_MADE_UP_MEANWHILE = 64
_DEAD_SHARE = 0.3
_DEAD = 1_024

MakeWriter = Callable[[], AbstractContextManager[Writer]]


def is_compaction_due(manifest: Manifest) -> bool:
    """Whether there are enough dead rows for a compaction to be worth the work."""
    return manifest.dead >= _DEAD and manifest.dead > _DEAD_SHARE * manifest.rows


def is_extension_due(manifest: Manifest, is_last: bool) -> bool:
    """Whether enough rows have no codes yet; ``is_last`` is False while the same ``add`` goes on."""
    if manifest.rows < ROWS_FOR_CODES or settings_of(manifest) is None:
        return False
    coded = manifest.codes.rows if manifest.codes else 0
    limit = max(TAIL, coded // _TAIL_SHARE) if is_last else max(TAIL_WITHIN_AN_ADD, coded // 4)
    return manifest.rows - coded >= limit or (coded == 0 and is_last)


def is_segment_due(manifest: Manifest, is_last: bool) -> bool:
    """Whether enough rows are in no segment yet; ``is_last`` is False while the same ``add`` goes on."""
    stored = manifest.lexical.rows if manifest.lexical else 0
    return manifest.rows - stored >= (LEXICAL_TAIL if is_last else LEXICAL_TAIL_WITHIN_AN_ADD)


def is_background_due(manifest: Manifest, vectors: int) -> bool:
    """Whether there is no background yet of so many ``vectors``, or one of at most half or more than twice as many."""
    now, stored = covered(vectors), stored_background(manifest.background)
    if stored is None:
        return now >= RECORDS_FOR_BACKGROUND
    return now > stored.records or 2 * now < stored.records


def are_tokens_due(manifest: Manifest) -> bool:
    """Whether enough new rows lack their token vectors while an ``add`` goes on."""
    return manifest.tokens is not None and manifest.rows - manifest.tokens.rows >= TOKENS_WITHIN_AN_ADD


def settings_of(manifest: Manifest) -> CodeSettings | None:
    """The settings of the index's codes: the tuned ones, or the defaults for its dimension; None for exact search."""
    if manifest.codes is not None:
        with suppress(ValueError):  # codes with invalid settings are damaged, and are made again
            return CodeSettings.from_json(manifest.codes.settings)
    return default_settings(manifest.dimension) if manifest.space else None


def describe(manifest: Manifest) -> str | None:
    """The codes in half a line, for people."""
    if manifest.codes is None:
        return None
    try:
        settings = CodeSettings.from_json(manifest.codes.settings)
    except ValueError:
        return f"damaged, {manifest.codes.rows} rows"
    measured = f", recall {settings.recall:.4f} measured on {settings.measured}" if settings.recall is not None else ""
    return f"{settings.describe()}, {manifest.codes.rows} rows{measured}"


class Upkeep:
    """The upkeep of one open index."""

    def __init__(
        self,
        folder: Path,
        snapshots: Snapshots,
        accelerator: Accelerator,
        lexicon: Callable[[], Lexicon],
        tokens: Callable[[], TokenStore],
        writer: MakeWriter,
        encoder: Callable[[], Encoder],
    ) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._accelerator = accelerator
        self._writer = writer
        self._lexicon = lexicon
        self._token_store = tokens
        self._encoder = encoder
        self._recent = RecentRecords()

    @cached_property
    def _lexical(self) -> LexicalUpkeep:
        from .lexical_upkeep import LexicalUpkeep  # small indexes need none of it

        return LexicalUpkeep(self._folder, self._snapshots, self._lexicon(), self._writer, self._recent)

    @cached_property
    def tokens(self) -> TokenUpkeep:
        """The upkeep of stored token vectors."""
        from .token_upkeep import TokenUpkeep  # indexes that store none need none of it

        return TokenUpkeep(self._folder, self._snapshots, self._token_store(), self._writer, self._encoder)

    @property
    def keep_tokens(self) -> Callable[[Encoder, str, Tokens, FloatArray], None] | None:
        """What an ``add`` is to do with the token vectors of the texts that it encodes; None for nothing."""
        return None if self._manifest().tokens is None else self.tokens.kept.put

    @contextmanager
    def beside_an_add(self, writer: Writer) -> Iterator[Callable[[], None]]:
        """Extends what is derived in threads while an ``add`` goes on; call the yielded function after each commit."""
        running: list[Future[None]] = []
        words: list[Future[None]] = []
        writer.on_written = self._recent.put
        try:
            with ThreadPoolExecutor(2, "vecindex-upkeep") as pool:

                def committed() -> None:
                    manifest = self._manifest()
                    if running and self._is_half_full(manifest):
                        running[-1].exception()  # waits for it: what finds no room is not kept
                    is_due = is_extension_due(manifest, is_last=False) or self._are_tokens_due(manifest)
                    if is_due and (not running or running[-1].done()):
                        running.append(in_thread(pool, self._try, self._renew_while_due))
                    if is_segment_due(manifest, is_last=True) and (not words or words[-1].done()):
                        words.append(in_thread(pool, self._try, partial(self._follow_words, self._lexical, manifest)))

                yield committed
                if is_segment_due(manifest := self._manifest(), is_last=True) and not is_compaction_due(manifest):
                    words.append(in_thread(pool, self._try, self._lexical.renew))
                    for future in running:
                        future.exception()  # waits for it: two that extend the same codes do the work twice
                    self._try(self._renew_codes_if_due)
            for future in running + words:
                future.result()  # raises the errors that `_try` lets through: bugs
            self._try(self._renew_tokens)
        finally:
            self._recent.forget()
            if "_lexical" in vars(self):
                self._lexical.end_add()
            if "tokens" in vars(self):  # otherwise nothing was kept
                self.tokens.end_add()

    def tidy(self) -> None:
        """After a change: compacts if there are many dead rows, makes codes of new rows, and replaces lost ones.

        The change itself is durable already. What goes wrong here is logged, and tried again after the next change.
        """
        self._try(self._tidy)

    def compact(self, empty_cache: bool = False) -> CompactReport:
        """Frees the space of dead rows; see `store.compact`."""
        with self._snapshots.borrow() as catalog, self._writer() as writer:
            return compact(self._folder, catalog, writer, self.derive, empty_cache)

    @memory_errors("codes were made")
    def renew_codes(self, rebuild: bool = False) -> None:
        """Gives all committed rows codes: extends the existing ones, or makes new ones if ``rebuild`` or damaged."""
        with self._snapshots.take() as snapshot:
            manifest, vectors = snapshot.manifest, snapshot.vectors
            wanted = settings_of(manifest)
            if wanted is None or manifest.rows == 0:
                return
            known = with_vectors(snapshot)
            if manifest.codes is None and len(known) < ROWS_FOR_CODES:
                return
            check_vectors(snapshot)
            codes = None if rebuild else loaded_codes(snapshot)
        if codes is None:
            if not len(known):
                return
            codes = build(vectors, wanted, known)
        else:
            extend(codes, vectors)
        self._publish(manifest, codes, instead=manifest.codes)

    def choose_lexical(self, settings: LexicalSettings) -> bool:
        """Changes how texts become words, and makes segments anew; False if nothing changes."""
        if not self._lexical.choose(settings):
            return False
        self.tidy()
        return True

    def renew_derived(self, rebuild: bool = False) -> None:
        """Makes what is derived for all committed rows; everything anew if ``rebuild``.

        Of token vectors, which need the model, only those are made again whose segments are damaged or missing.
        """
        self.renew_codes(rebuild)
        if rebuild or is_segment_due(self._manifest(), is_last=True):
            self._lexical.renew(rebuild)
        if rebuild and self._manifest().tokens is not None:
            dropped = self.tokens.drop_damaged()
            if dropped is not None:
                self._try(partial(self.tokens.renew, most=math.inf, only=dropped))

    @memory_errors("codes were tuned")
    def tune(
        self,
        recall: float,
        latency_ms: float | None,
        queries: Vectors | None,
        progress: Callable[[Trial], None] | None,
    ) -> Trial:
        """See `Index.tune`."""
        with self._snapshots.take() as snapshot:
            manifest, vectors = snapshot.manifest, snapshot.vectors
            check_vectors(snapshot)
            live, known = near(snapshot).rows(), with_vectors(snapshot)
        if not len(live):
            raise InvalidInput("no record has a vector", "There is nothing to tune.")
        sample = np.array(vectors[live[np.linspace(0, len(live) - 1, min(len(live), QUERIES)).astype(np.int64)]])
        asked = sample if queries is None else np.concatenate([queries, sample[: max(1, QUERIES - len(queries))]])
        tuned = tune(vectors, asked, recall, latency_ms, build=partial(build, rows=known), progress=progress)
        if not self._publish(manifest, tuned.codes):
            raise InvalidInput("the index was compacted while it was tuned", "Tune it again.")
        return tuned.chosen

    def are_codes_lost(self, manifest: Manifest) -> bool:
        """Whether files of the codes are missing, or were found damaged."""
        files = manifest.codes
        return files is not None and (
            self._accelerator.is_damaged(files) or not all(is_file(self._folder / name) for name in files.names)
        )

    def _tidy(self) -> None:
        if is_compaction_due(self._manifest()):
            self.compact()
        self._renew_codes_if_due()
        manifest = self._manifest()
        if is_segment_due(manifest, is_last=True) or (manifest.lexical and self._lexical.are_lost(manifest)):
            self._lexical.renew()
        if is_background_due(manifest, manifest.records):
            self._renew_background()

    def _renew_codes_if_due(self) -> None:
        manifest = self._manifest()
        if is_extension_due(manifest, is_last=True) or self.are_codes_lost(manifest):
            self.renew_codes()

    def _follow_words(self, lexical: LexicalUpkeep, until: Manifest) -> None:
        lexical.follow(until)
        if is_segment_due(self._manifest(), is_last=False):
            lexical.renew(until=until)

    def _renew_while_due(self) -> None:
        if self._are_tokens_due(self._manifest()):
            self.tokens.renew(most=TEXTS_MADE_UP_MEANWHILE, meanwhile=True)
        while is_extension_due(before := self._manifest(), is_last=False):
            self.renew_codes()
            if self._manifest().codes == before.codes:  # another process published first
                break

    def _are_tokens_due(self, manifest: Manifest) -> bool:
        return are_tokens_due(manifest) or self._is_half_full(manifest)

    def _is_half_full(self, manifest: Manifest) -> bool:
        return manifest.tokens is not None and self.tokens.kept.is_half_full

    def _renew_background(self) -> None:
        with self._snapshots.take() as snapshot:
            manifest = snapshot.manifest
            live = near(snapshot)
            if not is_background_due(manifest, live.count):
                return
            made = background_of(snapshot, sampled(live.rows()))
        text = made.to_json() if made else None
        with self._writer() as writer:
            writer.set_derived(manifest.vectors, lambda now: replace(now, background=text))

    def _renew_tokens(self) -> None:
        """Stores the token vectors that an ``add`` kept, and some that are missing."""
        if self._manifest().tokens is not None:
            try:
                self.tokens.renew(most=TEXTS_MADE_UP)
            except ModelNotFound as error:  # the texts came with vectors
                _log.info("New texts have no stored token vectors, since there is no model to make them: %s", error)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except VecindexError as error:
            _log.warning("Upkeep of the index failed; nothing is lost, and the next change tries again: %s", error)

    def _publish(self, manifest: Manifest, codes: Codes, instead: CodesFiles | EllipsisType | None = ...) -> bool:
        """Publishes ``codes`` of the rows of ``manifest``; False if the index was compacted since.

        ``instead`` are the codes to be replaced: if the index has different ones by now, newer or tuned, these stay.
        """

        def choose(now: Manifest) -> Manifest:
            if instead is not ... and now.codes != instead:
                return now
            return replace(now, codes=write_codes(self._folder, now, codes))

        with self._writer() as writer:
            return writer.set_derived(manifest.vectors, choose)

    def _manifest(self) -> Manifest:
        with self._snapshots.borrow() as catalog:
            return catalog.manifest()

    def derive(self, manifest: Manifest, vectors: Vectors, live: Rows, sums: Sums) -> Manifest:
        """Publishes what is derived of these rows, with the settings of ``manifest``; see `store.compact.Derive`."""
        settings, codes = settings_of(manifest), None
        known = np.flatnonzero(sums)
        if settings is not None and len(known) >= ROWS_FOR_CODES:
            codes = write_codes(self._folder, manifest, build(vectors, settings, known))
        made = None
        if len(known) >= RECORDS_FOR_BACKGROUND:
            made = background(len(known), np.asarray(vectors)[sampled(known)])
        return replace(
            manifest,
            codes=codes,
            background=made.to_json() if made else None,
            lexical=manifest.lexical and self._lexical.renumbered(manifest, live),
            tokens=manifest.tokens and self.tokens.renumbered(manifest, live),
        )
