"""Prints how much was held against SimpleVectorStore."""

from __future__ import annotations

from typing import Any

import pytest

from .agreement import AGREEING, summary


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands what a worker compared to the process that prints the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["llama_index"] = [list(case) for case in AGREEING]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker handed on."""
    AGREEING.update(tuple(case) for case in getattr(node, "workeroutput", {}).get("llama_index", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line with the counts."""
    if (line := summary()) is not None:
        terminalreporter.write_line(line)
