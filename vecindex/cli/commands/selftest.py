"""``vecindex selftest``: checks on your disk that killed writers lose nothing."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import ExpandedPath, format_option
from ..output import emit, shows_progress, warn
from ..render.results import counted, json_text, printable

if TYPE_CHECKING:
    from ...index.crash_test import CrashReport


@click.command()
@click.option("--crash", is_flag=True, hidden=True, expose_value=False)  # it had to be given once
@click.option(
    "--runs", default=50, show_default=True, type=click.IntRange(min=1), metavar="N", help="Processes to kill."
)
@click.option(
    "--folder",
    default=".",
    type=ExpandedPath(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder on the disk to test, for a temporary index.  [default: the current directory]",
)
@format_option("text", "json")
def selftest(runs: int, folder: Path, format_: str) -> None:
    """Check that a killed writer loses nothing on this disk.

    Processes add, update, delete and compact, and are killed at random moments and before random steps. After each
    kill, the index is compared with what had been acknowledged. Exits with 1 if anything was lost. Needs no model.

    \b
    Example:
      vecindex selftest --runs 200 --folder .
    """
    import os
    from random import SystemRandom

    # Before numpy and FAISS are loaded, since this process forks: with threads of OpenMP, its forks would hang.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

    from ...index.crash_test import CrashReport, crash_test

    shows = shows_progress()
    report = CrashReport()
    with contextlib.closing(crash_test(folder, runs, SystemRandom().getrandbits(30))) as reports:
        for report in reports:
            if shows:
                warn(f"\r{_summary(report)}", nl=report.runs == runs)
    emit(json_text(asdict(report)) if format_ == "json" else _summary(report) + "\n", format_, needed=False)
    for fault in report.faults:
        warn(printable(fault))
    if report.faults:
        raise click.exceptions.Exit(1)


def _summary(report: CrashReport) -> str:
    return (
        f"{counted(report.runs, 'run')}, each killed; {counted(report.changes, 'acknowledged change')}, "
        f"{len(report.faults)} lost"
    )
