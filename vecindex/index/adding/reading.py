"""A source that ``add`` reads, once to check it and once to add it, and what is remembered of it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from time import time_ns
from typing import IO, Any

from ...errors import InvalidInput, SourceError
from ...sources.documents import Document, EmptyText
from ...sources.fingerprint import state_of
from ...sources.formats import LAYOUTS, Format
from ...sources.locations import Locations
from ...sources.options import ReadOptions
from ...sources.origin import Source
from ...sources.prose.wrapped import as_prose_if_wrapped
from ...sources.reading import contents
from ...sources.split.method import Split
from ...store.changes.sources import Finished
from ...values.keys import derive_key
from ...values.metadata import checked_metadata
from ...values.records import Metadata, Record
from ...values.repeats import KeySet
from ...values.sources import SourceState
from ...values.texts import checked_text
from ..follow import Found
from .options import FilesOptions

OnBadSource = Callable[[SourceError], None]


@dataclass(slots=True)
class Reading:
    """A source that is to be read."""

    source: Source
    found: Found
    way: Split
    state: SourceState | None = None
    digest: str | None = None
    bad: int = 0
    spool: IO[bytes] | None = None
    has_location: bool = True
    """Whether the index can store where it is."""
    is_whole: bool = True
    """Whether it was read to its end."""
    first: int = 0
    """The position of its first row or text in the input."""
    count: int = 0
    """How many rows and texts it had when it was checked."""
    refusal: SourceError | None = None
    """Why nothing of it is read, if it was found in a folder and is no table of texts."""

    @classmethod
    def of(cls, source: Source, locations: Locations, options: FilesOptions) -> Reading:
        """How a source is read with these options."""
        source = as_prose_if_wrapped(source, options.split)
        way = options.split or LAYOUTS[source.format].split
        if options.join_short:
            way = replace(way, join_short=options.join_short)
        said = {
            "split": str(way),
            "join_short": way.join_short or None,
            "metadata": options.metadata,
            "on_long": None if options.add.on_long == "truncate" else options.add.on_long,
            "encode": None if options.add.encode else False,
            **_differing(source.options, ReadOptions()),
        }
        said = {name: value for name, value in said.items() if value is not None}
        location, has_location = source.label or source.path, True
        if source.kind not in ("url", "stdin"):
            try:
                location = locations.of(source.path)
            except SourceError:  # its name is not Unicode, and cannot be stored
                location = os.fsencode(source.path).decode("utf-8", "backslashreplace")
                has_location = False
        file = source.state
        found = Found(
            location=location,
            reader=source.format.value,
            options=json.dumps(said, sort_keys=True, ensure_ascii=False),
            size=None if file is None else file.size,
            # Settled now, before the digest is read: it may be written again within the tick of the clock.
            modified=file.mtime_ns if file is not None and file.is_settled(time_ns()) else None,
            kind=source.kind,
            query=source.options.sql or "",
        )
        return cls(source, found, way, has_location=has_location)

    @property
    def is_followed(self) -> bool:
        """Whether the index remembers the source: not a pipe, nor standard input without a label."""
        if not self.has_location:
            return False
        return self.source.label is not None or self.source.copy is None or self.source.kind == "url"

    def key_of(self, document: Document, common: Metadata | None) -> str:
        """The key of a text of this source; ``common`` is metadata that all of its texts have."""
        if not self.is_followed:
            # Standard input has no name of its own: its next text must not replace this one.
            within = {} if document.key is None else {"key": document.key}
            return derive_key(document.text, {**(common or {}), **(document.metadata or {}), **within})
        return self.found.location + (f"/{document.key}" if document.key is not None else "")

    def checked(self, on_bad: OnBadSource | None, on_empty: Callable[[EmptyText], None]) -> Iterator[Record | Document]:
        """All that can be used, read for the first time; the first bad row raises, or each is passed to ``on_bad``."""
        bad = None if on_bad is None else self._counted(on_bad)
        on_digest = self._note_digest if self.digest is None and self.is_followed else None
        spool = self.spool = _spool() if LAYOUTS[self.source.format].slow else None
        found: Record | Document | None = None
        try:
            for found in contents(self.source, bad, on_empty, on_digest):
                if (error := _unusable(found)) is not None:
                    if bad is None:
                        raise error
                    bad(error)
                    continue
                if spool is not None:
                    pickle.dump(found, spool)  # our own, and gone with this process
                yield found
        except SourceError as error:
            self.is_whole = False
            if self._is_other_table(found is not None):
                self.refusal = error
                return
            if bad is None:
                raise
            bad(error)

    def _note_digest(self, digest: str) -> None:
        self.digest = digest

    def _is_other_table(self, has_texts: bool) -> bool:
        """Whether a file that cannot be used is one of those in a folder that were never meant to be, such as settings.

        That is a table or JSON that was not named, of which nothing can be used, nor could be before in the same way:
        one that was added with the names of its columns keeps its records. Its bytes can be read: a file that is
        damaged, or has vanished, is an error.
        """
        state, found = self.state, self.found
        was_used = state is not None and (state.reader, state.options) == (found.reader, found.options)
        is_table = LAYOUTS[self.source.format].kind == "rows" and self.source.format is not Format.TXT
        if not is_table or has_texts or self.source.is_named or self.bad or was_used:
            return False
        try:
            self.source.digest()
        except SourceError:
            return False
        return True

    def again(self, skips_bad: bool) -> Iterator[Record | Document]:
        """What `checked` yielded, again."""
        if self.spool is not None:
            self.spool.seek(0)
            with self.spool as spool, contextlib.suppress(EOFError):
                while True:
                    yield pickle.load(spool)
            return
        try:
            for found in contents(self.source, _named_before if skips_bad else None):
                if _unusable(found) is None:
                    yield found
        except SourceError:
            self.is_whole = False
            if not skips_bad:
                raise

    def close(self) -> None:
        """Deletes what was kept for reading again."""
        if self.spool is not None:
            self.spool.close()

    def _counted(self, on_bad: OnBadSource) -> OnBadSource:
        def note(error: SourceError) -> None:
            self.bad += 1
            on_bad(error)

        return note

    def finished(self, state: SourceState, seen: KeySet, prune: bool) -> Finished:
        """The end of the reading: ``state`` is the source as it is registered, ``seen`` the keys that it has."""
        source, digest, modified = self.source, self.digest, self.found.modified
        if source.kind in ("file", "database") and source.state is not None:
            try:
                is_same = state_of(source.path) == source.state
            except SourceError:
                is_same = False
            if not is_same:
                digest = None  # it was written to or removed meanwhile, so it is looked at again next time
        return Finished(
            replace(
                state,
                digest=None if self.bad else digest,  # what is bad is told again
                modified=modified,
                added=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                imported=0,
            ),
            seen,
            prune,
        )


def _unusable(found: Record | Document) -> SourceError | None:
    """Why a document cannot be stored; readers check their rows themselves."""
    if isinstance(found, Record):
        return None
    try:
        checked_text(found.text)
        checked_metadata(found.metadata or {})
        for block in found.blocks or ():
            checked_metadata(block.metadata)
    except InvalidInput as error:
        return found.origin.error(error.message, error.advice)
    return None


def _differing(options: ReadOptions, usual: ReadOptions) -> dict[str, Any]:
    """The options that are not as usual; not the query, which is a column of its own."""
    said, known = asdict(options), asdict(usual)
    return {name: value for name, value in said.items() if value != known[name] and name != "sql"}


def _spool() -> IO[bytes]:
    """A file for what has been read; it is deleted with the last handle."""
    return tempfile.TemporaryFile()


def _named_before(error: SourceError) -> None:
    """Ignores a bad row that `FilesInput.check` has named."""
