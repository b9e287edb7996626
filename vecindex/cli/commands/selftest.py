"""``vecindex selftest``: is this disk, with this version, as safe as promised?"""

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
@click.option("--crash", is_flag=True, help="Kill processes that change an index, and check what is left.")
@click.option(
    "--runs", default=50, show_default=True, type=click.IntRange(min=1), metavar="N", help="How many to kill."
)
@click.option(
    "--folder",
    default=".",
    type=ExpandedPath(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder on the disk to test; an index is made within and removed again.  [default: the current one]",
)
@format_option("text", "json")
def selftest(crash: bool, runs: int, folder: Path, format_: str) -> None:
    """Check on your own disk that nothing acknowledged is lost; exit 1 if anything was.

    With --crash, processes add, update, delete and compact, and are killed at random moments and steps. After each,
    everything that had been acknowledged is compared with what is there. It needs no model and takes about half a
    second a run.

    \b
    Example:
      vecindex selftest --crash --runs 200 --folder .
    """
    if not crash:
        raise click.UsageError("Say what to test: --crash.")
    from random import SystemRandom

    from ...index.crash_test import CrashReport
    from ...index.crash_test import crash as crashes

    shows = shows_progress()
    report = CrashReport()
    with contextlib.closing(crashes(folder, runs, SystemRandom().getrandbits(30))) as reports:
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
