"""Haystack's own tests of a document store, all of them, and their asynchronous twins."""

from __future__ import annotations

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: pip install 'vecindex[haystack]'")

from dataclasses import replace

from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing import document_store as suite
from haystack.testing import document_store_async as twins

from vecindex.integrations.haystack import VecindexDocumentStore

TESTS, TWINS = 60, 44
"""How many tests Haystack 3.4 has for a document store, and for its asynchronous methods."""


class NearlyEqual:
    """Embeddings are kept in float32."""

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert [bare(document) for document in received] == [bare(document) for document in expected]
        for got, wanted in zip(received, expected, strict=True):
            assert got.embedding == (wanted.embedding and pytest.approx(wanted.embedding, rel=1e-6, abs=1e-9))


def bare(document: Document) -> Document:
    return replace(document, embedding=None)


class TestStore(NearlyEqual, suite.DocumentStoreBaseExtendedTests):
    @pytest.fixture
    def document_store(self, document_store: VecindexDocumentStore) -> VecindexDocumentStore:
        return document_store

    def test_write_documents(self, document_store: VecindexDocumentStore) -> None:
        """The policy of this store where none is given is to fail."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestMetadata(
    suite.CountDocumentsByFilterTest,
    suite.CountUniqueMetadataByFilterTest,
    suite.GetMetadataFieldsInfoTest,
    suite.GetMetadataFieldMinMaxTest,
    suite.GetMetadataFieldUniqueValuesTest,
):
    pass


class TestAsyncStore(
    NearlyEqual,
    twins.CountDocumentsAsyncTest,
    twins.WriteDocumentsAsyncTest,
    twins.DeleteDocumentsAsyncTest,
    twins.DeleteAllAsyncTest,
    twins.DeleteByFilterAsyncTest,
    twins.UpdateByFilterAsyncTest,
    twins.FilterDocumentsAsyncTest,
    twins.CountDocumentsByFilterAsyncTest,
    twins.CountUniqueMetadataByFilterAsyncTest,
    twins.GetMetadataFieldsInfoAsyncTest,
    twins.GetMetadataFieldMinMaxAsyncTest,
    twins.GetMetadataFieldUniqueValuesAsyncTest,
):
    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: VecindexDocumentStore) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def test_none_of_haystacks_tests_is_left_out() -> None:
    assert len(names_of_tests(TestStore)) >= TESTS
    assert len(names_of_tests(TestAsyncStore)) >= TWINS
    mixins = {name for name in dir(twins) if name.endswith("AsyncTest")}
    assert mixins <= {each.__name__ for each in TestAsyncStore.__mro__}


def names_of_tests(collected: type) -> list[str]:
    return [name for name in dir(collected) if name.startswith("test_")]
