"""Without LangChain, its integration says what to install, and nothing else of vecindex needs it."""

from __future__ import annotations

import importlib
import sys

import pytest

from vecindex.errors import MissingExtra


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vecindex.integrations.langchain")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    monkeypatch.setitem(sys.modules, "langchain_core.embeddings", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vecindex\[langchain\]'") as caught:
        importlib.import_module("vecindex.integrations.langchain")
    assert caught.value.extra == "langchain"
