"""The public API of an index: open, add, delete and the rest that changes it; it delegates."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from ..encoders.load import Device, LoadOptions, precision_check
from ..encoders.run.encoder import Encoder
from ..errors import Advice, CorruptIndex, IncompatibleFormat, InvalidInput, TextWithoutToken
from ..exchange.import_source import ImportSource
from ..filters.parse import parse_deletion
from ..filters.tree import Refused, parse_path, path_text
from ..search.check_codes import check_codes
from ..search.tune import Trial
from ..search.upkeep import Upkeep
from ..store.disk.lock import MIGRATION_LOCK_FILE, WriterLock
from ..store.side_indexes import drop_sides
from ..store.snapshot import Snapshots
from ..store.soundness.repair import repair
from ..store.sql.reads import Catalog
from ..store.sql.schema import FORMAT, create_index, index_exists
from ..store.sql.upgrades import to_newest
from ..store.writer import LOCK_SECONDS, Writer
from ..values.arguments import choice, each, entrance, judgements, named_texts, path_or, unordered
from ..values.records import AddReport, CompactReport, Metadata, Record, VerifyReport, checked_key
from ..values.space import Precision, Space
from . import add as ingest
from .change_model import MigrationReport, Parts, migrate, own_model
from .long_texts import OnLong
from .model import Language, Model, model_argument, settings_argument, space_argument
from .reader import Reader, Where
from .repeats import OnDuplicate


@entrance(model=model_argument, precision=precision_check)
def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    readonly: bool = False,
    model: Model | None = None,
    precision: Precision | None = None,
    device: Device = "auto",
    dimensions: int | None = None,
    threads: int | None = None,
    offline: bool | None = None,
    lock_timeout: float = LOCK_SECONDS,
) -> Index:
    """Opens the index in the directory ``path``.

    Args:
        path: the index's directory.
        create: make an empty index where there is none; False raises IndexNotFound instead.
        readonly: refuse to change anything, and open an index in a directory that cannot be written to.
        model: a folder, a hub name or an encoder; None is the index's own model, or the default for a new index.
        precision, device, dimensions, threads: how the model is loaded, as `load_encoder` says; None is the index's own
            precision and dimension.
        offline: True never contacts the model hub; None asks VECINDEX_OFFLINE.
        lock_timeout: seconds that a change waits for another writer before it raises IndexLocked.

    Raises:
        IndexNotFound, CorruptIndex, IncompatibleFormat, StorageError, InvalidInput.
    """
    settings = LoadOptions(precision, device, dimensions, threads, offline)
    return Index(path, create=create, readonly=readonly, model=model, settings=settings, lock_timeout=lock_timeout)


class Index(Reader):
    """An open index; see `open`. Any number of threads may read, and one writer at a time commits."""

    @entrance(model=model_argument, settings=settings_argument)
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        model: Model | None = None,
        settings: LoadOptions | None = None,
        lock_timeout: float = LOCK_SECONDS,
    ) -> None:
        super().__init__(path, readonly=readonly, model=model, settings=settings)
        self._lock_timeout = lock_timeout
        self._upkeep = Upkeep(self._folder, self._snapshots, self._accelerator, self._writer)
        if create and not readonly and not index_exists(self._folder):
            create_index(self._folder, self._beside())
        try:
            self._manifest()  # opened now, so that what is wrong with the index is said now
        except IncompatibleFormat as error:
            if readonly or error.found > FORMAT:
                raise
            to_newest(self._folder, lock_timeout)
            self._manifest()

    @entrance(space=space_argument, on_long=choice(get_args(OnLong)), on_duplicate=choice(get_args(OnDuplicate)))
    def add(
        self,
        records: Iterable[str | Record],
        *,
        keys: Iterable[str] | None = None,
        metadata: Iterable[Metadata | None] | None = None,
        vectors: Any = None,
        space: str | Space | None = None,
        on_long: OnLong = "truncate",
        on_duplicate: OnDuplicate = "error",
        progress: Callable[[AddReport], None] | None = None,
        on_bad: Callable[[TextWithoutToken], None] | None = None,
    ) -> AddReport:
        """Adds texts or records; when it returns, they are durable and can be found.

        A key that is stored with the same text and metadata is unchanged and not encoded; a stored key with another
        text or other metadata is updated. A commit is made every one or two seconds, so an ``add`` that is interrupted
        keeps what it committed, and running it again adds the rest.

        Args:
            records: an iterable of texts or of `Record`; one string alone is an error.
            keys: a key for each text; without it, and where it is None, `derive_key` names each by its text and
                metadata, so that texts which say the same are one record, counted in ``AddReport.duplicates``.
            metadata: a JSON object for each text; None keeps what is stored.
            vectors: (n, D) numbers, what another program made of the texts; they are brought to unit length, and
                nothing is encoded. Records that hold vectors are added likewise.
            space: what made the vectors: a name of your own, or ``index.encoder.space`` if it was the index's model,
                so that texts can be searched for. Left out, it is that of the vectors that are stored already.
            on_long: what becomes of a text longer than the model reads. "truncate": what is read of it is encoded, and
                what is lost counted. "error": it is refused, and nothing of its commit is stored. "split": its parts
                become records of their own, KEY#1, KEY#2 and so on, with ``part_of`` and ``span`` in their metadata;
                what was stored of KEY before, whole or in parts, and is not now, is removed in the same commit.
                "mean": it is encoded in parts, and its vector is their mean. A stored text that was truncated is
                encoded again for "error" and "mean"; else the same text is unchanged, however it was encoded.
            on_duplicate: what becomes of a key that two items were given. "error": it is an InvalidInput that names
                both; of a sequence nothing is stored, and of an iterator, which is checked as it goes, what was
                committed stays. "last": the last item wins.
            progress: called after every commit with the report so far, whose ``written`` are the keys of that commit.
            on_bad: called with an error for each text in which the model finds no token, which is left out. Without it
                the first such text is raised as an error, and nothing of its commit is stored. Most models add tokens
                of their own to each text, and have none such.

        Raises:
            TextTooLong: see ``on_long``.
            TextWithoutToken: see ``on_bad``.
            InvalidInput: a text, key, metadata or vector cannot be stored.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        self._check_writable()
        self._check_sound()
        records, hold_vectors = ingest.peek(records)
        if on_long != "truncate" and (vectors is not None or hold_vectors):
            raise InvalidInput("on_long= says how texts are encoded, and vectors were given", "Leave it out.")
        space_for = partial(self._language.space_of_vectors, space, self._space())
        with self._writer() as writer, self._upkeep.beside_an_add() as committed:
            after = ingest.each(committed, progress)
            if vectors is not None:
                report = ingest.add_vectors(records, keys, metadata, vectors, writer, space_for, after, on_duplicate)
            elif hold_vectors:
                report = ingest.add_records(records, writer, space_for, after, on_duplicate)
            elif space is not None:
                raise InvalidInput(
                    "space= says what made vectors, and there are none", "Give vectors=, or leave it out."
                )
            else:
                if self._language.chosen:
                    _ = self.encoder  # another space is refused even where nothing needs to be encoded
                report = ingest.add(
                    *(records, keys, metadata, self._snapshots, writer, lambda: self.encoder),
                    *(on_long, after, on_bad, on_duplicate),
                )
        self._upkeep.tidy()
        return replace(report, written=())

    @entrance(keys=unordered)
    def delete(self, keys: Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Deletes the records that have these keys, all or none, or those that a filter selects; returns how many.

        ``where="true"`` deletes every record. A filter without a condition, such as ``{}``, does not.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
            InvalidInput: the filter holds no condition.
            InvalidFilter.
        """
        self._check_writable()
        if (keys is None) == (where is None):
            raise InvalidInput("delete takes keys or where=, one of them", "To delete all records, pass where='true'.")
        with self._writer() as writer:
            if where is not None:
                deleted = writer.delete_where(parse_deletion(where))
            else:
                deleted = writer.delete(each(() if keys is None else keys, checked_key))
        self._upkeep.tidy()
        return deleted

    @entrance()
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

    @entrance()
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
            queries: texts or vectors like those to come, of which 200 are measured with; where there are fewer, stored
                vectors make up the rest.
            progress: called with each setting that was measured.

        Returns:
            What was chosen and measured. `info` shows it.

        Raises:
            InvalidInput: nothing reaches that, or the index is so small that every search is exact.
        """
        self._check_writable()
        vectors = self._language.query_vectors(queries, self._space()) if len(queries) else None
        return self._upkeep.tune(recall, latency_ms, vectors, progress)

    @entrance()
    def compact(self, *, cache: bool = False) -> CompactReport:
        """Gives the space of deleted and replaced records back; readers are not disturbed.

        A text that was encoded here is not encoded again, also under another key, or once its record is deleted, until
        this drops its row. With ``cache`` all texts are forgotten.
        """
        self._check_writable()
        report = self._upkeep.compact(empty_cache=cache)
        self._upkeep.tidy()
        return report

    @entrance()
    def repair(self, *, encode: bool = False) -> VerifyReport:
        """Repairs what can be, and verifies again; other writers wait meanwhile, readers are not disturbed.

        Args:
            encode: where the file of vectors is missing or cut, encode the texts again whose vectors are lost, which
                takes as long as adding them did. Without it such an index is left as it is.

        Raises:
            IndexLocked, StorageError, ModelNotFound, SpaceMismatch: what was repaired until then stays so.
        """
        self._check_writable()
        renew = partial(self._upkeep.renew_codes, anew=True)
        report = repair(self._snapshots, self._writer_of, check_codes, renew, lambda: self.encoder, encode)
        self._accelerator.forget()  # what was made again may have the name of what was refused
        if report.repaired:
            self._upkeep.tidy()
        return report

    @entrance(source=path_or(ImportSource), space=space_argument)
    def import_(
        self,
        source: str | os.PathLike[str] | ImportSource,
        *,
        space: str | Space | None = None,
        progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Adds what `export` wrote, with the very vectors, in the same space; or records and vectors of others.

        Args:
            source: a path, read in the format that its content says; all of it is checked before anything is stored.
            space: what made the vectors, where the file does not say it: a name of your own, or a `Space`.
            progress: as in `add`.

        Raises:
            SourceError: a row is not usable; nothing was stored.
            InvalidInput, SpaceMismatch, MissingExtra, IndexLocked, StorageError.
        """
        from .import_vectors import import_vectors

        self._check_writable()
        self._check_sound()
        made_by = None if self._language.model is None else self.encoder.space
        with self._writer() as writer, self._upkeep.beside_an_add() as committed:
            report = import_vectors(writer, source, self._space(), made_by, space, ingest.each(committed, progress))
        self._upkeep.tidy()
        return replace(report, written=())

    @entrance(model=model_argument, precision=precision_check, queries=named_texts, qrels=judgements)
    def migrate(
        self,
        model: Model | None = None,
        *,
        precision: Precision | None = None,
        dimensions: int | None = None,
        queries: Sequence[str] | Mapping[str, str] = (),
        qrels: Mapping[str, Mapping[str, float]] | None = None,
        anew: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> MigrationReport:
        """Gives the index another model: every stored text is encoded anew, beside the index, and then it is switched.

        Others go on reading and writing until the switch, which is one commit; what was encoded when a migration was
        interrupted is not encoded again. The index as it was is kept, until `drop_old`.

        Args:
            model: a folder, a hub name or an encoder; None is the index's own, in its revision.
            precision, dimensions: of the new space, as `load_encoder` says; None is what the index was opened with or,
                of its own model, what it has.
            queries: texts, or texts by their names, whose first ten hits are compared; left out, 50 stored records'.
            qrels: for queries by name, how relevant the records are, by key: nDCG@10 is measured before and after.
            anew: take over nothing that was encoded before but by such a run in this environment, interrupted; with the
                index's own model too: for vectors that came out otherwise where they were made.
            progress: called with how many records have their new vector, and how many there are.

        Raises:
            InvalidInput: the index is empty, or its model cannot answer the queries.
            SpaceMismatch: the files of the index's own model are others by now.
            ModelNotFound, UnsupportedModel, IndexLocked, CorruptIndex, StorageError: the index is as it was.
        """
        self._check_writable()
        self._check_sound()
        settings = self._language.settings
        asked = replace(
            settings, precision=precision or settings.precision, dimensions=dimensions or settings.dimensions
        )
        if model is None:
            encoder = own_model(self._space(), asked, self._language.model)
        else:
            encoder = Language(model, asked).encoder(None)
        parts = Parts(self._folder, self._snapshots, self._writer, self._upkeep.write_codes, self._open_side)
        with contextlib.ExitStack() as stack:
            compared: Reader = self
            space = self._space()
            if anew and space is not None and space.fingerprint == encoder.space.fingerprint:
                # Vectors that are to be replaced must not be refused.
                compared = stack.enter_context(Reader(self._folder, model=encoder, guarded=False))
            report = migrate(compared, parts, encoder, queries, qrels, progress, anew)
        self._language = Language(encoder, settings, self._check_vectors)
        return report

    def drop_old(self) -> int:
        """Removes what migrations keep beside the index, unfinished ones too; returns the bytes given back.

        Raises IndexLocked where one is at work.
        """
        self._check_writable()
        with WriterLock(self._folder, 0, MIGRATION_LOCK_FILE), self._writer() as writer, writer.locked():
            return drop_sides(self._folder)

    def _beside(self) -> Path | None:
        """The index that this one, where it is to be made, is to be as open as."""
        return None

    def _open_side(self, path: Path, encoder: Encoder) -> tuple[Index, Snapshots]:
        side = _SideIndex(path, model=encoder, lock_timeout=self._lock_timeout)
        if side._folder != path:
            raise CorruptIndex(str(path), "it is a symbolic link, not a directory")  # made meanwhile
        return side, side._snapshots

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
        """As the first search does: what is written must not rest on what is damaged."""
        with self._snapshots.take():
            pass


class _SideIndex(Index):
    def _beside(self) -> Path | None:
        return self._folder.parent

    def _advice(self) -> str:
        what = "A migration to this model was begun or kept elsewhere: encode all anew here, with "
        return Advice(f"{what}anew=True.", typed=f"{what}--anew.")
