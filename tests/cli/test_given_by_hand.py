"""Texts given to ``vecindex add`` itself, or imported, stay when files are pruned or deleted that have them or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecindex.index.adding import encode_ahead

from ..support.commands import run
from ..support.helpers import opened
from ..support.sourced import where_from

pytestmark = pytest.mark.usefixtures("here", "encoder")


def listed() -> dict[str, str | None]:
    """The source of each text."""
    with opened(Path(".vecindex"), model=None) as index:
        return {text: source for text, source, *_ in where_from(index).values()}


def states() -> dict[str, str]:
    status, out, err = run("sources", "--format", "json")
    assert (status, err) == (0, "")
    return {source["location"]: source["state"] for source in json.loads(out)}


def give(how: str) -> None:
    if how == "--text":
        assert run("add", "--text", "one")[0] == 0
    else:
        assert run("add", "-", stdin="one\n")[0] == 0


HOW = pytest.mark.parametrize("how", ["--text", "stdin"])
FIRST = pytest.mark.parametrize("first", ["given", "the file"])


@HOW
@FIRST
@pytest.mark.parametrize("loses", ["pruned", "gone", "deleted"])
def test_it_stays_when_the_file_goes(how: str, first: str, loses: str) -> None:
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("one\ntwo\n")
    if first == "given":
        give(how)
    assert run("add", "docs")[0] == 0
    if first != "given":
        give(how)
    assert listed() == {"one": "docs/a.txt", "two": "docs/a.txt"}
    if loses == "deleted":
        assert run("delete", "--source", "docs/a.txt")[2] == "1 deleted; .vecindex holds 1 record.\n"
    else:
        if loses == "pruned":
            Path("docs/a.txt").write_text("three\n")
        else:
            Path("docs/a.txt").unlink()
        status, _, err = run("add", "docs", "--prune")
        assert status == 0
        assert "1 removed" in err
    assert listed() == {"one": None} | ({"three": "docs/a.txt"} if loses == "pruned" else {})
    assert run("verify")[0] == 0


@pytest.mark.parametrize("commits", ["one", "many"])
def test_given_together_with_the_file_it_stays(commits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if commits == "many":
        monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 1)
    Path("a.txt").write_text("one\ntwo\n")
    assert run("add", "--text", "one", "a.txt")[0] == 0
    assert listed() == {"one": "a.txt", "two": "a.txt"}
    assert run("verify")[0] == 0
    Path("a.txt").write_text("two\n")
    assert run("add", "a.txt", "--prune")[0] == 0
    assert listed() == {"one": None, "two": "a.txt"}


def test_what_was_imported_is_not_pruned_for_want_of_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("here/docs").mkdir(parents=True)
    Path("there").mkdir()
    Path("here/docs/a.txt").write_text("one\ntwo\n")
    Path("here/docs/b.md").write_text("It rains. It pours.\n")
    monkeypatch.chdir("here")
    assert run("add", "docs", "--text", "one")[0] == 0
    assert run("export", "../e.jsonl")[0] == 0

    monkeypatch.chdir("../there")
    assert run("import", "../e.jsonl")[0] == 0
    everything = {"one": "docs/a.txt", "two": "docs/a.txt", "It rains.": "docs/b.md", "It pours.": "docs/b.md"}
    assert listed() == everything
    assert states() == {"docs/a.txt": "imported", "docs/b.md": "imported"}
    for _ in range(2):
        assert run("add", ".", "--prune")[0] == 0
        assert listed() == everything
        Path("docs").mkdir(exist_ok=True)
        Path("docs/c.txt").write_text("three\n")
        everything["three"] = "docs/c.txt"

    Path("docs/a.txt").write_text("one\n")
    assert run("add", ".", "--prune")[0] == 0
    del everything["two"]
    assert listed() == everything
    assert states() == {"docs/a.txt": "current", "docs/b.md": "imported", "docs/c.txt": "current"}
    Path("docs/a.txt").unlink()
    assert run("add", ".", "--prune")[0] == 0
    assert listed() == everything | {"one": None}
    assert run("delete", "--source", "docs/b.md")[0] == 0
    assert listed() == {"one": None, "three": "docs/c.txt"}
    assert run("verify")[0] == 0


def test_an_import_leaves_the_state_of_a_file_that_was_read_here() -> None:
    Path("a.txt").write_text("one\n")
    assert run("add", "a.txt")[0] == 0
    assert run("export", "e.jsonl")[0] == 0
    assert run("import", "e.jsonl")[0] == 0
    assert states() == {"a.txt": "incomplete"}
    Path("a.txt").unlink()
    assert run("add", ".", "--prune", "--exclude", "e.jsonl")[0] == 0
    assert listed() == {}


def test_texts_of_standard_input_never_replace_those_of_an_earlier_one() -> None:
    mailbox = "From a@b.c Thu Jan  1 00:00:00 2026\nSubject: {0}\n\nThis is {0}.\n\n"
    for name in ("one", "two"):
        assert run("add", "-", "--format", "mbox", stdin=mailbox.format(name))[0] == 0
    assert {text for text in listed() if "This" in text} == {"This is one.", "This is two."}
