"""Checks where records are from: sources, documents and repeats; makes what is damaged of these again from the records.

The texts and vectors of records are never at stake here. `mend` is one transaction, and may be repeated:

1. A source that is damaged, or does not exist, is forgotten by its records and documents. The next ``add`` of the file
   registers it again, and takes them over.
2. A document that is damaged, or does not exist, is made again from its records, whose keys are KEY#1, KEY#2 and so on.
   The digest of its text is unknown then.
3. A repeat that is damaged, or of something that does not exist, is dropped, and all sources are read again.
4. Which texts were also given by hand is in the repeats alone. So if one of these is damaged, every text that has a
   source counts as given by hand as well: pruning must not remove what somebody gave.
5. Every source that this concerns is read again by its next ``add``, which restores what records do not tell.
6. Pages of these tables are damaged: the tables are made again from what can be read of them, and all sources are read
   again. What is no longer from any source counts as given by hand, too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...errors import CorruptIndex
from ...values.metadata import checked_metadata
from ...values.sources import SourceState
from ..sql.documents import DOCUMENT, REPEAT, SOURCE, document_from, repeat_from, source_from
from ..sql.reads import RECORD_COLUMNS, Catalog, stored_from
from ..sql.writes import Tables
from ..stored import BY_HAND, At, NewDocument, Repeat, Stored, StoredDocument, metadata_of
from .faults import Examination, Kind

_PIECE = re.compile(r"(.+)#([1-9][0-9]{0,17})", re.DOTALL)
_PLACED = (
    f"select {RECORD_COLUMNS} from records not indexed where source is not null or document is not null order by row"
)
_ASTRAY = """
select r.row, r.key, r.document, d.id is null from records r not indexed
left join sources s on s.id = r.source left join documents d on d.id = r.document
where (r.source is not null and s.id is null)
or (r.document is not null and (d.id is null or r.key is not d.key || '#' || (r.position + 1)))
"""
_OTHER_LENGTH = """
select row, key, text, "start", "end" from records not indexed
where document is not null and ("end" - "start" is not length(text) or instr(text, char(0)))
"""
_EMPTY = "select id, key from documents where not exists (select 1 from records where document = documents.id)"
_WITHOUT_SOURCE = """
select id, key from documents where source is not null and not exists (select 1 from sources where id = source)
"""
_STRAY_REPEATS = f"""
from repeats where (source <> {BY_HAND} and not exists (select 1 from sources where id = repeats.source))
or not exists (
    select 1 from records where key = repeats.key and (repeats.source <> {BY_HAND} or source is not null)
    union all
    select 1 from documents where key = repeats.key and (repeats.source <> {BY_HAND} or source is not null)
)
"""
_FROM_SOURCES = """
select key from records not indexed where source is not null and document is null
union select key from documents not indexed where source is not null and kind = 'row'
"""
T = TypeVar("T")


def examine_places(catalog: Catalog, found: Examination) -> None:
    """Adds the faults of sources, documents and repeats, and of records that contradict them.

    Records that are damaged themselves, and all of a document that is, are one fault each.
    """
    skipped = {row for kind in (Kind.RECORD, Kind.NAMELESS) for row in found.found.get(kind, ())}

    def fault(number: int, reason: str) -> None:
        found.add(Kind.PLACES, catalog.path, reason, number)

    try:
        with _lenient(catalog), catalog.errors():
            execute = catalog.sqlite.execute
            for id, error in _unsound(execute(SOURCE), source_from):
                fault(id, error)
            damaged = set()
            for id, error in _unsound(execute(DOCUMENT), document_from):
                damaged.add(id)
                fault(id, error)
            for sql, reason in ((_WITHOUT_SOURCE, "is from a source that does not exist"), (_EMPTY, "has no records")):
                for id, key in execute(sql):
                    if id not in damaged:
                        fault(id, f"the document {key!r:.200} {reason}")
            for row, key, document, is_lost in execute(_ASTRAY):
                if row not in skipped and document not in damaged:
                    reason = "is from a source that does not exist"
                    if document is not None:
                        reason = "is of a document that " + ("does not exist" if is_lost else "has other keys")
                    fault(row, f"the record {key!r:.200} {reason}")
            for row, key, text, start, end in execute(_OTHER_LENGTH):
                if row not in skipped and end - start != len(text):
                    fault(row, f"the record {key!r:.200} has {len(text)} characters, but its place is {start} to {end}")
            if count := _wrong_repeats(catalog):
                fault(0, f"{count} entries of its list of repeated rows are not what was written")
            execute("select name, seq from sqlite_sequence").fetchall()
    except CorruptIndex as error:
        found.add(Kind.INDEXES, catalog.path, f"its sources and documents cannot be read: {error.reason}")


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What can still be read of the tables of sources and documents, one of which cannot be read to its end."""

    sources: list[SourceState]
    documents: list[StoredDocument]

    def put_back(self, tables: Tables) -> None:
        """Fills the new, empty tables."""
        for state in self.sources:
            tables.put_source(state)
        for document in self.documents:
            tables.put_document(document.new, document.id)


def salvaged(catalog: Catalog) -> Salvaged | None:
    """What is left of tables with damaged pages; None if all of them can be read."""
    sources, documents = list[SourceState](), list[StoredDocument]()
    with _lenient(catalog):
        are_readable = [
            _read(catalog, f"{SOURCE} order by id", source_from, sources),
            _read(catalog, f"{DOCUMENT} order by id", document_from, documents),
            _read(catalog, "select name, seq from sqlite_sequence", lambda row: row, []),
        ]
    return None if all(are_readable) else Salvaged(sources, documents)


@dataclass(frozen=True, slots=True)
class SalvagedRepeats:
    """What can still be read of the table of repeats; ``are_all`` says that nothing of it is damaged."""

    repeats: list[Repeat]
    are_all: bool

    def put_back(self, catalog: Catalog, tables: Tables) -> None:
        """Fills the empty table; all sources are to be read again, to find out what is missing."""
        tables.repeat(self.repeats)
        with _lenient(catalog):
            if not self.are_all:
                keys = [key for (key,) in catalog.sqlite.execute(_FROM_SOURCES).fetchall() if isinstance(key, str)]
                tables.repeat((key, BY_HAND, None) for key in keys)
            for state in _sound(catalog, SOURCE, source_from):
                tables.put_source(replace(state, digest=None))


def salvaged_repeats(catalog: Catalog) -> SalvagedRepeats:
    """What is left of the table of repeats, whose rows or pages may be damaged."""
    found: list[Repeat] = []
    bad = 0

    def parsed(row: tuple[Any, ...]) -> Repeat:
        nonlocal bad
        try:
            return repeat_from(row)
        except ValueError:
            bad += 1
            raise

    with _lenient(catalog):
        is_readable = _read(catalog, REPEAT, parsed, found)
        checked: list[Any] = []
        is_readable &= _read(catalog, "pragma integrity_check(repeats)", lambda row: row, checked)
    return SalvagedRepeats(found, is_readable and not bad and checked == [("ok",)])


def mend(catalog: Catalog) -> None:
    """Makes sources, documents and repeats fit the records again, and records fit them."""
    manifest = catalog.manifest()
    with catalog.changing() as tables, _lenient(catalog):
        mending = _Mending(catalog, tables)
        mending.drop_unsound()
        mending.settle_records()
        mending.settle_documents()
        if _wrong_repeats(catalog):
            repeats = salvaged_repeats(catalog)
            catalog.sqlite.execute("delete from repeats")
            repeats.put_back(catalog, tables)
            catalog.sqlite.execute(f"delete {_STRAY_REPEATS}")
        tables.commit(manifest)  # a new generation, since cached results of filters may be wrong


class _Mending:
    """One run of `mend`, inside its transaction."""

    def __init__(self, catalog: Catalog, tables: Tables) -> None:
        self._catalog = catalog
        self._tables = tables
        self._sources = {state.id: state for state in _sound(catalog, SOURCE, source_from)}
        self._documents = {each.id: each for each in _sound(catalog, DOCUMENT, document_from)}
        self._by_key: dict[str, list[StoredDocument]] = {}
        for each in self._documents.values():
            self._by_key.setdefault(each.new.key, []).append(each)
        self._made: dict[int, list[Stored]] = {}
        self._reread: set[int | None] = set()

    def drop_unsound(self) -> None:
        """Deletes the rows of sources and documents that are not what was written."""
        for table, sql, parse in (("sources", SOURCE, source_from), ("documents", DOCUMENT, document_from)):
            for id, _ in list(_unsound(self._catalog.sqlite.execute(sql), parse)):
                self._catalog.sqlite.execute(f"delete from {table} where id = ?", (id,))

    def settle_records(self) -> None:
        """Gives sound records a source and a document that exist, and the position that their key says."""
        changed = []
        for old in list(_sound(self._catalog, _PLACED, stored_from)):
            assert old.at is not None
            at = self._settled(old, old.at)
            if at is not None and at.document in self._made:
                self._made[at.document].append(old)
            if at != old.at:
                changed.append((old, replace(old, at=at)))
                self._reread |= {old.source, None if at is None else at.source}
        for id, records in self._made.items():
            document = self._documents[id].new
            self._documents[id] = StoredDocument(id, replace(document, metadata=_shared(records)))
            self._tables.put_document(self._documents[id].new, id)
        self._tables.relabel(changed)

    def settle_documents(self) -> None:
        """Drops documents without records, and the names of sources that do not exist; sources are read again."""
        sql = "select distinct document from records not indexed where document is not null"
        used = {id for (id,) in self._catalog.sqlite.execute(sql)}
        for id, document in self._documents.items():
            if id not in used:
                self._reread.add(document.new.source)
            elif document.new.source is not None and document.new.source not in self._sources:
                self._tables.put_document(replace(document.new, source=None), id)
        self._tables.drop_empty_documents(self._documents.keys() - used)
        for source in self._reread:
            if source in self._sources:
                self._tables.put_source(replace(self._sources[source], digest=None))

    def _settled(self, record: Stored, at: At) -> At | None:
        source = at.source if at.source in self._sources else None
        match = None if at.document is None else _PIECE.fullmatch(record.key)
        if match is None:
            return None if source is None else at._replace(document=None)
        document = self._document(at, match[1], source)
        if document.id in self._made:
            self._reread.add(source)
        end = at.start + len(record.text)
        return At(source, document.id, int(match[2]) - 1, at.start, end, at.place)

    def _document(self, at: At, key: str, source: int | None) -> StoredDocument:
        """The document ``key`` that a record is of, made if there is none."""
        assert at.document is not None
        known = self._by_key.setdefault(key, [])
        for each in sorted(known, key=lambda each: (each.id != at.document, each.new.source != source)):
            return each
        state = None if source is None else self._sources[source]
        is_file = key.startswith(state.location) if state is not None else at.source is not None
        id = at.document if at.document not in self._documents else max(self._documents) + 1
        made = StoredDocument(id, NewDocument("file" if is_file else "row", key, source, b""))
        known.append(made)
        self._documents[id], self._made[id] = made, []
        return made


def _wrong_repeats(catalog: Catalog) -> int:
    """How many repeats are not what was written, or are of something that does not exist."""
    unsound = 0
    for row in catalog.sqlite.execute(REPEAT):
        try:
            repeat_from(row)
        except ValueError:
            unsound += 1
    strays: int = catalog.sqlite.execute(f"select count(*) {_STRAY_REPEATS}").fetchone()[0]
    return unsound or strays


def _shared(records: Sequence[Stored]) -> str:
    """The metadata that all of these records have."""
    texts = {record.metadata for record in records}
    if len(texts) == 1:
        return texts.pop()
    with contextlib.suppress(ValueError, RecursionError):  # InvalidInput: early versions stored more than this one
        first, *others = map(metadata_of, texts)
        return checked_metadata(
            {name: value for name, value in first.items() if all(name in o and o[name] == value for o in others)}
        )
    return "{}"


@contextlib.contextmanager
def _lenient(catalog: Catalog) -> Iterator[None]:
    """Texts that are not UTF-8 are read as bytes, instead of an error."""
    before = catalog.sqlite.text_factory
    catalog.sqlite.text_factory = _text
    try:
        yield
    finally:
        catalog.sqlite.text_factory = before


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _unsound(rows: Iterable[tuple[Any, ...]], parse: Callable[[tuple[Any, ...]], object]) -> Iterator[tuple[int, str]]:
    """The first column of each row that cannot be parsed, and why."""
    for row in rows:
        try:
            parse(row)
        except ValueError as error:
            yield row[0], str(error)


def _sound(catalog: Catalog, sql: str, parse: Callable[[tuple[Any, ...]], T]) -> Iterator[T]:
    for row in catalog.sqlite.execute(sql).fetchall():
        with contextlib.suppress(ValueError):
            yield parse(row)


def _read(catalog: Catalog, sql: str, parse: Callable[[tuple[Any, ...]], T], into: list[T]) -> bool:
    """Adds the sound rows of a statement to a list, up to the first damaged page; returns False if there is one."""
    try:
        with catalog.errors():
            for row in catalog.sqlite.execute(sql):
                with contextlib.suppress(ValueError):
                    into.append(parse(row))
    except CorruptIndex:
        return False
    return True
