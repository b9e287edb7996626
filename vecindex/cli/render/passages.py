"""Joins hits that are near each other in one document into passages, so that no sentence is shown twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ...values.records import Hit

Passage: TypeAlias = "list[Hit | str]"
"""Hits and the sentences around them, in the order of their document."""


def passages(hits: Sequence[Hit]) -> list[Passage]:
    """Each hit with the sentences around it; in the order of the best hit of each passage."""
    found: list[_Span] = []
    for hit in hits:
        span = _Span(hit)
        while other := next((each for each in found if each.meets(span)), None):
            found.remove(other)
            span = other.joined(span)
        found.append(span)
    found.sort(key=lambda span: span.best)
    return [[span.sentences[number] for number in sorted(span.sentences)] for span in found]


class _Span:
    """Successive sentences of one document by their positions; ``best`` is the place of the first hit among them."""

    def __init__(self, hit: Hit) -> None:
        position = hit.position or 0
        self.document = hit.document if hit.before or hit.after else None
        self.best = hit.rank
        self.sentences: dict[int, Hit | str] = {
            **dict(enumerate(hit.before, position - len(hit.before))),
            position: hit,
            **dict(enumerate(hit.after, position + 1)),
        }

    def meets(self, other: _Span) -> bool:
        """Whether the two are of one document, touch, and have the same texts where both have one."""
        mine, theirs = self.sentences, other.sentences
        return (
            self.document is not None
            and self.document == other.document
            and min(mine) <= max(theirs) + 1
            and min(theirs) <= max(mine) + 1
            and all(_text(mine[number]) == _text(theirs[number]) for number in mine.keys() & theirs.keys())
        )

    def joined(self, later: _Span) -> _Span:
        """The sentences of both; a hit is kept as one."""
        for number, sentence in later.sentences.items():
            if isinstance(self.sentences.get(number, ""), str):
                self.sentences[number] = sentence
        return self


def _text(sentence: Hit | str) -> str:
    return sentence if isinstance(sentence, str) else sentence.text
