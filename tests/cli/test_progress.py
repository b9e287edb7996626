"""Progress on a terminal: files, records, their rate and the time that is left, on one line that fits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from vecindex.cli import progress
from vecindex.cli.progress import Progress
from vecindex.index.adding.done import Done, Trail

from ..support.commands import write
from ..support.places import PROJECT
from ..support.terminal import Screen, on_terminal, resize, terminal
from ..support.toy_command import TOY

pytestmark = pytest.mark.usefixtures("here")
BAR = "[" + "#" * 30 + "]"


def toy(seconds: float = 0) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "TOY_SECONDS": str(seconds), "PYTHONUTF8": "1"}


# --- the line


class Terminal:
    """A terminal of 80 columns as this process's standard error, and a clock that only tests move."""

    def __init__(self, ours: int, stream: TextIO, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._ours = ours
        self._stream = stream
        self._patch = patch
        patch.setattr(progress, "monotonic", lambda: self.now)

    def progress(self, label: str, passing: bool = False) -> Progress:
        self._patch.setattr(sys, "stderr", self._stream)  # here, since pytest sets another one for each test
        return Progress(label, passing)

    def resize(self, columns: int) -> None:
        resize(self._ours, columns)

    @property
    def screen(self) -> Screen:
        """What has been drawn since the last time."""
        self._stream.write("\0")
        self._stream.flush()
        shown = b""
        while not shown.endswith(b"\0"):
            shown += os.read(self._ours, 4096)
        screen = Screen()
        screen.write(shown[:-1])
        return screen


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    with terminal(80) as (ours, theirs), os.fdopen(os.dup(theirs), "w") as stream:
        yield Terminal(ours, stream, monkeypatch)


def test_speed_and_the_time_that_is_left_follow_from_what_is_done_since_the_first_report(drawn: Terminal) -> None:
    total = Done(3, 500, 10_000)
    with drawn.progress("Adding") as show:
        drawn.now = 60  # it took as long to load the model
        show.files(Done(0, 100, 1_000), total, 100, "record")
        assert drawn.screen.text == ["Adding  [###---------------------------]  0 of 3 files  100 records"]
        drawn.now = 70
        show.files(Done(1, 200, 2_500), total, 220, "record")
        assert drawn.screen.text == ["Adding  [###-----------]  1 of 3 files  0:00:50 left  220 records  12 records/s"]
        drawn.now = 80
        show.files(total, total, 600, "record")
    assert drawn.screen.text == [f"Adding  [{'#' * 28}]  3 of 3 files  600 records  25 records/s", ""]


def test_no_time_is_shown_where_the_size_is_unknown_or_the_work_has_just_begun(drawn: Terminal) -> None:
    total = Done(3, 0, None)
    with drawn.progress("Reading", passing=True) as show:
        show.files(Done(0, 1, 0), total, 1, "row")
        drawn.now = 0.5
        show.files(Done(1, 100, 2_500), total, 100, "row")
        assert drawn.screen.text[0].endswith("]  1 of 3 files  100 rows")
        drawn.now = 5
        show.files(Done(2, 1_501, 2_500), total, 1_501, "row")
        assert drawn.screen.text[0].endswith("]  2 of 3 files  1,501 rows  300 rows/s")
    assert drawn.screen.text == [""]


def test_a_message_takes_the_place_of_the_line_until_it_is_drawn_again(drawn: Terminal) -> None:
    def say(message: str) -> None:
        sys.stderr.write(f"{message}\n")

    with drawn.progress("Adding") as show:
        show(1, 2)
        show.beside(say)("Skipped: a.txt")
        drawn.now = 1
        show(2, 2)
    assert drawn.screen.text == ["Skipped: a.txt", f"Adding  {BAR}  2/2", ""]


def test_the_line_is_not_drawn_more_often_than_it_can_be_read_but_its_end_is(drawn: Terminal) -> None:
    with drawn.progress("Adding") as show:
        for number in range(1, 1_001):
            show(number, 1_000)
    screen = drawn.screen
    assert screen.raw.count("Adding") == 2
    assert screen.text == [f"Adding  {BAR}  1,000/1,000", ""]


@pytest.mark.parametrize("columns", [8, 12, 20, 30, 40, 50, 60, 80, 200])
def test_the_line_fits_the_terminal(drawn: Terminal, columns: int) -> None:
    drawn.resize(columns)
    with drawn.progress("Adding") as show:
        for done in (1, 2, 3):
            drawn.now += 100
            show.files(Done(done, 100, done), Done(3, 500, 3), 1_234_567 * done, "record")
    screen = drawn.screen
    assert screen.widest < columns
    assert len(screen.lines) == (1 if columns < 15 else 2)


# --- the command


def test_add_shows_files_and_records_on_a_terminal_and_nothing_elsewhere() -> None:
    Path("docs").mkdir()
    for name in ("a.md", "b.md", "c.txt"):
        write(f"docs/{name}", "One is here. Two is here.\n")
    status, screen = on_terminal([*TOY, "add", "docs"], toy())
    assert status == 0
    assert screen.text[0] == f"Adding  {BAR}  3 of 3 files  5 records"
    assert screen.text[1].endswith("3 sources: 3 read; .vecindex holds 5 records.")
    assert "Reading  [" in screen.raw
    assert screen.has_cursor
    assert on_terminal([*TOY, "add", "docs"], toy())[1].text[0].startswith("0 added")  # there is nothing to show
    piped = subprocess.run([*TOY, "add", "docs", "--index", "piped"], env=toy(), capture_output=True, text=True)
    assert piped.stderr.startswith("5 added, 0 updated, 0 unchanged; 3 sources")
    _, screen = on_terminal([*TOY, "add", "docs", "--index", "quiet", "-q"], toy())
    assert screen.raw == ""


def test_bad_rows_are_named_on_lines_of_their_own() -> None:
    write("a.jsonl", '{"text": "one"}\n7\n8\n{"text": "two"}\n')
    status, screen = on_terminal([*TOY, "add", "a.jsonl", "--skip-bad"], toy())
    assert status == 0
    assert screen.text == [
        'Skipped: a.jsonl:2: expected an object like {"text": "..."}, not a number',
        'Skipped: a.jsonl:3: expected an object like {"text": "..."}, not a number',
        f"Adding  {BAR}  1 of 1 file  2 records",
        "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.",
        "Warning: 2 bad rows left out.",
        "",
    ]


def test_ctrl_c_ends_the_line_and_gives_the_cursor_back() -> None:
    write("many.txt", "".join(f"sentence {number}\n" for number in range(20_000)))

    sent: list[int] = []

    def stop(process: subprocess.Popen[bytes], screen: Screen) -> None:
        if "Adding" in screen.raw and not sent:
            sent.append(signal.SIGINT)
            process.send_signal(signal.SIGINT)

    status, screen = on_terminal([*TOY, "add", "many.txt"], toy(0.05), 60, stop)
    assert status == 130
    assert screen.text[0].startswith("Adding  [")
    assert screen.text[1].startswith("Interrupted: ")
    assert screen.text[0].count("Adding") == 1
    assert screen.has_cursor


# --- what is done


def test_what_is_done_follows_from_the_records_that_are_committed() -> None:
    trail = Trail(step=10)
    for records, characters in ((3, 30), (2, 5), (1, 5)):
        trail.add(records, characters)
    trail.end_source()
    trail.add(0, 40)
    trail.end_source()
    assert trail.at(0) == Done(0, 0, 0)
    assert trail.at(3) == Done(0, 1, 30)
    assert trail.at(5) == Done(0, 1, 30)
    assert trail.at(6) == Done(2, 4, 80)
