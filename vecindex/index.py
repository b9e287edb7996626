"""The public API of an index: open, add, search and the rest; it delegates."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any

import numpy as np

from . import ingest
from .encoders.encoder import Encoder
from .encoders.load import load_encoder, load_for_space
from .encoders.spec import Space
from .errors import InvalidInput, RecordNotFound, SpaceMismatch
from .filter_syntax import parse
from .records import AddReport, CompactReport, Hit, IndexInfo, Metadata, Record, VerifyReport, checked_key
from .search import run
from .store.compact import compact
from .store.files import folder_bytes
from .store.schema import FORMAT, create_index, index_exists
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
        # Absolute, so that a later change of the working directory does not lead elsewhere.
        self._folder = _resolved(path)
        self.path = Path(path)
        self.readonly = readonly
        self._model = model
        self._offline = offline
        self._lock_timeout = lock_timeout
        self._encoder: Encoder | None = None
        if create and not readonly and not index_exists(self._folder):
            create_index(self._folder)
        self._snapshots = Snapshots(self._folder, readonly)
        with self._snapshots.borrow():
            pass  # opened now, so that what is wrong with the index is said now

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
        with self._snapshots.borrow() as catalog:
            return catalog.count()

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
        space = self._space()
        if self._encoder is None:
            if self._model is None and space is not None:
                self._encoder = load_for_space(space, offline=self._offline)
            elif isinstance(self._model, Encoder):
                self._encoder = self._model
            elif not isinstance(self._model, (str, os.PathLike, NoneType)):
                raise InvalidInput(
                    f"the model is a {type(self._model).__name__}", "Give a folder, a hub name or an encoder."
                )
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
        for name, column in (("records", records), ("keys", keys), ("metadata", metadata)):
            if isinstance(column, (str, bytes, Record, Mapping)):
                raise InvalidInput(
                    f"{name} is one {type(column).__name__}, not a sequence", "Put it in a list, one for each text."
                )
        if self._model is not None:
            _ = self.encoder  # a model of another space is refused even where no text needs to be encoded
        with self._writer() as writer:
            return ingest.add(
                records, keys, metadata, self._snapshots, writer, encoder=lambda: self.encoder, progress=progress
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
        while True:
            vectors = self._query_vectors(queries)
            with self._snapshots.take() as snapshot:
                if snapshot.manifest.space is None:
                    return [[] for _ in vectors]
                if vectors.shape[1] == snapshot.manifest.dimension:
                    return run.search(snapshot, vectors, k, condition)
            # The first add came between: the index had no space yet when the queries were read.

    def similar(self, key: str, k: int = 5, where: Where | None = None) -> list[Hit]:
        """The nearest records to the stored record ``key``, itself left out; raises RecordNotFound."""
        k = _checked_k(k)
        condition = None if where is None else parse(where)
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([checked_key(key)])
            if key not in stored:
                raise RecordNotFound(key)
            query = np.array(snapshot.vectors[stored[key].row])
            hits = run.search(snapshot, query[None, :], k + 1, condition)[0]
        others = [hit for hit in hits if hit.key != key][:k]
        return [replace(hit, rank=rank) for rank, hit in enumerate(others, 1)]

    def get(self, key: str) -> Record:
        """The record ``key``, its ``vector`` (D,) float32 of unit length included; raises RecordNotFound."""
        with self._snapshots.take() as snapshot:
            stored = snapshot.find([checked_key(key)])
            if key not in stored:
                raise RecordNotFound(key)
            record = stored[key]
            return Record(record.text, key, snapshot.metadata(record), np.array(snapshot.vectors[record.row]))

    def delete(self, keys: Iterable[str]) -> int:
        """Deletes the records that have these keys, all or none; returns how many.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
        """
        self._check_writable()
        if isinstance(keys, (str, bytes)):
            raise InvalidInput("keys is one string, not a sequence of keys", "Put it in a list: [key].")
        with self._writer() as writer:
            return writer.delete([checked_key(key) for key in keys])

    def compact(self) -> CompactReport:
        """Gives the space of deleted and replaced records back; readers are not disturbed."""
        self._check_writable()
        with self._snapshots.borrow() as catalog:
            return compact(self._folder, catalog, self._lock_timeout)

    def verify(self) -> VerifyReport:
        """Checks every invariant of what is stored; reads the whole index once."""
        return verify(self._snapshots)

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
                dead_rows=len(snapshot.dead),
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
            yield Writer(self._folder, catalog, self._lock_timeout)

    def _space(self) -> Space | None:
        with self._snapshots.borrow() as catalog:
            return catalog.manifest().space

    def _check_writable(self) -> None:
        if self.readonly:
            raise InvalidInput(f"{self.path} was opened readonly", "Open it with readonly=False to change it.")

    def _query_vectors(self, queries: Sequence[str] | Any) -> Vectors:
        """Unit vectors (n, D) of texts or vectors."""
        if isinstance(queries, (str, bytes)):
            raise InvalidInput("queries is one string, not a sequence", "Call search(query), or pass [query].")
        if isinstance(queries, Sequence) and queries and isinstance(queries[0], str):
            # Without a space there is nothing to find, and so no reason to load a model.
            if self._space() is None:
                return np.empty((len(queries), 0), np.float32)
            return self.encoder.encode(queries, role="query")
        space = self._space()
        return run.unit_queries(queries, space.dimension if space else 0)


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
