"""Does an index stay whole while several processes change and read it? ``python tests/bench/soak.py [--seconds 60]``

Two writers add, update, delete and compact; four readers search. The records of one writer are its ring: in each commit
all of them get the commit's number ``g``, so that hits of two commits in one search cannot hide. Prints one JSON
object; exits 1 if a reader met a half or a mixed commit, if anything but IndexLocked was raised, or if verify finds a
fault.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import vecindex  # noqa: E402
from tests.support.toy import ToyEncoder  # noqa: E402
from vecindex import Hit, Index, IndexLocked, VecindexError  # noqa: E402

RING = 20
WRITERS = ("left", "right")
READERS = 4


def opened(path: str | Path, readonly: bool = False) -> Index:
    return vecindex.open(path, readonly=readonly, model=ToyEncoder(), lock_timeout=30)


def write(path: str, name: str, seconds: float) -> None:
    """Prints the counts, and what must be there in the end."""
    counts: Counter[str] = Counter()
    draw = random.Random(name)
    index = opened(path)
    keys = [f"{name}-{n}" for n in range(RING)]
    extra: set[str] = set()
    g = 0

    def renew() -> None:
        """Updates the whole ring in one commit: texts and metadata, or metadata alone."""
        nonlocal g
        texts = [f"{name} {n} {(g + 1) // 3}" for n in range(RING)]
        index.add(texts, keys=keys, metadata=[{"ring": name, "g": g + 1}] * RING)
        g += 1

    def add() -> None:
        new = [f"{name}-extra-{counts['add']}-{n}" for n in range(draw.randint(1, 30))]
        index.add([f"extra {key}" for key in new], keys=new, metadata=[{"extra": True}] * len(new))
        extra.update(new)

    def delete() -> None:
        gone = draw.sample(sorted(extra), min(len(extra), 25))
        index.delete(gone)
        extra.difference_update(gone)

    steps: list[tuple[Callable[[], object], str, int]] = [
        *((renew, "update", 10), (add, "add", 5), (delete, "delete", 4), (index.compact, "compact", 1)),
    ]
    renew()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ((act, what, _),) = draw.choices(steps, [weight for _, _, weight in steps])
        _try(act, what, counts)
    index.close()
    print(json.dumps({"counts": counts, "g": g, "extra": sorted(extra)}))


def read(path: str, seconds: float) -> None:
    counts: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    newest: dict[str, int] = {}
    index = opened(path, readonly=True)

    def check(hits: list[Hit], whole: bool) -> None:
        for name in WRITERS:
            ring = [hit for hit in hits if hit.metadata.get("ring") == name]
            found = {hit.metadata["g"] for hit in ring}
            counts["mixed-generation searches"] += len(found) > 1
            counts["half commits"] += whole and len(ring) not in (0, RING)
            if found:
                counts["steps back in time"] += max(found) < newest.get(name, 0)
                newest[name] = max(found)
                seen.add((name, max(found)))

    def everything() -> None:
        check(index.search("left 3 extra", k=10**6), whole=True)

    def filtered() -> None:
        check(index.search("right 1", k=10**6, where="ring exists"), whole=True)

    def several() -> None:
        first, second = index.search_many(["left 1", "extra"], k=10**6)
        both = [{(h.key, h.text) for h in hits} for hits in (first, second)]
        counts["mixed-generation searches"] += both[0] != both[1]
        check(first, whole=True)

    def one() -> None:
        check(index.similar("left-3", k=60), whole=False)
        counts["torn records"] += index.get("left-3").text.split()[:2] != ["left", "3"]

    def glance() -> None:
        info = index.info()
        counts["half commits"] += info.records < 2 * RING

    def verify() -> None:
        for fault in index.verify().faults:
            counts["faults"] += 1
            print(f"verify: {fault.path}: {fault.reason}", file=sys.stderr)

    def reopen() -> None:
        nonlocal index
        index.close()
        index = opened(path, readonly=True)

    steps = [(everything, 20), (filtered, 20), (several, 10), (one, 20), (glance, 5), (verify, 2), (reopen, 1)]
    draw = random.Random(seconds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ((act, _),) = draw.choices(steps, [weight for _, weight in steps])
        _try(act, "read", counts)
    print(json.dumps({"counts": counts, "seen": sorted(seen)}))


def _try(act: Callable[[], object], what: str, counts: Counter[str]) -> None:
    try:
        act()
        counts[what] += 1
    except VecindexError as error:
        counts[f"error {type(error).__name__}"] += 1
        if not isinstance(error, IndexLocked):
            print(f"{what}: {error}", file=sys.stderr)
    except Exception as error:  # everything that is not ours is a finding
        counts[f"error {type(error).__name__}"] += 1
        print(f"{what}: {error!r}", file=sys.stderr)


def soak(seconds: float) -> int:
    """Runs the processes on a new index; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "i")
        for name in WRITERS:  # both rings are there before anyone reads
            with opened(path) as index:
                keys = [f"{name}-{n}" for n in range(RING)]
                index.add([f"{name} {n}" for n in range(RING)], keys=keys, metadata=[{"ring": name, "g": 0}] * RING)
        roles = [["write", name] for name in WRITERS] + [["read"]] * READERS
        started = [
            subprocess.Popen(
                [sys.executable, __file__, "--seconds", str(seconds), "--role", *role, "--index", path],
                stdout=subprocess.PIPE,
                text=True,
            )
            for role in roles
        ]
        outputs = [process.communicate()[0] for process in started]
        results = [json.loads(output) if output else {"counts": {"died": 1}} for output in outputs]
        counts: Counter[str] = Counter()
        for result in results:
            counts.update(result["counts"])
        seen = {tuple(pair) for result in results for pair in result.get("seen", [])}
        with opened(path) as index:
            report = index.verify()
            expected = {f"{name}-{n}" for name in WRITERS for n in range(RING)}
            expected.update(key for result in results for key in result.get("extra", []))
            found = {hit.key for hit in index.search("left", k=10**6)}
            ends = {name: (index.get(f"{name}-0").metadata or {})["g"] for name in WRITERS}
            index.compact()
            files = sorted(p.name for p in Path(path).glob("*.f32"))
            generation = index.info().generation
        lost = {name: result.get("g") for name, result in zip(WRITERS, results, strict=False)} != ends
        wrong = [
            *(f"{name}: {n}" for name, n in counts.items() if n and name in BAD),
            *(f"{name}: {n}" for name, n in counts.items() if name.startswith("error") and name != "error IndexLocked"),
            *(["verify found faults"] if report.faults else []),
            *(["records lost or too many"] if found != expected or lost else []),
            *(["vector files left behind"] if len(files) > 1 else []),
            *(["a reader saw hardly anything"] if len(seen) < 5 else []),
        ]
        summary = {
            "seconds": seconds,
            **{"operations": {k: counts[k] for k in ("update", "add", "delete", "compact", "read")}},
            **{"errors": {k.split()[1]: n for k, n in counts.items() if k.startswith("error")}},
            **{"generations": generation, "ring generations seen": len(seen)},
            **{name: counts[name] for name in BAD},
            **{"records": len(found), "verify": [fault.reason for fault in report.faults] or "ok", "wrong": wrong},
        }
        print(json.dumps(summary, indent=1))
        return int(bool(wrong))


BAD = ("mixed-generation searches", "half commits", "steps back in time", "torn records", "faults", "died")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role is None:
        return soak(asked.seconds)
    if asked.role[0] == "write":
        write(asked.index, asked.role[1], asked.seconds)
    else:
        read(asked.index, asked.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
