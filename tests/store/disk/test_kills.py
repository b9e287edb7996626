"""A writer that is killed at any step or moment leaves all of its change or nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from vecindex.values.keys import derive_key

from ...support.acts import CHANGES
from ...support.children import child, output
from ...support.extent import slow
from ...support.helpers import opened

# A new process, whose forks are without threads. It prints the step before which each was killed, and what was wrong.
KILLS = """
import json, sys
from pathlib import Path
from tests.support.kills import kills
acts, count, scratch = sys.argv[1].split(), int(sys.argv[2]), Path(sys.argv[3])
for act in acts:
    for kill in kills(act, count or None, 1, scratch):
        print(json.dumps([act, kill.step, kill.killed, kill.returned, repr(kill.finding)]))
"""
EVERY_STEP = 0


def killed_acts(acts: list[str], count: int, scratch: Path) -> list[Any]:
    return [json.loads(line) for line in output(child(KILLS, " ".join(acts), count, scratch)).splitlines()]


@pytest.mark.parametrize("count", [7, slow(15)])
def test_writer_killed_at_any_step_has_done_all_or_nothing(tmp_path: Path, count: int) -> None:
    kills = killed_acts(list(CHANGES), count, tmp_path)
    assert [kill for kill in kills if kill[-1] != "None"] == []
    assert {act for act, _, was_killed, returned, _ in kills if was_killed and not returned} == set(CHANGES)
    assert any(returned for _, _, was_killed, returned, _ in kills if was_killed)


def test_add_killed_at_each_of_its_steps_has_done_all_or_nothing(tmp_path: Path) -> None:
    kills = killed_acts(["add"], EVERY_STEP, tmp_path)
    assert [kill for kill in kills if kill[-1] != "None"] == []
    assert {was_killed for _, _, was_killed, _, _ in kills} == {True}
    steps = [step for _, step, _, _, _ in kills]
    order = [steps.index(step) for step in ("write vectors-1.f32", "sync vectors-1.f32", "sql insert", "commit commit")]
    assert order == sorted(order)
    before = order[-1]
    assert [returned for _, _, _, returned, _ in kills[: before + 1]] == [False] * (before + 1)


@pytest.mark.parametrize("count", [20, slow(50)])
def test_creation_killed_at_any_step_leaves_no_half_index(tmp_path: Path, count: int) -> None:
    kills = killed_acts(["create"], count, tmp_path)
    assert [kill for kill in kills if kill[-1] != "None"] == []
    steps = {step.split("-")[0].lower() for _, step, *_ in kills}
    assert {"write .creating", "sql create"} <= steps


def test_compaction_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one"])
        (tmp_path / "i" / "vectors-7.f32").write_bytes(b"left behind")
        index.compact()
    assert [p.name for p in (tmp_path / "i").glob("*.f32")] == ["vectors-1.f32"]


# Adds batches of five texts; after every fourth batch, it deletes the second of the four and compacts.
ADDING = """
import json, sys
from pathlib import Path
from vecindex.index.crash_test import killed
from vecindex.values.keys import derive_key
def work(say):
    with vecindex.open(sys.argv[1], model=ToyEncoder()) as index:
        for batch in range(int(sys.argv[2]), 1_000_000):
            index.add([f"text {batch} {n}" for n in range(5)], metadata=[{"batch": batch}] * 5)
            if batch % 4 == 3:
                index.delete([derive_key(f"text {batch - 2} {n}", {"batch": batch - 2}) for n in range(5)])
                index.compact()
            say(batch)
print(json.dumps(killed(Path(sys.argv[1]), work, float(sys.argv[3]))))
"""


def keys_of(batch: int) -> list[str]:
    return [derive_key(f"text {batch} {n}", {"batch": batch}) for n in range(5)]


def test_acknowledged_changes_survive_a_kill_at_any_moment(tmp_path: Path) -> None:
    moments = random.Random(7)
    expected: set[int] = set()
    start = 0
    for _ in range(5):
        said, was_killed = json.loads(output(child(ADDING, tmp_path / "i", start, moments.uniform(0.005, 0.1))))
        assert was_killed
        last = said[-1]
        with opened(tmp_path / "i") as index:
            batches = [hit.metadata["batch"] for hit in index.search("text", k=100_000)]
            assert {batches.count(batch) for batch in batches} == {5}
            deleted = {batch - 2 for batch in range(3, last + 1, 4)}
            maybe = {last + 1, *({last - 1} if (last + 1) % 4 == 3 else ())}
            assert {*range(last + 1)} - deleted - maybe <= set(batches) <= {*range(last + 2)} - deleted
            expected |= set(batches)
            assert index.verify().ok
            start = last + 2 + (-(last + 2)) % 4
            for batch in range(last + 1, start):  # the next process begins with a whole round
                index.add([f"text {batch} {n}" for n in range(5)], metadata=[{"batch": batch}] * 5)
            for batch in {batch - 2 for batch in range(3, start, 4)} & {
                hit.metadata["batch"] for hit in index.search("text", k=100_000)
            }:
                index.delete(keys_of(batch))
    assert len(expected) > 5
