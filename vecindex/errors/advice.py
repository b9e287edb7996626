"""What does every error say: what is wrong and where, and what to do about it, as one says it in Python or types it."""

from __future__ import annotations

from abc import abstractmethod


class Advice(str):
    """What to do, as one says it in Python; ``typed`` says the same to whoever typed a command.

    Where the two differ, an error is given one of these: ``Advice("Leave model= out.", typed="Leave --model out.")``.
    """

    typed: str

    def __new__(cls, python: str, typed: str = "") -> Advice:
        self = super().__new__(cls, python)
        self.typed = typed or python
        return self


class VecindexError(Exception):
    """The root of the tree. ``message`` says what and where, ``advice`` what to do; ``str()`` gives both."""

    # The constructor's arguments are handed to Exception unchanged, so that every error pickles.

    @property
    def message(self) -> str:
        """What is wrong and where, in one line."""
        # A path or a text may hold line feeds; a log or a terminal must not take its rest for a message of its own.
        return " ".join(self._what().split("\n"))

    @abstractmethod
    def _what(self) -> str: ...

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to do about it, in one line."""

    @property
    def command_advice(self) -> str:
        """The advice as the command line gives it, with options instead of arguments."""
        return getattr(self.advice, "typed", self.advice)

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"
