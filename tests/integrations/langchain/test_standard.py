"""LangChain's own suite for vector stores, on a store in a new directory for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("langchain_tests", reason="the extra 'langchain-test' is not installed")

from langchain_tests.integration_tests import VectorStoreIntegrationTests

from vecindex.integrations.langchain import VecindexVectorStore


class TestVecindexVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VecindexVectorStore]:
        with VecindexVectorStore(tmp_path / "index", self.get_embeddings()) as store:
            yield store


def test_the_suite_is_the_known_one() -> None:
    tests = [name for name in dir(TestVecindexVectorStore) if name.startswith("test_")]
    assert len(tests) == 25
    assert sum(name.endswith("_async") for name in tests) == 12
