"""The root of all errors, and advice in two wordings: as a Python caller says it, and as one types it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

Row = dict[str, Any] | str
"""What was read of a row: its fields by their names, or its line as it is written."""


class Advice(str):
    """What to do, for a Python caller; ``typed`` is the wording for the command line.

    Pass one to an error where the two differ: ``Advice("Leave model= out.", typed="Leave --model out.")``.
    """

    typed: str

    def __new__(cls, python: str, typed: str = "") -> Advice:
        self = super().__new__(cls, python)
        self.typed = typed or python
        return self


class VecindexError(Exception):
    """The root of all errors. ``message`` says what is wrong and where; ``str()`` adds the advice.

    ``row`` is the row that cannot be used, as far as it could be read, if the error is about one.
    """

    # Constructors hand their arguments to Exception unchanged, so that every error can be pickled.

    _advice: str
    row: Row | None = None

    @property
    def message(self) -> str:
        """What is wrong and where, in one line."""
        # A line feed in a path or a text must not split the message in a log or on a terminal.
        return " ".join(self._what().split("\n"))

    @abstractmethod
    def _what(self) -> str: ...

    @property
    def advice(self) -> str:
        """What to do about it, in one line."""
        return self._advice

    @property
    def command_advice(self) -> str:
        """The advice as the command line gives it, with options instead of arguments."""
        return getattr(self.advice, "typed", self.advice)

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"
