"""Output of the command line: missing streams, -q and -v, errors in JSON, suggestions and completion."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.cli import main
from vecindex.cli.output import hold_standard_descriptors

from ..support.commands import run
from ..support.helpers import opened
from ..support.places import PROJECT
from ..support.toy import DIMENSION


@pytest.fixture
def folder(here: Path) -> Path:
    """An index of three records, at ``i``."""
    with opened(here / "i") as index:
        index.add(["one", "two", "three"], keys=["a", "b", "c"])
    return here / "i"


def in_child(act: Callable[[], None]) -> int:
    """Runs ``act`` in a forked process; returns its exit status."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            act()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 98
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def command(*arguments: str) -> None:
    main(list(arguments), prog_name="vecindex")


# --- missing streams


@pytest.mark.parametrize("broken", ["closed", "None", "full", "pipe"])
def test_a_message_that_cannot_be_written_is_dropped(folder: Path, broken: str) -> None:
    def act() -> None:
        os.close(2)
        if broken == "closed":
            sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
            sys.stderr.close()
        elif broken == "None":
            sys.stderr = None
        elif broken == "full":
            sys.stderr = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
        else:
            reading, writing = os.pipe()
            os.close(reading)
            sys.stderr = os.fdopen(writing, "w")
        command("delete", "a", "--index", str(folder))

    assert in_child(act) == 0
    with opened(folder) as index:
        assert index.keys() == ["b", "c"]


def test_an_error_without_standard_error_keeps_its_exit_code(folder: Path) -> None:
    def act(*arguments: str) -> int:
        def silently() -> None:
            sys.stderr = None
            command(*arguments)

        return in_child(silently)

    assert act("delete", "nobody", "--index", str(folder)) == 1
    assert act("delete", "--nothing") == 2


@pytest.mark.parametrize("closed", [None, "closed"])
def test_a_closed_standard_output_is_an_error_where_an_answer_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], closed: str | None
) -> None:
    out = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    out.close()
    monkeypatch.setattr(sys, "stdout", out if closed else None)
    with pytest.raises(SystemExit) as end:
        command("info", "--index", str(folder))
    assert end.value.code == 1
    assert capfd.readouterr().err == "Error: standard output is closed; this command prints its answer there.\n"
    with pytest.raises(SystemExit) as end:
        command("delete", "a", "--index", str(folder))
    assert end.value.code == 0


def test_closed_standard_descriptors_are_opened_on_the_null_device() -> None:
    def act() -> None:
        for number in range(3):
            os.close(number)
        hold_standard_descriptors()
        opened = os.open(os.devnull, os.O_RDONLY)
        os._exit(0 if opened > 2 and all(os.fstat(n).st_rdev == os.fstat(opened).st_rdev for n in range(3)) else 1)

    assert in_child(act) == 0


def test_a_command_works_with_all_streams_closed(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m vecindex delete a --index i <&- >&- 2>&-'],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert done.returncode == 0
    with opened(folder) as index:
        assert index.keys() == ["b", "c"]


def test_output_that_cannot_be_written_is_reported_once(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m vecindex info --index i >/dev/full'],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: the output cannot be written: {os.strerror(errno.ENOSPC)}.\n",
    )


def test_the_package_runs_as_a_module(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vecindex", "--version"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"vecindex {vecindex.__version__}\n", "")


# --- quiet and verbose


@pytest.mark.parametrize("arguments", [["-q", "delete", "a"], ["delete", "a", "-q"], ["delete", "--quiet", "a"]])
def test_quiet_silences_messages_but_not_errors(folder: Path, arguments: Sequence[str]) -> None:
    assert run(*arguments, "--index", "i") == (0, "", "")
    code, out, err = run(*arguments, "--index", "i")
    assert (code, out, err.splitlines()[0]) == (1, "", "Error: no record has the key 'a'")


def test_verbose_prints_the_traceback_of_an_error(folder: Path) -> None:
    quiet = run("delete", "nobody", "--index", "i")
    code, out, err = run("-v", "delete", "nobody", "--index", "i")
    assert err.startswith("Traceback (most recent call last):\n")
    assert (code, out, err.endswith(quiet[2])) == (1, "", True)
    assert run("delete", "nobody", "--index", "i", "-v")[2].startswith("Traceback")
    assert "Traceback" not in quiet[2]


# --- errors for programs


def test_with_json_an_error_is_json_with_its_fields(folder: Path) -> None:
    code, out, err = run("get", "nobody\x1b", "--index", "i", "--format", "json")
    assert (code, out, "\x1b" in err) == (1, "", False)
    assert json.loads(err) == {
        "error": {
            "type": "RecordNotFound",
            "message": "no record has the key 'nobody\\x1b'",
            "advice": "Use `vecindex list` to see the keys. Nothing was changed.",
            "key": "nobody\x1b",
        }
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nothing", "--format", "json"],
        ["--format=json", "--nothing"],
        ["a", "-k", "0", "--format", "json"],
        ["--format", "json"],
    ],
)
def test_with_json_a_usage_error_is_json_and_exits_with_2(arguments: list[str]) -> None:
    code, out, err = run("similar", *arguments)
    assert (code, out) == (2, "")
    found = json.loads(err)["error"]
    assert (found["type"], found["advice"]) == ("UsageError", "Try 'vecindex similar --help' for help.")


# --- what terminals get


def test_a_terminal_gets_no_control_character_in_json(folder: Path) -> None:
    with opened(folder) as index:
        index.add(["evil \x9b31m \u202egnp"], keys=["e"])
    arguments = [sys.executable, "-m", "vecindex", "get", "e", "--format", "json", "--index", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUTF8": "1"}
    piped = subprocess.run(arguments, env=environment, capture_output=True, check=True).stdout.decode()
    assert "evil \x9b31m \u202egnp" in piped
    shown = on_terminal(arguments, environment)
    assert "evil \\u009b31m \\u202egnp" in shown
    assert json.loads(shown) == json.loads(piped)


def on_terminal(arguments: Sequence[str], environment: dict[str, str]) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(arguments, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown.decode().replace("\r\n", "\n")


# --- suggestions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "x", "--limit", "3"], "No such option '--limit'. Did you mean '-k'?"),
        (["search", "x", "--top_k=3"], "No such option '--top_k'. Did you mean '-k'?"),
        (["search", "x", "-n", "3"], "No such option '-n'. Did you mean '-k'?"),
        (["search", "x", "--filter", "a = 1"], "No such option '--filter'. Did you mean '--where'?"),
        (["search", "x", "--json"], "No such option '--json'. Did you mean '--format json'?"),
        (["add", "x.txt", "--id", "3"], "No such option '--id'. Did you mean '--key'?"),
        (["delete", "--filter", "a = 1"], "No such option '--filter'. Did you mean '--where'?"),
        (["query", "x"], "No such command 'query'. Did you mean 'search'?"),
        (["rm", "x"], "No such command 'rm'. Did you mean 'delete'?"),
        (["ingest", "x"], "No such command 'ingest'. Did you mean 'add'?"),
        (["ls"], "No such command 'ls'. Did you mean 'list'?"),
        (["sync", "docs"], "No such command 'sync'. Did you mean 'watch'?"),
        (["files"], "No such command 'files'. Did you mean 'sources'?"),
        (["stats"], "No such command 'stats'. Did you mean 'info'?"),
        (["--index", "i", "info"], "The option '--index' must come after the command."),
        (
            ["export", "x.jsonl", "--format=json"],
            "Invalid value for '--format': 'json' is not one of 'parquet', 'npy', 'jsonl', 'faiss'. "
            "Use --report json for a report in JSON.",
        ),
        (["version"], "No such command 'version'. Did you mean '--version'?"),
    ],
)
def test_other_programs_names_get_a_suggestion(arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    said = json.loads(err)["error"]["message"] if err.startswith("{") else err.splitlines()[-1].removeprefix("Error: ")
    assert (code, out, said) == (2, "", message)


# --- reports for programs


def answered(*arguments: str) -> Any:
    code, out, err = run(*arguments, "--index", "i")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_commands_that_change_the_index_report_in_json(folder: Path) -> None:
    assert answered("index-field", "n", "--format", "json") == {"fields": [{"field": "n", "new": True}]}
    assert answered("delete", "a", "--format", "json") == {"deleted": 1, "path": "i", "records": 2}
    compacted = answered("compact", "--format", "json")
    assert compacted.pop("bytes_before") > compacted.pop("bytes_after") > 0
    assert compacted == {"dropped_rows": 1, "forgotten_texts": 1}
    backed_up = answered("backup", "b", "--format", "json")
    assert (backed_up.pop("bytes") > 0, backed_up) == (True, {"path": "b", "records": 2, "rows": 2})
    exported = answered("export", "e.jsonl", "--report", "json")
    assert exported == {"path": "e.jsonl", "records": 2, "format": "jsonl", "bytes": Path("e.jsonl").stat().st_size}
    assert answered("import", "e.jsonl", "--report", "json") == {
        **{"added": 0, "updated": 0, "unchanged": 2, "duplicates": 0, "path": "i", "records": 2},
    }
    assert answered("migrate", "--drop-old", "--format", "json") == {"removed": [], "bytes_given_back": 0}
    assert run("export", "-", "--report", "json", "--index", "i")[0] == 2


def test_verify_reports_in_json_and_by_its_exit_code(folder: Path) -> None:
    sound = {"ok": True, "records": 3, "rows": 3, "faults": [], "repaired": [], "without_vector": 0}
    assert answered("verify", "--format", "json") == sound
    (folder / "vectors-1.f32").write_bytes(b"\0" * 12 * DIMENSION)
    code, out, err = run("verify", "--format", "json", "--index", "i")
    found = json.loads(out)
    assert (code, err, found["ok"], len(found["faults"])) == (1, "", False, 3)
    assert found["faults"][0].keys() == {"path", "reason", "repair"}


# --- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert f"_VECINDEX_COMPLETE={shell}_complete" in out
    assert "vecindex" in out


def test_a_shell_completes_commands_options_and_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(line: str, word: int) -> list[str]:
        monkeypatch.setenv("_VECINDEX_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(word))
        return run()[1].splitlines()

    assert completed("vecindex se", 1) == ["plain,search", "plain,serve", "plain,selftest"]
    assert "plain,--min-score" in completed("vecindex search --", 2)
    assert completed("vecindex info --format ", 3) == ["plain,text", "plain,json"]
    assert completed("vecindex info --index not", 3) == ["dir,not"]


def test_a_library_that_does_not_fit_in_memory_is_an_out_of_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        def raising(*_: object, **__: object) -> None:
            raise ImportError(text)

        monkeypatch.setattr("vecindex.index.facade.open", raising)

    fail("libgfortran.so.5: failed to map segment from shared object")
    code, out, err = run("info")
    assert (code, out, err.splitlines()[0]) == (1, "", "Error: memory ran out while the command ran")
    fail("No module named 'decimal'")
    with pytest.raises(ImportError, match="decimal"):
        run("info")
