"""Searching an open index: by a text, a vector or a stored record, each in one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..search.fusion import Fusion
from ..search.options import CHECKS, RERANK_MS, Mode, Rerank, SearchOptions
from ..search.run import SearchReport
from ..values.arguments import entrance
from ..values.columns import one_or_more_keys
from ..values.hits import Hits
from ..values.records import Hit
from .searching.questions import Questions
from .searching.searches import Searches
from .searching.second_stages import Progress

Where = Mapping[str, Any] | str


class Searcher(Searches):
    """The part of an `Index` that searches."""

    @entrance(**CHECKS)
    def search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vector: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
        cursor: str | None = None,
        progress: Progress | None = None,
    ) -> Hits:
        """The records that answer a text or a vector best.

        Args:
            query: a text, or a vector (D,) of finite floats, which is scaled to unit length.
            k: the number of hits; fewer are returned only if fewer records match.
            where: a filter on metadata, e.g. ``{"lang": "en", "year": {"$gte": 2020}}`` or
                ``"lang = 'en' and year >= 2020"``.
            vector: the vector (D,) of a query that is a text, where you have it already, or another program made the
                vectors of the index. The text is then not encoded for the dense side.
            mode: "dense" finds the nearest vectors, that is, texts of the same meaning; "lexical" finds texts with the
                query's words, by BM25; "hybrid" does both. In these two, a phrase in quotation marks has to be in the
                text word for word, and a dash before a word or a phrase leaves out texts with it. If no record that the
                filter allows has all the phrases, their words are looked for like the others.
            fusion: how "hybrid" joins the two: "convex" adds the cosine, of which 0 is that of unrelated texts, and the
                share of the query's words that a text has, by their weights; "rrf" adds reciprocal ranks.
            rerank: reads the best 100 hits again, or the best k if k is larger, and puts them in a better order.
                "tokens" orders them also by how well each token of the query is met by a token of the text, with the
                vectors that the model gives single tokens. Anything else is the folder or the hub name of a
                cross-encoder, a second model that reads the query and each text together: its score alone orders them.
            rerank_ms: for how many milliseconds the texts of a query may be read for this, the best first. Hits that
                were not reached keep their order behind the others. ``math.inf`` stands for any time. Records with
                stored token vectors (`index_tokens`) take none of it.
            group_by: ``source``, ``document``, or a metadata field such as ``topic`` or ``author.name``. At most
                ``per_group`` hits have the same value in it, and others that are less near take the place of the rest.
                A record without the field, or with null in it, is a group by itself.
            per_group: the number of hits that each group may have.
            context: how many sentences of the same document to give before and after each hit, in ``before`` and
                ``after``.
            min_score: records of a lower ``score`` do not match. In the mode "lexical" that is the BM25 score, and else
                the cosine.
            min_percentile: records of a lower ``percentile``, from 0 to 100, do not match; see `Hit`. It means the same
                with every model, and 0 only gives hits their ``percentile``.
            exclude: keys of records that are left out before the search, so that others take their place.
            diversity: from 0 to 1: how much hits should differ from each other. They are chosen one by one from the
                best max(50, 5 k) records, each for its place in their order, and for a low cosine to those that were
                chosen before it (maximal marginal relevance).
            cursor: the ``cursor`` of the hits of a search with the same query and options, for the hits after these;
                ``k``, ``context`` and ``rerank_ms`` may be others.
            progress: called while a cross-encoder reads texts, with how many are read and how many there are.

        Returns:
            min(k, matching records) hits, the best first, ties in insertion order. All records that the filter allows
            match, but in the mode "lexical" only those with a word of the query. Those without a vector match only if
            they have one, and not in the mode "dense"; the ``score`` of such a hit of a hybrid search is 0. ``score``
            is the cosine, in the mode "lexical" the BM25 score, and ``scores`` has all that are known: "dense",
            "lexical", "tokens", and "cross", a cross-encoder's. The ``cursor`` of the hits stands for the page after
            them, and is None if there is none; with groups, that page may be empty. All pages together have each record
            that matches once.

        Raises:
            RecordNotFound: ``exclude`` has a key that no record has.
            CursorExpired: the index was changed so that the order of the hits is gone. In the mode "dense", without
                groups, diversity and rerank, only a compaction or another model does that; after other changes, hits
                are of the records as they were at the first page, except for those that were deleted or updated.
            InvalidInput, InvalidFilter, SpaceMismatch, ModelNotFound, UnsupportedModel, CorruptIndex.

        Warns:
            RerankUnfinished: some hits were not reached in ``rerank_ms``.
            PhraseNotFound: no record has the phrases in quotation marks, so that hits have words of them instead.
            FilterWarning: a condition in ``where`` matches no stored record. Checked if fewer than k records match, or
                all do.
            GroupWarning: no record has the field ``group_by``.
        """
        return self._search_one(Questions.one(query, vector), SearchOptions.of(locals()), progress)

    @entrance(**CHECKS)
    def search_many(
        self,
        queries: Sequence[str] | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vectors: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
        progress: Progress | None = None,
    ) -> list[Hits]:
        """Searches for several texts, or vectors (n, D), in one snapshot; returns a list of hits for each.

        The arguments are those of `search`; ``vectors`` (n, D) are those of the texts, if you have them, and
        ``progress`` counts queries. Together, many take less time than one by one.
        """
        return self._search(Questions.of(queries, vectors), SearchOptions.of(locals()), progress=progress)

    @entrance(**CHECKS)
    def explain_search(
        self,
        query: str | Any,
        k: int = 5,
        where: Where | None = None,
        *,
        vector: Any = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        rerank: Rerank | None = None,
        rerank_ms: float = RERANK_MS,
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
        cursor: str | None = None,
    ) -> tuple[Hits, SearchReport]:
        """As `search`, with a report of how the hits were found, and why each is where it is.

        The report has the route, the candidates and the time of each step, and in ``explanations`` one `HitExplanation`
        for each hit: its ranks on the way, what each token of its text adds to the cosine, what each word of the query
        adds to the BM25 score, and which tokens met. For this, the texts of the hits are encoded again, so that it
        takes longer than the search.
        """
        return self._explained(Questions.one(query, vector), SearchOptions.of(locals()))

    @entrance(**CHECKS)
    def search_all(
        self,
        query: str | Any,
        min_score: float | None = None,
        where: Where | None = None,
        *,
        vector: Any = None,
        min_percentile: float | None = None,
        mode: Mode = "dense",
        fusion: Fusion = "convex",
        exclude: Collection[str] = (),
    ) -> Iterator[Hit]:
        """All records that answer a text or a vector with at least this score, the best first; see `search`.

        Every record that matches gets its exact score, and the hits are read from one snapshot, a few at a time, while
        others may write. If ``min_score`` is None, they are all that match. They stand in the order that `search` gives
        them; only with ``fusion="rrf"``, whose ranks are here among all records, may it be another.
        """
        return self._all(Questions.one(query, vector), SearchOptions.of(locals()))

    @entrance(key=one_or_more_keys)
    def similar(
        self,
        key: str | Collection[str],
        k: int = 5,
        where: Where | None = None,
        *,
        not_: Collection[str] = (),
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
    ) -> Hits:
        """The nearest records to the stored record ``key``, or to several; the other arguments are as in `search`.

        What is near to several is near to the mean of their vectors. If some are named in ``not_``, the mean of theirs
        is subtracted from it (Rocchio's formula). None of these records is among the hits.

        Args:
            key: the key of a record, or of several.
            not_: keys of records that the hits should not be like.

        Raises:
            RecordNotFound: a key is of no record.
            InvalidInput: the records cancel each other out, so that there is no direction to search in; or one of them
                has no vector.
            InvalidFilter, CorruptIndex.
        """
        return self._similar(tuple(key), SearchOptions.of(locals()), tuple(not_), warns=True)

    @entrance(key=one_or_more_keys)
    def explain_similar(
        self,
        key: str | Collection[str],
        k: int = 5,
        where: Where | None = None,
        *,
        not_: Collection[str] = (),
        group_by: str | None = None,
        per_group: int = 1,
        context: int = 0,
        min_score: float | None = None,
        min_percentile: float | None = None,
        exclude: Collection[str] = (),
        diversity: float = 0.0,
    ) -> tuple[Hits, SearchReport]:
        """As `similar`, with a report of how the hits were found, and why each is where it is.

        The report is that of `explain_search`, with what each token of a hit's text adds to the cosine with the stored
        vector, or with the mean of several. No words are looked for, so there are no ``terms`` and no ``pairs``.
        """
        return self._similar_explained(tuple(key), SearchOptions.of(locals()), tuple(not_))
