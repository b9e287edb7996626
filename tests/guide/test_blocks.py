"""Every command and every Python block of README and the guide runs as it is written, page by page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex.encoders.run.encoder import Encoder
from vecindex.filters.parse import parse

from ..support.blocks import GUIDE, README, blocks, commands, put_command_into, run_command
from ..support.guide_files import PAGE_SERVER, make_sources, page_server, write_notes
from ..support.places import PROJECT
from ..support.served import running

NOT_RUN = {
    "pip install": "installs packages; .ci/run and the first line of README do it",
    "vecindex watch": "runs until it is stopped; test_cli_watch starts it",
    "vecindex mcp": "runs until it is stopped; the tests of integrations/mcp start it",
    "vecindex serve": "runs until it is stopped; the page of the server has one, and test_starting starts others",
    "tests.serve.fuzz": "needs schemathesis; test_fuzz does the same where it is installed",
    "tests.serve.page.drive": "needs Chromium; the tests of serve/page do the same",
    "--device cuda": "needs a GPU",
    "--model sentence-transformers/all-mpnet-base-v2": "needs the hub",
    'pipeline("feature-extraction"': "needs arrays that the reader has; test_readme gives it some",
}
"""Blocks and commands that hold one of these are not run, and why."""
NEEDS = {
    "agents": ("mcp", "mcp"),
    "langchain": ("langchain_core", "langchain"),
    "llama-index": ("llama_index.core", "llama-index"),
}
"""Pages that need an extra: a module of it, and its name."""
PAGES = [README, *sorted(GUIDE.glob("*.md"))]


def is_run(text: str) -> bool:
    return not any(word in text for word in NOT_RUN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder, request: pytest.FixtureRequest) -> Path:
    """The current directory: a new one with the sample data and README's own files. The model is compiled."""
    if request.node.callspec.id in NEEDS:
        module, extra = NEEDS[request.node.callspec.id]
        reason = f"the extra '{extra}' is not installed: pip install 'vecindex[{extra}]'"
        pytest.importorskip(module, reason=reason)
    if request.node.callspec.id == "haystack":
        pytest.skip("needs the extra 'haystack'; tests/integrations/haystack runs the blocks")
    programs = put_command_into(tmp_path / "bin")
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copytree(PROJECT / "data", folder / "data")
    write_notes(folder, with_docs=request.node.callspec.id == "README")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return folder


@pytest.fixture
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """What a page calls its server, and the address of one: of the files that it adds, or of an index."""
    page = request.node.callspec.id
    if page == "sources":
        make_sources(folder)
        with page_server(folder / "docs") as address:
            yield PAGE_SERVER, address
    elif page == "server":
        run_command("vecindex add data/sentences.jsonl")
        with running(folder / ".vecindex", toy=False) as process:
            yield "http://127.0.0.1:8000", process.url
    else:
        yield PAGE_SERVER, PAGE_SERVER


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore::vecindex.VecindexWarning")
def test_the_blocks_of_a_page_run_and_print_what_it_shows(page: Path, folder: Path, server: tuple[str, str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "console":
            for command in commands(block):
                if is_run(command.line):
                    printed = run_command(command.line.replace(*server)).splitlines()
                    assert not command.shown or printed == list(command.shown), command.line
        elif block.language == "python" and is_run(block.text):
            exec(compile(block.text.replace(*server), str(page), "exec"), names)
    if page.stem == "server":
        names["client"].close()  # else its sockets would be found open by the garbage collector, in any later test


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_filters_that_a_page_shows_are_understood(page: Path) -> None:
    for block in blocks(page, "filter"):
        for line in block.text.splitlines():
            parse(line)


def test_every_block_that_is_not_run_is_still_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [word for word in NOT_RUN if word not in text] == []


def test_blocks_are_in_languages_that_the_tests_know() -> None:
    assert {(page.stem, block.language) for page in PAGES for block in blocks(page)} <= {
        *((page.stem, language) for page in PAGES for language in ("console", "python", "filter", "")),
        ("README", "bash"),
        ("agents", "json"),
    }
