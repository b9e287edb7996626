"""The output and exit codes of ``vecindex backup``, ``export`` and ``import``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..support.commands import failed, misused, no_index, run
from ..support.exchange_files import needs_pyarrow, write_lines
from ..support.helpers import SMALL_STATE, opened, small_index, state_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_index(tmp_path / "i")


def test_backup_reports_what_it_copied(folder: Path, tmp_path: Path) -> None:
    dest = tmp_path / "b"
    code, out, err = run("backup", dest, "--index", folder)
    size = sum(path.stat().st_size for path in dest.iterdir())
    assert (code, out, err) == (0, "", f"3 records copied to {dest}, {size:,} bytes.\n")
    assert run("verify", "--index", dest) == (0, "3 records, 5 rows: sound\n", "")


def test_backup_does_not_replace_an_existing_path(folder: Path, tmp_path: Path) -> None:
    advice = "Name a path that does not exist, or remove it first."
    (tmp_path / "b").write_text("mine")
    assert run("backup", tmp_path / "b", "--index", folder) == failed(f"{tmp_path / 'b'} already exists", advice)
    assert run("backup", tmp_path / "c", "--index", tmp_path / "none") == no_index(tmp_path / "none")


@pytest.fixture
def here(here: Path) -> Path:
    small_index(here / ".vecindex")
    return here


@needs_pyarrow
def test_the_suffix_determines_the_format(here: Path) -> None:
    for name, format in {"e.jsonl": "jsonl", "E.NDJSON": "jsonl", "e.parquet": "parquet", "e.npy": "npy"}.items():
        code, out, err = run("export", name)
        assert (code, out) == (0, "")
        assert err.startswith(f"3 records written to {name} as {format}, ")
        assert run("import", name, "--index", f"{name}.vecindex") == (
            *(0, ""),
            f"3 added, 0 updated, 0 unchanged; {name}.vecindex holds 3 records.\n",
        )
        with opened(here / f"{name}.vecindex") as copy:
            assert state_of(copy) == SMALL_STATE


def test_an_unclear_format_is_an_error_that_lists_the_formats(here: Path) -> None:
    formats = (
        "Name one with --format: parquet (one file, for pandas, DuckDB, Spark and the like); "
        "npy (a folder: vectors.npy for numpy, and records.jsonl); jsonl (one JSON object a line); "
        "faiss (a folder: index.faiss for FAISS, and records.jsonl)."
    )
    assert run("export", "e.csv") == failed("the format of e.csv is not clear: the suffix '.csv' is unknown", formats)
    assert run("export", "e") == failed("the format of e is not clear: it has no suffix", formats)
    assert run("export", "e", "--format", "csv") == misused(
        "export [OPTIONS] DEST|-",
        "Invalid value for '--format': 'csv' is not one of 'parquet', 'npy', 'jsonl', 'faiss'.",
    )
    assert not (here / "e").exists()


def test_a_pipe_from_one_index_to_another(here: Path) -> None:
    code, out, err = run("export", "-", "--where", "n = 3")
    assert (code, err) == (0, f"1 record written to standard output as jsonl, {len(out.encode())} bytes.\n")
    assert json.loads(out)["key"] == "d"
    summary = "1 added, 0 updated, 0 unchanged; other holds 1 record.\n"
    assert run("import", "-", "--index", "other", stdin=out) == (0, "", summary)


def test_no_index_is_created_before_the_space_of_foreign_vectors_is_named(here: Path) -> None:
    write_lines(here / "theirs.jsonl", {"text": "one", "vector": [1, 2]})
    assert run("import", "theirs.jsonl", "--index", "new") == failed(
        "theirs.jsonl does not say what made its vectors",
        "Give a name of your own with --space NAME; vectors under different names never mix.",
    )
    assert run("import", "none.jsonl", "--index", "new")[0] == 1
    assert not (here / "new").exists()
    summary = "1 added, 0 updated, 0 unchanged; new holds 1 record.\n"
    assert run("import", "theirs.jsonl", "--space", "theirs", "--index", "new") == (0, "", summary)


def test_export_does_not_replace_an_existing_file(here: Path) -> None:
    (here / "e.jsonl").write_text("mine")
    advice = "Name a path that does not exist, or remove it first."
    assert run("export", "e.jsonl") == failed(f"{here / 'e.jsonl'} already exists", advice)
    assert (here / "e.jsonl").read_text() == "mine"
