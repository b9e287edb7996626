"""The public API: open an index, add to it, delete from it, import, and change its model.

It delegates. `Followed` adds files, `Maintained` holds the upkeep, and `Reader` everything that changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from ..encoders.load import Device, LoadOptions, precision_check
from ..encoders.run.encoder import Encoder
from ..errors import Advice, CorruptIndex, IncompatibleFormat, InvalidInput, TextTooLong, TextWithoutToken
from ..exchange.import_source import ImportSource
from ..filters.parse import parse_deletion
from ..search.listing import sources_at
from ..store.snapshot import Snapshots
from ..store.sql.schema import FORMAT, create_index, index_exists
from ..store.sql.upgrades import to_newest
from ..store.writer import LOCK_SECONDS
from ..values.arguments import entrance
from ..values.columns import Table, column_names, each, holds_columns, judgements, named_texts, rows_or_table, unordered
from ..values.keys import checked_key
from ..values.records import AddReport, EncodeReport, Metadata, Record
from ..values.scalars import choice, path_or, string
from ..values.space import Precision, Space
from .adding.long_texts import OnLong
from .adding.options import AddOptions, told_both
from .adding.repeats import OnDuplicate
from .adding.texts import Adding
from .change_model import Migration, MigrationReport, target_encoder
from .followed import Followed
from .model import IndexModel, Model, model_argument, settings_argument, space_argument
from .reader import Reader
from .searcher import Where


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
        path: the directory of the index.
        create: create an empty index if there is none; False raises IndexNotFound instead.
        readonly: refuse every change; works in a directory that cannot be written to.
        model: a folder, a hub name or an encoder. None is the index's own model, or the default for a new index.
        precision, device, dimensions, threads: how to load the model; see `load_encoder`. None keeps the index's own
            precision and dimensions.
        offline: True never contacts the model hub; None reads VECINDEX_OFFLINE.
        lock_timeout: seconds that a change waits for another writer before it raises IndexLocked.

    Raises:
        IndexNotFound, CorruptIndex, IncompatibleFormat, StorageError, InvalidInput.
    """
    settings = LoadOptions(precision, device, dimensions, threads, offline)
    return Index(path, create=create, readonly=readonly, model=model, settings=settings, lock_timeout=lock_timeout)


class Index(Followed):
    """An open index; see `open`. Any number of threads may read while one writer commits."""

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
        super().__init__(path, readonly=readonly, model=model, settings=settings, lock_timeout=lock_timeout)
        if create and not readonly and not index_exists(self._folder):
            create_index(self._folder, self._beside())
        try:
            self._manifest()  # opened now, so that a damaged index is refused now
        except IncompatibleFormat as error:
            if readonly or error.found > FORMAT:
                raise
            to_newest(self._folder, lock_timeout)
            self._manifest()

    @entrance(
        records=rows_or_table,
        text=column_names,
        key=lambda name, value: string(value, "key"),
        space=space_argument,
        on_long=choice(get_args(OnLong)),
        on_duplicate=choice(get_args(OnDuplicate)),
    )
    def add(
        self,
        records: Iterable[str | Record] | Table,
        *,
        text: str | Sequence[str] | None = None,
        key: str | None = None,
        keys: Iterable[str] | None = None,
        metadata: Iterable[Metadata | str | None] | None = None,
        vectors: Any = None,
        space: str | Space | None = None,
        encode: bool = True,
        on_long: OnLong = "truncate",
        on_duplicate: OnDuplicate = "error",
        progress: Callable[[AddReport], None] | None = None,
        on_bad: Callable[[TextTooLong | TextWithoutToken], None] | None = None,
    ) -> AddReport:
        """Adds texts, records or the rows of a table. When it returns, they are durable and searchable.

        A stored key with the same text and metadata stays as it is and is not encoded; with a different text or
        metadata it is updated, and so it is if it has no vector yet and gets one. There is a commit every one or two
        seconds: an interrupted ``add`` keeps what it committed, and running it again adds the rest.

        Args:
            records: an iterable of texts or of `Record`; a single string is an error. Or a table of pandas, polars or
                Arrow, or one of another library that can hand it over as Arrow (this needs pyarrow).
            text: the column of a table with the texts; several are joined, in this order, by a blank line.
                Left out, it is the column "text". Rows without a text are counted in ``AddReport.empty``.
            key: the column of a table with the keys. Left out, it is the column "key", if there is one.
            keys: a key for each text. A missing key is derived from the text and its metadata (`derive_key`), so
                identical texts become one record, counted in ``AddReport.duplicates``.
            metadata: a JSON object for each text; None keeps what is stored. With a table, the names of the columns
                that become metadata; left out, all others do. The index of a pandas table does not.
            vectors: (n, D) numbers that another program made of the texts, or a list with None for texts without a
                vector; a stored record that has a vector loses it by None. They are scaled to unit length, and nothing
                is encoded. Records may hold their vectors instead; with ``space`` or ``encode=False`` some of them may
                hold none, and a stored text keeps its vector then.
            space: what made the vectors: a name of your own, or ``index.encoder.space`` if it was the index's model,
                so that texts can be searched for. Left out, it is the space of the vectors already stored.
            encode: False stores texts without vectors, and needs no model: they are found by their words and by
                filters, and `encode_missing` gives them vectors later. A stored text that has a vector keeps it.
            on_long: what to do with a text that is longer than the model reads.
                "truncate" encodes the beginning and counts the lost tokens.
                "error" refuses the text, and stores nothing of its commit.
                "split" stores its parts as records KEY#1, KEY#2 and so on; filters know KEY as their ``document``.
                "mean" encodes its parts and stores one vector, their mean.
                "error" and "mean" encode a stored text again if it was truncated; otherwise a text that is already
                stored stays as it is, however it was encoded.
            on_duplicate: what to do when two items have the same given key. "error" raises InvalidInput and names
                both: of a sequence nothing is stored, of an iterator what was committed before stays. "last" keeps
                the last item.
            progress: called after each commit with the report so far, whose ``written`` are the keys of that commit.
            on_bad: called with an error for each text that is left out: with ``on_long="error"`` those that are too
                long, and those in which the model finds no token. Without it the first such text raises, and nothing
                of its commit is stored. Most models add tokens of their own to every text, and so find some in each.

        Raises:
            TextTooLong, TextWithoutToken: see ``on_long`` and ``on_bad``.
            InvalidInput: a text, key, metadata or vector cannot be stored.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        self._check_writable()
        self._check_sound()
        table = None
        if holds_columns(records):
            if keys is not None:
                raise InvalidInput("keys= goes with texts", "Name the table's column of the keys with key=.")
            from ..sources.rows.tables import TableRows

            table = TableRows(records, text, key, cast(Any, metadata))
        elif text is not None or key is not None:
            raise InvalidInput("text= and key= name the columns of a table, which records is not", "Leave them out.")
        with self._writer() as writer, self._upkeep.beside_an_add(writer) as committed:
            after, keep = told_both(committed, progress), self._upkeep.keep_tokens
            options = AddOptions(space, on_long, on_duplicate, after, on_bad, keep, encode)
            adding = Adding(self._snapshots, writer, self._model, lambda: self.encoder, options)
            if table is None:
                report = adding.add(cast(Any, records), keys, cast(Any, metadata), vectors)
            else:
                # A table in memory is checked to its end before anything is committed, as a sequence is.
                report = adding.add(list(table) if table.in_memory else table, None, None, vectors)
                report = replace(report, empty=table.empty)
        self._upkeep.tidy()
        return replace(report, written=())

    @entrance(keys=unordered)
    def delete(
        self,
        keys: Iterable[str] | None = None,
        *,
        where: Where | None = None,
        source: str | os.PathLike[str] | None = None,
    ) -> int:
        """Deletes the records with these keys, those that a filter selects, or those of a source; returns how many.

        Args:
            keys: keys of records; all or none are deleted.
            where: a filter. ``"true"`` deletes every record; an empty filter such as ``{}`` is an error.
            source: a file that was added, or a folder or an archive for all that is in it; or the URL or other label of
                a source, as `sources` lists it. The file need not be there any more. A record that another source has
                too stays, and is one of that source.

        Raises:
            RecordNotFound: a key has no record; nothing was deleted.
            InvalidInput: the filter is empty, or nothing was added from that source.
            InvalidFilter.
        """
        self._check_writable()
        if sum(given is not None for given in (keys, where, source)) != 1:
            raise InvalidInput(
                "delete takes one of keys, where= and source=", "To delete all records, pass where='true'."
            )
        with self._writer() as writer:
            if where is not None:
                deleted = writer.delete_where(parse_deletion(where))
            elif source is not None:
                with self._snapshots.borrow() as catalog:
                    ids = sources_at(catalog, self._folder, os.fspath(source))
                deleted = writer.remove_sources(ids)
            else:
                deleted = writer.delete(each(() if keys is None else keys, checked_key))
        self._upkeep.tidy()
        return deleted

    @entrance(source=path_or(ImportSource), space=space_argument)
    def import_(
        self,
        source: str | os.PathLike[str] | ImportSource,
        *,
        space: str | Space | None = None,
        progress: Callable[[AddReport], None] | None = None,
    ) -> AddReport:
        """Adds what `export` wrote, with the same vectors in the same space; or records and vectors from elsewhere.

        Args:
            source: a path, whose format is recognised by its content. All of it is checked before anything is stored.
            space: what made the vectors, if the file does not say so: a name of your own, or a `Space`.
            progress: as in `add`.

        Raises:
            SourceError: a row cannot be used; nothing was stored.
            InvalidInput, SpaceMismatch, MissingExtra, IndexLocked, StorageError.
        """
        from .import_vectors import import_vectors

        self._check_writable()
        self._check_sound()
        given = None if self._model.model is None else self.encoder.space
        with self._writer() as writer, self._upkeep.beside_an_add(writer) as committed:
            after = told_both(committed, progress)
            report = import_vectors(source, writer, stored=self._space() or given, named=space, progress=after)
        self._upkeep.tidy()
        return replace(report, written=())

    @entrance()
    def encode_missing(self, *, progress: Callable[[int, int], None] | None = None) -> EncodeReport:
        """Gives the records that have no vector one, with the index's model; `vecindex encode-missing` does the same.

        There is a commit every one or two seconds: an interrupted call keeps what it committed, and the next one goes
        on. Texts that are too long are truncated, as in `add`. A record that gets a vector is the last in the order of
        insertion, as after an update.

        Args:
            progress: called with the number of records that were looked at, and of those that had no vector.

        Raises:
            InvalidInput: the vectors were made elsewhere; open the index with an encoder of theirs, `ForeignEncoder`.
            SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        from .encode_missing import encode_missing

        self._check_writable()
        self._check_sound()
        space = self._space()
        if space is not None and space.is_external and not isinstance(self._model.model, Encoder):
            raise InvalidInput(
                f"the index holds vectors made elsewhere ({space.model}): no text can be encoded into their space",
                Advice(
                    "Open it with what made them: vecindex.open(path, model=vecindex.ForeignEncoder(...)); or add the "
                    "records again with vectors=.",
                    typed="Encode them in Python: open the index with model=vecindex.ForeignEncoder(...).",
                ),
            )
        with self._writer() as writer, self._upkeep.beside_an_add(writer) as committed:
            keep = self._upkeep.keep_tokens
            report = encode_missing(self._snapshots, writer, lambda: self.encoder, keep, committed, progress)
        self._upkeep.tidy()
        return report

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
        """Changes the model: encodes every stored text in a side index, compares the two, and switches.

        Others go on reading and writing until the switch, which is one commit. An interrupted migration continues where
        it stopped. The old index is kept until `drop_old`.

        Args:
            model: a folder, a hub name or an encoder; None is the index's own model and revision.
            precision, dimensions: of the new space; see `load_encoder`. None is what the index was opened with, or, for
                its own model, what it has.
            queries: texts, or texts by name, whose first ten hits are compared. Without them 50 stored records are.
            qrels: for named queries, the relevance of records by key; nDCG@10 is measured before and after.
            anew: encode every text again, also with the index's own model, and reuse nothing except from such a run
                that was interrupted in this environment. This is for vectors that another environment made differently.
            progress: called with the number of records that have their new vector, and the number of all records.

        Raises:
            InvalidInput: the index is empty, or its model cannot answer the queries.
            SpaceMismatch: the files of the index's own model have changed.
            ModelNotFound, UnsupportedModel, IndexLocked, CorruptIndex, StorageError: the index is unchanged.
        """
        self._check_writable()
        self._check_sound()
        encoder = target_encoder(self._model, self._space(), model, precision, dimensions, len(self))
        migration = Migration(self._folder, self._snapshots, self._writer, self._upkeep.derive, self._open_side)
        with contextlib.ExitStack() as stack:
            compared: Reader = self
            space = self._space()
            if anew and space is not None and space.fingerprint == encoder.space.fingerprint:
                # The drift check must not refuse the vectors that are about to be replaced.
                compared = stack.enter_context(Reader(self._folder, model=encoder, guarded=False))
            report = migration.run(compared, encoder, queries, qrels, progress=progress, anew=anew)
        self._model = IndexModel(encoder, self._model.settings, self._check_vectors)
        return report

    def _beside(self) -> Path | None:
        """The index whose file permissions a new index takes over."""
        return None

    def _open_side(self, path: Path, encoder: Encoder) -> tuple[Index, Snapshots]:
        side = _SideIndex(path, model=encoder, lock_timeout=self._lock_timeout)
        if side._folder != path:
            raise CorruptIndex(str(path), "it is a symbolic link, not a directory")  # created since
        return side, side._snapshots


class _SideIndex(Index):
    def _beside(self) -> Path | None:
        return self._folder.parent

    def _advice(self) -> str:
        what = "An earlier migration to this model ran in a different environment: encode everything again with "
        return Advice(f"{what}anew=True.", typed=f"{what}--anew.")
