"""Keeps Haystack from the network, gives each test a document store, and counts the tests of Haystack's own suite."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vecindex.integrations.haystack import VecindexDocumentStore

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported

SUITES = {"TestStore": "Haystack's own suite", "TestMetadata": "on metadata", "TestAsyncStore": "async twins"}
"""The classes of `test_suite`, and what the summary calls them."""
ran: Counter[str] = Counter()
passed: Counter[str] = Counter()


@pytest.fixture
def document_store(tmp_path: Path) -> Iterator[VecindexDocumentStore]:
    from vecindex.integrations.haystack import VecindexDocumentStore

    store = VecindexDocumentStore(tmp_path / "documents.vecindex", embedding_space="a model of the tests")
    yield store
    store.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asyncio: a coroutine, which is run in an event loop of its own")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs the tests that are coroutines, so that no other plugin is needed for them."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    names = report.nodeid.split("::")
    if len(names) == 3 and names[0].endswith("haystack/test_suite.py") and names[1] in SUITES and report.when == "call":
        ran[names[1]] += 1
        passed[names[1]] += report.passed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if ran:
        counts = (f"{said} {passed[name]} of {ran[name]}" for name, said in SUITES.items() if ran[name])
        terminalreporter.write_line("; ".join(counts))
