"""``vecindex search --paging`` prints a cursor, and ``--cursor`` the page that it is for."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from vecindex.encoders.run.encoder import Encoder

from ..support.commands import failed, misused, run
from ..support.helpers import opened

USAGE = "search [OPTIONS] [QUERY]"
TEXTS = ["the pump", "a lamp", "a pump", "rain on the pump", "the lamp rains"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> Path:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / ".vecindex", model=encoder) as index:
        index.add(TEXTS, keys=list("abcde"))
    return tmp_path


def found(*arguments: str) -> Any:
    code, out, told = run("search", "the pump", "--format", "json", *arguments)
    assert (code, told) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("options", [(), ("--mode", "lexical"), ("--mode", "hybrid", "--rerank", "tokens")])
def test_the_last_hit_has_the_cursor_of_the_next_page(options: tuple[str, ...]) -> None:
    whole = found("-k", "10", *options)
    pages = [found("-k", "2", "--paging", *options)]
    while "cursor" in pages[-1][-1]:
        assert ["cursor" in hit for hit in pages[-1]] == [False] * (len(pages[-1]) - 1) + [True]
        pages.append(found("-k", "2", "--cursor", pages[-1][-1]["cursor"], *options))
    assert [hit["key"] for page in pages for hit in page] == [hit["key"] for hit in whole]
    assert [hit["rank"] for page in pages for hit in page] == [hit["rank"] for hit in whole]


def test_hits_have_no_cursor_unless_pages_are_wanted() -> None:
    assert all("cursor" not in hit for hit in found("-k", "2"))
    assert run("search", "the pump", "-k", "2")[2] == ""
    assert "cursor" not in run("search", "the pump", "-k", "2", "--format", "csv")[1]


def test_in_text_a_message_names_the_cursor() -> None:
    code, out, told = run("search", "the pump", "-k", "3", "--paging")
    assert (code, len(out.splitlines())) == (0, 3)
    cursor = found("-k", "3", "--paging")[-1]["cursor"]
    assert told == f"For the next page, add --cursor {cursor}\n"
    code, out, told = run("search", "the pump", "-k", "3", "--cursor", cursor)
    assert [line.split()[0] for line in out.splitlines()] == ["4", "5"]
    assert told == "There are no more.\n"
    assert run("search", "the pump", "-k", "3", "--cursor", cursor, "-q") == (0, out, "")


def test_lines_of_json_and_tables_have_it_too() -> None:
    cursor = found("-k", "2", "--paging")[-1]["cursor"]
    lines = run("search", "the pump", "-k", "2", "--paging", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line).get("cursor") for line in lines] == [None, cursor]
    table = run("search", "the pump", "-k", "2", "--paging", "--format", "csv")[1]
    assert [row["cursor"] for row in csv.DictReader(io.StringIO(table))] == ["", cursor]
    table = run("search", "the pump", "--cursor", cursor, "--format", "csv")[1]
    assert [row["cursor"] for row in csv.DictReader(io.StringIO(table))] == ["", "", ""]


def test_a_cursor_that_cannot_be_used_is_an_error_that_says_what_to_do(folder: Path, encoder: Encoder) -> None:
    cursor = found("-k", "2", "--paging", "--mode", "lexical")[-1]["cursor"]
    assert run("search", "a lamp", "--mode", "lexical", "--cursor", cursor) == failed(
        "the cursor is of another search",
        "Pass it with the query and the options of the first page; only -k, --context and --rerank-ms may differ.",
    )
    assert run("search", "the pump", "--cursor", cursor[:-1]) == failed(
        "the cursor is damaged, or is none",
        "Pass the cursor of the page before as it is, or search without --cursor for the first page.",
    )
    with opened(folder / ".vecindex", model=encoder) as index:
        index.add(["more"])
    code, _, told = run("search", "the pump", "--mode", "lexical", "--cursor", cursor, "--format", "json")
    error = json.loads(told)["error"]
    assert (code, error["type"], error["made"], error["now"]) == (1, "CursorExpired", 1, 2)
    assert error["advice"] == "Start again from the first page: search without --cursor."


def test_pages_are_of_one_query_and_not_of_all_records(folder: Path) -> None:
    (folder / "queries.txt").write_text("the pump\n")
    single = "--paging and --cursor are for a single QUERY."
    assert run("search", "--queries", "queries.txt", "--paging") == misused(USAGE, single)
    assert run("search", "--queries", "queries.txt", "--cursor", "x") == misused(USAGE, single)
    both = "Pass --all or --paging, not both."
    assert run("search", "pump", "--all", "--min-score", "0", "--paging") == misused(USAGE, both)
    both = "Pass --all or --rerank, not both."
    assert run("search", "pump", "--all", "--min-score", "0", "--rerank", "tokens") == misused(USAGE, both)
