"""``vecindex add``: adds files, standard input and texts to the index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import SourceError, TextTooLong, TextWithoutToken, VecindexError
from ..interrupts import stopping_on_sigterm, word_and_code
from ..options import ModelOptions, index_option, json_object, model_options, report_option
from ..output import answer, warn
from ..progress import Progress
from ..render.results import added_line, counted, printable

if TYPE_CHECKING:
    from ...index.adding.checked_input import CheckedInput
    from ...index.adding.long_texts import OnLong
    from ...index.adding.repeats import OnDuplicate
    from ...sources.cells import Types

_FORMATS = ("txt", "jsonl", "csv", "tsv")
_TYPES = ("auto", "text")
_ON_LONG = ("truncate", "error", "split", "mean")
_ON_DUPLICATE = ("error", "last")
_BAD_ROWS_SHOWN = 20
_NOTHING = "every row is bad; nothing was added."


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH ...|-]")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A sentence to add; may be repeated.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="The key of each --text, in the same order.")
@click.option(
    "--metadata",
    callback=json_object,
    metavar="JSON",
    help="Metadata for every record. Fields of the record's own take precedence.",
)
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="The format of the files.  [default: by suffix]")
@click.option(
    "--types",
    type=click.Choice(_TYPES),
    default=_TYPES[0],
    show_default=True,
    help="The cells of csv and tsv files: auto turns columns of numbers, booleans and lists into such values, text "
    "keeps all cells as text.",
)
@click.option("--text-column", metavar="C", help="The column or field with the sentence.  [default: text]")
@click.option("--key-column", metavar="C", help="The column or field with the key.  [default: key]")
@click.option("--skip-bad", is_flag=True, help="Leave bad rows out and count them, instead of adding nothing.")
@click.option(
    "--on-long",
    type=click.Choice(_ON_LONG),
    default=_ON_LONG[0],
    show_default=True,
    help="What to do with texts longer than the model reads; see above.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(_ON_DUPLICATE),
    default=_ON_DUPLICATE[0],
    show_default=True,
    help="What to do with a repeated key: error names both lines and adds nothing, last keeps the last row.",
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

    A .txt file has one sentence a line. A .jsonl file has one object a line with "text" and optionally "key" and
    "metadata". A .csv or .tsv file has a header row. All input is checked before anything is added.

    A sentence without a key gets one derived from its text and metadata, so adding it again changes nothing. A known
    key with a different text is updated.

    For texts longer than the model reads, --on-long truncate encodes the beginning and counts the rest, error adds
    nothing more, split stores the parts as records KEY#1, KEY#2 and so on, and mean stores the mean of the parts'
    vectors.

    \b
    Examples:
      vecindex add notes.txt quotes.jsonl
      vecindex add films.csv --text-column plot --key-column id
      vecindex add --text "My name is Aun" --metadata '{"lang": "en"}'
      vecindex add articles.jsonl --on-long split
      grep -h . *.md | vecindex add -
    """
    if not paths and not texts:
        raise click.UsageError('Nothing to add. Name files, - for standard input, or --text "...".')
    if not all(text.strip() for text in texts):
        raise click.UsageError("A --text is empty.")
    if keys and len(keys) != len(texts):
        raise click.UsageError(f"{len(keys)} --key for {len(texts)} --text. Give one for each, or none.")
    if on_duplicate == "error" and (twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]):
        raise click.UsageError(f"The --key {twice[0]!r} is given twice.")
    if not paths and (format_ or text_column or key_column or types != _TYPES[0]):
        raise click.UsageError(
            "--format, --types, --text-column and --key-column apply to files, but no file is named."
        )
    from ...index.adding.checked_input import CheckedInput
    from ...sources import Format, source
    from ...values.keys import checked_key
    from ...values.records import Record
    from ...values.texts import checked_text

    # Checked before anything is opened or created, as files are.
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
                    types=types,
                )
            )
            for path in paths
        ]
        bad = _BadRows()
        rows = CheckedInput(given, sources, metadata, on_duplicate)
        with Progress("Reading", "rows") as show:
            rows.check(bad.add if skip_bad else None, show)
        if not rows.rows:
            bad.report()
            raise click.ClickException(_NOTHING)
        checked = bad.count
        try:
            _add(rows, index_path, chosen, on_long, report_as, bad, skip_bad)
        except (TextTooLong, TextWithoutToken) as error:
            if error.origin is None:
                raise
            path, place, unit = error.origin
            raise SourceError(path, place, error.reason, error.advice, unit) from None  # as of any other bad row
        bad.report()
        if bad.count - checked == rows.rows:
            raise click.ClickException(_NOTHING)


def _add(
    rows: CheckedInput,
    index_path: Path,
    chosen: ModelOptions,
    on_long: OnLong,
    report_as: str,
    bad: _BadRows,
    skip_bad: bool,
) -> None:
    """Adds the rows, and says what was done."""
    from ...store.sql.schema import index_exists
    from ...values.records import AddReport

    # The model is loaded before an empty index is created, so that one that cannot be loaded leaves nothing behind.
    encoder = None if index_exists(index_path) else chosen.encoder()
    committed = AddReport()
    with chosen.open(index_path, encoder=encoder) as index:

        def on_commit(report: AddReport) -> None:
            nonlocal committed
            committed = report
            show(report.added + report.updated + report.unchanged + report.duplicates, rows.rows)

        try:
            with Progress("Adding", "rows") as show:
                report = index.add(
                    rows.records(),
                    on_long=on_long,
                    on_duplicate="last",  # `CheckedInput` has checked for repeated keys
                    progress=on_commit,
                    on_bad=bad.add if skip_bad else None,
                )
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
        counts = {name: value for name, value in asdict(report).items() if name != "written"}
        answer(
            report_as,
            {"index": str(index_path), "records": len(index), **counts, "empty": rows.empty, "bad": bad.count},
            f"{added_line(report)}; {printable(str(index_path))} holds {counted(len(index), 'record')}.",
        )
        if rows.empty:
            warn(f"{counted(rows.empty, 'row')} without a text left out.")
        if report.truncated:
            limit = index.encoder.space.max_tokens
            warn(
                f"Warning: {counted(report.truncated, 'text')} {'is' if report.truncated == 1 else 'are'} longer than "
                f"the {limit} tokens that the model reads; {counted(report.tokens_lost, 'token')} "
                f"{'was' if report.tokens_lost == 1 else 'were'} ignored. --on-long split or mean uses all."
            )
        if report.unknown:
            warn(
                f"Warning: {index.encoder.space.model} knows no token of {counted(report.unknown, 'text')} (emoji, an "
                "unsupported script, or very long words); search cannot find them by meaning and lists them last."
            )


class _BadRows:
    """Counts the bad rows that are left out, and names the first of them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, error: VecindexError) -> None:
        self.count += 1
        if self.count <= _BAD_ROWS_SHOWN:
            warn(f"Skipped: {printable(error.message)}")

    def report(self) -> None:
        if self.count:
            warn(f"Warning: {counted(self.count, 'bad row')} left out.")
