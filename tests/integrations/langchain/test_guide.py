"""The guide's page about LangChain: its Python blocks run as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra 'langchain' is not installed")

from ...support.blocks import GUIDE, blocks


def test_the_blocks_of_the_page_run_and_find_what_they_should(
    here: Path, minilm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for block in blocks(GUIDE / "langchain.md", "python"):
        exec(compile(block.text, "langchain.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "me My name is Aun {'topic': 'people', 'year': 2024}"
    assert printed[1] == "[Document(id='rain', metadata={'topic': 'weather', 'year': 2025}, page_content='It snows')]"
    assert printed[2].startswith("[(Document(id='bus'")
    assert printed[3:5] == ["['bus', 'me']", "384"]
    assert "page_content='two'" in printed[5]
    assert printed[6:] == [
        "DeterministicFakeEmbedding",
        "{'num_added': 1, 'num_updated': 0, 'num_skipped': 0, 'num_deleted': 0}",
    ]
