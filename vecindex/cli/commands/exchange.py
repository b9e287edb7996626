"""``vecindex backup``, ``export`` and ``import``: an index as a copy, or as files of other programs, and back."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from ..interrupts import stopping_on_sigterm, word_and_code
from ..options import answer_option, index_option, open_for_reading, report_option, where_option
from ..output import answer, is_terminal, json_lines_out, warn
from ..progress import Progress
from ..render.results import added_line, counted, printable

_FORMATS = ("parquet", "npy", "jsonl", "faiss")


@click.command()
@click.argument("dest")
@answer_option
@index_option
def backup(dest: str, format_: str, index_path: Path) -> None:
    """Copy the index to DEST, which must not exist yet.

    The copy is a consistent snapshot, checked while it is made. The index can be searched and added to meanwhile.

    \b
    Examples:
      vecindex backup /mnt/disk/notes-monday
      vecindex search "my name" --index /mnt/disk/notes-monday
    """
    with open_for_reading(index_path) as index, Progress("Copying") as progress:
        report = index.backup(dest, progress=progress)
    answer(
        format_,
        {"path": dest, **asdict(report)},
        f"{counted(report.records, 'record')} copied to {printable(dest)}, {report.bytes:,} bytes.",
    )


@click.command()
@click.argument("dest", metavar="DEST|-")
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="The format of DEST.  [default: by suffix]")
@where_option
@click.option("--no-vectors", is_flag=True, help="Write only keys, texts, metadata and places, as jsonl.")
@report_option
@index_option
def export(
    dest: str, format_: str | None, where: str | None, no_vectors: bool, report_as: str, index_path: Path
) -> None:
    """Write records and vectors to DEST for other programs.

    - is standard output, as jsonl. parquet is one file with a column of vectors; jsonl has one object a line; npy and
    faiss are folders with records.jsonl and the vectors in vectors.npy or index.faiss. `vecindex import` reads them
    all; `vecindex add` reads what --no-vectors wrote, which works even if the vectors of the index are lost.

    \b
    Examples:
      vecindex export notes.parquet
      vecindex export english.jsonl --where "lang = 'en'"
      vecindex export notes-for-faiss --format faiss
      vecindex export - | jq .key
      vecindex export texts.jsonl --no-vectors
    """
    if dest == "-" and report_as == "json":
        raise click.UsageError("With - records go to standard output; --report json would go there too.")
    with open_for_reading(index_path) as index, Progress("Exporting") as progress:
        if dest == "-":
            seen = None if is_terminal(sys.stdout) else progress  # otherwise the bar would be between the lines
            report = index.export(json_lines_out(), format_, where=where, vectors=not no_vectors, progress=seen)
        else:
            report = index.export(dest, format_, where=where, vectors=not no_vectors, progress=progress)
    place = "standard output" if dest == "-" else printable(dest)
    answer(
        report_as,
        {"path": dest, **asdict(report)},
        f"{counted(report.records, 'record')} written to {place} as {report.format}, {report.bytes:,} bytes.",
    )


@click.command("import")
@click.argument("source", metavar="SOURCE|-")
@click.option("--space", metavar="NAME", help="Your own name for what made the vectors, if SOURCE does not say.")
@report_option
@index_option
def import_(source: str, space: str | None, report_as: str, index_path: Path) -> None:
    """Add exported records with their vectors.

    Nothing is encoded, and no model is loaded. Reads a .parquet or .jsonl file, standard input (-) as jsonl, the folder
    of an npy or faiss export, and files of other programs with the columns or members text and vector, and optionally
    key and metadata. Everything is checked before anything is added. The index must have the same embedding space.

    \b
    Examples:
      vecindex import notes.parquet --index copy
      vecindex import theirs.jsonl --space their-model-v2 --index theirs
    """
    from ...exchange.check_source import checked_source
    from ...index.facade import open as open_index
    from ...store.sql.schema import index_exists
    from ...values.records import AddReport

    # A source that cannot be used is refused before an empty index is created.
    done = AddReport()
    with stopping_on_sigterm(), checked_source(source) as found, Progress("Importing") as show:

        def on_commit(report: AddReport) -> None:
            nonlocal done
            done = report
            show(report.added + report.updated + report.unchanged + report.duplicates, found.count)

        if found.count and not index_exists(index_path):
            found.space_in(None, space)
        with open_index(index_path) as index:
            try:
                report = index.import_(found, space=space, progress=on_commit)
            except KeyboardInterrupt as error:
                word, code = word_and_code(error)
                warn(
                    f"{word}: {counted(done.added + done.updated, 'record')} of this run committed to "
                    f"{printable(str(index_path))}; run it again to import the rest."
                )
                raise click.exceptions.Exit(code) from None
            held = len(index)
    answer(
        report_as,
        {
            **{name: getattr(report, name) for name in ("added", "updated", "unchanged", "duplicates")},
            **{"path": str(index_path), "records": held},
        },
        f"{added_line(report)}; {printable(str(index_path))} holds {counted(held, 'record')}.",
    )
