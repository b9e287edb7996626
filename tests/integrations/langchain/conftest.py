"""Gives the tests of the LangChain integration a store, and says how much of LangChain's own suite passed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vecindex.integrations.langchain import VecindexVectorStore

SUITE = "integrations/langchain/test_standard.py::TestVecindexVectorStore::"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests of LangChain's own suite passed, of those that ran."""
    outcomes = {
        outcome: sum(
            SUITE in report.nodeid and report.when == "call" for report in terminalreporter.getreports(outcome)
        )
        for outcome in ("passed", "failed", "skipped")
    }
    if ran := sum(outcomes.values()):
        terminalreporter.write_line(f"LangChain's own suite: {outcomes['passed']} of {ran}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VecindexVectorStore]:
    """An empty store in ``tmp_path / "index"``, with embeddings of `words`."""
    from vecindex.integrations.langchain import VecindexVectorStore

    from .words import WordEmbeddings

    with VecindexVectorStore(tmp_path / "index", WordEmbeddings()) as opened:
        yield opened
