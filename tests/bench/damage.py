"""Counts wrong answers, crashes and hangs after damage: ``python tests/bench/damage.py --count 500 --seed 0``

Each damage is done to a fresh copy of an index of 3,000 rows. A fork then opens, searches and verifies it, and repairs
it or adds to it; every answer is compared with that of the undamaged index. Exits with 1 if an answer is wrong, an
exception is not ours, or a fork crashes or hangs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before FAISS is loaded

from tests.support.damages import outcomes  # noqa: E402

_GOOD = ("right", "error")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", default="", help="damage only files whose names end with this, such as .db")
    parser.add_argument("--only", type=int, help="do only this damage, and print every detail")
    arguments = parser.parse_args()
    verdicts: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    errors: Counter[str] = Counter()
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="vecindex-damage-") as scratch:
        for each in outcomes(arguments.count, arguments.seed, Path(scratch), arguments.only, arguments.file):
            kind, path = each.what.split(" ")
            verdicts[each.verdict] += 1
            kinds.setdefault(f"{kind} {Path(path).suffix}", Counter())[each.verdict] += 1
            errors.update(each.errors)
            unseen += not each.seen
            if each.verdict not in _GOOD or arguments.only is not None:
                details = each.details if arguments.only is not None else each.details[:3]
                print(f"{each.verdict}: number {each.number}, {each.what}; verify sees it: {each.seen}; {details}")
    print(f"\n{'damage':<20}" + "".join(f"{verdict:>10}" for verdict in verdicts))
    for kind, counts in [*sorted(kinds.items()), ("all", verdicts)]:
        print(f"{kind:<20}" + "".join(f"{counts[verdict]:>10}" for verdict in verdicts))
    print(f"errors: {dict(errors)}; wrong answers that verify does not notice: {unseen}")
    return int(any(verdict not in _GOOD for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
