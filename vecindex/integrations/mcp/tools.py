"""The tools themselves: what each does with the index. Their docstrings are what an agent reads."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from .answers import (
    LONGEST_NAME,
    LONGEST_SHOWN,
    Added,
    Deleted,
    Found,
    Got,
    SourcesListed,
    TextExplained,
    bounded_metadata,
    bounded_part,
    cut,
    fitted,
    fitted_hits,
)
from .arguments import (
    Against,
    Context,
    Count,
    Cursor,
    Exclude,
    Explained,
    GroupBy,
    Key,
    Keys,
    Length,
    Like,
    MinScore,
    Mode,
    Offset,
    Query,
    Records,
    Rerank,
    Sources,
    Start,
    Where,
)

if TYPE_CHECKING:
    from ...index.facade import Index
    from ...values.hits import Hits

_MOST_NAMES = 20
"""Of a list in what `info` says, such as that of the fields with fast filters."""


class Tools:
    """The tools over an open index. They run in any number of threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._warming = threading.Thread(target=self._warm, name="vecindex-warm")

    def warm(self) -> None:
        """Begins to load the model, unless it has begun; calls that need it wait for this."""
        if self._warming.ident is None:
            self._warming.start()

    def _warm(self) -> None:
        from ...errors import VecindexError
        from .notes import notes

        # If it fails, the first call that needs the model says what is wrong.
        with contextlib.suppress(VecindexError, MemoryError), notes():
            if len(self._index):
                self._index.search("warm", k=1)

    def wait(self) -> None:
        """Waits until what `warm` began is done: no thread may be in a runtime's code when the process ends."""
        if self._warming.ident is not None:
            self._warming.join()

    def _warmed(self) -> Index:
        self.wait()
        return self._index

    def search(
        self,
        query: Query,
        k: Count = 5,
        mode: Mode = "dense",
        where: Where = None,
        rerank: Rerank = None,
        group_by: GroupBy = None,
        context: Context = 0,
        min_score: MinScore = None,
        exclude: Exclude = [],  # noqa: B006
        cursor: Cursor = None,
    ) -> Found:
        """Find the stored texts that answer a query best, by meaning, by words or both.

        Each hit has its key, score, text, metadata and, where known, its source with the line or page, and the span of
        characters there: cite these. Texts of more than 2,000 characters are shortened; text_characters is their whole
        length, and get returns the rest.
        """
        hits = self._warmed().search(
            *(query, k, where),
            mode=mode,
            rerank=rerank,
            group_by=group_by,
            context=context,
            min_score=min_score,
            exclude=exclude,
            cursor=cursor,
        )
        return _found(hits)

    def similar(
        self,
        keys: Like,
        k: Count = 5,
        where: Where = None,
        group_by: GroupBy = None,
        context: Context = 0,
        min_score: MinScore = None,
        exclude: Exclude = [],  # noqa: B006
    ) -> Found:
        """Find the stored texts nearest in meaning to stored records, which you name by their keys.

        The answer is like that of search. None of the named records is among the hits.
        """
        hits = self._index.similar(
            keys, k, where, group_by=group_by, context=context, min_score=min_score, exclude=exclude
        )
        return _found(hits)

    def get(self, key: Key, start: Start = 0, length: Length = 8_000) -> Got:
        """Return a record by its key: its text, or a part of it, with metadata and source.

        text_characters is the length of the whole text. If next_start is there, the text goes on: pass it as start.
        """
        from ...values.records import place_members

        record = self._index.get(key)
        part = bounded_part(record.text, start, length)
        origin, end = record.origin, start + len(part)
        source, place = None, None
        if origin is not None:
            source = cut(origin.path, LONGEST_NAME)
            place = None if origin.place is None else (origin.unit, origin.place)
        answer: dict[str, Any] = {
            "key": cut(key, LONGEST_NAME),
            "text": part,
            "start": start,
            "text_characters": len(record.text),
        }
        answer |= {"next_start": end} if part and end < len(record.text) else {}
        answer |= bounded_metadata(record.metadata or {}) | place_members(source, place, record.span)
        return cast(Got, answer)

    def list_sources(self, offset: Offset = 0, limit: Sources = 50) -> SourcesListed:
        """List the files and other sources that the index was made of, with their state and numbers of records.

        The state is current, changed or gone since it was added, incomplete, imported, or unchecked.
        """
        sources = self._index.sources()
        listed, _ = fitted([_source(source) for source in sources[offset : offset + limit]])
        answer: dict[str, Any] = {
            "sources": listed,
            "total": len(sources),
            "states": dict(Counter(source.state for source in sources)),
        }
        end = offset + len(listed)
        return cast(SourcesListed, answer | ({"next_offset": end} if listed and end < len(sources) else {}))

    def info(self) -> dict[str, Any]:
        """Say what the index holds: the number of records, the model, the size, fields with fast filters, and more."""
        known = {name: value for name, value in asdict(self._index.info()).items() if value not in (None, ())}
        return {
            name: [cut(each, LONGEST_NAME) for each in value[:_MOST_NAMES]] if isinstance(value, tuple) else value
            for name, value in known.items()
        }

    def explain(self, text: Explained, against: Against = "") -> TextExplained:
        """Explain how a text becomes one vector, and what each of its tokens adds to the score for a query.

        Use it to find out why a hit has its score. The shares sum to 1, and the contributions to the score.
        """
        from ...encoders.explain import explain

        explained = explain(text, against or None, encoder=self._warmed().encoder)
        tokens, left_out = fitted([_token(asdict(token)) for token in explained.tokens])
        answer: dict[str, Any] = {
            "model": explained.model,
            "pooling": explained.pooling,
            "truncated": explained.truncated,
            "score": explained.score,
            "tokens": tokens,
        }
        return cast(TextExplained, answer | ({"left_out": left_out} if left_out else {}))

    def add(self, records: Records) -> Added:
        """Store texts, so that search finds them. When it returns, they are durable.

        A record of the same key is replaced. truncated counts texts that are longer than the model reads: only their
        beginning can be found by meaning, so pass long texts in parts.
        """
        from ...values.keys import derive_key
        from ...values.records import Record

        given = [Record(each.text, each.key, each.metadata) for each in records]
        report = self._warmed().add(given)
        keys, left_out = fitted([each.key or derive_key(each.text, each.metadata) for each in given])
        counts = asdict(report)
        names = ("added", "updated", "unchanged", "duplicates", "truncated")
        answer = {name: counts[name] for name in names} | {"records": len(self._index), "keys": keys}
        return cast(Added, answer | ({"left_out": left_out} if left_out else {}))

    def delete(self, keys: Keys) -> Deleted:
        """Delete records by their keys, for good. If one of the keys is of no record, nothing is deleted."""
        deleted = self._index.delete(keys)
        return {"deleted": deleted, "records": len(self._index)}


def _found(hits: Hits) -> Found:
    shown, left_out = fitted_hits([hit.to_dict() for hit in hits])
    answer: dict[str, Any] = {"hits": shown}
    if left_out:  # a cursor would pass over them
        return cast(Found, answer | {"left_out": left_out})
    cursor = hits.cursor
    return cast(Found, answer | ({} if cursor is None else {"next_cursor": cursor}))


def _source(source: Any) -> dict[str, Any]:
    members = {name: value for name, value in asdict(source).items() if value not in (None, "")}
    return members | {name: cut(members[name], LONGEST_SHOWN) for name in ("location", "query") if name in members}


def _token(token: dict[str, Any]) -> dict[str, Any]:
    """A token with its numbers rounded, so that more of them fit."""
    numbers = {name: round(token[name], 4) for name in ("share", "contribution") if token[name] is not None}
    return {"position": token["position"], "token": token["token"], **numbers}
