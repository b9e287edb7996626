"""How long does one search take from nothing: a new process each time, against a script on sentence-transformers.

    python tests/bench/cold_start.py [--rounds 5] [--rows 100000]

Both search the same stored vectors of data/sentences.jsonl and data/hello.txt for "my name" and print the five best.
The model is compiled before the first round, as it is on any machine that has added a sentence; the script gets its
vectors ready-made, so it loads the model and encodes one query too. Files are in the operating system's cache for both.
With ``--rows``, an index of so many rows of `corpus`, with codes and lexical segments, is searched in every mode too.
``session`` is what ``load_encoder`` takes in a process that has loaded all libraries.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import corpus
import numpy as np
from support.common import rounds, where

import vecindex
from vecindex.encoders.locate.resolve import resolve

PROJECT = Path(__file__).parents[2]
SCRIPT = """\
import json, sys
import numpy as np
from sentence_transformers import SentenceTransformer
folder, home, query = sys.argv[1:]
model = SentenceTransformer(folder, device="cpu")
texts, vectors = json.load(open(home + "/texts.json")), np.load(home + "/vectors.npy")
scores = vectors @ model.encode([query], normalize_embeddings=True)[0]
for i in np.argsort(-scores)[:5]:
    print(f"{scores[i]:.4f}  {texts[i]}")
"""
COMMAND = "from vecindex.cli import main; main()"
SESSION = """\
import sys, time, vecindex, onnxruntime, tokenizers, numpy
started = time.perf_counter()
vecindex.load_encoder(precision=sys.argv[1])
print(time.perf_counter() - started)
"""
HEAVY = "numpy", "faiss", "torch", "sqlite_utils"


def run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def fill(place: str, rows: corpus.Corpus, encoder: vecindex.Encoder) -> None:
    """An index of these rows, with their vectors."""
    with vecindex.open(place, model=encoder) as index:
        index.add(rows.texts, metadata=rows.metadata(), vectors=np.array(rows.vectors), space=encoder.space)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="of the corpus to search in every mode")
    arguments = parser.parse_args()
    lines = (PROJECT / "data" / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    texts += (PROJECT / "data" / "hello.txt").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as home:
        encoder = vecindex.load_encoder()
        np.save(Path(home) / "vectors.npy", encoder.encode(texts))
        (Path(home) / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        place = str(Path(home) / "index")
        with vecindex.open(place, model=encoder) as index:
            index.add(texts)
        small = str(Path(home) / "int8")
        with vecindex.open(small, precision="int8") as index:
            index.add(texts)
        folder = str(resolve().folder)
        outputs: dict[str, str] = {}
        jobs: dict[str, Callable[[], object]] = {
            "vecindex search": lambda: outputs.update(ours=run("-c", COMMAND, "search", "my name", "--index", place)),
            "vecindex search, int8": lambda: run("-c", COMMAND, "search", "my name", "--index", small),
            "sentence-transformers script": lambda: outputs.update(theirs=run("-c", SCRIPT, folder, home, "my name")),
            "vecindex --help": lambda: outputs.update(help=run("-c", COMMAND, "--help")),
            "python -c pass": lambda: run("-c", "pass"),
        }
        if arguments.rows:
            large = str(Path(home) / "large")
            fill(large, corpus.load(arguments.rows), encoder)
            for mode in ("dense", "lexical", "hybrid"):
                search = ("-c", COMMAND, "search", "my name", "--mode", mode, "--index", large)
                jobs[f"{arguments.rows:,} rows, {mode}"] = partial(run, *search)
        seconds = rounds(jobs, arguments.rounds)
        sessions: dict[str, list[float]] = {"fp32": [], "int8": []}
        for precision in list(sessions) * arguments.rounds:
            sessions[precision].append(float(run("-c", SESSION, precision)))
        seconds |= {f"session, {precision}": statistics.median(times) for precision, times in sessions.items()}
    for ours, theirs in zip(outputs["ours"].splitlines(), outputs["theirs"].splitlines(), strict=True):
        assert theirs.split("  ", 1)[1] in ours, (ours, theirs)
    loaded = run(
        "-c", f"import sys\ntry:\n {COMMAND}\nfinally:\n print([m for m in {HEAVY} if m in sys.modules])", "--help"
    )
    print(f"{len(texts)} stored sentences, medians of {arguments.rounds} rounds, a new process each; {where()}\n")
    for name, value in seconds.items():
        print(f"{name:30}{value:>8.3f} s")
    ratio = seconds["sentence-transformers script"] / seconds["vecindex search"]
    print(f"\nvecindex search is {ratio:.1f} times faster; heavy modules loaded by --help: {loaded.splitlines()[-1]}")


if __name__ == "__main__":
    main()
