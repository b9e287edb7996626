"""Adds a folder again after a few files changed, and prints the seconds beside encoding: tests/bench/follow.py

20,000 sentences in 200 files; of these, 3 change by one sentence, 5 are moved and 2 deleted. Then the folder is added
with ``prune``, by an encoder that takes no time to speak of. The median of five rounds is printed, each of which is the
first in a process of its own, with the process's start; and how many texts were encoded.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import vecindex  # noqa: E402
from tests.support.every_format import sentences  # noqa: E402
from tests.support.followed_folder import changed, written  # noqa: E402
from tests.support.toy import ToyEncoder  # noqa: E402


def again(folder: Path, profile: str | None) -> None:
    """Adds the folder once more, and prints the seconds and the number of texts encoded."""
    profiler = cProfile.Profile()
    encoder = ToyEncoder()
    if profile:
        profiler.enable()
    began = time.perf_counter()
    with vecindex.open(folder / ".vecindex", model=encoder) as index:
        report = index.add_files([folder / "docs"], prune=True)
    seconds = time.perf_counter() - began
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    print(seconds, encoder.encoded, report.skipped, report.moved, report.read, len(report.gone))


def measured(number: int, suffix: str, profile: str | None) -> tuple[float, str]:
    """The seconds of one round, and what it did."""
    with tempfile.TemporaryDirectory(prefix="vecindex-bench-") as made:
        folder = Path(made)
        written(folder / "docs", sentences(20_000, seed=number), 200, suffix)
        with vecindex.open(folder / ".vecindex", model=ToyEncoder()) as index:
            index.add_files([folder / "docs"])
        changed(folder / "docs", suffix)
        command = [sys.executable, __file__, "--folder", made, *(["--profile", profile] if profile else [])]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, encoded, skipped, moved, read, gone = out.split()
    return float(seconds), f"{encoded} encoded; sources: {skipped} skipped, {moved} moved, {read} read, {gone} gone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suffix", default="md", choices=["md", "txt"])
    parser.add_argument("--profile", metavar="FILE", help="write the last round's profile, of cProfile, to FILE")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder:
        again(chosen.folder, chosen.profile)
        return
    found = [measured(number, chosen.suffix, chosen.profile) for number in range(chosen.rounds)]
    seconds = statistics.median(each for each, _ in found)
    print(f"{seconds:.2f} s, the median of {chosen.rounds}; {found[-1][1]}")


if __name__ == "__main__":
    main()
