"""README and the guide's tables say what the code does; that every block runs is tested in test_blocks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any, get_args

import pytest

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.index.adding.long_texts import OnLong
from vecindex.values.space import PoolingMode, Precision

from ..support.blocks import GUIDE, README, blocks, commands, put_command_into, run_command
from ..support.guide_files import write_notes
from ..support.places import PROJECT

INSTALL = re.compile(r"pip install -c constraints\.txt '\.\[[\w,]+\]' && ")


def page(topic: str) -> str:
    return (GUIDE / f"{topic}.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> Path:
    """The current directory: a new one with the sample data and a ``vecindex`` command; the model is compiled."""
    shutil.copytree(PROJECT / "data", tmp_path / "data")
    write_notes(tmp_path)
    monkeypatch.setenv("PATH", f"{put_command_into(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_two_blocks_are_one_line_each_and_install_first() -> None:
    main, tests = (block.text for block in blocks(README, "bash")[:2])
    assert main.count("\n") == tests.count("\n") == 1
    assert INSTALL.match(main)
    assert INSTALL.sub("", tests) == "python -m pytest\n"


def test_the_main_line_answers_as_the_readme_shows(folder: Path) -> None:
    (shown,) = (block.text.splitlines() for block in blocks(README, ""))
    answer = run_command(INSTALL.sub("", blocks(README, "bash")[0].text)).splitlines()
    assert shown[2:] == ["..."]
    assert answer[:2] == shown[:2]
    assert len(answer) == 5


def test_the_job_on_the_command_line(folder: Path) -> None:
    (console,) = blocks(README, "console")
    outputs = [run_command(command.line) for command in commands(console)]
    assert len(outputs) == 7
    assert "My name is Aun" in outputs[3].splitlines()[0]
    assert sorted(line.split("  ")[2] for line in outputs[5].splitlines()) == [
        "Call the plumber.",
        "Gardens",
        "The meeting is on Monday.",
        "Water the roses every evening.",
    ]
    assert "+0.5415  is their sum" in outputs[6]


def test_the_job_from_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = (block.text for block in blocks(README, "python") if "index.add([" in block.text)
    exec(job, {})
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().out.splitlines()] == ["My name is Aun", "It rains."]


def test_an_index_is_read_without_vecindex_as_the_guide_shows(folder: Path) -> None:
    with vecindex.open("notes.vecindex") as index:
        index.add(["one sentence", "another"], keys=["a", "b"])
        expected = index.get("b").vector
    (code,) = (block.text for block in blocks(GUIDE / "on-disk.md", "python"))
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["texts"] == {0: "one sentence", 1: "another"}
    assert expected is not None
    assert names["vectors"][1].tolist() == expected.tolist()
    names["db"].close()


def test_features_that_are_held_already_are_pooled_as_the_readme_shows(minilm: Path, encoder: Encoder) -> None:
    from transformers import pipeline

    (code,) = (block.text for block in blocks(README, "python") if "pool_features" in block.text)
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


def test_every_command_is_in_the_readme() -> None:
    from vecindex.cli import main

    table = README.read_text(encoding="utf-8").split("## Commands")[1].split("##")[0]
    assert set(re.findall(r"^\| `vecindex ([\w-]+)", table, flags=re.MULTILINE)) == set(main.commands)


def test_the_benchmark_table_of_the_readme_is_that_of_the_figures() -> None:
    def table(text: str) -> list[str]:
        return text.split("\n## Beside other embedded stores\n")[1].split("\n\n|")[1].split("\n\n")[0].splitlines()

    assert table(README.read_text(encoding="utf-8")) == table(page("figures"))


def test_every_table_and_column_of_the_database_is_in_the_guide(tmp_path: Path) -> None:
    vecindex.open(tmp_path / "index").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index" / "vecindex.db")) as db:
        tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        columns = {table: {row[1] for row in db.execute(f"pragma table_info({table})")} for table in tables}
        (number,) = db.execute("select format from manifest").fetchone()
    section = page("on-disk").split("\n## Tables")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]* \|(.*)\|$", section, flags=re.MULTILINE))
    assert rows.keys() == columns.keys()
    assert {table: names - set(re.findall(r"`(\w+)`", rows[table])) for table, names in columns.items()} == {
        table: set() for table in tables
    }
    assert f"`format` {number}," in rows["manifest"]


def test_every_way_to_pool_every_precision_and_every_on_long_is_in_the_guide() -> None:
    named = set(re.findall(r"`([\w-]+)`", page("models") + page("long-texts")))
    assert named >= {*get_args(PoolingMode), *get_args(Precision), *get_args(OnLong)}


def test_the_figures_can_be_printed_again() -> None:
    scripts = set(re.findall(r"`(\w+\.py)` \|", page("figures")))
    assert scripts
    assert all((PROJECT / "tests" / "bench" / script).exists() for script in scripts), json.dumps(sorted(scripts))
