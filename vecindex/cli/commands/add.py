"""``vecindex add``: files, standard input and texts into the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import TextTooLong, TextWithoutToken, VecindexError
from ..interrupts import stopping_on_sigterm, word_and_code
from ..options import ModelOptions, index_option, json_object, model_options, report_option
from ..output import answer, warn
from ..progress import Progress
from ..render.results import added_line, counted, printable

if TYPE_CHECKING:
    from ...index.long_texts import OnLong
    from ...index.repeats import OnDuplicate
    from ...sources.cells import Types
    from ...values.records import AddReport, Record

_FORMATS = ("txt", "jsonl", "csv", "tsv")
_TYPES = ("auto", "text")
_ON_LONG = ("truncate", "error", "split", "mean")
_ON_DUPLICATE = ("error", "last")
_BAD_ROWS_SHOWN = 20
_SAYS_OF_PARTS = "which says of parts whose they are (--on-long split)"
_NOTHING = "every row is bad; nothing was added."


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH ...|-]")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A sentence to add; may be repeated.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="The key of a --text, in the same order.")
@click.option(
    "--metadata", callback=json_object, metavar="JSON", help="An object for every record; its own entries win."
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="What the paths hold; default: by their names.")
@click.option(
    "--types",
    type=click.Choice(_TYPES),
    default=_TYPES[0],
    show_default=True,
    help="What cells of csv and tsv are: numbers, booleans and lists where a whole column is, or always text.",
)
@click.option("--text-column", metavar="C", help="The column or field of the sentence.  [default: text]")
@click.option("--key-column", metavar="C", help="The column or field of the key.  [default: key]")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them, instead of adding nothing.")
@click.option(
    "--on-long",
    type=click.Choice(_ON_LONG),
    default=_ON_LONG[0],
    show_default=True,
    help="What becomes of a text longer than the model reads: cut, refused, stored in parts, or in one vector.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(_ON_DUPLICATE),
    default=_ON_DUPLICATE[0],
    show_default=True,
    help="What becomes of a key that two rows of the input have: refused with both lines, or the last row wins.",
)
@report_option
@model_options
@index_option
def add(
    paths: Sequence[str],
    texts: Sequence[str],
    keys: Sequence[str],
    metadata: dict[str, Any] | None,
    format_: str | None,
    types: Types,
    text_column: str | None,
    key_column: str | None,
    skip_bad: bool,
    on_long: OnLong,
    on_duplicate: OnDuplicate,
    report_as: str,
    chosen: ModelOptions,
    index_path: Path,
) -> None:
    """Add sentences from files, standard input (-) or --text.

    A .txt file holds one sentence a line; a .jsonl file objects with "text" and perhaps "key" and "metadata"; .csv and
    .tsv files a header row. All input is checked before anything is added. A sentence without a key is named by
    what it and its metadata say, so adding it again changes nothing; a known key with another text is updated.

    Of a text longer than the model reads, --on-long truncate encodes the beginning and counts the rest; error stops
    there; split stores its parts as records of their own, KEY#1, KEY#2 and so on; mean stores its parts' mean vector.

    \b
    Examples:
      vecindex add notes.txt quotes.jsonl
      vecindex add films.csv --text-column plot --key-column id
      vecindex add --text "My name is Aun" --metadata '{"lang": "en"}'
      vecindex add articles.jsonl --on-long split
      grep -h . *.md | vecindex add -
    """
    if not paths and not texts:
        raise click.UsageError('Nothing to add: name files, - for standard input, or --text "...".')
    if not all(text.strip() for text in texts):
        raise click.UsageError("A --text is empty.")
    if keys and len(keys) != len(texts):
        raise click.UsageError(f"There are {len(keys)} --key for {len(texts)} --text; give one for each, or none.")
    if on_duplicate == "error" and (twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]):
        raise click.UsageError(f"The --key {twice[0]!r} is given twice.")
    if not paths and (format_ or text_column or key_column or types != _TYPES[0]):
        raise click.UsageError(
            "--format, --types, --text-column and --key-column say how to read files; no file is named."
        )
    from ...index.first_pass import FirstPass
    from ...sources import Format, source
    from ...values.records import Record, checked_key, checked_text

    reserved: dict[str, str] = {}
    if on_long == "split":
        from ...index.long_texts import RESERVED

        reserved = dict.fromkeys(RESERVED, _SAYS_OF_PARTS)
    for name in reserved.keys() & (metadata or {}).keys():
        raise click.UsageError(f"--metadata uses the name {name!r}, {reserved[name]}.")
    # Checked before anything is opened or made, as files are.
    given = [Record(checked_text(text)) for text in texts]
    given = [replace(record, key=checked_key(key)) for record, key in zip(given, keys, strict=True)] if keys else given
    with stopping_on_sigterm(), ExitStack() as stack:
        sources = [
            stack.enter_context(
                source(
                    path,
                    format=Format(format_) if format_ else None,
                    text_column=text_column,
                    key_column=key_column,
                    reserved=reserved,
                    types=types,
                )
            )
            for path in paths
        ]
        bad = _BadRows()
        rows = FirstPass(given, sources, metadata)
        with Progress("Reading", "rows") as show:
            rows.check(on_duplicate, bad.add if skip_bad else None, show)
        if not rows.rows:
            bad.report()
            raise click.ClickException(_NOTHING)

        def tell(report: AddReport, holds: int) -> None:
            answer(
                report_as,
                {"index": str(index_path), "records": holds, **_counts(report), "bad": bad.count},
                f"{added_line(report)}; {printable(str(index_path))} holds {counted(holds, 'record')}.",
            )

        try:
            on_bad = bad.later if skip_bad else None
            _add(rows.records(skip_bad), rows.rows, index_path, chosen, on_long, on_bad, tell)
        except (TextTooLong, TextWithoutToken) as error:
            raise rows.in_its_file(error) from None
        bad.report(rows.in_its_file)
        if bad.unread == rows.rows:
            raise click.ClickException(_NOTHING)


def _counts(report: AddReport) -> dict[str, int]:
    return {name: value for name, value in asdict(report).items() if name != "written"}


def _add(
    records: Iterable[Record],
    total: int,
    index_path: Path,
    chosen: ModelOptions,
    on_long: OnLong,
    on_bad: Callable[[TextWithoutToken], None] | None,
    tell: Callable[[AddReport, int], None],
) -> None:
    """Adds the records, and tells what was done and how many the index holds then."""
    from ...store.sql.schema import index_exists
    from ...values.records import AddReport

    # A model that cannot be loaded is found out before an empty index is made.
    encoder = None if index_exists(index_path) else chosen.encoder()
    committed = AddReport()
    with chosen.open(index_path, encoder=encoder) as index:

        def on_commit(report: AddReport) -> None:
            nonlocal committed
            committed = report
            show(report.added + report.updated + report.unchanged + report.duplicates, total)

        try:
            with Progress("Adding", "rows") as show:
                # Which keys are there twice was found out in the first pass.
                report = index.add(records, on_long=on_long, on_duplicate="last", progress=on_commit, on_bad=on_bad)
        except (KeyboardInterrupt, VecindexError) as error:
            what, code = word_and_code(error) if isinstance(error, KeyboardInterrupt) else ("Stopped", None)
            done = committed.added + committed.updated
            if code is not None or done:
                warn(
                    f"{what}: {counted(done, 'record')} of this run committed to "
                    f"{printable(str(index_path))}; run it again to add the rest."
                )
            if code is not None:
                raise click.exceptions.Exit(code) from None
            raise
        tell(report, len(index))
        if report.truncated:
            limit = index.encoder.space.max_tokens
            warn(
                f"Warning: {counted(report.truncated, 'text')} {'is' if report.truncated == 1 else 'are'} longer than "
                f"the {limit} tokens that the model reads; {counted(report.tokens_lost, 'token')} "
                f"{'was' if report.tokens_lost == 1 else 'were'} not read. --on-long split or mean reads all."
            )
        if report.unknown:
            warn(
                f"Warning: {index.encoder.space.model} knows no token of {counted(report.unknown, 'text')} (emoji, a "
                "script that it lacks, or very long words); no search finds them by meaning, and they come last."
            )


class _BadRows:
    """Bad rows that are left out: the first of them named, all of them counted."""

    def __init__(self) -> None:
        self.count = 0
        self.unread = 0
        self._later: list[TextWithoutToken] = []

    def add(self, error: VecindexError) -> None:
        self.count += 1
        if self.count <= _BAD_ROWS_SHOWN:
            warn(f"Skipped: {printable(error.message)}")

    def later(self, error: TextWithoutToken) -> None:
        """As `add`, of a row in which the model finds nothing; named by `report`, once no file is being read."""
        self.count += 1
        self.unread += 1
        if self.count <= _BAD_ROWS_SHOWN:
            self._later.append(error)

    def report(self, in_its_file: Callable[[TextWithoutToken], VecindexError] = lambda error: error) -> None:
        for error in self._later:
            warn(f"Skipped: {printable(in_its_file(error).message)}")
        if self.count:
            warn(f"Warning: {counted(self.count, 'bad row')} left out.")
