"""``vecindex add``: adds files, folders, standard input and texts to the index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import InvalidInput, SourceError, TextTooLong, TextWithoutToken, VecindexError
from ..file_options import FileOptions, FilesCommand, database_option, file_options
from ..interrupts import stopping_on_sigterm, word_and_code
from ..options import ExpandedPath, ModelOptions, index_option, model_options, open_for_reading, report_option
from ..output import answer, output_mode, say, warn
from ..progress import Progress
from ..rejects import Rejects
from ..render.results import added_line, counted, gone_line, printable, sources_line

if TYPE_CHECKING:
    from ...index.adding.files import FilesReport
    from ...index.adding.files_input import FilesInput
    from ...index.facade import Index
    from ...sources.walk import Skips
    from ...values.records import AddReport, Record


@click.command(cls=FilesCommand)
@click.argument("paths", nargs=-1, metavar="[PATH ...|-]")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A sentence to add; may be repeated.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="The key of each --text, in the same order.")
@database_option
@click.option("--label", metavar="NAME", help="A name for standard input, so that it can be followed like a file.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, and say what would be added.")
@click.option(
    "--skip-bad", is_flag=True, help="Leave bad rows and files out and count them, instead of adding nothing."
)
@click.option(
    "--rejects",
    type=ExpandedPath(dir_okay=False, writable=True),
    metavar="FILE",
    help="With --skip-bad: write what was left out to FILE, as JSON lines with the reasons.",
)
@file_options
@report_option
@model_options
@index_option
def add(
    paths: Sequence[str],
    texts: Sequence[str],
    keys: Sequence[str],
    database: str | None,
    label: str | None,
    dry_run: bool,
    skip_bad: bool,
    rejects: str | None,
    files: FileOptions,
    report_as: str,
    chosen: ModelOptions,
    index_path: Path,
) -> None:
    """Add files, folders, standard input (-) or --text.

    Text, tables, web pages, documents, mail and source code are read; `vecindex guide sources` has every format. A row
    of a table is a record, and so is a line of a .txt file; longer texts are cut into sentences. All input is checked
    before anything is added.

    Files are followed: add the same folder again, and only what changed is read and encoded. --prune removes what is
    gone.

    A row without a key gets one derived from its text and metadata. A known key with a different text is updated.

    For texts longer than the model reads, --on-long truncate encodes the beginning and counts the rest, error adds
    nothing more, split stores the parts as records KEY#1, KEY#2 and so on, and mean stores the mean of the parts'
    vectors.

    \b
    Examples:
      vecindex add notes.txt quotes.jsonl
      vecindex add docs/ --exclude "drafts/" --prune
      vecindex add films.csv --text-column plot --key-column id
      vecindex add --db shop.sqlite --sql "select id as key, text from reviews"
      vecindex add --text "My name is Aun" --metadata '{"lang": "en"}'
      vecindex add articles.jsonl --skip-bad --rejects bad.jsonl
      vecindex add archive/ --no-encode
      grep -h . *.md | vecindex add -
    """
    paths = [*paths, *([database] if database else [])]
    if not paths and not texts:
        raise click.UsageError('Nothing to add. Name files, - for standard input, or --text "...".')
    if not all(text.strip() for text in texts):
        raise click.UsageError("A --text is empty.")
    if keys and len(keys) != len(texts):
        raise click.UsageError(f"There are {len(texts)} --text but {len(keys)} --key. Give one for each, or none.")
    if files.on_duplicate == "error" and (twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]):
        raise click.UsageError(f"The --key {twice[0]!r} is given twice.")
    if not paths and files.says_how_to_read:
        raise click.UsageError("Options for files are given, such as --format or --split, but no file is named.")
    if rejects and not skip_bad:
        raise click.UsageError("--rejects writes what --skip-bad leaves out. Use it together with --skip-bad.")
    _check_input_options(paths, database, label, files)
    from ...index.follow import Action
    from ...sources.walk import Skips
    from ...store.sql.schema import index_exists

    # Checked before anything is opened or created, as files are.
    given = _texts(texts, keys)
    with stopping_on_sigterm(), ExitStack() as stack:
        bad = stack.enter_context(Rejects(rejects))
        skips = Skips(keep=output_mode().verbose)
        sources = files.sources(
            paths,
            index_path,
            label=label,
            offline=bool(chosen.offline),
            on_skip=skips,
            on_bad=bad.add if skip_bad else None,
        )
        rows = stack.enter_context(closing(files.input(given, sources, paths, index_path)))
        bad.check(paths, sources)
        _say_skips(skips)
        _say_if_nothing(paths, [*sources, *given], bad, None if dry_run else index_path)
        index = stack.enter_context(chosen.open(index_path)) if index_exists(index_path) and not dry_run else None
        _follow(rows, index, index_path)
        to_read = rows.to_read
        with Progress("Reading", passing=True) as show:
            rows.check(
                show.beside(bad.add) if skip_bad else None, lambda done: show.files(done, to_read, done.rows, "row")
            )
        bad.are_complete = True
        # If not, some of the input is sound, or there is something else to do, such as to remove what is gone.
        is_all_new = all(step.action in (Action.NEW, Action.CHANGED) for step in rows.plan.steps)
        if bad.count and not rows.rows and is_all_new and not dry_run:
            raise bad.failure()
        bad.tell()
        _say_refused(rows)
        if dry_run:
            _say_plan(rows, report_as, index_path, bad, skips)
            bad.report()
            return
        if index is None:
            # The model is loaded before an empty index is created, so that one that cannot be loaded leaves nothing.
            encoder = chosen.encoder() if files.encode or rows.needs_tokens else None
            index = stack.enter_context(chosen.open(index_path, encoder=encoder))
        checked = bad.count
        try:
            _add(index, rows, report_as, bad, skip_bad, skips)
        except (TextTooLong, TextWithoutToken) as error:
            if error.origin is None:
                raise
            path, place, unit = error.origin  # as of any other bad row
            raise SourceError(path, place, error.reason, error.advice, unit) from None
        if rows.rows and bad.count - checked == rows.rows and is_all_new:
            raise bad.failure()
        bad.report()


def _check_input_options(paths: Sequence[str], database: str | None, label: str | None, files: FileOptions) -> None:
    if database and not files.sql:
        raise click.UsageError('--db needs --sql "select ...".')
    if label and "-" not in paths:
        raise click.UsageError("--label names standard input; add - to the paths.")


def _texts(texts: Sequence[str], keys: Sequence[str]) -> list[Record]:
    from ...values.keys import checked_key
    from ...values.records import Record
    from ...values.texts import checked_text

    given = [Record(checked_text(text)) for text in texts]
    return [replace(record, key=checked_key(key)) for record, key in zip(given, keys, strict=True)] if keys else given


def _say_skips(skips: Skips) -> None:
    """Says how many files in folders are skipped, and with -v which ones."""
    for skip in skips.listed:
        say(printable(str(skip)))
    if total := sum(skips.counts.values()):
        more = "" if output_mode().verbose else "; -v lists them"
        say(
            f"{counted(total, 'file or folder')} skipped: {skips}{more}.".replace(
                "file or folders", "files and folders"
            )
        )


def _say_refused(rows: FilesInput) -> None:
    """Says which tables in folders are skipped because they have no texts."""
    if not rows.refused:
        return
    for error in rows.refused if output_mode().verbose else ():
        say(printable(error.message))
    count, first = len(rows.refused), printable(rows.refused[0].message)
    if count == 1:
        say(f"1 table without texts skipped: {first}. To add it, name it and its --text-column.")
    else:
        say(f"{count:,} tables without texts skipped, such as {first}. To add one, name it and its --text-column.")


def _say_if_nothing(paths: Sequence[str], found: Sequence[object], bad: Rejects, index_path: Path | None) -> None:
    """Warns if there is nothing to read, as in a folder that was emptied; it is an error to make an index of that.

    ``index_path`` is None if no index is to be made.
    """
    from ...store.sql.schema import index_exists

    if found or bad.count:
        return
    what = f"no file to read was found in {', '.join(map(printable, paths))}"
    if index_path is not None and not index_exists(index_path):
        raise InvalidInput(what, "See `vecindex guide sources` for the formats; -v lists what is skipped.")
    warn(f"Warning: {what}.")


def _follow(rows: FilesInput, index: Index | None, index_path: Path) -> None:
    """Decides what is to be read, by what the index knows of it, if there is an index."""
    from ...index.followed import follow_files
    from ...store.sql.schema import index_exists

    if index is not None:
        follow_files(index, rows)
    elif index_exists(index_path):
        with open_for_reading(index_path) as stored:
            follow_files(stored, rows)
    else:
        rows.follow([])


def _add(index: Index, rows: FilesInput, report_as: str, bad: Rejects, skip_bad: bool, skips: Skips) -> None:
    """Adds the rows, and says what was done."""
    from ...values.records import AddReport

    committed = AddReport()

    def on_commit(report: AddReport) -> None:
        nonlocal committed
        committed = report
        show.files(rows.trail.at(_records(report)), rows.to_add, _records(report), "record")

    try:
        with Progress("Adding") as show:
            report = index.add_files(rows, progress=on_commit, on_bad=show.beside(bad.add) if skip_bad else None)
            if committed != AddReport():
                show.files(rows.to_add, rows.to_add, _records(committed), "record")
    except (KeyboardInterrupt, VecindexError) as error:
        what, code = word_and_code(error) if isinstance(error, KeyboardInterrupt) else ("Stopped", None)
        done = committed.added + committed.updated
        if code is not None or done:
            warn(
                f"{what}: {counted(done, 'record')} of this run committed to "
                f"{printable(str(index.path))}; run it again to add the rest."
            )
        if code is not None:
            raise click.exceptions.Exit(code) from None
        raise
    _say(index, report, rows, report_as, bad, skips)


def _records(report: AddReport) -> int:
    """How many records a report tells of."""
    return report.added + report.updated + report.unchanged + report.duplicates


def _say(index: Index, report: FilesReport, rows: FilesInput, report_as: str, bad: Rejects, skips: Skips) -> None:
    path = str(index.path)
    counts = {name: value for name, value in asdict(report).items() if name != "written"}
    holds = f"{printable(path)} holds {counted(len(index), 'record')}"
    answer(
        report_as,
        {"index": path, "records": len(index), **counts, "bad": bad.count, **_not_read(rows, skips)},
        f"{added_line(report)}{sources_line(report) if rows.has_folder else ''}; {holds}.",
    )
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
    _say_doubts(rows)
    if report.gone and not rows.options.prune:
        warn(f"Warning: {printable(gone_line(report.gone))}")
    if report.stale:
        warn(
            f"Warning: {counted(report.stale, 'record')} {'is' if report.stale == 1 else 'are'} no longer in the file "
            f"{'it was' if report.stale == 1 else 'they were'} read from; --prune removes "
            f"{'it' if report.stale == 1 else 'them'}."
        )


def _say_doubts(rows: FilesInput) -> None:
    """Says what was left out or altered in reading, which may not be what the user wants."""
    if rows.empty:
        say(f"{counted(rows.empty, 'row')} without a text left out.")
    if rows.replaced:
        bytes_were = "byte was" if rows.replaced == 1 else "bytes were"
        warn(f"Warning: {rows.replaced:,} invalid {bytes_were} read as U+FFFD; --encoding sets the right encoding.")


def _not_read(rows: FilesInput, skips: Skips) -> dict[str, Any]:
    """How many files were skipped, by reason, for JSON."""
    counts = {reason.value: count for reason, count in skips.counts.items()}
    without = {"tables without texts": len(rows.refused)} if rows.refused else {}
    return {"files_skipped": {**counts, **without}}


def _say_plan(rows: FilesInput, report_as: str, index_path: Path, bad: Rejects, skips: Skips) -> None:
    """Says what would be added."""
    from ...index.follow import Action

    found = rows.plan.counts()
    if output_mode().verbose:
        say(str(rows.plan))
    members = {
        **{"index": str(index_path), "dry_run": True, "rows": rows.rows, "sources": rows.sources},
        **{action.value: count for action, count in found.items()},
        **{"empty": rows.empty, "replaced": rows.replaced, "bad": bad.count, **_not_read(rows, skips)},
    }
    words = {action: action.value for action in Action}
    if rows.options.prune:
        words[Action.GONE] = "gone, to be removed"
    kinds = ", ".join(f"{count:,} {words[action]}" for action, count in found.items())
    what = f"Nothing was added. Would add {counted(rows.rows, 'text')}"
    answer(report_as, members, f"{what}; sources: {kinds}." if kinds else f"{what}.")
    _say_doubts(rows)
