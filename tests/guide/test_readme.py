"""The README's commands and code do what it says: each block is run as it stands, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.index.long_texts import OnLong
from vecindex.values.space import PoolingMode, Precision

from ..support.children import environment
from ..support.places import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
INSTALL = re.compile(r"pip install -c constraints\.txt '\.\[[\w,]+\]' && ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, encoder: Encoder) -> Path:
    """A new folder with the sample data and a ``vecindex`` command; the model is compiled."""
    shutil.copytree(PROJECT / "data", tmp_path / "data")
    (tmp_path / "notes.txt").write_text("The meeting is on Monday.\nCall the plumber.\n", encoding="utf-8")
    command = tmp_path / "bin" / "vecindex"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c 'from vecindex.cli import main; main()' \"$@\"\n")
    command.chmod(0o755)
    return tmp_path


def shell(folder: Path, line: str) -> str:
    path = f"{folder / 'bin'}:{environment()['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment(PATH=path, PYTHONPATH=str(PROJECT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_two_blocks_are_one_line_each_and_install_first() -> None:
    main, tests = blocks("bash")[:2]
    assert main.count("\n") == tests.count("\n") == 1
    assert INSTALL.match(main)
    assert INSTALL.sub("", tests) == "python -m pytest\n"


def test_the_main_line_answers_as_the_readme_shows(folder: Path) -> None:
    shown = README.split("The first line ends with the answer")[1].split("```")[1].strip().splitlines()
    answer = shell(folder, INSTALL.sub("", blocks("bash")[0])).splitlines()
    assert answer[:2] == shown[:2]
    assert len(answer) == 5


def test_the_job_in_ten_lines_on_the_command_line(folder: Path) -> None:
    (console,) = blocks("console")
    lines = [line.removeprefix("$ ") for line in console.splitlines()]
    assert len(lines) == 5
    outputs = [shell(folder, line) for line in lines]
    assert "My name is Aun" in outputs[2].splitlines()[0]
    assert [line.split("  ")[2] for line in outputs[3].splitlines()] == [
        "Call the plumber.",
        "The meeting is on Monday.",
    ]
    assert "+0.5415  is their sum" in outputs[4]


def test_the_job_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    (job,) = (block for block in blocks("python") if "index.add([" in block)
    exec(job, {})
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().out.splitlines()] == ["My name is Aun", "It rains."]


def test_an_index_is_read_without_vecindex_as_the_readme_shows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with vecindex.open("notes.vecindex") as index:
        index.add(["one sentence", "another"], keys=["a", "b"])
        expected = index.get("b").vector
    (code,) = (block for block in blocks("python") if "np.memmap" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["texts"] == {0: "one sentence", 1: "another"}
    assert expected is not None
    assert names["vectors"][1].tolist() == expected.tolist()
    names["db"].close()


def test_features_that_are_held_already_are_pooled_as_the_readme_shows(minilm: Path, encoder: Encoder) -> None:
    from transformers import pipeline

    (code,) = (block for block in blocks("python") if "pool_features" in block)
    sentences = (PROJECT / "data" / "hello.txt").read_text(encoding="utf-8").splitlines()
    states = encoder.encode_tokens(sentences[:1])[0].vectors[None]
    names: dict[str, Any] = {
        **{"pipeline": lambda task, model: pipeline(task, model=model, tokenizer=model), "name": str(minilm)},
        **{"vecindex": vecindex, "sentences": sentences},
        **{"last_hidden_state": states, "attention_mask": [[1] * states.shape[1]]},
    }
    exec(code, names)
    assert len(names["features"]) == 4
    assert names["vectors"].shape == (1, 384)


def test_every_error_of_the_tree_is_in_the_readme() -> None:
    table = README.split("### Errors")[1].split("##")[0]
    named = set(re.findall(r"^\| `(\w+)\(", table, flags=re.MULTILINE))
    tree = {name for name in vecindex.__all__ if isinstance(getattr(vecindex, name), type)}
    assert named == {n for n in tree if issubclass(getattr(vecindex, n), vecindex.VecindexError)} - {"VecindexError"}


def test_every_command_is_in_the_readme() -> None:
    from vecindex.cli import main

    table = README.split("## Command line")[1].split("##")[0]
    assert set(re.findall(r"^\| `vecindex ([\w-]+)", table, flags=re.MULTILINE)) == set(main.commands)


def test_every_table_and_column_of_the_database_is_in_the_readme(tmp_path: Path) -> None:
    vecindex.open(tmp_path / "index").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index" / "vecindex.db")) as db:
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        columns = {table: {row[1] for row in db.execute(f"pragma table_info({table})")} for table in tables}
        (number,) = db.execute("select format from manifest").fetchone()
    section = README.split("\n## On disk")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]* \|(.*)\|$", section, flags=re.MULTILINE))
    assert rows.keys() == columns.keys()
    assert {table: names - set(re.findall(r"`(\w+)`", rows[table])) for table, names in columns.items()} == {
        table: set() for table in tables
    }
    assert f"`format` {number}," in rows["manifest"]


def test_every_way_to_pool_and_every_precision_is_in_the_readme() -> None:
    section = README.split("\n## Models")[1].split("\n## ")[0]
    assert {*get_args(PoolingMode), *get_args(Precision), *get_args(OnLong)} <= set(re.findall(r"`([\w-]+)`", section))


def test_every_method_of_an_index_is_in_the_readme() -> None:
    section = README.split("\n## Python")[1].split("\n### ")[0]
    methods = {
        name for name in dir(vecindex.Index) if not name.startswith("_") and callable(getattr(vecindex.Index, name))
    }
    assert methods - set(re.findall(r"\.(\w+)\(", section)) == {"close"}


def test_the_figures_can_be_printed_again() -> None:
    scripts = set(re.findall(r"`(\w+\.py)` \|", README.split("## Figures")[1]))
    assert scripts
    assert all((PROJECT / "tests" / "bench" / script).exists() for script in scripts), json.dumps(sorted(scripts))
