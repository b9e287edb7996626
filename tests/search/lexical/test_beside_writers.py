"""Lexical searches beside another process that changes and compacts the index find whole commits, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecindex.search.derived import upkeep

from ...support.children import child, output
from ...support.helpers import opened

BATCH, ROUNDS = 40, 12

# Each round replaces the texts of one batch at once, and compacts every third time.
WRITING = """
import sys
from vecindex.search.derived import upkeep
upkeep.LEXICAL_TAIL = 30
batch, rounds = int(sys.argv[2]), int(sys.argv[3])
with vecindex.open(sys.argv[1], model=ToyEncoder()) as index:
    for turn in range(1, rounds + 1):
        index.add([f"rain turn{turn} n{n}" for n in range(batch)], keys=[f"k{n}" for n in range(batch)])
        if turn % 3 == 0:
            index.compact()
"""


@pytest.mark.parametrize("readonly", [False, True])
def test_searches_see_one_commit_each_while_another_process_compacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, readonly: bool
) -> None:
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 30)
    with opened(tmp_path / "i") as index:
        index.add([f"rain turn0 n{n}" for n in range(BATCH)], keys=[f"k{n}" for n in range(BATCH)])
        index.add(["rain and sun"], keys=["stays"])
    process = child(WRITING, tmp_path / "i", BATCH, ROUNDS)
    turns = []
    with opened(tmp_path / "i", readonly=readonly) as index:
        while process.poll() is None:
            hits = index.search("rain", k=1_000, mode="lexical")
            assert len(hits) == BATCH + 1
            (turn,) = {hit.text.split()[1] for hit in hits if hit.key != "stays"}
            turns.append(int(turn.removeprefix("turn")))
            assert [hit.key for hit in index.search("sun", mode="lexical")] == ["stays"]
        output(process)
        assert turns == sorted(turns)
        assert len(index.search(f"turn{ROUNDS}", k=1_000, mode="lexical")) == BATCH
        assert index.verify().ok
    assert caplog.messages == []
