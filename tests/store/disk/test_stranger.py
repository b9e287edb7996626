"""No command touches anything outside a received index, whatever is planted in place of its files.

Random variants choose what is planted, where, and which command meets it; `tests.support.sandbox` watches.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vecindex import Index
from vecindex.errors import VecindexError
from vecindex.search.derived import upkeep

from ...support.helpers import opened
from ...support.sandbox import KINDS, Victim, plant, quick_folder, run, watched
from ...support.toy import ToyEncoder

ROWS, DIMENSION, VARIANTS = 64, 48, 240
OTHER = ToyEncoder(model="second", dimension=DIMENSION, weights="s" * 64)
KEPT = ToyEncoder(dimension=DIMENSION).space.fingerprint[:16]
NEXT, AGAIN = OTHER.space.fingerprint[:16], OTHER.space.fingerprint[16:32]
HEX = "0123456789abcdef"


def encoder() -> ToyEncoder:
    return ToyEncoder(dimension=DIMENSION)


@pytest.fixture(autouse=True)
def _codes_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "ROWS_FOR_CODES", 32)
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with codes, a segment of each kind, dead rows, a log and both locks."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "ROWS_FOR_CODES", 32)
        patch.setattr(upkeep, "LEXICAL_TAIL", 32)
        with opened(root / "a", model=encoder()) as index:
            index.index_tokens()
            numbers = range(ROWS)
            index.add(
                [f"text {n}" for n in numbers], keys=[f"k{n}" for n in numbers], metadata=[{"n": n} for n in numbers]
            )
            index.delete(["k1", "k2"])
            shutil.copytree(root / "a", root / "made")
    (root / "made" / "migrate.lock").touch()
    (root / "made" / ".gitignore").unlink(missing_ok=True)
    return root / "made"


def places(folder: Path) -> list[str]:
    """The paths, inside an index or beside it, that are opened, created, renamed or removed."""
    (codes, *_) = sorted(path.name for path in folder.glob("codes-*"))
    (segment,) = (path.name for path in folder.glob("lexical-*"))
    (tokens,) = (path.name for path in folder.glob("tokens-*"))
    return [
        *("vecindex.db", "vecindex.db-wal", "vecindex.db-shm", "vecindex.db-journal"),
        *("vectors-1.f32", "vectors-2.f32", codes, segment, tokens, "writer.lock", "migrate.lock", ".gitignore"),
        *(f"kept-{KEPT}", f"next-{NEXT}", f"anew-{NEXT}", f"before-{1:016x}", f"kept-{1:016x}", f"next-{AGAIN}"),
        *(f"next-{NEXT}/vecindex.db", f"next-{NEXT}/vectors-1.f32", f"next-{NEXT}/writer.lock"),
        *(f".creating-{HEX}", ".creating-next-x", f".creating-next-{HEX}-{HEX}", f".creating-next-{HEX}-{HEX}/link"),
        *(f".creating-kept-{HEX}-{HEX}/deep/link", f"kept-{HEX}/vecindex.db", f"kept-{HEX}", f"before-{HEX}/link"),
        *(f"../.creating-out-{HEX}", f"../.creating-out-{HEX}/writer.lock", f"../.creating-out-{HEX}/out"),
        *(f"../.creating-out.jsonl-{HEX}/out.jsonl", "../out", "../out.jsonl"),
    ]


# --- what is done with it


def _python(act: Callable[[Index], object], **options: object) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        with contextlib.suppress(VecindexError), opened(folder, model=encoder(), **options) as index:
            act(index)

    return call


def _command(*arguments: str) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        out = [str(folder.parent / argument) if argument.startswith("out") else argument for argument in arguments]
        run(*out, "--index", str(folder))

    return call


def _like(row: int) -> Any:
    return encoder().encode([f"text {row}"])[0]


ACTS: dict[str, Callable[[Path], None]] = {
    "info": _command("info", "--format", "json"),
    "verify": _command("verify"),
    "get": _command("get", "k3"),
    "similar": _command("similar", "k3"),
    "delete": _command("delete", "k4"),
    "index-field": _command("index-field", "n"),
    "compact": _command("compact", "--cache"),
    "backup": _command("backup", "out"),
    "export to a folder": _command("export", "out", "--format", "npy"),
    "export to a file": _command("export", "out.jsonl"),
    "drop-old": _command("migrate", "--drop-old"),
    "tune": _command("tune"),
    "repair": _python(lambda index: index.repair()),
    "search": _python(lambda index: index.search(_like(5), k=3)),
    "search readonly": _python(lambda index: index.search(_like(5), k=3), readonly=True),
    "search with a filter": _python(lambda index: index.search("text 5", k=3, where="n < 20")),
    "search by words": _python(lambda index: index.search("text 5", k=3, mode="lexical")),
    "search by tokens": _python(lambda index: index.search("text 5", k=3, rerank="tokens")),
    "encode-missing": _python(lambda index: index.encode_missing()),
    "index-tokens": _python(lambda index: index.index_tokens()),
    "add": _python(lambda index: index.add([f"more {n}" for n in range(20)])),
    "update": _python(lambda index: index.add(["other"], keys=["k3"], metadata=[{"n": 1}])),
    "migrate": _python(lambda index: index.migrate(OTHER)),
    "migrate anew": _python(lambda index: index.migrate(OTHER, anew=True)),
}


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as folder:
        yield folder


def test_received_index_never_leads_outside_its_folder(made: Path, tmp_path: Path) -> None:
    victim = Victim(tmp_path / "victim")
    draw = Random(14)
    pairs = [(place, kind) for place in places(made) for kind in KINDS]
    draw.shuffle(pairs)
    acts = [act for _ in range(VARIANTS // len(ACTS) + 1) for act in draw.sample(list(ACTS), len(ACTS))]
    failed = []
    for (place, kind), act in zip(pairs[:VARIANTS], acts[:VARIANTS], strict=True):
        folder = tmp_path / "beside" / "index"
        shutil.copytree(made, folder)
        plant(folder / place, kind, victim)
        try:
            with watched(victim):
                ACTS[act](folder)
        except Exception as error:
            failed.append(f"{act}, {kind} at {place}: {type(error).__name__}: {str(error)[-1000:]}")
            victim.before = victim.state()
        shutil.rmtree(folder.parent)
    assert failed == []
