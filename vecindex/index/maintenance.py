"""The upkeep of an open index: fast fields, tuned codes, compaction, repair, and removing kept side indexes."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ..encoders.load import LoadOptions
from ..errors import InvalidInput
from ..filters.parse import parse
from ..filters.tree import Refused, parse_path, path_text
from ..search.dense.recall import AnnRecall, ann_recall
from ..search.dense.tune import Trial
from ..search.derived.check_derived import check_derived
from ..search.derived.upkeep import Upkeep
from ..store.disk.lock import MIGRATION_LOCK_FILE, WriterLock
from ..store.side_indexes import drop_sides
from ..store.soundness.repair import repair
from ..store.sql.reads import Catalog
from ..store.writer import Writer
from ..values.arguments import entrance
from ..values.records import CompactReport, TokenReport, VerifyReport
from ..values.scalars import string, weights_by_name
from .model import Model
from .reader import Reader
from .searcher import Where


class Maintained(Reader):
    """The part of an `Index` that looks after what is stored."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        readonly: bool,
        model: Model | None,
        settings: LoadOptions | None,
        lock_timeout: float,
    ) -> None:
        super().__init__(path, readonly=readonly, model=model, settings=settings)
        self._lock_timeout = lock_timeout
        self._upkeep = Upkeep(
            *(self._folder, self._snapshots, self._accelerator, lambda: self._lexicon, lambda: self._tokens),
            *(self._writer, lambda: self.encoder),
        )

    @entrance()
    def index_field(self, field: str) -> bool:
        """Makes filters on a metadata field fast; returns False if they already are.

        ``field`` is written as in filters: ``year``, or ``author.name`` for a nested field.
        """
        self._check_writable()
        try:
            name = path_text(parse_path(field))
        except Refused as refused:
            raise InvalidInput(f"{field!r} is not a field name: {refused.reason}", "Write it as in a filter.") from None
        with self._writer() as writer:
            return writer.index_field(name)

    @entrance(language=lambda name, value: string(value, "a language"), fields=weights_by_name)
    def index_lexical(self, *, language: str = "english", fields: Mapping[str, float] | None = None) -> bool:
        """Chooses how lexical search compares words; returns False if it does so already.

        Args:
            language: that of the texts, such as "german", by which words are reduced to their stems. "none" compares
                words as they are, apart from case. The stems of a new index are English.
            fields: metadata fields whose words are read beside those of the text, such as ``{"title": 2}``. A word of
                a field with the weight 2 counts as two of the text. A new index reads none.

        Raises:
            InvalidInput: there are no stems for that language (the message lists those that there are), or a field or
                a weight makes no sense.
        """
        from ..search.lexical.settings import LexicalSettings

        self._check_writable()
        try:
            settings = LexicalSettings(None if language == "none" else language, tuple((fields or {}).items()))
        except ValueError as error:
            raise InvalidInput(str(error), "See the guide's page on searching.") from None
        return self._upkeep.choose_lexical(settings)

    @entrance()
    def index_tokens(self, *, progress: Callable[[int, int], None] | None = None) -> TokenReport:
        """Stores a vector for each token of the texts, so that ``rerank="tokens"`` takes milliseconds.

        They are quantised to two bits a number, and kept in step with the records from then on: an ``add`` keeps those
        of the texts that it encodes, and makes up for at most 4,096 others, of records that came with vectors, or whose
        files were lost. Calling this again makes up for all. After `migrate` call it again: they are of the old model.

        The texts of all records are encoded for it. An interrupted call keeps what it made, and the next one goes on.

        Args:
            progress: called with the number of rows that have stored token vectors, and of all.

        Raises:
            InvalidInput: the vectors were made elsewhere, so that no model makes token vectors.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        self._check_writable()
        space = self._space()
        if space is not None and space.is_external:
            raise InvalidInput(
                f"the index holds vectors made elsewhere ({space.model}), and no model that makes token vectors",
                "There is nothing to store.",
            )
        tokens = self._upkeep.tokens
        tokens.choose()
        return tokens.report(tokens.renew(math.inf, progress))

    def drop_tokens(self) -> bool:
        """Removes the stored token vectors, and stores none from then on; returns False if there were none."""
        self._check_writable()
        return self._upkeep.tokens.remove()

    @entrance()
    def tune(
        self,
        recall: float = 0.99,
        latency_ms: float | None = None,
        *,
        queries: Sequence[str] | Any = (),
        progress: Callable[[Trial], None] | None = None,
    ) -> Trial:
        """Finds the fastest codes that reach a recall, measured against exact search, and keeps them.

        Args:
            recall: the share of the exact 10 nearest records that a search must find, on average.
            latency_ms: the median time that a search may take, in milliseconds.
            queries: typical texts or vectors, of which up to 200 are used; stored vectors fill the rest.
            progress: called with each setting that was measured.

        Returns:
            The chosen setting and what was measured. `info` shows it.

        Raises:
            InvalidInput: nothing reaches the recall in that time, or the index is so small that search is exact.
        """
        self._check_writable()
        vectors = self._model.query_vectors(queries, self._space()) if len(queries) else None
        return self._upkeep.tune(recall, latency_ms, vectors, progress)

    @entrance()
    def ann_recall(
        self,
        k: int = 10,
        where: Where | None = None,
        *,
        sample: int = 200,
        seed: int = 0,
    ) -> AnnRecall:
        """Measures how many of the exact ``k`` nearest records a search finds: with the settings of now.

        Args:
            k: the number of hits.
            where: a filter, as in `search`.
            sample: how many stored vectors are queries; each looks for the nearest among the others.
            seed: of the random numbers that draw them.

        Raises:
            InvalidInput: there are not two records.
            InvalidFilter, CorruptIndex.
        """
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            return ann_recall(self._accelerator.view(snapshot), k, sample, condition, seed)

    @entrance()
    def compact(self, *, cache: bool = False) -> CompactReport:
        """Gives back the space of deleted and replaced records; readers are not disturbed.

        Until then the index remembers the vectors of deleted records, so their texts need not be encoded again.
        ``cache=True`` forgets all remembered texts, also those of live records. Then a change of the environment that
        makes other vectors is not noticed until texts are added.
        """
        self._check_writable()
        report = self._upkeep.compact(empty_cache=cache)
        self._upkeep.tidy()
        return report

    @entrance()
    def repair(self, *, encode: bool = False) -> VerifyReport:
        """Repairs what can be repaired, then verifies again. Other writers wait; readers are not disturbed.

        Texts are encoded only where a vector is damaged, or the file of their stored token vectors. Rows that had no
        token vectors get none: `index_tokens` makes them.

        Args:
            encode: if the vector file is missing or cut short, encode the texts again whose vectors are lost. This
                takes as long as adding them did. False leaves such an index as it is.

        Raises:
            IndexLocked, StorageError, ModelNotFound, SpaceMismatch: earlier repairs stay.
        """
        self._check_writable()
        renew = partial(self._upkeep.renew_derived, rebuild=True)
        report = repair(self._snapshots, self._writer_of, check_derived, renew, lambda: self.encoder, encode)
        self._accelerator.forget()  # new files may have the names of the damaged ones
        self._lexicon.forget()
        self._tokens.forget()
        if report.repaired:
            self._upkeep.tidy()
        return report

    def drop_old(self) -> int:
        """Removes the side indexes of finished and unfinished migrations; returns the bytes given back.

        Raises IndexLocked while a migration runs.
        """
        self._check_writable()
        with WriterLock(self._folder, 0, MIGRATION_LOCK_FILE), self._writer() as writer, writer.locked():
            return drop_sides(self._folder)

    @contextlib.contextmanager
    def _writer(self) -> Iterator[Writer]:
        with self._snapshots.borrow() as catalog:
            yield self._writer_of(catalog)

    def _writer_of(self, catalog: Catalog) -> Writer:
        return Writer(self._folder, catalog, self._lock_timeout)

    def _check_writable(self) -> None:
        if self.readonly:
            raise InvalidInput(f"{self.path} was opened readonly", "Open it with readonly=False to change it.")

    def _check_sound(self) -> None:
        """Checks the files as the first search does, so that nothing is added to a damaged index."""
        with self._snapshots.take():
            pass
