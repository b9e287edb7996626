"""The process that serves one engine of peers.py: a command is a line of JSON, and so is its answer.

python tests/bench/peer_server.py NAME SPEC.json      # started by peers.py
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from support.peer_base import BUCKETS, Engine, Found, Rows
from support.peer_engines import ENGINES, FILLED_BY, Vecindex


def peak_mib() -> float:
    """The most memory that this process has held."""
    # Linux hands ru_maxrss on from the process that started this one; VmHWM begins anew.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


class Served:
    """What peers.py may ask of one engine, by name."""

    def __init__(self, engine: Engine, spec: dict[str, Any]) -> None:
        self.engine = engine
        self.queries: np.ndarray = np.load(spec["queries"])
        self.texts: list[str] = spec["query_texts"]
        self.filter_queries: int = spec["filter_queries"]
        self.warm: int = spec["warm"]

    def add(self) -> dict[str, Any]:
        """Fills a new index."""
        self.engine.load()
        self.engine.create()
        began = time.perf_counter()
        build = self.engine.fill()
        seconds = time.perf_counter() - began - self.engine.rows.seconds
        return {"seconds": seconds, "build": build, "peak": peak_mib()}

    def open(self) -> dict[str, Any]:
        """Opens an index that is there already, and asks one query."""
        began = time.perf_counter()
        self.engine.load()
        imported = time.perf_counter() - began
        self.engine.prepare()
        began = time.perf_counter()
        self.engine.open()
        self.engine.search(self.queries[-1], BUCKETS)
        opened = time.perf_counter() - began
        settings = ""
        with contextlib.suppress(Exception):  # another version may keep them elsewhere
            settings = self.engine.settings()
        version = importlib.metadata.version(self.engine.distribution)
        return {"import": imported, "open": opened, "version": version, "settings": settings}

    def round(self, below: int, hits: bool) -> dict[str, Any]:
        """One pass over the queries: the milliseconds of each, and its hits if wanted. The last ``warm`` warm up."""
        queries = self.queries[: -self.warm]
        if below < BUCKETS:
            queries = queries[: self.filter_queries]
        for vector in self.queries[-self.warm :]:
            self.engine.search(vector, below)
        times: list[float] = []
        found: list[list[Found]] = []
        for vector in queries:
            began = time.perf_counter()
            rows = self.engine.search(vector, below)
            times.append(1000 * (time.perf_counter() - began))
            found.append(rows)
        return {"times": times, "hits": found if hits else [], "peak": peak_mib()}

    def text(self) -> dict[str, Any]:
        """Queries given as texts; only vecindex encodes them."""
        return self.engine.text_queries(self.texts) if isinstance(self.engine, Vecindex) else {}


def serve(name: str, spec: dict[str, Any]) -> None:
    """Answers each line of standard input with one line: a result, ``skip`` or ``error``."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what an engine prints is not an answer
    home = Path(spec["home"]) / FILLED_BY.get(name, name).replace(" ", "-")
    home.mkdir(exist_ok=True)
    engine = ENGINES[name](home, Rows(**spec["rows"]))
    served = Served(engine, spec)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(served, command.pop("do"))(**command)
        except ModuleNotFoundError as error:
            answer = {"skip": f"{error.name} is not installed"}
        except Exception as error:  # whatever a peer raises is its result
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    with contextlib.suppress(AttributeError):  # of an engine that could not be opened
        engine.close()


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
