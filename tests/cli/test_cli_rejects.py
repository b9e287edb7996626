"""``vecindex add --skip-bad --rejects FILE``: what is left out can be mended and added again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ..support.commands import failed, run, stored, write

pytestmark = pytest.mark.usefixtures("here", "encoder")


def rejects(name: str = "bad.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_bytes().splitlines()]


def left_out(*arguments: str) -> list[dict[str, Any]]:
    """What this ``add`` leaves out, which is something."""
    code, _, err = run("add", *arguments, "--skip-bad", "--rejects", "bad.jsonl")
    assert (code, err.splitlines()[-1]) == (0, f"Warning: {count(len(rejects()))} left out; see bad.jsonl.")
    return rejects()


def count(rows: int) -> str:
    return f"{rows} bad row{'s' if rows != 1 else ''}"


def fields(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "rejected"} for row in rows]


def reasons(rows: list[dict[str, Any]]) -> list[str]:
    return [row["rejected"]["reason"] for row in rows]


def test_rows_of_json_lines_are_mended_and_added_again() -> None:
    write(
        "rows.jsonl",
        '{"text": "A good row."}\n'
        '{"txet": "It rains.", "year": 1990}\n'
        '{"text": ["a"], "key": "b", "metadata": {"n": 1}}\n'
        '{"text": "cut off\n'
        '{"text": "lone \\ud800"}\n',
    )
    first, second, third, fourth = left_out("rows.jsonl")
    assert first == {
        "txet": "It rains.",
        "year": 1990,
        "rejected": {
            "path": "rows.jsonl",
            "line": 2,
            "reason": "no field 'text' (did you mean 'txet'?); the fields are: 'txet', 'year'",
            "advice": "Name the field of the sentences with --text-column.",
        },
    }
    assert fields([second, third, fourth]) == [
        {"text": ["a"], "key": "b", "metadata": {"n": 1}},
        {"text": '{"text": "cut off'},
        {"text": "lone \ud800"},
    ]
    assert [row["rejected"]["line"] for row in (second, third, fourth)] == [3, 4, 5]
    mended = [
        {**first, "text": first.pop("txet")},
        {**second, "text": "a"},
        {**third, "text": "cut off"},
        {**fourth, "text": "alone"},
    ]
    mended[0].pop("txet")
    write("bad.jsonl", "".join(json.dumps(row) + "\n" for row in mended))
    assert run("add", "bad.jsonl")[0] == 0
    assert sorted(stored().values(), key=str) == sorted(
        [
            ("A good row.", {}),
            ("It rains.", {"year": 1990}),
            ("a", {"n": 1}),
            ("alone", {}),
            ("cut off", {}),
        ],
        key=str,
    )


def test_only_a_member_of_that_shape_is_taken_for_a_reason() -> None:
    write(
        "rows.jsonl",
        '{"text": "a", "rejected": {"path": "x.csv", "line": 3, "reason": "bad", "advice": "mend it"}}\n'
        '{"text": "b", "rejected": {"path": "x.csv", "reason": "bad", "by": "me"}}\n'
        '{"text": "c", "rejected": true}\n'
        '{"rejected": {"path": "x.pdf", "reason": "damaged", "advice": "mend it"}}\n',
    )
    assert "1 row without a text left out." in run("add", "rows.jsonl")[2]
    assert sorted(stored().values(), key=str) == [
        ("a", {}),
        ("b", {"rejected": {"path": "x.csv", "reason": "bad", "by": "me"}}),
        ("c", {"rejected": True}),
    ]


def test_rows_of_a_table_are_objects_by_its_header() -> None:
    write(
        "films.csv",
        b"id,plot,year\n"
        b"m1,A man is stranded,2015\n"
        b"m2,A shark, and a beach,1975\n"
        b"m3\n"
        b"m4,caf\xe9,2000\n"
        b'm5,"a" b,2001\n'
        b"m1,Again,2002\n",
    )
    found = left_out("films.csv", "--text-column", "plot", "--key-column", "id")
    assert fields(found) == [
        {"id": "m2", "plot": "A shark", "year": " and a beach", "": ["1975"]},
        {"id": "m3"},
        {"id": "m4", "plot": "caf\udce9", "year": "2000"},
        {"text": 'm5,"a" b,2001'},
        {"plot": "Again", "id": "m1", "metadata": {"year": 2002}},
    ]
    assert [row["rejected"]["line"] for row in found] == [3, 4, 5, 6, 7]
    mended = [
        {"id": "m2", "plot": "A shark, and a beach", "year": 1975, "rejected": found[0]["rejected"]},
        {**found[2], "plot": "café"},
    ]
    write("bad.jsonl", "".join(json.dumps(row) + "\n" for row in mended))
    assert run("add", "bad.jsonl", "--text-column", "plot", "--key-column", "id")[0] == 0
    assert stored() == {
        "m1": ("A man is stranded", {"year": 2015}),
        "m2": ("A shark, and a beach", {"year": 1975}),
        "m4": ("café", {"year": "2000"}),
    }


def test_lines_of_text_are_texts_and_bytes_that_are_none_are_refused_again() -> None:
    write("notes.txt", b"one\nn\xc3\xafne \xe9 \xc3\xa9\xc3\xa9\ntwo\n")
    assert fields(left_out("notes.txt")) == [{"text": "nïne \udce9 éé"}]
    code, _, err = run("add", "bad.jsonl")
    assert code == 1
    assert "bad.jsonl:1: a text holds a lone surrogate (U+DCE9 at character 5)" in err


def test_items_of_an_array_and_rows_of_a_database_are_objects() -> None:
    write("items.json", '[{"text": "a"}, {"text": {"b": 1}, "n": 2}, 7, {"text": "x", "text": "y"}]')
    found = left_out("items.json")
    assert fields(found) == [{"text": {"b": 1}, "n": 2}, {"text": "7"}, {"text": '{"text": "x", "text": "y"}'}]
    assert [row["rejected"]["item"] for row in found] == [2, 3, 4]
    with sqlite3.connect("shop.db") as database:
        database.execute("create table reviews (text, photo, stars)")
        database.executemany("insert into reviews values (?, ?, ?)", [("b", None, 5), ("c", b"\x89png", 4)])
    database.close()
    found = left_out("shop.db", "--sql", "select * from reviews")
    assert fields(found) == [{"text": "c", "stars": 4}]
    assert found[0]["rejected"]["row"] == 2


def test_a_file_that_cannot_be_read_is_a_line_with_the_reason_alone() -> None:
    Path("docs").mkdir()
    write("docs/a.txt", "one\n")
    write("docs/b.pdf", b"%PDF-1.7\nnothing of the kind\n")
    (found,) = left_out("docs")
    assert set(found) == {"rejected"}
    assert found["rejected"]["path"] == "docs/b.pdf"
    with open("bad.jsonl", "a") as file:
        file.write('{"text": "two"}\n')
    code, _, err = run("add", "bad.jsonl")
    assert (code, "1 row without a text left out." in err) == (0, True)


def test_repeated_keys_and_texts_that_are_too_long_are_among_them() -> None:
    long = "word " * 300
    write(
        "rows.jsonl",
        json.dumps({"key": "a", "text": "one", "n": 1})
        + "\n"
        + json.dumps({"key": "a", "text": "two", "n": 2})
        + "\n"
        + json.dumps({"key": "b", "text": long, "n": 3})
        + "\n",
    )
    found = left_out("rows.jsonl", "--on-long", "error", "--metadata", '{"lang": "en"}')
    assert fields(found) == [
        {"text": "two", "key": "a", "metadata": {"n": 2}},
        {"text": long, "key": "b", "metadata": {"lang": "en", "n": 3}},
    ]
    assert [(row["rejected"]["path"], row["rejected"]["line"]) for row in found] == [
        ("rows.jsonl", 2),
        ("rows.jsonl", 3),
    ]
    assert reasons(found)[0] == "the key 'a' is also that of line 1"
    assert "has 302 tokens" in reasons(found)[1]
    assert list(stored()) == ["a"]


def test_nothing_left_out_makes_no_file_and_empties_an_earlier_one() -> None:
    write("good.txt", "one\n")
    assert run("add", "good.txt", "--skip-bad", "--rejects", "bad.jsonl")[0] == 0
    assert not Path("bad.jsonl").exists()
    write("bad.jsonl", '{"text": "of an earlier run"}\n')
    assert run("add", "good.txt", "--skip-bad", "--rejects", "bad.jsonl")[0] == 0
    assert Path("bad.jsonl").read_bytes() == b""


def test_an_error_leaves_an_earlier_file_as_it_is() -> None:
    write("bad.jsonl", "earlier\n")
    write("rows.jsonl", '{"a": 1}\n')
    code, _, err = run("add", "rows.jsonl", "none.txt", "--skip-bad", "--rejects", "bad.jsonl")
    assert (code, "none.txt: no such file" in err) == (1, True)
    assert Path("bad.jsonl").read_text() == "earlier\n"
    assert sorted(path.name for path in Path().iterdir()) == ["bad.jsonl", "rows.jsonl"]


def test_an_input_is_never_overwritten(here: Path) -> None:
    (here / "docs").mkdir()
    write("docs/rows.jsonl", '{"text": "a"}\n{"a": 1}\n')
    for given, file in (("docs", "docs/rows.jsonl"), ("docs/rows.jsonl", f"{here}/docs/../docs/rows.jsonl")):
        code, _, err = run("add", given, "--skip-bad", "--rejects", file)
        assert (code, f"--rejects {file} is one of the files to add; name another." in err) == (2, True)
    assert Path("docs/rows.jsonl").read_text() == '{"text": "a"}\n{"a": 1}\n'
    assert not Path(".vecindex").exists()


def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    write("rows.jsonl", '{"text": "a"}\n{"a": 1}\n')
    advice = "Free some space on the disk, or raise the quota; earlier commits are safe."
    code, out, err = run("add", "rows.jsonl", "--skip-bad", "--rejects", "/dev/full")
    assert (code, out) == (1, "")
    assert err.endswith(failed("/dev/full cannot be used: No space left on device", advice)[2])


def test_a_folder_that_is_not_there_is_an_error() -> None:
    write("rows.jsonl", '{"text": "a"}\n{"a": 1}\n')
    code, _, err = run("add", "rows.jsonl", "--skip-bad", "--rejects", "none/bad.jsonl")
    assert (code, "cannot be used: No such file or directory" in err) == (1, True)


def test_a_dry_run_writes_what_would_be_left_out() -> None:
    write("rows.jsonl", '{"text": "a"}\n{"a": 1}\n')
    assert run("add", "rows.jsonl", "--skip-bad", "--rejects", "bad.jsonl", "--dry-run")[0] == 0
    assert fields(rejects()) == [{"a": 1}]
    assert not Path(".vecindex").exists()


def test_a_row_whose_key_another_file_had_is_added_when_that_file_is_gone() -> None:
    Path("docs").mkdir()
    for name in ("a", "b"):
        write(f"docs/{name}.csv", "key,text\nk,a row\n")
    assert run("add", "docs", "--skip-bad")[0] == 0
    Path("docs/a.csv").unlink()
    assert run("add", "docs", "--skip-bad", "--prune")[0] == 0
    assert json.loads(run("get", "k", "--format", "json")[1])["source"] == "docs/b.csv"
