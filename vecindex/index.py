"""The public API of an index: open, add, search and the rest; it delegates."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import ingest
from .encoders.encoder import Encoder
from .encoders.spec import Space
from .errors import CorruptIndex, IncompatibleFormat, InvalidInput, RecordNotFound
from .filter_syntax import parse
from .filters import Refused, parse_path, path_text
from .language import Language, Model
from .records import AddReport, CompactReport, Hit, IndexInfo, Metadata, Record, VerifyReport, checked_key
from .search import run
from .search.run import Explanation
from .search.soundness import check_codes
from .search.tune import Trial
from .search.upkeep import Upkeep, describe
from .search.view import Accelerator
from .store.catalog import Catalog
from .store.files import folder_bytes
from .store.manifest import Manifest
from .store.migrations import migrate
from .store.repair import repair
from .store.schema import FORMAT, create_index, index_exists
from .store.snapshot import Snapshots
from .store.verify import verify
from .store.writer import LOCK_SECONDS, Writer

if TYPE_CHECKING:
    from .exchange.reading import Exchange
    from .exchange.writing import Destination, ExportReport
    from .store.backup import BackupReport

Where = Mapping[str, Any] | str


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    readonly: bool = False,
    model: Model | None = None,
    offline: bool | None = None,
    lock_timeout: float = LOCK_SECONDS,
) -> Index:
    """Opens the index in the directory ``path``.

    Args:
        path: the index's directory.
        create: make an empty index where there is none; False raises IndexNotFound instead.
        readonly: refuse to change anything, and open an index in a directory that cannot be written to.
        model: a folder, a hub name or an encoder; None is the index's own model, or the default for a new index.
        offline: True never contacts the model hub; None asks VECINDEX_OFFLINE.
        lock_timeout: seconds that a change waits for another writer before it raises IndexLocked.

    Raises:
        IndexNotFound, CorruptIndex, IncompatibleFormat, StorageError, InvalidInput.
    """
    return Index(path, create=create, readonly=readonly, model=model, offline=offline, lock_timeout=lock_timeout)


class Index:
    """An open index; see `open`. Any number of threads may read, and one writer at a time commits."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        model: Model | None = None,
        offline: bool | None = None,
        lock_timeout: float = LOCK_SECONDS,
    ) -> None:
        # Absolute, so that a later change of the working directory does not lead elsewhere.
        self._folder = _resolved(path)
        self.path = Path(path)
        self.readonly = readonly
        self._language = Language(model, offline)
        self._lock_timeout = lock_timeout
        if create and not readonly and not index_exists(self._folder):
            create_index(self._folder)
        self._snapshots = Snapshots(self._folder, readonly)
        self._accelerator = Accelerator()
        self._upkeep = Upkeep(self._folder, self._snapshots, self._accelerator, self._writer)
        try:
            self._manifest()  # opened now, so that what is wrong with the index is said now
        except IncompatibleFormat as error:
            if readonly or error.found > FORMAT:
                raise
            migrate(self._folder, lock_timeout)
            self._manifest()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._snapshots.closed else f"{len(self)} records"
        return f"<Index {str(self.path)!r}, {state}>"

    def __len__(self) -> int:
        """How many records there are."""
        return self._manifest().records

    def close(self) -> None:
        """Closes the files; nothing is lost without it. A closed index cannot be used any more."""
        self._snapshots.close()

    @property
    def encoder(self) -> Encoder:
        """What turns texts into vectors of this index's space; loaded when it is first needed.

        Raises:
            SpaceMismatch: the model that was given to `open` is of another space than the index.
            ModelNotFound, UnsupportedModel.
        """
        return self._language.encoder(self._space())

    def add(
        self,
        records: Iterable[str | Record],
        *,
        keys: Iterable[str] | None = None,
        metadata: Iterable[Metadata | None] | None = None,
        vectors: Any = None,
        space: str | Space | None = None,
        progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Adds texts or records; when it returns, they are durable and can be found.

        A key that is stored with the same text and metadata is unchanged and not encoded; a stored key with another
        text or other metadata is updated. Records are committed in windows of 1,024, so an ``add`` that is
        interrupted keeps whole windows, and running it again adds the rest.

        Args:
            records: an iterable of texts or of `Record`; one string alone is an error.
            keys: a key for each text; without it, `derive_key` names each by its text.
            metadata: a JSON object for each text; None keeps what is stored.
            vectors: (n, D) numbers, what another program made of the texts; they are brought to unit length, and
                nothing is encoded. Records that hold vectors are added likewise.
            space: what made the vectors: a name of your own, or ``index.encoder.space`` if it was the index's model,
                so that texts can be searched for. Left out, it is that of the vectors that are stored already.
            progress: called after every commit with the report so far.

        Raises:
            InvalidInput: a text, key, metadata or vector cannot be stored.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        self._check_writable()
        for name, column in (("records", records), ("keys", keys), ("metadata", metadata)):
            if isinstance(column, (str, bytes, Record, Mapping)):
                raise InvalidInput(
                    f"{name} is one {type(column).__name__}, not a sequence", "Put it in a list, one for each text."
                )
        self._check_sound()
        records, hold_vectors = ingest.peek(records)
        space_for = partial(self._language.space_of_vectors, space, self._space())
        with self._writer() as writer, self._upkeep.beside_an_add() as committed:
            after = ingest.each(committed, progress)
            if vectors is not None:
                report = ingest.add_vectors(records, keys, metadata, vectors, writer, space_for, after)
            elif hold_vectors:
                report = ingest.add_records(records, writer, space_for, after)
            elif space is not None:
                raise InvalidInput(
                    "space= says what made vectors, and there are none", "Give vectors=, or leave it out."
                )
            else:
                if self._language.model is not None:
                    _ = self.encoder  # a model of another space is refused even where nothing needs to be encoded
                report = ingest.add(
                    *(records, keys, metadata, self._snapshots, writer), encoder=lambda: self.encoder, progress=after
                )
        self._upkeep.tidy()
        return report

    def search(self, query: str | Any, k: int = 5, where: Where | None = None) -> list[Hit]:
        """The nearest records to a text or a vector.

        Args:
            query: a text, or a vector (D,) of finite floats, which is brought to unit length.
            k: how many hits; fewer come only where fewer records match.
            where: a filter on metadata, e.g. ``{"lang": "en", "year": {"$gte": 2020}}`` or
                ``"lang = 'en' and year >= 2020"``.

        Returns:
            min(k, records that match) hits, highest score first, ties in the order of insertion.

        Raises:
            InvalidInput, InvalidFilter, SpaceMismatch, ModelNotFound, CorruptIndex.
        """
        return self.search_many([query], k, where)[0]

    def search_many(self, queries: Sequence[str] | Any, k: int = 5, where: Where | None = None) -> list[list[Hit]]:
        """As `search` for each of several texts, or of vectors (n, D); a list of hits for each, all of one snapshot."""
        k = _checked_k(k)
        condition = None if where is None else parse(where)
        while True:
            vectors = self._language.query_vectors(queries, self._space())
            with self._snapshots.take() as snapshot:
                if snapshot.manifest.space is None:
                    return [[] for _ in vectors]
                if vectors.shape[1] == snapshot.manifest.dimension:
                    try:
                        return run.search(self._accelerator.view(snapshot), vectors, k, condition)
                    except CorruptIndex as error:
                        if not self._accelerator.refuses(error):
                            raise
            # The codes are damaged, and are not used again; or the first add came between, and the index had no space
            # when the queries were read.

    def explain_search(self, query: str | Any, k: int = 5, where: Where | None = None) -> tuple[list[Hit], Explanation]:
        """As `search`, and how the hits were found: the route, the candidates, how long each step took."""
        condition = None if where is None else parse(where)
        vector = self._language.query_vectors([query], self._space())[0]
        with self._snapshots.take() as snapshot:
            return run.explain(self._accelerator.view(snapshot), vector, _checked_k(k), condition)

    def similar(self, key: str, k: int = 5, where: Where | None = None) -> list[Hit]:
        """The nearest records to the stored record ``key``, itself left out; raises RecordNotFound."""
        k = _checked_k(k)
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([checked_key(key)])
            if key not in stored:
                raise RecordNotFound(key)
            row = stored[key].row
            snapshot.check(np.array([row]))
            view = self._accelerator.view(snapshot)
            hits = run.search(view, np.array(snapshot.vectors[row])[None, :], k + 1, condition)[0]
        others = [hit for hit in hits if hit.key != key][:k]
        return [replace(hit, rank=rank) for rank, hit in enumerate(others, 1)]

    def get(self, key: str) -> Record:
        """The record ``key``, its ``vector`` (D,) float32 of unit length included; raises RecordNotFound."""
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([checked_key(key)])
            if key not in stored:
                raise RecordNotFound(key)
            record = stored[key]
            snapshot.check(np.array([record.row]))
            return Record(record.text, key, snapshot.metadata(record), np.array(snapshot.vectors[record.row]))

    def delete(self, keys: Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Deletes the records that have these keys, all or none, or those that a filter selects; returns how many.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
            InvalidFilter.
        """
        self._check_writable()
        if isinstance(keys, (str, bytes)):
            raise InvalidInput("keys is one string, not a sequence of keys", "Put it in a list: [key].")
        if (keys is None) == (where is None):
            raise InvalidInput("delete takes keys or where=, one of them", "To delete all records, pass where='true'.")
        with self._writer() as writer:
            if where is not None:
                deleted = writer.delete_where(parse(where))
            else:
                deleted = writer.delete([checked_key(key) for key in keys or ()])
        self._upkeep.tidy()
        return deleted

    def index_field(self, field: str) -> bool:
        """Makes filters on a metadata field fast, now and for what is added later; False if it was done before.

        ``field`` is written as in filters: ``year``, or ``author.name`` for a field within one.
        """
        self._check_writable()
        try:
            name = path_text(parse_path(field))
        except Refused as refused:
            raise InvalidInput(f"{field!r} is no field's name: {refused.reason}", "Write it as in a filter.") from None
        with self._writer() as writer:
            return writer.index_field(name)

    def tune(
        self,
        recall: float = 0.99,
        latency_ms: float | None = None,
        *,
        queries: Sequence[str] | Any = (),
        progress: Callable[[Trial], None] | None = None,
    ) -> Trial:
        """Finds the fastest codes that reach a recall, measured against exact search, and keeps to them from now on.

        Args:
            recall: the share of the exact 10 nearest that a search must find, on average.
            latency_ms: milliseconds that a search may take, in the median.
            queries: texts or vectors like those to come; 200 stored vectors are measured with in any case.
            progress: called with each setting that was measured.

        Returns:
            What was chosen and measured. `info` shows it.

        Raises:
            InvalidInput: nothing reaches that, or the index is so small that every search is exact.
        """
        self._check_writable()
        vectors = self._language.query_vectors(queries, self._space()) if len(queries) else None
        return self._upkeep.tune(recall, latency_ms, vectors, progress)

    def compact(self) -> CompactReport:
        """Gives the space of deleted and replaced records back; readers are not disturbed."""
        self._check_writable()
        report = self._upkeep.compact()
        self._upkeep.tidy()
        return report

    def verify(self) -> VerifyReport:
        """Checks every invariant of what is stored; reads the whole index once."""
        return verify(self._snapshots, check_codes)

    def repair(self) -> VerifyReport:
        """Repairs what can be, and verifies again; other writers wait meanwhile, readers are not disturbed.

        Raises:
            IndexLocked, StorageError, ModelNotFound, SpaceMismatch: what was repaired until then stays so.
        """
        self._check_writable()
        renew = partial(self._upkeep.renew_codes, anew=True)
        report = repair(self._snapshots, self._writer_of, check_codes, renew, lambda: self.encoder)
        self._accelerator.forget()  # what was made again may have the name of what was refused
        return report

    def info(self) -> IndexInfo:
        """The index at a glance."""
        with self._snapshots.take() as snapshot:
            manifest = snapshot.manifest
            space = manifest.space
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
                truncated=snapshot.count_truncated(),
                bytes=folder_bytes(self._folder),
                model=space.model if space else None,
                dimension=space.dimension if space else None,
                max_tokens=space.max_tokens if space else None,
                pooling=space.pooling if space else None,
                precision=space.precision if space else None,
                fingerprint=space.fingerprint if space else None,
            )

    @contextlib.contextmanager
    def _writer(self) -> Iterator[Writer]:
        with self._snapshots.borrow() as catalog:
            yield self._writer_of(catalog)

    def _writer_of(self, catalog: Catalog) -> Writer:
        return Writer(self._folder, catalog, self._lock_timeout)

    def _manifest(self) -> Manifest:
        with self._snapshots.borrow() as catalog:
            return catalog.manifest()

    def _space(self) -> Space | None:
        return self._manifest().space

    def _check_writable(self) -> None:
        if self.readonly:
            raise InvalidInput(f"{self.path} was opened readonly", "Open it with readonly=False to change it.")

    def _check_sound(self) -> None:
        """As the first search does: what is written must not rest on what is damaged."""
        with self._snapshots.take():
            pass

    def backup(
        self, destination: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Copies the index, as of now, to a new directory that opens by itself; others go on reading and writing.

        Args:
            destination: a path at which nothing is, or an empty directory.
            progress: called with how many bytes are copied, and how many there are.

        Raises:
            InvalidInput, CorruptIndex, StorageError: nothing is left at ``destination``.
        """
        from .store.backup import backup

        return backup(self._snapshots, destination, progress)

    def export(
        self,
        destination: Destination,
        format: str | None = None,
        *,
        where: Where | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ExportReport:
        """Writes records with their vectors, all of one snapshot, for other programs; see `exchange.formats`.

        Args:
            destination: a path at which nothing is; or, for jsonl, a binary stream.
            format: "parquet", "npy", "jsonl" or "faiss"; None takes it from the suffix.
            where: a filter, as in `search`.
            progress: called with how many records are written, and how many there are.

        Raises:
            InvalidInput, InvalidFilter, MissingExtra, CorruptIndex, StorageError: nothing is left at ``destination``.
        """
        from .exchange.writing import export

        return export(self._snapshots, destination, format, None if where is None else parse(where), progress)

    def import_(
        self,
        source: str | os.PathLike[str] | Exchange,
        *,
        space: str | Space | None = None,
        progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Adds what `export` wrote, with the very vectors, in the same space; or records and vectors of others.

        Args:
            source: a path, read in the format that its content says; all of it is checked before anything is stored.
            space: what made the vectors, where the file does not say it: a name of your own, or a `Space`.
            progress: called after every commit with the report so far.

        Raises:
            SourceError: a row is not usable; nothing was stored.
            InvalidInput, SpaceMismatch, MissingExtra, IndexLocked, StorageError.
        """
        from .exchange.reading import import_into

        self._check_writable()
        self._check_sound()
        made_by = None if self._language.model is None else self.encoder.space
        with self._writer() as writer, self._upkeep.beside_an_add() as committed:
            report = import_into(writer, source, self._space(), made_by, space, ingest.each(committed, progress))
        self._upkeep.tidy()
        return report


def _resolved(path: str | os.PathLike[str]) -> Path:
    try:
        if not os.fspath(path):
            raise ValueError("it is empty")
        return Path(path).resolve()
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"{path!r} cannot be the directory of an index: {error}", "Name a directory.") from None


def _checked_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidInput(f"k is {k!r}", "Ask for a whole number of hits, 1 or more.")
    return int(k)
