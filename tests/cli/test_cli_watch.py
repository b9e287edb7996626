"""``vecindex watch`` in a process of its own: it follows files as they change, and stops at Ctrl-C and SIGTERM."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecindex
from vecindex.errors import IndexNotFound

from ..support.commands import run

START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
SHELL = [sys.executable, "-c", f"{START}; from vecindex.cli import main; main(prog_name='vecindex')"]
SECONDS = 300

pytestmark = pytest.mark.usefixtures("encoder")


class Watching:
    """A ``vecindex watch docs`` that is running."""

    def __init__(self, *options: str) -> None:
        self._out, self._err = Path("printed"), Path("told")
        with self._out.open("w") as out, self._err.open("w") as err:
            self._process = subprocess.Popen([*SHELL, "watch", "docs", *options], stdout=out, stderr=err)

    def sees(self, *texts: str) -> None:
        """Waits until these texts, and no others, are in the index."""
        self.waits_for(lambda: stored() == sorted(texts))

    def waits_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert self._process.poll() is None, self.told()
            assert time.monotonic() < deadline, stored()
            time.sleep(0.05)

    def printed(self) -> str:
        """Standard output until now."""
        return self._out.read_text()

    def told(self) -> str:
        """Standard error until now."""
        return self._err.read_text()

    def stopped(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Exit status, standard output and standard error after a signal."""
        self._process.send_signal(number)
        status = self._process.wait(SECONDS)
        return status, self.printed(), self.told()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def stored() -> list[str]:
    try:
        with vecindex.open(".vecindex", create=False) as index:
            return sorted(hit.text for hit in index.search("one", k=100)) if len(index) else []
    except IndexNotFound:
        return []


@pytest.fixture
def docs(here: Path) -> Path:
    (here / "docs").mkdir()
    (here / "docs" / "a.txt").write_text("My name is Aun.\n")
    return here / "docs"


@pytest.fixture
def watching(docs: Path) -> Iterator[Watching]:
    made = Watching("--prune")
    try:
        made.sees("My name is Aun.")
        yield made
    finally:
        made.close()


def test_files_are_followed_as_they_change(watching: Watching, docs: Path) -> None:
    (docs / "deep").mkdir()
    (docs / "deep" / "b.txt").write_text("It rains.\n")
    watching.sees("It rains.", "My name is Aun.")
    (docs / "a.txt.tmp").write_text("My name is Ann.\n")  # as editors save
    (docs / "a.txt.tmp").replace(docs / "a.txt")
    watching.sees("It rains.", "My name is Ann.")
    (docs / "deep").rename(docs / "other")
    watching.waits_for(lambda: "docs/other/b.txt" in run("sources")[1])
    watching.sees("It rains.", "My name is Ann.")
    shutil.rmtree(docs / "other")
    watching.sees("My name is Ann.")
    watching.waits_for(lambda: watching.told().endswith(" holds 1 record.\n"))  # told after the commit
    code, out, err = watching.stopped()
    assert (code, out) == (130, "")
    lines = err.splitlines()
    assert lines[0] == "Watching docs; Ctrl-C stops."
    assert lines[1].startswith("1 added")
    assert lines[-1] == "Interrupted."
    assert run("verify")[0] == 0


def test_the_folder_may_vanish_and_nothing_is_pruned_until_it_comes_back(watching: Watching, docs: Path) -> None:
    docs.rename(docs.with_name("away"))
    watching.waits_for(lambda: " is gone. " in watching.told())
    assert stored() == ["My name is Aun."]
    docs.with_name("away").rename(docs)
    (docs / "b.txt").write_text("It rains.\n")
    watching.sees("It rains.", "My name is Aun.")
    code, _, err = watching.stopped(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert (
        f"Warning: {docs.resolve()} is gone. Its records are kept, and it is watched again if it comes back.\n" in err
    )
    assert err.endswith("Terminated.\n")


def test_a_bad_file_is_named_once_and_does_not_end_the_watching(docs: Path) -> None:
    watching = Watching("--report", "json")
    try:
        watching.sees("My name is Aun.")
        (docs / "bad.jsonl").write_text("{\n")
        (docs / "b.txt").write_text("It rains.\n")
        watching.sees("It rains.", "My name is Aun.")
        (docs / "c.txt").write_text("The sun shines.\n")
        watching.sees("It rains.", "My name is Aun.", "The sun shines.")
        (docs / "bad.jsonl").write_text('{"text": "Good."}\n')
        watching.sees("Good.", "It rains.", "My name is Aun.", "The sun shines.")
        watching.waits_for(lambda: '"records": 4' in watching.printed())
        _, out, err = watching.stopped()
    finally:
        watching.close()
    assert err.count("bad.jsonl:1: ") == 1
    reports = [json.loads(line) for line in out.splitlines()]
    assert sum(report["added"] for report in reports) == 4
    assert reports[-1]["records"] == 4


def test_changes_of_the_index_and_of_hidden_files_lead_to_nothing(docs: Path) -> None:
    watching = Watching("--index", "docs/.vecindex", "--report", "json")
    try:
        watching.waits_for(lambda: '"records": 1' in watching.printed())
        time.sleep(1)
        (docs / ".hidden").mkdir()
        (docs / ".hidden" / "b.txt").write_text("It rains.\n")
        time.sleep(1)
        _, out, _ = watching.stopped()
    finally:
        watching.close()
    assert [json.loads(line)["records"] for line in out.splitlines()] == [1]


def test_what_is_watched_must_be_a_folder(docs: Path) -> None:
    code, _, err = run("watch", "docs/a.txt")
    assert (code, "Directory 'docs/a.txt' is a file." in err) == (2, True)
    code, _, err = run("watch", "nothing")
    assert (code, "Directory 'nothing' does not exist." in err) == (2, True)
