"""Input that nobody means well: each is stored as it is or refused with its file and line, and nothing crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.values.keys import derive_key
from vecindex.values.records import Record
from vecindex.values.texts import is_blank

from ..support.commands import failed, run
from ..support.places import SHARED

DATA = SHARED / "data" / "badinput"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")

pytestmark = pytest.mark.usefixtures("here", "encoder")


def state() -> tuple[int, int]:
    """The default index's generation and number of records."""
    with vecindex.open(".vecindex", create=False) as index:
        return index.info().generation, len(index)


# --- the big list of naughty strings


def naughty_strings() -> list[str]:
    lines = (DATA / "blns.txt").read_bytes().decode("utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#")]


@needs_data
def test_every_naughty_string_is_its_own_nearest_neighbour_and_can_be_deleted(encoder: Encoder) -> None:
    lines = naughty_strings()
    distinct = list(dict.fromkeys(lines))
    assert len(lines) > 500
    with vecindex.open("naughty", model=encoder) as index:
        report = index.add(lines)
        unknown = index.encoder.encode_all(distinct).unknown.tolist()
        assert (report.added, report.duplicates) == (len(distinct), len(lines) - len(distinct))
        assert report.unknown == sum(unknown) > 20
        known = [line for line, is_unknown in zip(distinct, unknown, strict=True) if not is_unknown]
        assert not any(is_blank(line) for line in known)
        alike: dict[tuple[int, ...], set[str]] = {}
        for line, tokens in zip(distinct, index.encoder.tokenizer.tokenize(distinct), strict=True):
            alike.setdefault(tuple(tokens.ids), set()).add(line)
        group = {line: lines for lines in alike.values() for line in lines}
        for line, hits in zip(known, index.search_many(known, k=len(max(alike.values(), key=len))), strict=True):
            assert hits[0].text in group[line]
            assert 0.9999 <= hits[0].score <= 1
            same = [hit for hit in hits if hit.text == line]
            assert [hit.key for hit in same] == [derive_key(line)]
            assert same[0].score >= 0.9999
        assert [index.get(derive_key(line)).text for line in distinct] == distinct
        assert index.delete([derive_key(line) for line in distinct]) == len(distinct)
        assert len(index) == 0
        assert index.verify().ok


@needs_data
def test_naughty_strings_come_through_a_file_as_they_are() -> None:
    distinct = [line for line in dict.fromkeys(naughty_strings()) if line.strip(" \t\v\f")]
    Path("naughty.txt").write_bytes("\n".join(distinct).encode())
    n = len(distinct)
    code, out, err = run("add", "naughty.txt")
    said, warned = err.splitlines()[-2:]  # a slow machine says before how far it is
    assert (code, out, said) == (0, "", f"{n} added, 0 updated, 0 unchanged; .vecindex holds {n} records.")
    assert warned.startswith("Warning: sentence-transformers/all-MiniLM-L6-v2 knows no token of ")
    with vecindex.open(".vecindex") as index:
        assert {hit.text for hit in index.search("x", k=n)} == set(distinct)
    code, out, err = run("search", "x", "-k", str(n))
    assert (code, len(out.splitlines()), err) == (0, n, "")


# --- JSONTestSuite


def suite(kind: str) -> list[Path]:
    return sorted((DATA / "json").glob(f"{kind}_*.json"))


@needs_data
def test_every_invalid_json_is_refused_with_its_line_and_the_index_is_unchanged() -> None:
    run("add", "--text", "a")
    before = state()
    refused = {}
    for file in suite("n"):
        Path("bad.jsonl").write_bytes(file.read_bytes())
        code, out, err = run("add", "bad.jsonl", "--text", "more")
        refused[file.name] = (code, out, err.startswith("Error: bad.jsonl:1: "), err.count("\n"))
    assert len(refused) > 180
    assert {name: outcome for name, outcome in refused.items() if outcome != (1, "", True, 2)} == {}
    assert state() == before


# What JSON allows and an index cannot store.
NOT_STORABLE = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
}


@needs_data
def test_every_valid_json_comes_back_as_metadata(encoder: Encoder) -> None:
    expected: dict[str, Any] = {}
    with Path("good.jsonl").open("wb") as out:
        for file in suite("y"):
            value = file.read_bytes().replace(b"\n", b" ")
            row = b'{"text": "the same", "key": "%s", "value": %s}\n' % (file.name.encode(), value)
            if file.name in NOT_STORABLE:
                Path("bad.jsonl").write_bytes(row)
                code, _, err = run("add", "bad.jsonl")
                assert (code, err[:20]) == (1, "Error: bad.jsonl:1: "), file.name
            else:
                expected[file.name] = json.loads(value)
                out.write(row)
    assert len(expected) > 85
    assert run("add", "good.jsonl")[0] == 0
    with vecindex.open(".vecindex") as index:
        assert {name: index.get(name).metadata for name in expected} == {
            name: {"value": value} for name, value in expected.items()
        }


@needs_data
def test_doubtful_json_is_added_or_refused_and_never_crashes() -> None:
    files = suite("i")
    assert len(files) > 30
    with Path("doubtful.jsonl").open("wb") as out:
        for file in files:
            out.write(b'{"text": "a", "key": "%s", "value": %s}\n' % (file.name.encode(), file.read_bytes().strip()))
    code, _, err = run("add", "doubtful.jsonl", "--skip-bad")
    skipped = sum(line.startswith("Skipped: doubtful.jsonl:") for line in err.splitlines())
    assert code == 0
    assert f"{len(files) - state()[1]} bad rows left out." in err
    assert 0 < skipped <= 20
    for file in files:
        Path("bare.jsonl").write_bytes(file.read_bytes())
        assert run("add", "bare.jsonl")[:2] == (1, "")  # none of them is an object with a text


# --- files and arguments that are something else


def test_a_line_of_ten_megabytes_is_one_record() -> None:
    text = "x" * 10_000_000
    Path("long.txt").write_text(f"{text}\n")
    code, out, err = run("add", "long.txt")
    said, warned = err.splitlines()[-2:]
    assert (code, out, said) == (0, "", "1 added, 0 updated, 0 unchanged; .vecindex holds 1 record.")
    assert "knows no token of 1 text" in warned  # a word that long is none to it
    assert json.loads(run("get", derive_key(text), "--format", "json")[1])["text"] == text


@pytest.mark.parametrize(
    ("content", "reason", "advice"),
    [
        (
            b"\x7fELF\x02\x01\x01\x00\x00\n",
            "byte 8 of the line is NUL, so this is not UTF-8 text",
            "Check that it is not a binary file; if it is UTF-16, use --encoding utf-16.",
        ),
        (
            b"\x89one\r\n\x1a\n",
            "byte 1 of the line (0x89) is not UTF-8",
            "If the file has another encoding, name it, as with --encoding cp1252 (Windows), or convert the file "
            "(iconv -f CP1252 -t UTF-8 FILE > NEW); --errors replace reads such bytes as U+FFFD, and --skip-bad skips "
            "the row.",
        ),
    ],
    ids=["binary with NUL", "binary without"],
)
def test_a_file_that_is_not_text_is_refused(content: bytes, reason: str, advice: str, here: Path) -> None:
    (here / "notes.txt").write_bytes(content)
    assert run("add", "notes.txt") == failed(f"notes.txt:1: {reason}", advice)
    assert not (here / ".vecindex").exists()


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_csv_of_other_separators_is_added(mark: str, here: Path) -> None:
    (here / "a.csv").write_text(f"text{mark}n\nIt rains, again{mark}1\n")
    assert run("add", "a.csv")[0] == 0
    assert run("search", "rain", "--fields", "n")[1].endswith('  {"n": 1}\n')


def test_an_empty_directory_is_refused(here: Path) -> None:
    (here / "notes").mkdir()
    advice = "See `vecindex guide sources` for the formats; -v lists what is skipped."
    assert run("add", "notes") == failed("no file to read was found in notes", advice)


def test_a_directory_of_other_files_does_not_become_an_index(here: Path) -> None:
    (here / "letters").mkdir()
    (here / "letters" / "a.txt").write_text("a\n")
    assert run("add", "--text", "a", "--index", "letters") == failed(
        f"{here / 'letters'} is a directory that holds other files", "Name a new directory for the index."
    )
    assert [file.name for file in (here / "letters").iterdir()] == ["a.txt"]


NO_UTF_8 = os.fsdecode(b"caf\xe9")  # what Python makes of an argument in another encoding


@pytest.mark.parametrize("command", ["similar", "get", "delete"])
def test_a_key_that_is_not_utf_8_is_refused(command: str) -> None:
    run("add", "--text", "a")
    item = "" if command == "get" else "item 0: "
    assert run(command, NO_UTF_8) == failed(
        f"{item}a key holds a lone surrogate (U+DCE9 at character 3), which UTF-8 cannot store",
        "Decode the input as UTF-8, or replace such characters.",
    )


@pytest.mark.parametrize(
    "command",
    [["search", NO_UTF_8], ["explain", NO_UTF_8], ["add", "--text", NO_UTF_8], ["explain", "a", "--against", NO_UTF_8]],
    ids=["search", "explain", "add", "against"],
)
def test_a_text_that_is_not_utf_8_is_refused(command: list[str]) -> None:
    run("add", "--text", "a")
    what = "a query" if command[0] == "search" or "--against" in command else "a text"
    assert run(*command) == failed(
        f"{what} holds a lone surrogate (U+DCE9 at character 3), which UTF-8 cannot store",
        "Decode the input as UTF-8, or replace such characters.",
    )
    assert state() == (1, 1)


def test_an_index_and_a_file_may_have_a_name_that_is_not_utf_8(here: Path) -> None:
    (here / f"{NO_UTF_8}.txt").write_text("one\n")
    shell = [sys.executable, "-c", "from vecindex.cli import main; main(prog_name='vecindex')"]
    ran = subprocess.run([*shell, "add", b"caf\xe9.txt", "--index", b"\xff"], capture_output=True, check=False)
    expected = b"1 added, 0 updated, 0 unchanged; \\udcff holds 1 record.\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", expected)
    ran = subprocess.run([*shell, "add", b"\xe9.txt"], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (1, b"Error: \\udce9.txt: no such file")


def test_strange_keys_are_kept_exactly() -> None:
    keys = [" ", "--help", "a\nb", "a\0b", "ключ", "'; drop table records; --", "\ufeff", "e\u0301", "\u00e9"]
    with vecindex.open(".vecindex") as index:
        index.add([Record("the same text", key) for key in keys])
        assert [hit.key for hit in index.search("the same text", k=20)] == keys  # ties, in the order of insertion
    for key in keys:
        code, out, err = run("get", "--format", "json", "--", key)
        assert (code, json.loads(out)["key"], err) == (0, key, "")
    assert run("delete", "--", *keys)[2] == f"{len(keys)} deleted; .vecindex holds 0 records.\n"
