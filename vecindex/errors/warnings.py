"""The warnings of this package, and how they reach the caller.

::

    VecindexWarning                                   also a UserWarning
    ├── QueryTruncated(tokens, limit, model, query)
    ├── QueryUnknown(model, what)
    ├── RerankUnfinished(reranked, hits, milliseconds)
    ├── PhraseNotFound(phrases)
    ├── FilterWarning(field, asked, in_list, held, items, known)
    ├── GroupWarning(field, known)
    └── PagesWithoutText(path, pages)

They are ordinary Python warnings: `warnings.simplefilter("error", vecindex.VecindexWarning)` turns them into errors,
and "ignore" silences them. The command line prints each in one line on standard error.
"""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .advice import Advice

_LONGEST = 200
"""As many characters are quoted at most."""


class VecindexWarning(UserWarning):
    """The root of all warnings. ``message`` says what was noticed; ``str()`` adds the advice, in one line."""

    # Constructors hand their arguments to UserWarning unchanged, so that every warning can be pickled.

    @property
    @abstractmethod
    def message(self) -> str:
        """What was noticed, in one line. It quotes no long text, since Python remembers every message it has shown."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to do about it, in one line."""

    def among(self, query: int) -> VecindexWarning:
        """The same about one query of several, the one at this position."""
        return self

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


class QueryTruncated(VecindexWarning):
    """A query is longer than the model reads, and its end does not affect the scores.

    It has ``tokens`` tokens, of which ``model`` reads ``limit``. ``query`` is its position among several, from 0, or
    None for a single query.
    """

    def __init__(self, tokens: int, limit: int, model: str, query: int | None = None) -> None:
        super().__init__(tokens, limit, model, query)
        self.tokens, self.limit, self.model, self.query = tokens, limit, model, query

    def among(self, query: int) -> QueryTruncated:
        return QueryTruncated(self.tokens, self.limit, self.model, query)

    @property
    def message(self) -> str:
        return f"{named(self.query)} has {self.tokens} tokens, and {self.model} reads only {self.limit} of them"

    @property
    def advice(self) -> str:
        return "Shorten it, or split it into several queries."


class FilterWarning(VecindexWarning):
    """A condition of a filter cannot match any record: none has its field, or none has a value of that type there.

    ``field`` is written as in a filter. ``asked`` names the type of value that the condition asks for, or is empty for
    any, and ``in_list`` says that it asks for an item of a list. ``held`` names the types of value that the records
    have in the field, and ``items`` those in their lists. If they have none, ``known`` are fields that they do have.
    """

    def __init__(
        self,
        field: str,
        asked: str,
        in_list: bool = False,
        held: tuple[str, ...] = (),
        items: tuple[str, ...] = (),
        known: tuple[str, ...] = (),
    ) -> None:
        super().__init__(field, asked, in_list, held, items, known)
        self.field, self.asked, self.in_list = field, asked, in_list
        self.held, self.items, self.known = held, items, known

    @property
    def message(self) -> str:
        if not self.held:
            return f"the filter asks for the field {self.field}, but no record has it"
        if self.in_list:
            holds = (
                f"the lists there hold {_listed(self.items)}"
                if self.items
                else f"{self.field} holds {_listed(self.held)}"
            )
            return f"the filter asks whether a list in {self.field} contains {self.asked}, but {holds}"
        return f"the filter compares {self.field} with {self.asked}, but {self.field} holds {_listed(self.held)}"

    @property
    def advice(self) -> str:
        if not self.held:
            if f'"{self.field}"' in self.known:
                return f'Write a name that contains a dot in double quotes: "{self.field}".'
            return f"Fields include: {', '.join(self.known)}." if self.known else "No record has metadata."
        if self.asked == "null":
            return f"To find records without it, use: {self.field} is null"
        if self.in_list and not self.items:
            return f"contains is for lists; use = for whole values, or {self.field} like '%...%' for part of a string."
        if "lists" in self.held and not self.in_list:
            return f"To find a value in a list, use: {self.field} contains 'cats'"
        return _WRITTEN[(self.items or self.held)[0]]


_WRITTEN = {
    "null": "Values of different types never match.",
    "true or false": "Write true or false, or store other values.",
    "numbers": "Write a number without quotes, or store other values.",
    "strings": "Write a string in single quotes, or store other values.",
    "lists": "A filter cannot look into a list within a list.",
    "objects": "Use a dot for a field within an object, as in author.name.",
}


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(words) if words else "nothing"


class GroupWarning(VecindexWarning):
    """Hits are to be grouped by ``field``, which no record has; ``known`` are some fields that records do have."""

    def __init__(self, field: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(field, known)
        self.field, self.known = field, known

    @property
    def message(self) -> str:
        return f"hits are grouped by {self.field}, but no record has that field"

    @property
    def advice(self) -> str:
        return FilterWarning(self.field, "", known=self.known).advice


class QueryUnknown(VecindexWarning):
    """``model`` knows no token of ``what`` (such as "the query"), so the order of the hits is meaningless.

    Emoji are an example, and scripts that its vocabulary lacks.
    """

    def __init__(self, model: str, what: str) -> None:
        super().__init__(model, what)
        self.model, self.what = model, what

    def among(self, query: int) -> QueryUnknown:
        return QueryUnknown(self.model, named(query))

    @property
    def message(self) -> str:
        return f"{self.model} knows no token of {self.what}, so the order of the hits is meaningless"

    @property
    def advice(self) -> str:
        return "Use words that it knows, or change to a model for that script with `migrate`."


class RerankUnfinished(VecindexWarning):
    """Only ``reranked`` of the ``hits`` that were to be ordered again could be read in ``milliseconds`` a query."""

    def __init__(self, reranked: int, hits: int, milliseconds: float) -> None:
        super().__init__(reranked, hits, milliseconds)
        self.reranked, self.hits, self.milliseconds = reranked, hits, milliseconds

    @property
    def message(self) -> str:
        return (
            f"{self.reranked:,} of the best {self.hits:,} hits were reranked within {self.milliseconds:g} ms; the "
            "others keep their order behind them"
        )

    @property
    def advice(self) -> str:
        return Advice("Give it more time with rerank_ms=.", typed="Give it more time with --rerank-ms.")


class PhraseNotFound(VecindexWarning):
    """No record has all ``phrases`` of a query, so their words were looked for like its others."""

    def __init__(self, phrases: tuple[str, ...]) -> None:
        super().__init__(phrases)
        self.phrases = phrases

    @property
    def message(self) -> str:
        what = "the phrase" if len(self.phrases) == 1 else "all of"
        quoted = ", ".join(f'"{phrase}"' for phrase in self.phrases)
        if len(quoted) > _LONGEST:
            quoted = quoted[:_LONGEST] + "..."
        return f"no record that may be found has {what} {quoted}; the words were looked for without the quotation marks"

    @property
    def advice(self) -> str:
        return "Put only what has to stand in a text word for word in quotation marks."


class PagesWithoutText(VecindexWarning):
    """``pages`` of a PDF, such as "pages 3-7", hold images and no text, so nothing of them can be found."""

    def __init__(self, path: str, pages: str) -> None:
        super().__init__(path, pages)
        self.path, self.pages = path, pages

    @property
    def message(self) -> str:
        return f"{self.path}: {self.pages} hold{'s' if self.pages.startswith('page ') else ''} images only"

    @property
    def advice(self) -> str:
        return "To find their text, recognise it first, for example with: ocrmypdf --skip-text IN.pdf OUT.pdf"


def named(query: int | None) -> str:
    """What to call a query at this position among several, or a single query."""
    return "the query" if query is None else f"query {query}"


_gathering: ContextVar[list[VecindexWarning] | None] = ContextVar("_gathering", default=None)


@contextmanager
def gathered() -> Iterator[list[VecindexWarning]]:
    """Gathers the warnings of what this thread does, instead of issuing them: Python's way is that of all threads."""
    found: list[VecindexWarning] = []
    before = _gathering.set(found)
    try:
        yield found
    finally:
        _gathering.reset(before)


def warn(warning: VecindexWarning) -> None:
    """Issues a warning that names the line of the caller's code that called this package, or has it `gathered`."""
    gathering = _gathering.get()
    if gathering is not None:
        gathering.append(warning)
        return
    passed = (__name__.split(".")[0], "contextlib")
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in passed:
        frame = frame.f_back
    warnings.warn_explicit(
        warning,
        type(warning),
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__", "<unknown>"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
