"""How a server holds under load, many clients beside one that adds: tests/bench/serving.py

    python tests/bench/corpus.py 20000
    python tests/bench/serving.py [--rows 20000] [--clients 50] [--seconds 60] [--only together,alone,one]

A real ``vecindex serve`` answers searches by texts over loopback: by meaning, by words, by both, with filters, for
more hits and fewer. Each client asks again as soon as it has its answer, while one more adds ten records at a time. All
clients are one other process, on the same cores.

together: texts that wait are encoded as one batch, and searches that wait for the same options are done as one, as a
server always does. alone: neither is. one: a single client. For each the answers a second, their milliseconds (median
and 99th percentile), the CPU milliseconds of the server for one (what the adding takes is among them), the errors, the
records that were added, and the memory of the server itself, at the beginning, in the middle, at the end, and at most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import corpus
from support.common import where

WAYS = ("together", "alone", "one")
_COMMAND = "from vecindex.cli import main; main()"
_ALONE = f"import vecindex.search.together as together; together._MOST = 1; {_COMMAND}"
FORMS: list[dict[str, Any]] = [
    {},
    {"k": 10},
    {"mode": "hybrid"},
    {"mode": "hybrid", "k": 10},
    {"mode": "lexical"},
    {"where": "lang = 'en'"},
    {"where": {"bucket": {"$lt": 100}}, "k": 10},
    {"mode": "hybrid", "where": "bucket < 500"},
]
_TICK = os.sysconf("SC_CLK_TCK")


# --- the clients, a process of their own


class Client:
    """One connection, which is asked again and again. It does little, so that the server has the cores."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: Any) -> int:
        """The status of the answer, which is read whole."""
        reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        content = json.dumps(body).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        return int(head.split(" ", 2)[1])


async def load(port: int, clients: int, seconds: float) -> dict[str, Any]:
    """What so many clients find in so many seconds."""
    queries = [text for _, text in corpus.sentences()[: corpus.QUERIES]]
    took: list[float] = []
    errors: list[str] = []
    added = 0
    end = time.perf_counter() + seconds

    async def searching(number: int) -> None:
        client, draw = Client(port), random.Random(number)
        while (began := time.perf_counter()) < end:
            status = await client.ask("/v1/search", {"query": draw.choice(queries), **draw.choice(FORMS)})
            took.append(time.perf_counter() - began)
            if status != 200:
                errors.append(f"search: {status}")

    async def adding() -> None:
        nonlocal added
        client = Client(port)
        while time.perf_counter() < end:
            records = [
                {"text": f"Note {added + i} was added under load.", "metadata": {"lang": "en"}} for i in range(10)
            ]
            status = await client.ask("/v1/records", {"records": records})
            if status != 200:
                errors.append(f"add: {status}")
            added += len(records)

    ended = await asyncio.gather(*map(searching, range(clients)), adding(), return_exceptions=True)
    errors += [repr(each) for each in ended if each is not None]
    return {"milliseconds": [round(1000 * each, 2) for each in took], "errors": errors, "added": added}


# --- the server


def make_index(path: Path, rows: int) -> None:
    import vecindex

    found = corpus.load(rows)
    with vecindex.open(path) as index:
        index.add(found.texts, metadata=found.metadata(), vectors=found.vectors, space=index.encoder.space)
        index.search("one", mode="hybrid")


@contextmanager
def served(index: Path, way: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server for the index, and its port."""
    code = _ALONE if way == "alone" else _COMMAND
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--index", str(index), "--port", "0"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(30):
            print(f"the server exited with status {process.returncode}")


class Memory:
    """The megabytes that a process takes for itself, again and again while the block runs."""

    def __init__(self, pid: int) -> None:
        self.found: list[float] = []
        self._status = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *caught: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self.found.append(int(self._status.read_text().split("RssAnon:")[1].split()[0]) / 1024)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def measure(index: Path, way: str, clients: int, seconds: float) -> dict[str, Any]:
    with served(index, way) as (process, port):
        _clients(port, clients, 2)  # what only the first searches do is over
        began = cpu_seconds(process.pid)
        with Memory(process.pid) as memory:
            found = _clients(port, clients, seconds)
        found["cpu"] = cpu_seconds(process.pid) - began
        found["memory"] = memory.found
    return found


def _clients(port: int, clients: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--clients", str(clients), "--seconds", str(seconds), "--port", str(port)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def told(way: str, clients: int, seconds: float, found: dict[str, Any]) -> str:
    each, memory = sorted(found["milliseconds"]), found["memory"]
    middle = memory[len(memory) // 2]
    p99 = each[len(each) * 99 // 100]
    return (
        f"{way:9}{clients:3} clients  {len(each) / seconds:7.1f}/s  p50 {statistics.median(each):7.1f} ms"
        f"  p99 {p99:7.1f} ms  CPU {1000 * found['cpu'] / len(each):5.2f} ms  {len(found['errors'])} errors"
        f"  {found['added']:,} added  {memory[0]:.0f}, {middle:.0f}, {memory[-1]:.0f}, {max(memory):.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    if options.port:
        print(json.dumps(asyncio.run(load(options.port, options.clients, options.seconds))))
        return
    print(f"{options.rows:,} rows, {where()}")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in options.only.split(","):
            path = Path(folder) / way  # each begins with the same records
            make_index(path, options.rows)
            clients = 1 if way == "one" else options.clients
            found = measure(path, way, clients, options.seconds)
            print(told(way, clients, options.seconds, found), flush=True)
            for error in sorted(set(found["errors"]))[:5]:
                print(f"  {error}")
            rates[way] = len(found["milliseconds"])
    if "one" in rates:
        print("times as many as one: " + ", ".join(f"{way} {count / rates['one']:.2f}" for way, count in rates.items()))


if __name__ == "__main__":
    main()
