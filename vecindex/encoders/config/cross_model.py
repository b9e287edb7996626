"""Describes a cross-encoder: every setting that changes a score, and their fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ...values.space import digest

LABELS = 1
"""How many numbers a cross-encoder gives for a pair; models that give several are refused."""


@dataclass(frozen=True, slots=True)
class CrossModel:
    """A model that reads a query and a text together, and gives the pair a score; see `Space` for the settings.

    ``model`` and ``revision`` say where it came from, and are not part of the fingerprint. ``prompt`` precedes the
    query. ``activation`` makes a score of the number that the model computes.
    """

    model: str
    max_tokens: int
    activation: str
    prompt: str
    weights: str
    tokenizer: str
    architecture: str
    truncation: Literal["right", "left"] = "right"
    precision: str = "fp32"
    revision: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of all settings except model and revision, as canonical JSON; never that of a `Space`."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("model", "revision")}
        return digest({"kind": "cross-encoder", **settings})

    def describe(self) -> str:
        """The model in half a line, for messages."""
        return f"{self.model} (cross-encoder, {self.precision}, fingerprint {self.fingerprint[:12]})"
