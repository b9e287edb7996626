"""Exports say how many tokens of each text the vector does not cover, and those of earlier versions are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecindex import AddReport

from ..support.helpers import opened

LONG = " ".join(f"w{n}" for n in range(80))  # the toy reads 32 words


def test_lost_tokens_survive_export_and_import_and_old_files_are_read(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([LONG], keys=["a"])
        index.export(tmp_path / "e.jsonl")
    line = json.loads((tmp_path / "e.jsonl").read_text())
    assert line.pop("tokens_lost") == 48
    for truncated, lost in ((48, 48), (True, 1), (False, 0), (0, 0)):
        (tmp_path / "old.jsonl").write_text(json.dumps({**line, "truncated": truncated}))
        with opened(tmp_path / f"c{truncated}") as copy:
            report = AddReport(added=1, truncated=int(lost > 0), tokens_lost=lost)
            assert copy.import_(tmp_path / "old.jsonl") == report
            assert copy.search("w1", k=1)[0].lost == lost


def test_parquet_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    arrow, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with opened(tmp_path / "i") as index:
        index.add([LONG, "one"], keys=["a", "b"])
        index.export(tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet")
    column = table.schema.get_field_index("tokens_lost")
    assert table.column(column).to_pylist() == [48, 0]
    pq.write_table(table.set_column(column, "truncated", arrow.array([True, False])), tmp_path / "old.parquet")
    with opened(tmp_path / "c") as copy:
        assert copy.import_(tmp_path / "old.parquet") == AddReport(added=2, truncated=1, tokens_lost=1)
