"""What searches are asked: texts, vectors, or texts with the vectors that stand for them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InvalidInput
from ...search.options import TOKENS, SearchOptions
from ...search.paging.pages import TextWithVector
from ...search.run import unit_queries
from ...store.vectors import Vectors
from ...values.arrays import Numbers, numbers
from ...values.columns import checked_queries
from ...values.space import Space
from ..model import are_texts, encoded_part
from .encodings import Encodings


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """``queries`` are texts or vectors (n, D), and ``vectors`` (n, D), if given, are those of the texts.

    ``encodings`` are those of what `read` gives, if that was encoded already.
    """

    queries: Sequence[str] | Any
    vectors: Numbers | None = None
    encodings: Encodings | None = None

    def __len__(self) -> int:
        return len(self.queries)

    @classmethod
    def of(cls, queries: Sequence[str] | Any, vectors: Any) -> Questions:
        """Questions, and what was given for their vectors; raises InvalidInput if these are not numbers."""
        return cls(queries, None if vectors is None else numbers(vectors, "query vectors"))

    @classmethod
    def one(cls, query: str | Any, vector: Any) -> Questions:
        """As `of`, for a single question."""
        queries = [query] if isinstance(query, str) else numbers([query], "query vectors")
        return cls.of(queries, None if vector is None else [vector])

    @classmethod
    def joined(cls, several: Sequence[Questions]) -> Questions:
        """Questions of one `kind` as one."""
        first = several[0]
        if len(several) == 1:
            return first
        if not first.are_texts:
            return cls(np.concatenate([each.queries for each in several]))
        vectors = None if first.vectors is None else np.concatenate([each.vectors for each in several])
        encodings = [each.encodings for each in several if each.encodings is not None]
        queries = [query for each in several for query in each.queries]
        return cls(queries, vectors, Encodings.joined(encodings) if encodings else None)

    @property
    def kind(self) -> Hashable:
        """Equal for questions that can be asked together."""
        vectors: Numbers | None = self.vectors if self.are_texts else np.asarray(self.queries)
        encoded_for = None if self.encodings is None else (self.encodings.manifest.space,)
        return self.are_texts, encoded_for, None if vectors is None else (vectors.dtype, vectors.shape)

    @property
    def are_texts(self) -> bool:
        """Whether there are texts, and not only vectors."""
        return are_texts(self.queries)

    def check(self, options: SearchOptions) -> None:
        """Raises InvalidInput if vectors are given that stand for no texts, or that nothing is searched by."""
        if self.vectors is None:
            return
        if len(self.queries) and not self.are_texts:
            raise InvalidInput("a vector is given beside a query that is a vector itself", "Pass only one of them.")
        if options.mode == "lexical":
            raise InvalidInput(
                "a vector is given to a lexical search, which looks for words alone",
                "Leave it out, or search with mode='hybrid'.",
            )
        checked_queries(self.queries)

    def texts(self, options: SearchOptions) -> list[str]:
        """The queries, which must be texts; raises InvalidInput."""
        if len(self) and not isinstance(self.queries[0], str):
            if options.mode == "dense":
                raise InvalidInput("a vector has no text to rerank by", "Pass a text, or leave rerank= out.")
            raise InvalidInput(
                f"a vector has no words for a {options.mode} search to look for",
                "Pass a text, or search with mode='dense'.",
            )
        return checked_queries(self.queries)

    def read(self, options: SearchOptions) -> Sequence[str]:
        """What a model reads of the queries, which must be texts; raises InvalidInput."""
        if self.encodings is not None:
            return self.encodings.texts
        texts = self.texts(options)
        return texts if options.mode == "dense" else [encoded_part(text) for text in texts]

    def is_encoded(self, options: SearchOptions) -> bool:
        """Whether what `read` gives has to be encoded for these options."""
        if not self.are_texts or options.mode == "lexical":
            return False
        return self.vectors is None or options.rerank == TOKENS

    def with_encodings(self, encodings: Encodings) -> Questions:
        return Questions(self.queries, self.vectors, encodings)

    def unit_vectors(self, space: Space | None) -> Vectors:
        """The vectors that were given, (n, D) of unit length; raises InvalidInput if they are not of this space."""
        given = self.queries if self.vectors is None else self.vectors
        vectors = unit_queries(given, space.dimension if space else 0)
        if len(vectors) != len(self.queries):
            reason = f"{len(vectors)} vectors are given for {len(self.queries)} queries"
            raise InvalidInput(reason, "Pass one for each, in the same order.")
        return vectors

    def singly(self) -> Sequence[Any] | Any:
        """What a cursor goes on with: each text, vector, or both."""
        if self.vectors is None:
            return self.queries
        return [TextWithVector(*pair) for pair in zip(self.queries, self.vectors, strict=True)]
