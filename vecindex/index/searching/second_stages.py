"""What orders the best hits of an open index's searches again, and what that keeps between searches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ...errors import Advice, InvalidInput
from ...search.options import SearchOptions
from ...search.rerank.second_stage import SecondStage
from ...values.space import Space
from ..model import IndexModel

if TYPE_CHECKING:
    from ...encoders.cross.cross_encoder import CrossEncoder
    from ...search.rerank.stored_tokens import TokenStore
    from ...search.rerank.tokens import Read

Progress = Callable[[int, int], None]


class SecondStages:
    """Makes the second stage of a search; ``model`` gives that of the index, which a migration changes."""

    def __init__(self, model: Callable[[], IndexModel]) -> None:
        self._model = model
        self._lock = threading.Lock()  # searches in several threads load a cross-encoder once
        self._cross: tuple[str, CrossEncoder] | None = None

    @cached_property
    def stored_tokens(self) -> TokenStore:
        """The stored token vectors of the index."""
        from ...search.rerank.stored_tokens import TokenStore  # only a search with rerank="tokens" needs it

        return TokenStore()

    def tokens(
        self, texts: Sequence[str], space: Space | None, options: SearchOptions, read: Read, has_records: bool
    ) -> SecondStage | None:
        """Compares the tokens of these queries; None if there is nothing to find.

        ``space`` is None as long as no record has a vector. ``read`` has the queries whose tokens already have vectors.

        Raises:
            InvalidInput: the index holds vectors made elsewhere.
            SpaceMismatch, ModelNotFound.
        """
        if space is None and (options.mode == "dense" or not has_records):
            return None
        if space is not None and space.is_external:
            raise InvalidInput(
                f"the index holds vectors made elsewhere ({space.model}), and no model that could compare tokens",
                Advice(
                    "Search without rerank=, or pass a cross-encoder.",
                    typed="Search without --rerank, or pass a cross-encoder.",
                ),
            )
        from ...search.rerank.tokens import TokenStage  # other searches need none of it

        return TokenStage(self._model().encoder(space), self.stored_tokens, texts, options.rerank_ms, read)

    def cross(self, texts: Sequence[str], name: str, milliseconds: float, progress: Progress | None) -> SecondStage:
        """Reads these queries and the records' texts with the cross-encoder that has this folder or name.

        Raises:
            ModelNotFound, UnsupportedModel, MissingExtra.
        """
        from ...search.rerank.cross import CrossStage  # other searches need none of it

        return CrossStage(self._cross_encoder(name), texts, milliseconds, progress)

    def _cross_encoder(self, name: str) -> CrossEncoder:
        """The one that was asked for last is kept."""
        from ...encoders.cross.load import load_cross_encoder

        with self._lock:
            if self._cross is None or self._cross[0] != name:
                settings = self._model().settings
                self._cross = name, load_cross_encoder(name, offline=settings.offline, threads=settings.threads)
            return self._cross[1]
