"""What is worth saying although nothing failed: the warnings of the library, and how they reach whoever called it.

::

    VecindexWarning                                   also a UserWarning
    ├── QueryTruncated(tokens, limit, model, query)
    ├── QueryUnknown(model, what)
    └── FilterWarning(field, asked, in_list, held, items, known)

They are ordinary Python warnings: `warnings.simplefilter("error", vecindex.VecindexWarning)` makes errors of them, and
"ignore" silences them. The command line prints them on standard error, each in one line.
"""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod


class VecindexWarning(UserWarning):
    """The root of the tree. ``message`` says what, ``advice`` what to do; ``str()`` gives both in one line."""

    # The constructor's arguments are handed to UserWarning unchanged, so that every warning pickles.

    @property
    @abstractmethod
    def message(self) -> str:
        """What is noticed, in one line. It quotes no text: Python remembers each message that it has shown."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to do about it, in one line."""

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


class QueryTruncated(VecindexWarning):
    """A query is longer than the model reads, and its end is not in the scores.

    It has ``tokens``, and ``model`` reads ``limit`` of them; ``query`` is its position among several, from 0, and None
    where it was asked alone.
    """

    def __init__(self, tokens: int, limit: int, model: str, query: int | None = None) -> None:
        super().__init__(tokens, limit, model, query)
        self.tokens, self.limit, self.model, self.query = tokens, limit, model, query

    @property
    def message(self) -> str:
        return f"{named(self.query)} has {self.tokens} tokens, and {self.model} reads only {self.limit} of them"

    @property
    def advice(self) -> str:
        return "Shorten it, or search for its parts one by one."


class FilterWarning(VecindexWarning):
    """A test in a filter can match nothing that is stored: no record has its field, or none with such a value.

    ``field`` is as it is written in a filter, ``asked`` the kind of value that the test asks for, in words, empty for
    any, and ``in_list`` says that it asks for an item of a list. ``held`` are the kinds of value that the records hold
    there, ``items`` those in their lists; where they hold none, ``known`` are fields that they have.
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
            return f"the filter asks for the field {self.field}, and no record has it"
        if self.in_list:
            holds = (
                f"the lists there hold {_listed(self.items)}"
                if self.items
                else f"{self.field} holds {_listed(self.held)}"
            )
            return f"the filter asks whether a list in {self.field} contains {self.asked}, and {holds}"
        return f"the filter compares {self.field} with {self.asked}, and {self.field} holds {_listed(self.held)}"

    @property
    def advice(self) -> str:
        if not self.held:
            if f'"{self.field}"' in self.known:
                return f'A name that has a dot of its own is written in double quotes: "{self.field}".'
            return f"There are, for example: {', '.join(self.known)}." if self.known else "No record has metadata."
        if self.asked == "null":
            return f"To find records without it: {self.field} is null"
        if self.in_list and not self.items:
            text = f"text within a string by like, as in: {self.field} like '%...%'"
            return f"contains is for lists; other values are found by =, {text}."
        if "lists" in self.held and not self.in_list:
            return f"To look for a value in a list: {self.field} contains 'cats'"
        return _WRITTEN[(self.items or self.held)[0]]


_WRITTEN = {
    "null": "Values of different kinds never match.",
    "true or false": "Write true or false, or store other values.",
    "numbers": "Write a number, without quotes, or store other values.",
    "strings": "Write a string, in single quotes, or store other values.",
    "lists": "A list in a list cannot be looked into.",
    "objects": "What is within an object is written with a dot, as in author.name.",
}


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(words) if words else "nothing"


class QueryUnknown(VecindexWarning):
    """``model`` knows no token of ``what`` was searched with, "the query" say: which records come first means nothing.

    Emoji are such, and scripts that its vocabulary lacks.
    """

    def __init__(self, model: str, what: str) -> None:
        super().__init__(model, what)
        self.model, self.what = model, what

    @property
    def message(self) -> str:
        return f"{self.model} knows no token of {self.what}, and so the order of the hits means nothing"

    @property
    def advice(self) -> str:
        return "Ask in words that it knows, or give the index a model for that script with `migrate`."


def named(query: int | None) -> str:
    """What to call a query at this position among several, or alone."""
    return "the query" if query is None else f"query {query}"


def warn(warning: VecindexWarning) -> None:
    """Issues a warning on behalf of the line of the caller's own code that called this package."""
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
