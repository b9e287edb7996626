"""``vecindex guide``: lists topics, shows pages, and uses a pager only on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vecindex.cli import main
from vecindex.cli.commands.guide import TOPICS

from ..support.blocks import GUIDE


def test_without_a_topic_all_are_listed_with_their_sentences() -> None:
    ran = CliRunner().invoke(main, ["guide"])
    assert ran.exit_code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()] == list(TOPICS)
    assert all(line.endswith(".") for line in ran.stdout.splitlines())


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_printed_as_it_is_where_there_is_no_terminal(topic: str) -> None:
    ran = CliRunner().invoke(main, ["guide", topic])
    assert ran.exit_code == 0
    assert ran.stdout == (GUIDE / f"{topic}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("topic", "hint"),
    [("filter", "Did you mean 'filters'?"), ("weather", "Run `vecindex guide` to list the topics.")],
)
def test_an_unknown_topic_is_a_usage_error_with_a_suggestion(topic: str, hint: str) -> None:
    ran = CliRunner().invoke(main, ["guide", topic])
    assert ran.exit_code == 2
    assert hint in ran.stderr


def test_topics_are_completed() -> None:
    variables = {"_VECINDEX_COMPLETE": "bash_complete", "COMP_WORDS": "vecindex guide fi", "COMP_CWORD": "2"}
    ran = CliRunner().invoke(main, [], env=variables, complete_var="_VECINDEX_COMPLETE", prog_name="vecindex")
    assert ran.stdout.split() == ["plain,filters", "plain,figures"]


def test_a_terminal_gets_the_page_through_the_pager(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > '{tmp_path}/paged'\n")
    pager.chmod(0o755)
    outer, inner = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", "from vecindex.cli import main; main()", "guide", "filters"],
            stdin=inner,
            stdout=inner,
            env={**os.environ, "PAGER": str(pager)},
            check=True,
            timeout=600,
        )
    finally:
        os.close(inner)
        os.close(outer)
    assert (tmp_path / "paged").read_text(encoding="utf-8") == (GUIDE / "filters.md").read_text(encoding="utf-8")
