"""The sources of an open index: adding files and following them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from ..errors import InvalidInput, VecindexError
from ..values.arguments import entrance
from ..values.metadata import checked_metadata
from ..values.records import AddReport, Metadata
from ..values.scalars import choice, path, string
from ..values.texts import checked_text
from .adding.long_texts import OnLong
from .adding.options import AddOptions, FilesOptions, check_encoded, told_both
from .adding.repeats import OnDuplicate
from .adding.texts import Adding
from .maintenance import Maintained
from .reader import Reader

if TYPE_CHECKING:
    # Only adding needs what reads files: a search should not take the time to import it.
    from ..sources.cells import Types
    from ..sources.options import DecodingErrors
    from ..sources.split.method import Split
    from .adding.files import FilesReport
    from .adding.files_input import FilesInput


def _paths(name: str, value: Any) -> Any:
    from .adding.files_input import FilesInput

    if isinstance(value, FilesInput):
        return value
    if isinstance(value, (str, os.PathLike)):
        return [_path(value)]
    if not isinstance(value, (list, tuple, Iterator)):
        raise InvalidInput(f"{name} must be a path or several, not {type(value).__name__}", "Pass a list of paths.")
    return [_path(each) for each in value]


def _path(value: Any) -> str | os.PathLike[str]:
    checked = path("a path", value)
    if not os.fspath(checked):
        raise InvalidInput("a path is empty", "Name a file or a folder.")
    return checked


def _patterns(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{name} must be a list of patterns, not {type(value).__name__}", 'Pass ["*.md"], say.')
    return [checked_text(string(each, f"a pattern in {name}")) for each in value]


def _as_read(name: str, value: Any) -> Any:
    from ..sources.split.read import READ_CHECKS

    return READ_CHECKS[name](name, value)


def _object(name: str, value: Any) -> Any:
    checked_metadata(value)
    return value


def follow_files(index: Reader, given: FilesInput) -> None:
    """Finds out which of the given sources are to be read, and which have moved or are gone."""
    given.follow(index._source_states())


class Followed(Maintained):
    """The part of an `Index` that adds files and follows them."""

    @entrance(
        paths=_paths,
        include=_patterns,
        exclude=_patterns,
        metadata=_object,
        on_long=choice(get_args(OnLong)),
        on_duplicate=choice(get_args(OnDuplicate)),
        **dict.fromkeys(("split", "join_short", "format"), _as_read),
    )
    def add_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | FilesInput,
        *,
        split: str | Split | None = None,
        join_short: int = 0,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        prune: bool = False,
        format: str | None = None,
        text_column: str | Sequence[str] | None = None,
        key_column: str | None = None,
        metadata_columns: str | Sequence[str] | None = None,
        types: Types = "auto",
        json_path: str | None = None,
        encoding: str | None = None,
        errors: DecodingErrors = "strict",
        sql: str | None = None,
        offline: bool = False,
        metadata: Metadata | None = None,
        encode: bool = True,
        on_long: OnLong = "truncate",
        on_duplicate: OnDuplicate = "error",
        progress: Callable[[AddReport], None] | None = None,
        on_bad: Callable[[VecindexError], None] | None = None,
    ) -> FilesReport:
        """Adds files and folders, and brings the index up to date with those that it knows.

        A file that has not changed since it was added is not read. One that has is read again: sentences that are still
        there keep their vectors, and only new ones are encoded. A file that was moved or renamed keeps all of them. All
        input is read and checked before anything is added.

        Args:
            paths: files, folders, zip archives or URLs.
            split: how longer texts are cut: "sentence", "paragraph", "line", "none", "tokens:N" or
                "tokens:N,overlap:M". None goes by the format: rows stay whole, other texts are cut into sentences.
            join_short: joins a heading or another text of fewer characters to what follows it.
            include, exclude: patterns as in .gitignore, for the files in folders.
            prune: remove the records of files that are gone, and of rows that are gone from their files.
            format, text_column, key_column, metadata_columns, types, json_path, encoding, errors, sql: see `read`.
            offline: refuse URLs.
            metadata: metadata for each record; what a record has itself takes precedence.
            encode, on_long, on_duplicate, progress: see `add`. A file that was added without vectors is read again
                where it is to be encoded.
            on_bad: called with an error for each row or file that cannot be used, which is left out. Without it the
                first one raises, and nothing is added.

        Raises:
            SourceError: a file or a row of it cannot be read; it names the file and the line.
            InvalidInput, TextTooLong, MissingExtra, SpaceMismatch, ModelNotFound, IndexLocked, StorageError.
        """
        from ..sources.formats import Format
        from ..sources.locations import Locations
        from ..sources.options import read_options
        from ..sources.walk import sources_in
        from .adding.files_input import FilesInput

        self._check_writable()
        self._check_sound()
        if isinstance(paths, FilesInput):
            return self._add_checked(paths, progress, on_bad)
        named = [os.fspath(each) for each in cast("list[str | os.PathLike[str]]", paths)]
        reading = read_options(
            text_column=text_column,
            key_column=key_column,
            metadata_columns=metadata_columns,
            types=types,
            json_path=json_path,
            encoding=encoding,
            errors=errors,
            sql=sql,
        )
        sources = sources_in(
            named,
            reading,
            format=None if format is None else Format(format),
            include=include,
            exclude=exclude,
            index=self._folder,
            on_bad=on_bad,
            offline=offline,
        )
        add = AddOptions(on_long=on_long, on_duplicate=on_duplicate, encode=encode)
        check_encoded(add)
        options = FilesOptions(cast("Split | None", split), join_short, metadata, prune, add)
        with closing(FilesInput((), sources, named, Locations(self._folder), options)) as given:
            follow_files(self, given)
            given.check(on_bad, lambda rows: None)
            return self._add_checked(given, progress, on_bad)

    def _add_checked(
        self,
        given: FilesInput,
        progress: Callable[[AddReport], None] | None,
        on_bad: Callable[[VecindexError], None] | None,
    ) -> FilesReport:
        from .adding.files import add_files

        with self._writer() as writer, self._upkeep.beside_an_add(writer) as committed:
            add = replace(given.options.add, progress=told_both(committed, progress), on_bad=on_bad)
            add = replace(add, keep_tokens=self._upkeep.keep_tokens)
            adding = Adding(self._snapshots, writer, self._model, lambda: self.encoder, add)
            report = add_files(given, adding, self._snapshots, writer)
        self._upkeep.tidy()
        return replace(report, written=())
