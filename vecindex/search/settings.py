"""How are codes made, and how widely does a search look into them: the settings, which are stored with the codes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

FAST, MASKED = PARTS = ("fast", "masked")
DOUBT = 0.01
"""The default for `Settings.doubt`. Measured (100,000 real vectors of 384, one bit): recall 1.0, and this many queries
asked again: 14.6 % with 10 candidates a hit, some 10 % with the default of 12, 6.4 % with 15, 4.2 % with 20."""
SAMPLE = 65_536
"""Codes are trained on at most so many rows."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How codes are made and how widely a search looks into them. Raises ValueError for values that make no sense."""

    bits: int
    """Bits a dimension: 1, 2 or 4."""
    factor: int
    """Candidates for each hit wanted, before widening."""
    lists: int = 0
    """Clusters; 0 stands for flat codes, all of which are looked at."""
    probes: int = 0
    """Clusters looked into."""
    doubt: float = DOUBT
    """The share of hits expected among rows that were not proposed, up to which these are left; 1: without asking."""
    recall: float | None = None
    """The ann_recall@10 that was measured; None: it was not."""
    measured: str | None = None
    """When, as an ISO date."""

    def __post_init__(self) -> None:
        whole = (self.bits, self.factor, self.lists, self.probes)
        if any(type(number) is not int for number in whole):
            raise ValueError(f"bits, factor, lists and probes are whole numbers, not {whole}")
        if self.bits not in (1, 2, 4):
            raise ValueError(f"bits is 1, 2 or 4, not {self.bits}")
        if not 1 <= self.factor <= 10_000:
            raise ValueError(f"factor is 1 to 10,000, not {self.factor}")
        if not 0 <= self.lists <= SAMPLE or not min(self.lists, 1) <= self.probes <= self.lists:
            raise ValueError(f"probes is 1 to lists, both 0 for flat codes; not {self.probes} of {self.lists}")
        for name, low, high in (("doubt", 0.0, 1.0), ("recall", 0.0, 1.0)):
            value = getattr(self, name)
            if value is None and name == "recall":
                continue
            if type(value) not in (int, float) or not low <= value <= high:
                raise ValueError(f"{name} is a number from {low} to {high}, not {value!r}")
        if not isinstance(self.measured, (str, type(None))):
            raise ValueError(f"measured is a date, not {self.measured!r}")

    def describe(self) -> str:
        """The settings in half a line, for people."""
        kind = f"{self.lists} clusters, {self.probes} looked into, " if self.lists else ""
        return f"{kind}{self.bits} bit{'s' if self.bits > 1 else ''} a dimension, {self.factor} candidates a hit"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` wrote. Raises ValueError for anything else."""
        return _from_json(text)


@lru_cache(maxsize=16)
def _from_json(text: str) -> Settings:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("these are no settings of codes: they are nested too deep") from None
    if not isinstance(found, dict) or not {"bits", "factor"} <= set(found) <= {f.name for f in fields(Settings)}:
        raise ValueError(f"these are no settings of codes: {text[:200]}")
    return Settings(**found)


def default_settings(dimension: int) -> Settings | None:
    """The settings for vectors of ``dimension`` numbers; None where codes gain little over the exact scan.

    Measured with 100,000 real vectors (of 384 numbers, cut by PCA to fewer): the recall is 0.9995 or more. See
    `DOUBT` for how many queries are asked again.
    """
    if dimension >= 256:
        return Settings(bits=1, factor=12)
    if dimension >= 48:
        return Settings(bits=2 if dimension >= 96 else 4, factor=10)
    return None


def parts(settings: Settings) -> tuple[str, ...]:
    """The parts that codes of these settings consist of, the one for searches without a filter first."""
    return (MASKED,) if settings.lists else PARTS
