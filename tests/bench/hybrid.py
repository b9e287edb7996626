"""How long searches by words, and by words and vectors, take beside those of peers: tests/bench/hybrid.py

    python tests/bench/corpus.py 100000
    python tests/bench/hybrid.py [--rows 100000] [--engines vecindex,lancedb,txtai] [--queries 100] [--rounds 3]

Each engine is filled with the same texts, vectors and metadata and asked through its own API for the 10 best records,
with texts and metadata. Queries are the first 3, 6 and 12 words of sentences held out of the corpus, stop words
included, and their vectors are ready, so that no time is for encoding. An engine has its own process, each round asks
all engines in turn, one at a time, and the medians over the rounds of a round's p50 are printed. Beside them is the CPU
time of a search in all threads of the process, which says more than the clock where other work holds the cores.
Engines that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import corpus
import numpy as np
from peers import QUIET, Comparison
from support.common import where
from support.hybrid_engines import HYBRIDS, Query
from support.peer_base import K, Rows

WORDS = (3, 6, 12)
WARM = 10
LINES = 20
"""How many lines of a process that ended are shown."""


def beginnings(texts: list[str], count: int) -> dict[int, list[str]]:
    """For each number of words, as many beginnings of texts that are longer."""
    split = [text.split() for text in texts]
    return {words: [" ".join(each[:words]) for each in split if len(each) > words][:count] for words in WORDS}


def queries_of(spec: dict[str, Any]) -> dict[int, list[Query]]:
    """The queries by their number of words, each with its vector."""
    vectors = iter(np.load(spec["word_vectors"]))
    return {int(words): [(text, next(vectors)) for text in texts] for words, texts in spec["words"].items()}


def serve(name: str, spec: dict[str, Any], fills: bool) -> None:
    """Fills an index, or opens one and answers commands, each a line of JSON; a line of JSON is the answer."""
    home = Path(spec["home"]) / f"hybrid-{name}"
    home.mkdir(exist_ok=True)
    engine = HYBRIDS[name](home, Rows(**spec["rows"]))
    try:
        engine.load()
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}), flush=True)
        return
    if fills:
        engine.create()
        began = time.perf_counter()
        engine.fill()
        print(json.dumps({"seconds": time.perf_counter() - began - engine.rows.seconds}), flush=True)
        engine.close()
        return
    queries = queries_of(spec)
    engine.open()
    engine.know({text: vector for some in queries.values() for text, vector in some})
    print(json.dumps({"modes": engine.modes}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        some, mode = queries[asked["words"]], asked["mode"]
        for query in some[:WARM]:
            engine.ask(query, mode)
        times, cpu = [], time.process_time()
        for query in some:
            began = time.perf_counter()
            engine.ask(query, mode)
            times.append(1000 * (time.perf_counter() - began))
        used = 1000 * (time.process_time() - cpu) / len(some)
        print(json.dumps({"p50": statistics.median(times), "cpu": used}), flush=True)
    engine.close()


class Ended(Exception):
    """A child ended before it had answered; the message has the end of what it wrote to standard error."""


class Child:
    """A process with one engine that fills or serves."""

    def __init__(self, name: str, spec: Path, python: str, does: str) -> None:
        self._log = spec.with_name(f"hybrid-{name}.log")
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [python, __file__, f"--{does}", name, str(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **QUIET},
                text=True,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def answer(self, **asked: Any) -> dict[str, Any]:
        """What the process answers; it says something by itself first. Raises Ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if asked:
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(asked) + "\n")
                self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith("{"):  # engines may print, too
                found: dict[str, Any] = json.loads(line)
                return found
        status = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise Ended("\n  ".join([f"its process ended with status {status}", *lines[-LINES:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--engines", type=lambda names: names.split(","), default=list(HYBRIDS))
    parser.add_argument("--queries", type=int, default=100, help="of each length")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers-python", metavar="PATH", default=sys.executable, help="runs all but vecindex")
    parser.add_argument("--serve", nargs=2, metavar=("ENGINE", "SPEC"), help=argparse.SUPPRESS)
    parser.add_argument("--fill", nargs=2, metavar=("ENGINE", "SPEC"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if given := asked.serve or asked.fill:
        serve(given[0], json.loads(Path(given[1]).read_text(encoding="utf-8")), bool(asked.fill))
        return
    with tempfile.TemporaryDirectory(prefix="vecindex-hybrid-") as home:
        report(measured(prepared(Path(home), asked), asked), asked)


def prepared(home: Path, asked: argparse.Namespace) -> Path:
    """Writes what all processes read: the rows, and the queries with their vectors."""
    from vecindex import load_encoder

    asked_of_peers = argparse.Namespace(**vars(asked) | {"queries": 10, "filter_queries": 0, "timeout": 3600.0})
    data = corpus.load(asked.rows)
    spec_path = Comparison(data, home, asked_of_peers).spec
    words = beginnings(data.queries, asked.queries)
    vectors = load_encoder().encode([text for texts in words.values() for text in texts], role="query")
    np.save(home / "words.npy", vectors)
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    spec |= {"words": words, "word_vectors": str(home / "words.npy")}
    spec_path.write_text(json.dumps(spec), encoding="utf-8")
    return spec_path


def measured(spec: Path, asked: argparse.Namespace) -> dict[tuple[str, str], dict[int, list[dict[str, float]]]]:
    """By engine and mode, and by number of words, what each round found."""
    python = {name: sys.executable if name == "vecindex" else asked.peers_python for name in asked.engines}
    found: dict[tuple[str, str], dict[int, list[dict[str, float]]]] = {}
    with ExitStack() as stack:
        serving = {}
        for name in asked.engines:
            try:
                with Child(name, spec, python[name], "fill") as process:
                    filled = process.answer()
                if "missing" in filled:
                    print(f"{name} is left out: there is no {filled['missing']}", file=sys.stderr)
                    continue
                print(f"{name}: filled in {filled['seconds']:.1f} s", file=sys.stderr)
                process = stack.enter_context(Child(name, spec, python[name], "serve"))
                serving[name] = process, process.answer()["modes"]
            except Ended as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
        for number in range(asked.rounds):
            for name, (process, modes) in list(serving.items()):
                try:
                    for mode in modes:
                        for words in WORDS:
                            answer = process.answer(mode=mode, words=words)
                            found.setdefault((name, mode), {}).setdefault(words, []).append(answer)
                except Ended as error:
                    print(f"{name} is left out from round {number + 1} on: {error}", file=sys.stderr)
                    del serving[name]
            print(f"round {number + 1} of {asked.rounds} done", file=sys.stderr)
    return found


def report(found: dict[tuple[str, str], dict[int, list[dict[str, float]]]], asked: argparse.Namespace) -> None:
    print(
        f"{where()}; {asked.rows:,} rows, k = {K}, {asked.queries} queries of each length, "
        f"medians of {asked.rounds} rounds: p50 (mean CPU) in ms"
    )
    print(f"{'':22}" + "".join(f"{f'{words} words':>18}" for words in WORDS))
    for (name, mode), by_words in found.items():
        cells = []
        for words in WORDS:
            if not (each := by_words.get(words, [])):
                cells.append("-")
                continue
            p50, cpu = (statistics.median(one[key] for one in each) for key in ("p50", "cpu"))
            cells.append(f"{p50:>9.2f} ({cpu:5.2f})")
        print(f"{name:10} {mode:11}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
