"""Every command under a hardship works or says what it lacks, and does no lasting harm.

The processes are real, and so are the limits, the file systems and the user.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import vecindex
from vecindex.cli import main

from ..support.children import environment
from ..support.hardships import DISKS, HARDSHIPS, REFUSED, Outcome, Plan
from ..support.models.small_model import SmallModel
from ..support.places import PROJECT

COMMANDS = [
    ["add", "--text", "my dog sat", "--key", "new", "--index", "index"],
    ["search", "the cat", "--index", "index"],
    ["search", "the cat", "--mode", "hybrid", "--rerank", "tokens", "--index", "index"],
    ["similar", "a", "--index", "index"],
    ["facets", "n", "--index", "index"],
    ["eval", "--self-test", "--index", "index"],
    ["get", "a", "--index", "index"],
    ["list", "--index", "index"],
    ["sources", "--index", "index"],
    ["delete", "a", "--index", "index"],
    ["info", "--index", "index"],
    ["index-field", "n", "--index", "index"],
    ["index-lexical", "--language", "german", "--index", "index"],
    ["index-tokens", "--index", "index"],
    ["encode-missing", "--index", "index"],
    ["tune", "--index", "index"],
    ["verify", "--index", "index"],
    ["verify", "--repair", "--index", "index"],
    ["compact", "--index", "index"],
    ["backup", "copy", "--index", "index"],
    ["export", "e.jsonl", "--index", "index"],
    ["export", "-", "--index", "index"],
    ["import", "records.jsonl", "--index", "index"],
    ["migrate", "--anew", "--index", "index"],
    ["migrate", "--drop-old", "--index", "index"],
    ["explain", "the cat", "--index", "index"],
    ["models", "list"],
    ["models", "show", "model"],
    ["models", "compile", "model"],
    ["models", "remove", "model"],
    ["guide", "filters"],
    ["completion", "bash"],
    ["selftest", "--runs", "1"],
]
USELESS = ("tune", "eval")
"""What refuses so small an index, whatever there is."""
WRITING = (
    "add",
    "delete",
    "index-field",
    "index-lexical",
    "index-tokens",
    "compact",
    "migrate",
    "backup",
    "export e.jsonl",
    "selftest",
)
ANSWERING = (
    "search",
    "similar",
    "facets",
    "get",
    "list",
    "sources",
    "info",
    "export -",
    "explain",
    "models list",
    "models show",
    "guide",
    "completion",
)
FAILING: dict[str, tuple[str, ...]] = {
    "no standard input": USELESS,
    "no standard output": (*USELESS, *ANSWERING),
    "no standard error": USELESS,
    "no home": USELESS,
    "read-only file system": (*USELESS, *WRITING, "import"),
    "full disk": (*USELESS, *WRITING),  # what is imported here is there already
}
"""Which commands fail, where that does not depend on how much there is just left."""


@pytest.fixture(scope="module")
def outcomes(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        scratch = Path(name)
        folder = scratch / "folder"
        folder.mkdir()
        model = small_model(tmp_path_factory.mktemp("small"))
        shutil.move(model, folder / "model")
        monkeypatch.setenv("VECINDEX_CACHE", str(folder / "cache"))
        with vecindex.open(folder / "index", model=folder / "model") as index:
            index.add(["the cat sat", "rain", "my dog", "sun"], keys=list("abcd"), metadata=[{"n": 1}] * 4)
            index.delete(["d"])
            index.export(folder / "records.jsonl")
        plan = Plan(str(folder), str(scratch), COMMANDS)
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.hardships"],
            input=json.dumps(vars(plan)),
            cwd=PROJECT,
            env=environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        yield [Outcome(**each) for each in json.loads(done.stdout)]


def test_every_command_is_run() -> None:
    def names(group: click.Group) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = set()
        for name, command in group.commands.items():
            found |= {(name, *inner) for inner in names(command)} if isinstance(command, click.Group) else {(name,)}
        return found

    tried = {tuple(each[:length]) for each in COMMANDS for length in (1, 2)}
    assert names(main) - tried == {("watch",), ("mcp",), ("serve",)}  # which do not end by themselves


def _is_one(command: list[str], names: tuple[str, ...]) -> bool:
    """Whether the command begins like one of ``names``."""
    return f"{' '.join(command)} ".startswith(tuple(f"{name} " for name in names))


@pytest.mark.parametrize("hardship", [*HARDSHIPS, *DISKS])
def test_a_command_works_or_says_what_it_lacks(outcomes: list[Outcome], hardship: str) -> None:
    found = [outcome for outcome in outcomes if outcome.hardship == hardship]
    if all(outcome.status == REFUSED for outcome in found):
        pytest.skip(f"this machine does not allow it: {found[0].err}")
    assert len(found) == len(COMMANDS)
    wrong = []
    for each in found:
        said = each.status == 0 or hardship == "no standard error" or "Error: " in each.err
        expected = (0, 1) if hardship not in FAILING else (int(_is_one(each.command, FAILING[hardship])),)
        if each.status not in expected or "Traceback" in each.err or not said or each.harm:
            wrong.append((each.command, each.status, each.err[-600:], each.harm))
    assert wrong == [], "\n".join(map(str, wrong))
