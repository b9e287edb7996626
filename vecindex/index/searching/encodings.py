"""What the texts of queries are encoded into, which takes longer than all else that a search does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors.warnings import VecindexWarning
from ...store.manifest import Manifest
from ...store.vectors import Vectors
from ..model import IndexModel

if TYPE_CHECKING:
    from ...encoders.run.tokenized import FloatArray, Tokens
    from ...search.rerank.tokens import Read


@dataclass(frozen=True, slots=True, eq=False)
class Encodings:
    """Texts, encoded for an index as it was then.

    Attributes:
        texts: what was encoded.
        manifest: the index's; with another space in it, the texts have to be encoded again.
        vectors: (n, D), of unit length.
        read: by text, its tokens and their last hidden states, if they were asked for.
        noticed: warnings, each with the position of the text that it is about.
    """

    texts: Sequence[str]
    manifest: Manifest
    vectors: Vectors
    read: Read
    noticed: Sequence[tuple[VecindexWarning, int]]

    @classmethod
    def of(cls, texts: Sequence[str], model: IndexModel, manifest: Manifest, keeps_tokens: bool) -> Encodings:
        """Encodes texts as queries; raises as `IndexModel.query_vectors`."""
        read: dict[str, tuple[Tokens, FloatArray]] = {}
        noticed: list[tuple[VecindexWarning, int]] = []

        def keep(text: str, tokens: Tokens, states: FloatArray) -> None:
            read[text] = tokens, states

        def notice(warning: VecindexWarning, place: int) -> None:
            noticed.append((warning, place))

        vectors = model.query_vectors(texts, manifest.space, keep if keeps_tokens else None, notice)
        return cls(texts, manifest, vectors, read, noticed)

    @classmethod
    def joined(cls, several: Sequence[Encodings]) -> Encodings:
        """Those of single texts for one space as one."""
        return replace(
            several[0],
            texts=[text for each in several for text in each.texts],
            vectors=np.concatenate([each.vectors for each in several]),
            read={text: states for each in several for text, states in each.read.items()},
            noticed=[(warning, place) for place, each in enumerate(several) for warning, _ in each.noticed],
        )

    def singly(self) -> list[Encodings]:
        """One for each text."""
        if len(self.texts) == 1:
            return [self]
        return [
            replace(
                self,
                texts=[text],
                vectors=self.vectors[place : place + 1],
                read={text: self.read[text]} if text in self.read else {},
                noticed=[(warning, 0) for warning, its in self.noticed if its == place],
            )
            for place, text in enumerate(self.texts)
        ]
