"""The Python blocks of the guide's page run as they are written."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: pip install 'vecindex[haystack]'")

from pathlib import Path
from typing import Any

from ...support.blocks import GUIDE, blocks


def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(GUIDE / "haystack.md", "python"):
        exec(compile(block.text, "haystack.md", "exec"), names)
    names["store"].close()
    names["loaded"].get_component("retriever").document_store.close()
