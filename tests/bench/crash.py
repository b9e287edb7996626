"""Counts what kills and power cuts lose: ``python tests/bench/crash.py [--kills 1000] [--prefixes 1000] [--seed 0]``

Kills: a process is killed before a random step of an act. A step is a call that changes a file, by SQLite too, the
middle of a write, or an SQL statement. Prefixes: acts are done one after the other on one index, and the power is cut
after a random prefix of their steps (`tests.support.power`). What had returned must be there with its text, metadata
and vector, the last change whole or not at all; verify finds nothing, and the next writer leaves no orphan. Prints a
table and what was wrong; exits with 1 if anything was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

# A fork has the locks that threads hold, but not the threads.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from support.common import where  # noqa: E402

from tests.support.acts import CHANGES  # noqa: E402
from tests.support.faults import why_unhookable  # noqa: E402
from tests.support.kills import kills  # noqa: E402
from tests.support.power import cuts, record  # noqa: E402
from vecindex.index.crash_test import Finding  # noqa: E402

CUTS_A_RECORDING = 50
ACTS_A_RECORDING = 6
_ALONE = ("migrate_1", "migrate_2", "remodel")
"""Acts before or after which the index is of another space than the one that the others add to."""
_LATER_ACTS = [act for act in CHANGES if act != "create" and act not in _ALONE]


@dataclass
class Figures:
    """How often an act was cut off, and what was found then."""

    runs: int = 0
    acknowledged: int = 0
    found: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


Outcome = tuple[str, int, Finding | None, str]
"""The act, how many acts had returned by then, what was wrong, and where it was cut off."""


def killed(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    for number, act in enumerate(CHANGES):
        share = count * (number + 1) // len(CHANGES) - count * number // len(CHANGES)
        for kill in kills(act, share, seed + number, scratch):
            # Earlier changes are not counted, only whether this one had returned.
            yield act, int(kill.returned), kill.finding, f"killed before {kill.step}"


def without_power(count: int, seed: int, scratch: Path) -> Iterator[Outcome]:
    draw = Random(seed)
    while count > 0:
        # Each act is as likely to begin a recording as any other; create can only begin one.
        first = draw.choice(sorted(CHANGES))
        later = [] if first in _ALONE else draw.choices(_LATER_ACTS, k=ACTS_A_RECORDING - 1)
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            each_seed = draw.getrandbits(30)
            recording = record([first, *later], Path(folder) / "r", each_seed, reopen=draw.random() < 0.5)
            for cut in cuts(recording, min(count, CUTS_A_RECORDING), each_seed, Path(folder) / "cut"):
                yield cut.act, cut.acknowledged, cut.finding, f"power cut after {cut.after} (seed {each_seed})"
        count -= CUTS_A_RECORDING


def measured(title: str, outcomes: Iterator[Outcome]) -> bool:
    """Prints the table; returns whether nothing was wrong."""
    table: defaultdict[str, Figures] = defaultdict(Figures)
    last = time.perf_counter()
    for act, acknowledged, finding, place in outcomes:
        now = time.perf_counter()
        for figures in (table[act], table["all"]):
            figures.runs += 1
            figures.acknowledged += acknowledged
            figures.seconds += now - last
            if finding is not None:
                figures.found[finding.kind] += 1
        if finding is not None:
            print(f"{act}, {place}: {finding.kind}: {finding.what}", flush=True)
        last = now
    print(f"\n{title}\n\n| act | runs | changes acknowledged | lost | torn | unsound | seconds |")
    print(f"|---|{'--:|' * 6}")
    for act in [*(act for act in CHANGES if act in table), "all"]:
        figures = table[act]
        faults = " | ".join(str(figures.found[kind]) for kind in ("lost", "torn", "unsound"))
        print(f"| {act} | {figures.runs} | {figures.acknowledged} | {faults} | {figures.seconds:.1f} |")
    sys.stdout.flush()
    return not table["all"].found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--prefixes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to make the indexes; default: /dev/shm if there is one")
    asked = parser.parse_args()
    if reason := why_unhookable():
        sys.exit(f"SQLite's file calls cannot be watched: {reason}")
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    print(where())
    with tempfile.TemporaryDirectory(dir=asked.folder or in_memory) as folder:
        scratch = Path(folder).resolve()
        sound = measured(f"Kills, seed {asked.seed}", killed(asked.kills, asked.seed, scratch))
        sound &= measured(f"Power cuts, seed {asked.seed}", without_power(asked.prefixes, asked.seed, scratch))
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
