"""The settings of codes: how they are made and how widely a search looks into them. They are stored with the codes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

FAST, MASKED = VARIANTS = ("fast", "masked")
DOUBT = 0.01
"""The default of `CodeSettings.doubt`. Measured on 100,000 real vectors of 384 dimensions, one bit: the recall is 1.0.
The share of queries that are widened is 14.6 % with 10 candidates a hit, 10 % with the default of 12, 6.4 % with 15 and
4.2 % with 20."""
SAMPLE = 65_536
"""The largest number of rows that codes are trained on."""


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """How codes are made and how widely a search looks into them. Raises ValueError for values out of range."""

    bits: int
    """Bits a dimension: 1, 2 or 4."""
    factor: int
    """Candidates for each wanted hit, before widening."""
    lists: int = 0
    """Clusters; 0 stands for flat codes, which are scanned whole."""
    probes: int = 0
    """Clusters that a search scans."""
    doubt: float = DOUBT
    """The share of hits that may be expected outside the candidates before a search is widened; 1 never widens it."""
    recall: float | None = None
    """The measured ann_recall@10; None if it was not measured."""
    measured: str | None = None
    """When, as an ISO date."""

    def __post_init__(self) -> None:
        whole = (self.bits, self.factor, self.lists, self.probes)
        if any(type(number) is not int for number in whole):
            raise ValueError(f"bits, factor, lists and probes must be whole numbers, not {whole}")
        if self.bits not in (1, 2, 4):
            raise ValueError(f"bits must be 1, 2 or 4, not {self.bits}")
        if not 1 <= self.factor <= 10_000:
            raise ValueError(f"factor must be from 1 to 10,000, not {self.factor}")
        if not 0 <= self.lists <= SAMPLE or not min(self.lists, 1) <= self.probes <= self.lists:
            raise ValueError(
                f"probes must be from 1 to lists, or both 0 for flat codes, not {self.probes} of {self.lists}"
            )
        for name in ("doubt", "recall"):
            value = getattr(self, name)
            if value is None and name == "recall":
                continue
            if type(value) not in (int, float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number from 0 to 1, not {value!r}")
        if not isinstance(self.measured, (str, type(None))):
            raise ValueError(f"measured must be a date, not {self.measured!r}")

    def describe(self) -> str:
        """The settings in half a line, for people."""
        kind = f"{self.probes} of {self.lists} clusters scanned, " if self.lists else ""
        return f"{kind}{self.bits} bit{'s' if self.bits > 1 else ''} a dimension, {self.factor} candidates a hit"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CodeSettings:
        """Reads what `to_json` wrote. Raises ValueError for anything else."""
        return _from_json(text)


@lru_cache(maxsize=16)
def _from_json(text: str) -> CodeSettings:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("the settings of the codes are nested too deeply") from None
    if not isinstance(found, dict) or not {"bits", "factor"} <= set(found) <= {f.name for f in fields(CodeSettings)}:
        raise ValueError(f"invalid settings of codes: {text[:200]}")
    return CodeSettings(**found)


def default_settings(dimension: int) -> CodeSettings | None:
    """The settings for vectors of ``dimension`` numbers; None where codes gain little over the exact scan.

    Measured on 100,000 real vectors of 384 dimensions, reduced by PCA for the smaller ones: the recall is at least
    0.9995. `DOUBT` tells how many queries are widened.
    """
    if dimension >= 256:
        return CodeSettings(bits=1, factor=12)
    if dimension >= 48:
        return CodeSettings(bits=2 if dimension >= 96 else 4, factor=10)
    return None


def variants(settings: CodeSettings) -> tuple[str, ...]:
    """The variants in which codes of these settings are kept, the one for searches without a filter first."""
    return (MASKED,) if settings.lists else VARIANTS
