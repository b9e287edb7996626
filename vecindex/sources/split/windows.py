"""Fills windows of a number of tokens with sentences: `windows`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]
TokenSpans = Callable[[str], list[Span]]
"""Gives the characters of each token of a text, in order, as `Encoder.token_spans` does."""

_AT_ONCE = 2**14
"""About how many characters are tokenized at a time."""
_KEPT = 2**16
"""How many tokens before the present window may stay in memory."""


def windows(text: str, sentences: Iterable[Span], size: int, overlap: int, token_spans: TokenSpans) -> Iterator[Span]:
    """Spans of at most ``size`` tokens that together hold all tokens of the sentences.

    A window ends at the last end of a sentence that fits. It ends between words where a sentence is too long for one,
    and between tokens where a word is. It begins up to ``overlap`` tokens before the end of the one before, between
    words, and repeats less if a whole sentence then fits. What is between sentences, such as markup, is counted, but no
    window begins or ends in it.

    Tokens are counted within about sixteen thousand characters; a window alone may have one or two more.
    """
    tokens = _Tokens(text, iter(sentences), token_spans)
    begin = done = tokens.next_in_sentence(0)
    while begin is not None and done is not None:
        begin, end = tokens.window(begin, done, size)
        yield tokens.span(begin, end)
        done = tokens.next_in_sentence(end)
        begin = done if done is None else tokens.begin(max(begin + 1, end - overlap), end, done)
        if begin is not None and done is not None and begin > _KEPT:
            tokens.drop(begin)
            begin, done = 0, done - begin


class _Tokens:
    """The tokens of a text, from the present window on, read as far as is needed."""

    def __init__(self, text: str, sentences: Iterator[Span], token_spans: TokenSpans) -> None:
        self._text = text
        self._sentences = sentences
        self._token_spans = token_spans
        self._read_to: int | None = None
        self._spans: list[Span] = []
        self._inside: list[bool] = []
        """Which tokens are in a sentence."""
        self._ends: list[int] = []
        """Before which tokens sentences end, in order."""

    def next_in_sentence(self, number: int) -> int | None:
        """The first token in a sentence from ``number`` on, or None if there is none."""
        while self._has(number):
            if self._inside[number]:
                return number
            number += 1
        return None

    def window(self, begin: int, done: int, size: int) -> tuple[int, int]:
        """Where the window begins and ends that begins at ``begin`` at the earliest and holds more than is ``done``."""
        if end := self._sentence_end(done, begin + size):
            return begin, end
        if begin < done:  # it repeats less, if a whole sentence then fits
            if end := self._first_sentence_end(done, done + size):
                return self.begin(end - size, done, done), end
            if self._cut(done, begin + size) is None:
                begin = done
        end = self._cut(done, begin + size)
        if end is None:  # one character has more tokens than a window
            end = done + 1
            while not self._between_characters(end):
                end += 1
        return begin, end

    def _sentence_end(self, done: int, limit: int) -> int | None:
        """The last end of a sentence after ``done`` and up to ``limit``."""
        self._has(limit)
        place = bisect_right(self._ends, limit)
        return self._ends[place - 1] if place and self._ends[place - 1] > done else None

    def _first_sentence_end(self, done: int, limit: int) -> int | None:
        self._has(limit)
        place = bisect_right(self._ends, done)
        return self._ends[place] if place < len(self._ends) and self._ends[place] <= limit else None

    def _cut(self, done: int, limit: int) -> int | None:
        """The last place between words after ``done`` and up to ``limit``, or between characters if there is none."""
        self._has(limit)
        for fits in (self._between_words, self._between_characters):
            for at in range(limit, done, -1):
                if fits(at):
                    return at
        return None

    def begin(self, earliest: int, end: int, done: int) -> int:
        """Where the window after one that ends at ``end`` begins; ``done`` is the first token that it must hold."""
        for at in range(earliest, end):
            if self._inside[at] and (self._between_words(at) or self._ends_sentence(at)):
                return at
        return done

    def span(self, begin: int, end: int) -> Span:
        """The characters of the tokens from ``begin`` to before ``end``."""
        return self._spans[begin][0], self._spans[end - 1][1]

    def drop(self, number: int) -> None:
        """Forgets the first ``number`` tokens; the others are counted from 0 again."""
        del self._spans[:number], self._inside[:number]
        self._ends = [end - number for end in self._ends if end > number]

    def _has(self, number: int) -> bool:
        """Whether there is a token with this number."""
        while len(self._spans) <= number and (batch := self._batch()):
            self._add(batch)
        return len(self._spans) > number

    def _batch(self) -> list[Span]:
        batch: list[Span] = []
        for span in self._sentences:
            batch.append(span)
            if span[1] - batch[0][0] >= _AT_ONCE:
                break
        return batch

    def _add(self, batch: list[Span]) -> None:
        first = batch[0][0] if self._read_to is None else self._read_to
        self._read_to = batch[-1][1]
        sentences = iter(batch)
        start, end = next(sentences)
        for at, stop in self._token_spans(self._text[first : self._read_to]):
            at, stop = first + at, first + stop
            if self._text[at:stop].isspace():
                continue
            while at >= end:
                self._ends.append(len(self._spans))
                start, end = next(sentences)
            self._spans.append((at, stop))
            self._inside.append(stop > start)
        self._ends.append(len(self._spans))

    def _ends_sentence(self, number: int) -> bool:
        place = bisect_right(self._ends, number)
        return place > 0 and self._ends[place - 1] == number

    def _between_words(self, number: int) -> bool:
        if not self._has(number):
            return True
        start = self._spans[number][0]
        return self._between_characters(number) and (start == 0 or self._text[start - 1].isspace())

    def _between_characters(self, number: int) -> bool:
        return not self._has(number) or number == 0 or self._spans[number][0] >= self._spans[number - 1][1]
