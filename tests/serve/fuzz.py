"""Asks a server what its OpenAPI allows and what it does not: python -m tests.serve.fuzz --requests 10000.

Makes an index with the default model, and serves it twice: once only to be read, once also to be changed. schemathesis
makes the requests and checks the answers: none has a status of 5xx, one that is not documented, or another shape than
is documented. Prints how often each operation was answered with which status. An operation that never succeeds is a
failure, too. Needs the extra fuzz-test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import httpx

import vecindex
from vecindex import Record

from ..support.served import Running, running

_CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method"),
)
_SERVERS = (("--read-only",), ())
_RECORDS = [
    Record("My name is Aun", "aun", {"lang": "en", "year": 2019}),
    Record("It rains today", "rain", {"lang": "en", "year": 2021}),
    Record("Es regnet heute", "docs/de.txt:1", {"lang": "de", "year": 2021}),
    Record("The name of the rose", "rose"),
]

Counts = Counter[tuple[str, str, int]]
"""How many requests with a method, for a path, were answered with a status."""


def missing() -> str | None:
    """Why no server can be asked here, or None."""
    found = find_spec("schemathesis") is not None
    return None if found else "the extra 'fuzz-test' is not installed: pip install 'vecindex[fuzz-test]'"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.serve.fuzz", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--requests", type=int, default=10_000, metavar="N", help="how many at least")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another number makes other requests")
    chosen = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        sys.stderr.write(f"The server cannot be asked: {reason}\n")
        return 1
    total, failures = Counts(), 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "index"
        with vecindex.open(path) as index:
            index.add(_RECORDS)
        for options in _SERVERS:
            counts, failed = fuzz(path, options, chosen.requests // len(_SERVERS), chosen.seed)
            total += counts
            failures += len(failed)
            sys.stdout.writelines(f"failed: {each}\n" for each in failed)
    for (method, route, status), count in sorted(total.items(), key=lambda each: (each[0][1], each[0])):
        sys.stdout.write(f"{count:>8}  {status}  {method} {route}\n")
    sys.stdout.write(f"{total.total():>8}  requests, {failures} failures\n")
    return 1 if failures else 0


def fuzz(index: Path, options: Sequence[str], requests: int, seed: int) -> tuple[Counts, list[str]]:
    """Asks a server with these options; returns what it answered, by its log, and what failed."""
    failed = []
    with running(index, *options, toy=False) as server:
        operations = _operations(server)
        while len(server.log) < requests:
            if not _asked(server, options, index.parent, requests, seed):
                failed.append(f"schemathesis, with the seed {seed}: see above")
                break
            seed += 1
        if (code := server.stop()) != 0:
            failed.append(f"the server exited with status {code}")
        lines = [json.loads(line) for line in server.log]
    failed += [f"a fault of the server: {line}" for line in lines if line.get("event") == "failure"]
    answered = [line for line in lines if "status" in line]
    failed += [f"answered with 5xx: {line}" for line in answered if line["status"] >= 500]
    counts = Counts((line["method"], line["route"].replace(":path}", "}"), line["status"]) for line in answered)
    failed += [f"never succeeded: {' '.join(each)}" for each in operations if (*each, 200) not in counts]
    return counts, failed


def _operations(server: Running) -> list[tuple[str, str]]:
    """The method and the path of each operation that is documented."""
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def _asked(server: Running, options: Sequence[str], folder: Path, requests: int, seed: int) -> bool:
    """Makes about so many requests; returns whether all was well."""
    # One that only reads says so where a change is asked for, instead of 405.
    checks = [each for each in _CHECKS if "--read-only" not in options or each != "unsupported_method"]
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{server.url}/openapi.json"]
    made = (
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(max(10, requests // 10))),
        *("--seed", str(seed), "--generation-database", "none", "--suppress-health-check", "all"),
        *("--checks", ",".join(checks), "--continue-on-failure", "--warnings", "off"),
    )
    return subprocess.run([*command, *made], cwd=folder, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
