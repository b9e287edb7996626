"""The options of ``add`` and ``watch`` that say which files are added, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import ExpandedPath, gathered, json_object

if TYPE_CHECKING:
    from ..index.adding.files_input import FilesInput
    from ..index.adding.long_texts import OnLong
    from ..index.adding.repeats import OnDuplicate
    from ..sources.cells import Types
    from ..sources.options import DecodingErrors
    from ..sources.origin import Source
    from ..sources.walk.found import OnBad
    from ..sources.walk.skips import OnSkip
    from ..values.records import Record

FORMATS = (
    *("txt", "csv", "tsv", "jsonl", "json", "parquet", "arrow", "sqlite", "prose", "markdown", "rst", "html"),
    *("notebook", "subtitles", "code", "pdf", "docx", "pptx", "xlsx", "eml", "mbox"),
)
"""The values of `sources.formats.Format`; a test compares them, so that ``--help`` need not import that."""
TYPES = ("auto", "text")
ON_LONG = ("truncate", "error", "split", "mean")
ON_DUPLICATE = ("error", "last")
WAYS = "sentence|paragraph|line|none|tokens:N[,overlap:M]"


_HEADINGS = {
    "What is added": ("text", "key", "metadata", "db", "sql", "label", "include", "exclude"),
    "How files are read": (
        *("format", "encoding", "errors", "text-column", "key-column", "metadata-columns", "types", "json-path"),
    ),
    "How texts are cut and encoded": ("split", "join-short", "on-long", "no-encode"),
    "What is refused, and what is removed": ("dry-run", "skip-bad", "rejects", "on-duplicate", "prune"),
}
"""The headings of the help, each with its options; all others come last."""


class FilesCommand(click.Command):
    """A command that adds files; its help groups the many options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        helps = {max(option.opts, key=len).removeprefix("--"): option.get_help_record(ctx) for option in options}
        left = {name: record for name, record in helps.items() if record}
        for heading, names in (*_HEADINGS.items(), ("Other options", tuple(left))):
            if records := [left.pop(name) for name in names if name in left]:
                with formatter.section(heading):
                    formatter.write_dl(records)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """The options of a command that adds files."""

    metadata: dict[str, Any] | None = None
    format_: str | None = None
    split: str | None = None
    join_short: int = 0
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    text_column: Sequence[str] = ()
    key_column: str | None = None
    metadata_columns: Sequence[str] = ()
    types: Types = "auto"
    json_path: str | None = None
    sql: str | None = None
    encoding: str | None = None
    errors: DecodingErrors = "strict"
    on_long: OnLong = "truncate"
    encode: bool = True
    on_duplicate: OnDuplicate = "error"
    prune: bool = False

    @property
    def says_how_to_read(self) -> bool:
        """Whether any option is given that only applies to files."""
        return any(
            (
                *(self.format_, self.split, self.join_short, self.include, self.exclude, self.text_column),
                *(self.key_column, self.metadata_columns, self.types != "auto", self.json_path, self.sql),
                *(self.encoding, self.errors != "strict", self.prune),
            )
        )

    def sources(
        self,
        paths: Sequence[str],
        index_path: Path,
        *,
        label: str | None = None,
        offline: bool = False,
        on_skip: OnSkip | None = None,
        on_bad: OnBad | None = None,
    ) -> list[Source]:
        """The sources at these paths; raises VecindexError."""
        from ..sources.formats import Format
        from ..sources.options import read_options
        from ..sources.walk import sources_in

        options = read_options(
            text_column=_names(self.text_column) or None,
            key_column=self.key_column,
            metadata_columns=_names(self.metadata_columns) if self.metadata_columns else None,
            types=self.types,
            json_path=self.json_path,
            encoding=self.encoding,
            errors=self.errors,
            sql=self.sql,
        )
        return list(
            sources_in(
                paths,
                options,
                format=Format(self.format_) if self.format_ else None,
                include=self.include,
                exclude=self.exclude,
                index=index_path,
                label=label,
                offline=offline,
                on_skip=on_skip,
                on_bad=on_bad,
            )
        )

    def input(
        self, texts: Sequence[Record], sources: Sequence[Source], paths: Sequence[str], index_path: Path
    ) -> FilesInput:
        """What is to be added; raises VecindexError."""
        from ..index.adding.files_input import FilesInput
        from ..index.adding.options import AddOptions, FilesOptions, check_encoded
        from ..sources.locations import Locations
        from ..sources.split.method import Split

        split = Split.parse(self.split) if self.split else None
        add = AddOptions(on_long=self.on_long, on_duplicate=self.on_duplicate, encode=self.encode)
        check_encoded(add)
        options = FilesOptions(split, self.join_short, self.metadata, self.prune, add)
        return FilesInput(texts, sources, paths, Locations(index_path), options)


def _names(given: Sequence[str]) -> list[str]:
    """The columns that are named, one or several at a time."""
    return [name.strip() for names in given for name in names.split(",") if name.strip()]


_OPTIONS = (
    click.option(
        "--metadata",
        callback=json_object,
        metavar="JSON",
        help="Metadata for every record. Fields of the record's own take precedence.",
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        metavar="FORMAT",
        help="The format of the files; `vecindex guide sources` lists all.  [default: by suffix and content]",
    ),
    click.option(
        "--split",
        metavar="WAY",
        help=f"How longer texts are cut: {WAYS}.  [default: rows stay whole, other texts are cut into sentences]",
    ),
    click.option(
        "--join-short",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Join texts of fewer than N characters, such as headings, to what follows.",
    ),
    click.option("--include", multiple=True, metavar="GLOB", help="Add only these files of a folder; may be repeated."),
    click.option(
        "--exclude", multiple=True, metavar="GLOB", help="Leave these files of a folder out; may be repeated."
    ),
    click.option(
        "--text-column",
        multiple=True,
        metavar="C,...",
        help="The column or field with the text. Several, between commas or by repeating the option, are joined in "
        "order.  [default: text]",
    ),
    click.option("--key-column", metavar="C", help="The column or field with the key.  [default: key]"),
    click.option(
        "--metadata-columns",
        multiple=True,
        metavar="C,...",
        help="The columns that become metadata, in the same way.  [default: all others]",
    ),
    click.option(
        "--types",
        type=click.Choice(TYPES),
        default=TYPES[0],
        show_default=True,
        help="The cells of csv and tsv files: auto turns columns of numbers, booleans and lists into such values, "
        "without losing a digit; text keeps all cells as text.",
    ),
    click.option("--json-path", metavar="PATH", help="Where the array is in a .json file, such as data.items."),
    click.option("--sql", metavar="SELECT", help="The query whose rows are read from an SQLite database."),
    click.option("--encoding", metavar="NAME", help="The encoding of text files.  [default: detected]"),
    click.option(
        "--errors",
        type=click.Choice(("strict", "replace")),
        default="strict",
        show_default=True,
        help="Invalid bytes: strict refuses the row, replace reads them as U+FFFD and counts them.",
    ),
    click.option(
        "--on-long",
        type=click.Choice(ON_LONG),
        default=ON_LONG[0],
        show_default=True,
        help="What to do with texts longer than the model reads; see above.",
    ),
    click.option(
        "--no-encode",
        "encode",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Store texts without vectors, which needs no model; words find them, and encode-missing encodes them.",
    ),
    click.option(
        "--on-duplicate",
        type=click.Choice(ON_DUPLICATE),
        default=ON_DUPLICATE[0],
        show_default=True,
        help="What to do with a repeated key: error names both lines and adds nothing, last keeps the last row.",
    ),
    click.option(
        "--prune",
        is_flag=True,
        help="Remove the records of files that are gone, and of rows that are gone from their files.",
    ),
)
file_options = gathered("files", FileOptions, _OPTIONS)
"""The options that say how files are read, as the argument ``files``."""
database_option = click.option(
    "--db", "database", type=ExpandedPath(), metavar="FILE", help="An SQLite database to read with --sql."
)
