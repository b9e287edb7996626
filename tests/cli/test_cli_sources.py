"""``vecindex sources`` and ``vecindex delete --source``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import vecindex

from ..support.commands import failed, run
from ..support.source_rows import ADDED, add_lines
from ..support.toy import ToyEncoder


@pytest.fixture(autouse=True)
def index(here: Path) -> Path:
    """An index of two files, of which one is gone."""
    (here / "docs").mkdir()
    with vecindex.open(here / ".vecindex", model=ToyEncoder()) as index:
        for name, keys in (("a.txt", ["1", "2"]), ("b.txt", ["3"])):
            path = here / "docs" / name
            path.write_text("".join(f"text {key}\n" for key in keys))
            os.utime(path, ns=(10**18, 10**18))
            add_lines(index, path, keys)
    (here / "docs" / "b.txt").unlink()
    return here / ".vecindex"


def test_sources_are_listed_with_their_states() -> None:
    assert run("sources") == (
        0,
        "state    records  format  source\n"
        "current        2  txt     docs/a.txt\n"
        "gone           1  txt     docs/b.txt\n",
        "",
    )


def test_sources_are_listed_as_json() -> None:
    code, out, err = run("sources", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)[1] == {
        **{"location": "docs/b.txt", "kind": "file", "query": "", "reader": "txt", "state": "gone"},
        **{"records": 1, "stale": 0, "size": 7, "added": ADDED},
    }


def test_an_index_without_sources_lists_none(here: Path) -> None:
    vecindex.open(here / "other").close()
    assert run("sources", "--index", "other") == (0, "", "")
    assert run("sources", "--index", "other", "--format", "json") == (0, "[]\n", "")
    assert run("sources", "--index", "nothing")[0] == 1


def test_delete_takes_a_file_or_a_folder() -> None:
    assert run("delete", "--source", "docs/b.txt") == (0, "", "1 deleted; .vecindex holds 2 records.\n")
    assert run("delete", "--source", "docs/b.txt") == failed(
        "nothing was added from 'docs/b.txt'", "See `vecindex sources`."
    )
    code, out, err = run("delete", "--source", "docs", "--format", "json")
    assert (code, json.loads(out), err) == (0, {"deleted": 2, "path": ".vecindex", "records": 0}, "")
