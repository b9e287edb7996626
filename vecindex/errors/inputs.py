"""Errors in what a caller gave: arguments, filters, texts and sources."""

from __future__ import annotations

from .advice import Advice, VecindexError

_Origin = tuple[str, int | None, str]
"""See `values.records.Origin`."""


class InvalidInput(VecindexError, ValueError):
    """An argument cannot be used."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self._reason = message
        self._advice = advice

    def _what(self) -> str:
        return self._reason


class TextTooLong(InvalidInput):
    """A text is longer than the model reads, and ``on_long="error"`` was given.

    ``item`` is its position in the input, from 0, ``origin`` says where it was read, if it was, and
    ``text`` is how it begins. It has ``tokens`` tokens, of which ``model`` reads ``limit``.
    """

    _advice = Advice(
        'Shorten it, or pass another on_long=: "split", "mean" or "truncate".',
        typed="Shorten it, or use another --on-long: split, mean or truncate.",
    )

    def __init__(
        self,
        item: int,
        key: str,
        text: str,
        tokens: int,
        limit: int,
        model: str,
        origin: _Origin | None = None,
    ) -> None:
        VecindexError.__init__(self, item, key, text, tokens, limit, model, origin)
        self.item, self.key, self.text, self.origin = item, key, text, origin
        self.tokens, self.limit, self.model = tokens, limit, model

    @property
    def reason(self) -> str:
        """The message without the item."""
        return f"the text {self.text!r}... has {self.tokens} tokens, and {self.model} reads only {self.limit}"

    def _what(self) -> str:
        return f"{_where(self.item, self.key, self.origin)}: {self.reason}"


class TextWithoutToken(InvalidInput):
    """A text has no tokens for the model, which adds none of its own, so there is nothing to make a vector of.

    ``text`` is how it begins. ``prompted`` says that a prompt precedes it, whose tokens do not count. ``item`` and
    ``origin`` are as in `TextTooLong`; ``item`` and ``key`` are None if the text was encoded without an index.
    """

    _advice = Advice(
        "This model adds no tokens of its own: leave the text out, or pass on_bad= to skip such texts.",
        typed="This model adds no tokens of its own: leave the text out, or skip such texts with --skip-bad.",
    )

    def __init__(
        self,
        text: str,
        prompted: bool,
        item: int | None = None,
        key: str | None = None,
        origin: _Origin | None = None,
    ) -> None:
        VecindexError.__init__(self, text, prompted, item, key, origin)
        self.text, self.prompted, self.item, self.key, self.origin = text, prompted, item, key, origin

    @property
    def reason(self) -> str:
        """The message without the item."""
        return f"the text {self.text!r} has no tokens{' after the prompt' if self.prompted else ''}"

    def _what(self) -> str:
        return self.reason if self.item is None else f"{_where(self.item, self.key, self.origin)}: {self.reason}"


def _where(item: int, key: str | None, origin: _Origin | None) -> str:
    return f"item {item}, {key!r}" if origin is None else located(*origin)


class InvalidFilter(VecindexError, ValueError):
    """A filter cannot be parsed; ``position`` counts the characters of ``expression`` from 0."""

    _advice = Advice(
        "Write it like \"lang = 'en' and year >= 2020\", or {'lang': 'en', 'year': {'$gte': 2020}}.",
        typed="Write it like \"lang = 'en' and year >= 2020\".",
    )

    def __init__(self, reason: str, expression: str, position: int) -> None:
        super().__init__(reason, expression, position)
        self.reason = reason
        self.expression = expression
        self.position = position

    def _what(self) -> str:
        shown = _around(self.expression, self.position)
        return f"invalid filter {shown!r}, at position {self.position}: {self.reason}"


def _around(text: str, position: int, before: int = 80, after: int = 120) -> str:
    """The text, or if it is long only what is around this position."""
    if len(text) <= before + after:
        return text
    start = max(0, min(position - before, len(text) - before - after))
    stop = start + before + after
    return ("..." if start else "") + text[start:stop] + ("..." if stop < len(text) else "")


class CursorExpired(VecindexError):
    """The index was changed so that the order of hits, in which a cursor marks a place, is gone.

    The cursor was ``made`` at one commit, and the index is ``now`` at another; both may be the same if only what is
    derived from the records has changed.
    """

    _advice = Advice(
        "Start again from the first page: search without cursor=.",
        typed="Start again from the first page: search without --cursor.",
    )

    def __init__(self, made: int, now: int, reason: str) -> None:
        super().__init__(made, now, reason)
        self.made, self.now, self.reason = made, now, reason

    def _what(self) -> str:
        return f"the cursor of commit {self.made} has expired at commit {self.now}: {self.reason}"


class SourceError(VecindexError):
    """Something in an input cannot be used.

    ``line`` counts from 1, and is None if the whole input is meant. Where ``unit`` is not "line", it is the number of a
    page, a row or whatever ``unit`` says.
    """

    _advice: str = Advice("Fix it, or leave it out.", typed="Fix it, or skip bad rows with --skip-bad.")

    def __init__(self, path: str, line: int | None, reason: str, advice: str | None = None, unit: str = "line") -> None:
        super().__init__(path, line, reason, advice, unit)
        self.path = path
        self.line = line
        self.reason = reason
        self.unit = unit
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"{located(self.path, self.line, self.unit)}: {self.reason}"


def located(path: str, place: int | None, unit: str = "line") -> str:
    """Names a place in a source, like ``notes.txt:3`` or ``report.pdf, page 3``."""
    if place is None:
        return path
    return f"{path}:{place}" if unit == "line" else f"{path}, {unit} {place}"
