"""Everything an open index answers, each from one snapshot: search, get, verify, info, backup and export."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..encoders.load import LoadOptions
from ..encoders.run.encoder import Encoder
from ..errors import Advice, CorruptIndex
from ..filters.parse import parse
from ..search.derived.check_derived import check_derived
from ..search.derived.upkeep import describe
from ..search.listing import record_of
from ..search.view import Accelerator
from ..store.disk.atomic_create import resolved
from ..store.disk.files import folder_bytes
from ..store.manifest import Manifest
from ..store.side_indexes import describe_sides
from ..store.snapshot import Snapshot, Snapshots
from ..store.soundness.faults import command
from ..store.soundness.verify import verify
from ..store.sql.schema import FORMAT
from ..store.text_cache import BYTES_AN_ENTRY
from ..values.arguments import entrance
from ..values.paths import expanded
from ..values.records import IndexInfo, Record, VerifyReport
from ..values.scalars import destination, flag
from ..values.sources import SourceInfo, SourceState
from .drift import Sample, check_vectors
from .model import IndexModel, Model
from .searcher import Searcher, Where
from .searching.searches import stored_records

if TYPE_CHECKING:
    from ..exchange.export import Destination, ExportReport
    from ..store.backup import BackupReport

Self = TypeVar("Self", bound="Reader")


class Reader(Searcher):
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
    def get(self, key: str) -> Record:
        """The record ``key`` with ``origin``, ``span`` and ``vector``, (D,) float32 of unit length or None.

        Raises:
            RecordNotFound.
        """
        with self._snapshots.take() as snapshot:
            record = stored_records(snapshot, [key])[0]
            (whence,) = snapshot.origins([record])
            vector = np.array(snapshot.vectors[record.row]) if record.has_vector else None
            return record_of(record, snapshot.metadata(record), whence, vector)

    def keys(self) -> list[str]:
        """The keys of all records, in insertion order."""
        with self._snapshots.take() as snapshot:
            return snapshot.keys()

    def verify(self) -> VerifyReport:
        """Checks everything that is stored; reads the whole index once."""
        return verify(self._snapshots, check_derived)

    def sources(self) -> list[SourceInfo]:
        """The files and other sources that were added, by location, and what has become of them.

        Looks at each file, and reads those whose time has changed but not their size. `add` reads again what is
        "changed", "incomplete" or "imported".
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
            truncated, tokens_lost, unknown, without_vector = snapshot.losses()
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
                token_vectors=_described(manifest),
                without_vector=without_vector,
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

    def _check_vectors(self, encoder: Encoder) -> None:
        """See `drift`; ignores damage, which whoever reads the damaged record reports."""
        with contextlib.suppress(CorruptIndex), self._snapshots.take() as snapshot:
            written_by = snapshot.manifest.written_by
            check_vectors(self._folder, encoder, written_by, partial(_sample, snapshot), self._advice())

    def _advice(self) -> str:
        """What to do if the stored vectors differ from those that the model makes here."""
        what = "Use the index in its old environment, or encode everything again here: "
        anew = "migrate --anew --device cuda" if self._model.settings.device == "cuda" else "migrate --anew"
        return Advice(f"{what}index.migrate(anew=True)", typed=what + command(self.path, anew))


def _described(manifest: Manifest) -> str | None:
    """The stored token vectors in words."""
    if manifest.tokens is None:
        return None
    from ..search.derived.token_upkeep import describe_tokens

    return describe_tokens(manifest)


def _sample(snapshot: Snapshot, size: int) -> list[Sample]:
    return [Sample(record.key, record.text, vector) for record, vector in snapshot.encoded(size)]
