"""Runs commands of ``vecindex`` in this process, and says how their output reads."""

from __future__ import annotations

import logging
from pathlib import Path

from click.testing import CliRunner

import vecindex
from vecindex.cli import main

Outcome = tuple[int, str, str]
"""Exit status, standard output, standard error."""

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Outcome:
    """``vecindex`` in this process; an exception that a user would see as a traceback is raised."""
    log = logging.getLogger("vecindex")
    before = log.handlers[:], log.propagate, log.level
    try:
        result = CliRunner().invoke(main, [str(a) for a in arguments], input=stdin, prog_name="vecindex")
    finally:  # the command line sets the log up for a process of its own
        log.handlers[:], log.propagate = before[:2]
        log.setLevel(before[2])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def failed(message: str, advice: str) -> Outcome:
    return 1, "", f"Error: {message}\n{advice}\n"


def misused(usage: str, message: str) -> Outcome:
    command = usage.split(" [")[0]
    return 2, "", f"Usage: vecindex {usage}\nTry 'vecindex {command} --help' for help.\n\nError: {message}\n"


def no_index(path: Path) -> Outcome:
    return failed(
        f"there is no index at {path.resolve()}",
        "Create one with `vecindex add FILE`, or name another directory with --index DIR or VECINDEX_INDEX.",
    )


NO_RECORD = failed(
    "no record has the key 'nobody'",
    "Use `vecindex list` to see the keys. Nothing was changed.",
)

ADD = "add [OPTIONS] [PATH ...|-]"


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def stored(path: str = ".vecindex") -> dict[str, tuple[str, object]]:
    """Every record in the index: its key, and its text and metadata."""
    with vecindex.open(path, create=False) as index:
        hits = index.search("x", k=10_000)
    return {hit.key: (hit.text, hit.metadata) for hit in sorted(hits, key=lambda hit: hit.key)}


def added(records: int, holds: int, index: str = ".vecindex") -> tuple[int, str, str]:
    plural = "" if holds == 1 else "s"
    return 0, "", f"{records} added, 0 updated, 0 unchanged; {index} holds {holds} record{plural}.\n"
