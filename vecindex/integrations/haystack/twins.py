"""The asynchronous twins of the document store's methods, which run them in threads."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack.dataclasses import Document
from haystack.document_stores.types import DuplicatePolicy


class AsyncTwins:
    """Each awaits the method of its name without ``_async``, with the same arguments and results."""

    async def _in_thread(self, name: str, *args: Any) -> Any:
        return await asyncio.to_thread(getattr(self, name), *args)

    async def count_documents_async(self) -> int:
        return int(await self._in_thread("count_documents"))

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        return list(await self._in_thread("filter_documents", filters))

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        return int(await self._in_thread("write_documents", documents, policy))

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        await self._in_thread("delete_documents", document_ids)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        await self._in_thread("delete_all_documents", recreate_index)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        return int(await self._in_thread("delete_by_filter", filters))

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        return int(await self._in_thread("update_by_filter", filters, meta))

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        return int(await self._in_thread("count_documents_by_filter", filters))

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        return dict(await self._in_thread("count_unique_metadata_by_filter", filters, metadata_fields))

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        return dict(await self._in_thread("get_metadata_fields_info"))

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        return dict(await self._in_thread("get_metadata_field_min_max", metadata_field))

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        values, total = await self._in_thread(
            "get_metadata_field_unique_values", metadata_field, search_term, from_, size, filters
        )
        return list(values), int(total)
