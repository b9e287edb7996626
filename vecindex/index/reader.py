"""Everything an open index answers, each from one snapshot: search, get, verify, info, backup and export."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..encoders.load import LoadOptions
from ..encoders.run.encoder import Encoder
from ..errors import Advice, CorruptIndex, RecordNotFound
from ..errors.warnings import QueryUnknown, VecindexWarning, warn
from ..filters.parse import parse
from ..search import run
from ..search.dense.check_codes import check_codes
from ..search.grouping import Grouping, grouping, unmatched
from ..search.listing import Listing, record_of
from ..search.run import SearchReport
from ..search.upkeep import describe
from ..search.view import Accelerator, SnapshotView
from ..store.disk.atomic_create import resolved
from ..store.disk.files import folder_bytes
from ..store.manifest import Manifest
from ..store.side_indexes import describe_sides
from ..store.snapshot import Snapshot, Snapshots
from ..store.soundness.faults import command
from ..store.soundness.verify import verify
from ..store.sql.schema import FORMAT
from ..store.stored import Stored
from ..store.text_cache import BYTES_AN_ENTRY
from ..store.vectors import Vectors
from ..values.arguments import entrance
from ..values.hits import Hits
from ..values.keys import checked_key
from ..values.paths import expanded
from ..values.records import IndexInfo, Record, VerifyReport
from ..values.scalars import destination, flag
from ..values.sources import SourceInfo, SourceState
from ..values.space import Space
from .drift import SAMPLES, Sample, check_vectors
from .model import IndexModel, Model

if TYPE_CHECKING:
    from ..exchange.export import Destination, ExportReport
    from ..store.backup import BackupReport

Where = Mapping[str, Any] | str
Self = TypeVar("Self", bound="Reader")


class Reader(Listing):
    """The part of an `Index` that only reads."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        model: Model | None = None,
        settings: LoadOptions | None = None,
        guarded: bool = True,
    ) -> None:
        """Opens no file yet. ``guarded`` is whether to check the stored vectors; see `drift`."""
        # Absolute, so that a later change of the working directory does not lead elsewhere.
        self._folder = resolved(path, "the directory of an index", "Name a directory.")
        self.path = Path(expanded(path))
        self.readonly = readonly
        self._model = IndexModel(model, settings or LoadOptions(), self._check_vectors if guarded else None)
        self._snapshots = Snapshots(self._folder, readonly)
        self._accelerator = Accelerator()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._snapshots.closed else f"{len(self)} records"
        return f"<{type(self).__name__} {str(self.path)!r}, {state}>"

    def __len__(self) -> int:
        """The number of records."""
        return self._manifest().records

    def close(self) -> None:
        """Closes the files. Nothing is lost without it, and a closed index cannot be used again."""
        self._snapshots.close()

    @property
    def encoder(self) -> Encoder:
        """Turns texts into vectors of this index's space; loaded when it is first needed.

        Raises:
            SpaceMismatch: the model that was given to `open` has a different space than the index.
            ModelNotFound, UnsupportedModel.
        """
        return self._model.encoder(self._space())

    @entrance()
    def search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
    ) -> Hits:
        """The nearest records to a text or a vector.

        Args:
            query: a text, or a vector (D,) of finite floats, which is scaled to unit length.
            k: the number of hits; fewer are returned only if fewer records match.
            where: a filter on metadata, e.g. ``{"lang": "en", "year": {"$gte": 2020}}`` or
                ``"lang = 'en' and year >= 2020"``.
            group_by: ``source``, ``document``, or a metadata field such as ``topic`` or ``author.name``. At most
                ``per_group`` hits have the same value in it, and others that are less near take the place of the rest.
                A record without the field, or with null in it, is a group by itself.
            per_group: the number of hits that each group may have.
            context: how many sentences of the same document to give before and after each hit, in ``before`` and
                ``after``.

        Returns:
            min(k, matching records) hits, highest score first, ties in insertion order.

        Raises:
            InvalidInput, InvalidFilter, SpaceMismatch, ModelNotFound, CorruptIndex.

        Warns:
            FilterWarning: a condition in ``where`` matches no stored record. Checked if fewer than k records match, or
                all do.
            GroupWarning: no record has the field ``group_by``.
        """
        return self._search([query], k, where, grouping(group_by, per_group), context)[0]

    @entrance()
    def search_many(
        self,
        queries: Sequence[str] | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
    ) -> list[Hits]:
        """Searches for several texts, or vectors (n, D), in one snapshot; returns a list of hits for each."""
        return self._search(queries, k, where, grouping(group_by, per_group), context)

    def _search(
        self, queries: Sequence[str] | Any, k: int, where: Where | None, by: Grouping | None, context: int
    ) -> list[Hits]:
        condition = None if where is None else parse(where)
        with self._asked(queries) as (view, vectors):
            hits = run.search(view, vectors, k, condition, by, context=context)
            warnings = [*view.unmatched(condition, k), *unmatched(view, by, hits)]
        _warn(warnings)
        return hits

    @entrance()
    def explain_search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
    ) -> tuple[Hits, SearchReport]:
        """As `search`, with a report of how the hits were found: the route, the candidates, the time of each step."""
        condition, by = None if where is None else parse(where), grouping(group_by, per_group)
        with self._asked([query]) as (view, vectors):
            found = run.explain(view, vectors[0], k, condition, by, context)
            warnings = [*view.unmatched(condition, k), *unmatched(view, by, found[:1])]
        _warn(warnings)
        return found

    @entrance()
    def similar(
        self,
        key: str,
        k: int = 5,
        where: Where | None = None,
        *,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
    ) -> Hits:
        """The nearest records to the stored record ``key``, without itself; raises RecordNotFound."""
        return self._similar(key, k, where, grouping(group_by, per_group), context, warns=True)

    def _similar(
        self,
        key: str,
        k: int,
        where: Where | None = None,
        by: Grouping | None = None,
        context: int = 0,
        warns: bool = False,
    ) -> Hits:
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            record = _stored(snapshot, key)
            if warns and record.unknown and (space := snapshot.manifest.space):
                warn(QueryUnknown(space.model, "the record"))
            vector = np.array(snapshot.vectors[record.row])
            view = self._accelerator.view(snapshot)
            hits = run.search(view, vector[None, :], k, condition, by, record.row, context)[0]
            warnings = [*snapshot.unmatched(condition, k), *unmatched(snapshot, by, [hits])]
        _warn(warnings)
        return hits

    @entrance()
    def get(self, key: str) -> Record:
        """The record ``key`` with ``origin``, ``span`` and ``vector``, (D,) float32 of unit length.

        Raises:
            RecordNotFound.
        """
        with self._snapshots.take() as snapshot:
            record = _stored(snapshot, key)
            (whence,) = snapshot.origins([record])
            vector = np.array(snapshot.vectors[record.row])
            return record_of(record, snapshot.metadata(record), whence, vector)

    def keys(self) -> list[str]:
        """The keys of all records, in insertion order."""
        with self._snapshots.take() as snapshot:
            return snapshot.keys()

    def verify(self) -> VerifyReport:
        """Checks everything that is stored; reads the whole index once."""
        return verify(self._snapshots, check_codes)

    def sources(self) -> list[SourceInfo]:
        """The files and other sources that were added, by location, and what has become of them.

        Looks at each file, and reads those whose time has changed but not their size. `add` reads again what is
        "changed" or "incomplete".
        """
        from ..sources.locations import Locations
        from ..sources.presence import Presence
        from .follow import listed

        with self._snapshots.borrow() as catalog, catalog.reading():
            counted = catalog.counted_sources()
        presence = Presence(Locations(self._folder))
        return listed(counted, presence.now, presence.digest)

    def _source_states(self) -> list[SourceState]:
        """The sources as they were last read, by location."""
        with self._snapshots.borrow() as catalog, catalog.reading():
            return catalog.sources()

    def info(self) -> IndexInfo:
        """The index at a glance."""
        with self._snapshots.take() as snapshot:
            manifest = snapshot.manifest
            space = manifest.space
            truncated, tokens_lost, unknown = snapshot.losses()
            cached = snapshot.count_cached()
            return IndexInfo(
                path=str(self.path),
                format=FORMAT,
                created=manifest.created,
                generation=manifest.generation,
                records=snapshot.records,
                dead_rows=manifest.dead,
                tail_rows=manifest.rows - (manifest.codes.rows if manifest.codes else 0),
                codes=describe(manifest),
                indexed_fields=manifest.fields,
                truncated=truncated,
                tokens_lost=tokens_lost,
                unknown=unknown,
                cached_texts=cached,
                cache_bytes=cached * BYTES_AN_ENTRY,
                bytes=folder_bytes(self._folder),
                model=space.model if space else None,
                dimension=space.dimension if space else None,
                max_tokens=space.max_tokens if space else None,
                pooling=space.pooling if space else None,
                precision=space.precision if space else None,
                fingerprint=space.fingerprint if space else None,
                beside=describe_sides(self._folder, manifest),
                runtime=self._model.runtime(space),
            )

    @entrance()
    def backup(
        self, destination: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Copies the index as it is now to a new directory, a complete index; others go on reading and writing.

        Args:
            destination: a path that does not exist, or an empty directory.
            progress: called with the number of bytes copied, and of all bytes.

        Raises:
            InvalidInput, CorruptIndex, StorageError: nothing is left at ``destination``.
        """
        from ..store.backup import backup

        return backup(self._snapshots, destination, progress)

    @entrance(destination=destination, vectors=flag)
    def export(
        self,
        destination: Destination,
        format: str | None = None,
        *,
        where: Where | None = None,
        vectors: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Writes records with their vectors, from one snapshot, for other programs; see `exchange.formats`.

        Args:
            destination: a path that does not exist; or, for jsonl, a binary stream.
            format: "parquet", "npy", "jsonl" or "faiss"; None goes by the suffix.
            where: a filter, as in `search`.
            vectors: False writes only keys, texts and metadata, as jsonl that `vecindex add` reads. This works even if
                the vector file is lost.
            progress: called with the number of records written, and of all records.

        Raises:
            InvalidInput, InvalidFilter, MissingExtra, CorruptIndex, StorageError: nothing is left at ``destination``.
        """
        from ..exchange.export import export

        condition = None if where is None else parse(where)
        return export(self._snapshots, destination, format, condition, progress, vectors)

    @contextlib.contextmanager
    def _asked(self, queries: Sequence[str] | Any) -> Iterator[tuple[SnapshotView, Vectors]]:
        """A snapshot to search, and unit vectors (n, D) of the queries in its space."""
        while True:
            space = self._space()
            vectors = self._model.query_vectors(queries, space)
            with self._snapshots.take() as snapshot:
                if snapshot.manifest.space == space:
                    yield self._accelerator.view(snapshot), vectors
                    return
            # The first add or a migration changed the space meanwhile; encode the queries again.

    def _check_vectors(self, encoder: Encoder) -> None:
        """See `drift`; ignores damage, which whoever reads the damaged record reports."""
        with contextlib.suppress(CorruptIndex), self._snapshots.take() as snapshot:
            written_by = snapshot.manifest.written_by
            check_vectors(self._folder, encoder, written_by, lambda: _sample(snapshot), self._advice())

    def _advice(self) -> str:
        """What to do if the stored vectors differ from those that the model makes here."""
        what = "Use the index in its old environment, or encode everything again here: "
        anew = "migrate --anew --device cuda" if self._model.settings.device == "cuda" else "migrate --anew"
        return Advice(f"{what}index.migrate(anew=True)", typed=what + command(self.path, anew))

    def _manifest(self) -> Manifest:
        with self._snapshots.borrow() as catalog:
            return catalog.manifest()

    def _space(self) -> Space | None:
        return self._manifest().space


def _sample(snapshot: Snapshot) -> Iterator[Sample]:
    """The first, the middle and the last record with their vectors, then some in between."""
    rows = snapshot.allowed(None).rows()
    if not len(rows):
        return
    between = np.linspace(0, len(rows) - 1, SAMPLES).astype(int).tolist()
    for place in dict.fromkeys([0, len(rows) // 2, len(rows) - 1, *between]):
        (found,) = snapshot.fetch([int(rows[place])])
        snapshot.check(np.array([found.row]))
        yield Sample(found.key, found.text, np.array(snapshot.vectors[found.row]), found.tokens_lost)


def _stored(snapshot: Snapshot, key: str) -> Stored:
    """The record ``key``, whose vector was checked; raises RecordNotFound."""
    found = snapshot.find([checked_key(key)])
    if key not in found:
        raise RecordNotFound(key)
    snapshot.check(np.array([found[key].row]))
    return found[key]


def _warn(warnings: Sequence[VecindexWarning]) -> None:
    for warning in warnings:
        warn(warning)
