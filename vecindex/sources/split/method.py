"""Says how documents are cut into pieces, as in ``--split``: `Split`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import InvalidInput
from ...values.scalars import shown

Method = Literal["sentence", "paragraph", "line", "none", "tokens"]

WAYS = "sentence, paragraph, line, none, tokens:N or tokens:N,overlap:M"
_TOKENS = re.compile(r"tokens:([0-9]{1,9})(?:,overlap:([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Split:
    """How to cut a document.

    ``method`` says at what: "sentence" at the ends of sentences, "paragraph" at blank lines, "line" at the ends of
    lines, "none" nowhere, and "tokens" into windows of at most ``tokens`` tokens of the model, of which each repeats up
    to ``overlap`` of the one before. Pieces with fewer than ``join_short`` characters are joined to the next one.
    """

    method: Method = "sentence"
    tokens: int = 0
    overlap: int = 0
    join_short: int = 0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise _wrong(self.method)
        if (self.method == "tokens") != (self.tokens > 0) or self.overlap < 0:
            raise InvalidInput(f"{self.method} with {self.tokens} tokens", f"Use one of: {WAYS}; N is 1 or more.")
        if self.overlap and self.overlap >= self.tokens:
            raise InvalidInput(
                f"an overlap of {self.overlap} tokens in windows of {self.tokens}",
                "Pass an overlap that is smaller than the window, such as tokens:200,overlap:40.",
            )
        if self.join_short < 0:
            raise InvalidInput(f"join_short is {self.join_short}", "Pass a number of characters, or 0 to join nothing.")

    @classmethod
    def parse(cls, written: str, join_short: int = 0) -> Split:
        """The way that is written as for ``--split``; raises InvalidInput if there is none like it."""
        if isinstance(written, str):
            for method in get_args(Method):
                if written == method != "tokens":
                    return cls(method, join_short=join_short)
            if found := _TOKENS.fullmatch(written.replace(" ", "")):
                return cls("tokens", int(found[1]), int(found[2] or 0), join_short)
        raise _wrong(written)

    def __str__(self) -> str:
        if self.method != "tokens":
            return self.method
        return f"tokens:{self.tokens}" + (f",overlap:{self.overlap}" if self.overlap else "")


def _wrong(written: object) -> InvalidInput:
    return InvalidInput(f"the way to split {shown(written)} is unknown", f"Use one of: {WAYS}.")
