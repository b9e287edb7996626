"""``~`` is the user's home in every path that can be given, and never a folder of that name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import vecindex
from vecindex import sources
from vecindex.encoders.locate.resolve import resolve
from vecindex.encoders.locate.vecindex_cache import cache_folder
from vecindex.errors import InvalidInput
from vecindex.values.paths import expanded

from ..support.commands import run
from ..support.helpers import opened, small_index


@pytest.fixture
def home(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the user, beside the folder to work in."""
    (here / "home").mkdir()
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    monkeypatch.setenv("HOME", str(here / "home"))
    return here / "home"


def test_a_path_from_python_is_in_the_home(home: Path) -> None:
    with opened(Path("~/i")) as index:
        index.add(["one"])
        assert index.path == home / "i"
        index.backup("~/b")
        index.export("~/e.jsonl")
        assert index.import_("~/e.jsonl").unchanged == 1
    assert sorted(path.name for path in home.iterdir()) == ["b", "e.jsonl", "i"]
    (home / "t.txt").write_text("one\n")
    assert [record.text for record in sources.read(sources.source("~/t.txt"))] == ["one"]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("given", ["option", "variable"])
def test_a_path_from_the_command_line_is_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    small_index(home / "i")
    if given == "variable":
        monkeypatch.setenv("VECINDEX_INDEX", "~/i")
    where = ["--index=~/i"] if given == "option" else []
    assert run("verify", *where)[0] == 0
    assert run("backup", "~/b", *where)[0] == 0
    assert run("export", "~/e.jsonl", *where)[0] == 0
    assert run("import", "~/e.jsonl", *where)[0] == 0
    assert sorted(path.name for path in home.iterdir()) == ["b", "e.jsonl", "i"]
    (home / "q.txt").write_text("one\n")
    for option in ("--queries=~/q.txt", "--queries=~/none.txt"):
        code, _, err = run("tune", option, *where)
        assert (code, str(home / "none.txt") in err) == (1, "none" in option)
    code, _, err = run("migrate", "--anew", "--queries", "~/none.txt", *where)
    assert (code, str(home / "none.txt") in err) == (1, True)
    assert list(Path().iterdir()) == []


def test_the_cache_and_models_are_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", "~/cache")
    assert cache_folder() == home / "cache"
    monkeypatch.delenv("VECINDEX_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == home / ".cache" / "vecindex"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/x")
    assert cache_folder() == home / "x" / "vecindex"
    (home / "m").mkdir()
    assert resolve("~/m").folder == home / "m"


@pytest.mark.parametrize("path", ["~nobody-at-all/x", "~lock.docx", "a/~/b", "x~"])
def test_other_tildes_are_letters(path: str) -> None:
    assert expanded(path) == path


@pytest.mark.parametrize(
    "act",
    [
        lambda: vecindex.open("~/i"),
        lambda: vecindex.open("~"),
        lambda: sources.source("~/t.txt"),
    ],
)
def test_a_home_that_is_nowhere_is_an_error_and_no_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)  # a container's user, whom no table of users names
    with pytest.raises(InvalidInput, match=r"'~.* is in a home directory, but this user has none\. Set HOME"):
        act()
    assert list(here.iterdir()) == []
