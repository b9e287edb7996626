"""The public API of an index: open, add, search and the rest; it delegates."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from . import ingest
from .encoders.encoder import Encoder
from .encoders.load import load_encoder, load_for_space
from .encoders.pooling import unit_length
from .errors import InvalidInput, RecordNotFound, SpaceMismatch
from .filter_syntax import parse
from .records import AddReport, CompactReport, Hit, IndexInfo, Metadata, Record, VerifyReport, checked_text
from .search import run
from .store.compact import compact
from .store.files import folder_bytes
from .store.schema import DATABASE_FILE, FORMAT, create_index
from .store.snapshot import Snapshots
from .store.vectors import Vectors
from .store.verify import verify
from .store.writer import LOCK_SECONDS, Writer

Where = Mapping[str, Any] | str
Model = str | os.PathLike[str] | Encoder


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
        self.path = Path(path)
        self.readonly = readonly
        self._model = model
        self._offline = offline
        self._lock_timeout = lock_timeout
        self._encoder: Encoder | None = None
        if not (self.path / DATABASE_FILE).exists():
            self._create(create and not readonly)
        self._snapshots = Snapshots(self.path, readonly)
        _ = self._snapshots.catalog  # opened now, so that what is wrong with the index is said now

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Index {str(self.path)!r}, {len(self)} records>"

    def __len__(self) -> int:
        """How many records there are."""
        return self._snapshots.catalog.count()

    def close(self) -> None:
        """Closes the files; nothing is lost without it."""
        self._snapshots.close()

    @property
    def encoder(self) -> Encoder:
        """What turns texts into vectors of this index's space; loaded when it is first needed.

        Raises:
            SpaceMismatch: the model that was given to `open` is of another space than the index.
            ModelNotFound, UnsupportedModel.
        """
        space = self._snapshots.catalog.manifest().space
        if self._encoder is None:
            if self._model is None and space is not None:
                self._encoder = load_for_space(space, offline=self._offline)
            elif isinstance(self._model, Encoder):
                self._encoder = self._model
            else:
                self._encoder = load_encoder(self._model, offline=self._offline)
        found = self._encoder.space
        if space is not None and space.fingerprint != found.fingerprint:
            raise SpaceMismatch(space.describe(), found.describe(), space.differences(found))
        return self._encoder

    def add(
        self,
        records: Iterable[str | Record],
        *,
        keys: Iterable[str] | None = None,
        metadata: Iterable[Metadata | None] | None = None,
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
            progress: called after every commit with the report so far.

        Raises:
            InvalidInput: a text, key or metadata cannot be stored.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        self._check_writable()
        if isinstance(records, (str, bytes)):
            raise InvalidInput(f"records is one {type(records).__name__}, not a sequence", "Put it in a list: [text].")
        if self._model is not None:
            _ = self.encoder  # a model of another space is refused even where no text needs to be encoded
        return ingest.add(
            _as_records(records, keys, metadata), self._snapshots, self._writer(), lambda: self.encoder, progress
        )

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
        vectors = self._query_vectors(queries)
        with self._snapshots.take() as snapshot:
            if snapshot.manifest.space is None:
                return [[] for _ in vectors]
            return run.search(snapshot, vectors, k, condition)

    def similar(self, key: str, k: int = 5, where: Where | None = None) -> list[Hit]:
        """The nearest records to the stored record ``key``, itself left out; raises RecordNotFound."""
        k = _checked_k(k)
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([key])
            if key not in stored:
                raise RecordNotFound(key)
            query = np.array(snapshot.vectors[stored[key].row])
            hits = run.search(snapshot, query[None, :], k + 1, condition)[0]
        others = [hit for hit in hits if hit.key != key][:k]
        return [Hit(rank, h.key, h.score, h.text, h.metadata) for rank, h in enumerate(others, 1)]

    def get(self, key: str) -> Record:
        """The record ``key``, its ``vector`` (D,) float32 of unit length included; raises RecordNotFound."""
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([key])
            if key not in stored:
                raise RecordNotFound(key)
            record = stored[key]
            return Record(record.text, key, json.loads(record.metadata), np.array(snapshot.vectors[record.row]))

    def delete(self, keys: Sequence[str]) -> int:
        """Deletes the records that have these keys, all or none; returns how many.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
        """
        self._check_writable()
        if isinstance(keys, (str, bytes)):
            raise InvalidInput("keys is one string, not a sequence of keys", "Put it in a list: [key].")
        return self._writer().delete(keys)

    def compact(self) -> CompactReport:
        """Gives the space of deleted and replaced records back; readers are not disturbed."""
        self._check_writable()
        return compact(self.path, self._snapshots.catalog, self._lock_timeout)

    def verify(self) -> VerifyReport:
        """Checks every invariant of what is stored; reads the whole index once."""
        return verify(self._snapshots)

    def info(self) -> IndexInfo:
        """The index at a glance."""
        with self._snapshots.take() as snapshot:
            catalog, manifest = self._snapshots.catalog, snapshot.manifest
            space = manifest.space
            return IndexInfo(
                path=str(self.path),
                format=FORMAT,
                created=manifest.created,
                generation=manifest.generation,
                records=snapshot.records,
                dead_rows=len(snapshot.dead),
                truncated=catalog.count_truncated(),
                bytes=folder_bytes(self.path),
                model=space.model if space else None,
                dimension=space.dimension if space else None,
                max_tokens=space.max_tokens if space else None,
                pooling=space.pooling if space else None,
                precision=space.precision if space else None,
                fingerprint=space.fingerprint if space else None,
            )

    def _writer(self) -> Writer:
        return Writer(self.path, self._snapshots.catalog, self._lock_timeout)

    def _create(self, allowed: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInput(f"{self.path} is a file, not the directory of an index", "Name a directory.")
        occupied = self.path.is_dir() and any(self.path.iterdir())
        if occupied and not any(self.path.glob("vectors-*.f32")) and allowed:
            raise InvalidInput(
                f"{self.path} is a directory that holds other files", "Name a new directory for the index."
            )
        if not allowed or occupied:
            return  # opening says what is missing
        create_index(self.path)

    def _check_writable(self) -> None:
        if self.readonly:
            raise InvalidInput(f"{self.path} was opened readonly", "Open it with readonly=False to change it.")

    def _query_vectors(self, queries: Sequence[str] | Any) -> Vectors:
        """Unit vectors (n, D) of texts or vectors."""
        if isinstance(queries, (str, bytes)):
            raise InvalidInput("queries is one string, not a sequence", "Call search(query), or pass [query].")
        if isinstance(queries, Sequence) and queries and isinstance(queries[0], str):
            return self.encoder.encode(queries, role="query") if len(self) else np.empty((len(queries), 0), np.float32)
        return _checked_vectors(queries, self._snapshots.catalog.manifest().dimension)


def _checked_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidInput(f"k is {k!r}", "Ask for a whole number of hits, 1 or more.")
    return int(k)


def _checked_vectors(vectors: Any, dimension: int) -> Vectors:
    try:
        array = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidInput("a query is neither a text nor a vector of numbers", "Pass a str or (D,) floats.") from None
    if array.size == 0 and len(array) == 0:
        return np.empty((0, dimension), np.float32)
    if array.ndim != 2 or (dimension and array.shape[1] != dimension):
        raise InvalidInput(
            f"a query vector has the shape {array.shape[1:]}; the index holds vectors of shape ({dimension},)",
            "Encode the query with index.encoder.encode([text], role='query')[0].",
        )
    if not np.isfinite(array).all() or not np.linalg.norm(array, axis=1).all():
        raise InvalidInput("a query vector is zero or not finite", "A cosine needs a direction.")
    return unit_length(array)


def _as_records(
    records: Iterable[str | Record], keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
) -> Iterable[Record]:
    """Texts with their keys and metadata as records; columns of different lengths are refused before any is used."""
    if keys is None and metadata is None:
        return (item if isinstance(item, Record) else Record(checked_text(item)) for item in records)
    texts = [checked_text(item) for item in records]
    key_list = [None] * len(texts) if keys is None else list(keys)
    metadata_list = [None] * len(texts) if metadata is None else list(metadata)
    if not len(texts) == len(key_list) == len(metadata_list):
        raise InvalidInput(
            f"there are {len(texts)} texts, {len(key_list)} keys and {len(metadata_list)} metadata objects",
            "Give one key and one metadata object for each text, or leave keys= or metadata= out.",
        )
    return map(Record, texts, key_list, metadata_list)
