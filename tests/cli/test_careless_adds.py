"""``vecindex add`` as careless users call it: nothing is damaged, and what happened is said."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import vecindex.index.adding.files_input
from vecindex.index.adding.files_input import FilesInput

from ..support.commands import added, failed, run, stored, write
from ..support.toy_command import ended, started

pytestmark = pytest.mark.usefixtures("here", "encoder")


def nothing_in(*names: str) -> tuple[int, str, str]:
    return failed(
        f"no file to read was found in {', '.join(names)}",
        "See `vecindex guide sources` for the formats; -v lists what is skipped.",
    )


def test_a_folder_without_files_is_refused_and_makes_no_index(here: Path) -> None:
    (here / "empty").mkdir()
    assert run("add", "empty") == nothing_in("empty")
    assert run("add", "empty", "--dry-run")[0] == 0
    assert not (here / ".vecindex").exists()


def test_a_folder_without_readable_files_is_refused_and_what_is_skipped_is_said(here: Path) -> None:
    (here / "images").mkdir()
    write("images/a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    code, out, err = run("add", "images")
    assert (code, out) == (1, "")
    assert err == "1 file or folder skipped: 1 binary; -v lists them.\n" + nothing_in("images")[2]
    assert not (here / ".vecindex").exists()


def test_a_folder_that_was_emptied_is_a_warning_and_prune_removes_what_it_had(here: Path) -> None:
    (here / "docs").mkdir()
    write("docs/a.txt", "one\ntwo\n")
    assert run("add", "docs")[0] == 0
    (here / "docs" / "a.txt").unlink()
    code, _, err = run("add", "docs")
    assert code == 0
    assert err.startswith("Warning: no file to read was found in docs.\n")
    code, _, err = run("add", "docs", "--prune")
    assert code == 0
    assert "2 removed" in err
    assert run("verify")[0] == 0


def test_a_folder_with_a_table_that_was_added_by_its_columns_can_be_added(here: Path) -> None:
    (here / "docs").mkdir()
    write("docs/a.txt", "one\n")
    write("docs/plants.csv", "id,about\n1,Basil likes sun.\n")
    write("docs/settings.json", '{"beds": 4}')
    assert run("add", "docs/plants.csv", "--text-column", "about")[0] == 0
    skipped = "2 tables without texts skipped, such as docs/plants.csv:1: no column 'text'"
    code, _, err = run("add", "docs", "--dry-run")
    assert (code, err.startswith(skipped)) == (0, True)
    assert err.endswith("Nothing was added. Would add 1 text; sources: 1 new.\n")
    code, _, err = run("add", "docs", "--prune")
    assert (code, err.startswith(skipped)) == (0, True)
    assert err.endswith("1 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\n")


def test_a_very_long_line_is_one_record_that_is_truncated_and_counted() -> None:
    write("long.txt", "word " * 2_000_000 + "\nshort\n")
    code, _, err = run("add", "long.txt")
    assert code == 0
    assert err.startswith("2 added")
    assert "1 text is longer than" in err
    assert run("verify")[0] == 0


def test_two_processes_add_the_same_folder_at_once(here: Path) -> None:
    (here / "docs").mkdir()
    for name in "abc":
        write(f"docs/{name}.txt", "".join(f"sentence {n} of {name}\n" for n in range(100)))
    both = [started(here, "add", "docs", "--index", "both", seconds=0.02) for _ in range(2)]
    results = [ended(process) for process in both]
    assert [status for status, _, _ in results] == [0, 0], results
    assert ended(started(here, "verify", "--index", "both")) == (0, "300 records, 300 rows: sound\n", "")
    assert ended(started(here, "add", "docs", "--index", "both"))[2].startswith("0 added, 0 updated, 300 unchanged; 3")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_named(here: Path) -> None:
    (here / "docs").mkdir()
    write("docs/a.txt", "one\n")
    (here / "docs" / "a.txt").chmod(0)
    code, _, err = run("add", "docs")
    assert code == 1
    assert err.startswith("Error: docs/a.txt")
    assert not (here / ".vecindex").exists()


@pytest.fixture
def after_check(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is to happen between checking and adding, as calls."""
    calls: list[object] = []
    real = FilesInput.check

    def check(self: FilesInput, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        for call in calls:
            call()  # type: ignore[operator]

    monkeypatch.setattr(vecindex.index.adding.files_input.FilesInput, "check", check)
    return calls


def test_a_file_that_is_deleted_after_the_check_is_named(here: Path, after_check: list[object]) -> None:
    write("a.txt", "one\n")
    write("b.txt", "two\n")
    after_check.append((here / "b.txt").unlink)
    code, _, err = run("add", "a.txt", "b.txt")
    assert code == 1
    assert "Error: b.txt" in err
    assert run("verify")[0] == 0
    after_check.clear()
    write("b.txt", "two\n")
    assert run("add", "a.txt", "b.txt")[0] == 0
    assert run("verify") == (0, "2 records, 2 rows: sound\n", "")


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("change", ["grow", "shrink"])
def test_a_file_that_changes_after_the_check_is_read_again_next_time(
    here: Path, after_check: list[object], change: str, skip_bad: bool
) -> None:
    path = here / "a.txt"
    write("a.txt", "one\ntwo\n")
    write("z.txt", "last\n")
    old = time.time_ns() - 10**10
    for each in (path, here / "z.txt"):
        os.utime(each, ns=(old, old))
    final = "one\ntwo\nthree\n" if change == "grow" else "one\n"
    after_check.append(lambda: path.write_text(final))
    arguments = ["a.txt", "z.txt", *(["--skip-bad"] if skip_bad else [])]
    run("add", *arguments)
    assert run("verify")[0] == 0
    after_check.clear()
    assert run("add", *arguments, "--prune")[0] == 0
    count = 4 if change == "grow" else 2
    assert run("verify")[1].startswith(f"{count} records")


def test_a_format_that_cannot_be_told_is_asked_for_in_short() -> None:
    write("notes.rtx", "1 2 3\n")
    assert run("add", "notes.rtx") == failed(
        "notes.rtx: the suffix '.rtx' is unknown, and the content does not look like text",
        "If it is, use --format txt; `vecindex guide sources` lists the formats.",
    )
    assert run("add", "notes.rtx", "--format", "txt") == added(1, 1)
    Path("a.bin").write_bytes(b"\x7fELF\x02\x01\x01\0\0\n")
    assert run("add", "a.bin") == failed(
        "a.bin: holds binary data of an unknown kind",
        "Write its texts to a file; `vecindex guide sources` lists the formats.",
    )


def test_columns_are_named_between_commas_or_by_repeating_the_option() -> None:
    write("films.csv", "title,plot,year,lang,id\nMars,A man is stranded.,2015,en,1\n")
    forms = [
        ("--text-column", "title,plot", "--metadata-columns", "year,lang"),
        ("--text-column", "title", "--text-column", "plot", "--metadata-columns", "year", "--metadata-columns", "lang"),
        ("--text-column", "title, plot", "--metadata-columns", "year, lang"),
    ]
    for number, options in enumerate(forms):
        index = f"index{number}"
        assert run("add", "films.csv", "--key-column", "id", *options, "--index", index) == added(1, 1, index)
        assert stored(index) == {"1": ("Mars\n\nA man is stranded.", {"year": 2015, "lang": "en"})}
    assert run("add", "films.csv", "--text-column", "plot", "--metadata-columns", "", "--index", "none")[0] == 0
    assert [metadata for _, metadata in stored("none").values()] == [{}]


def test_texts_without_a_known_suffix_are_read() -> None:
    write("README", "My name is Aun\n")
    write("notes.rtx", "It rains.\n")
    assert run("add", "README", "notes.rtx") == added(2, 2)
