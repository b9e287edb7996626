"""Values of many types to pass as arguments: most are wrong for a parameter, and some stand for a right one."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import importlib
import io
import json
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .toy import DIMENSION

torch = pytest.importorskip("torch")


def optional(name: str) -> Any:
    """The library, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


pandas, polars, pyarrow = optional("pandas"), optional("polars"), optional("pyarrow")


class Colour(enum.Enum):
    RED = "red"


class Named(str, enum.Enum):
    RED = "red"


class Text(str):
    """A string whose str() is different."""

    def __str__(self) -> str:
        return "different"


class WithItems:
    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: int) -> Any:
        return self._items[place]


class Hostile:
    """Raises from most operations."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no array")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    __hash__ = object.__hash__


def self_containing() -> list[Any]:
    it: list[Any] = []
    it.append(it)
    return it


STAMP = datetime.datetime(2020, 1, 2)
# Values, each with the kinds of parameter that accept it, or that judge it by its content.
ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, ""),
    "True": (lambda: True, "flag"),
    "5": (lambda: 5, "whole real"),
    "-1": (lambda: -1, "real"),
    "2.5": (lambda: 2.5, "real"),
    "NaN": (lambda: float("nan"), ""),
    "a large integer": (lambda: 10**400, "whole"),
    "a complex number": (lambda: 1j, ""),
    "the empty string": (str, "text path field where columns"),
    "a lone surrogate": (lambda: "\ud800", "path where"),
    "bytes": (lambda: b"one", ""),
    "a bytearray": (lambda: bytearray(b"one"), ""),
    "a memoryview": (lambda: memoryview(b"one"), ""),
    "a dict": (lambda: {"one": 1}, "where object weights"),
    "a mapping proxy": (lambda: types.MappingProxyType({"one": 1}), "where object weights"),
    "a set": (lambda: {"nothing", "no"}, "keys"),
    "a list of integers": (lambda: [1, 2], "query features"),
    "texts and a number": (lambda: ["one", 5], ""),
    "texts and None": (lambda: ["one", None], "keys stages"),
    "texts and bytes": (lambda: ["one", b"two"], ""),
    "lists of texts": (lambda: [["one"], ["two"]], ""),
    "texts with a surrogate": (lambda: ["one", "\ud800"], "stages"),
    "a list that contains itself": (self_containing, ""),
    "a generator of numbers": (lambda: (n for n in (1, 2)), "query texts features"),
    "an object": (object, ""),
    "an object that raises": (Hostile, ""),
    "a class": (lambda: int, "call"),
    "a module": (lambda: json, ""),
    "an exception": (lambda: ValueError("no"), ""),
    "a path": (lambda: Path("nowhere"), "path"),
    "an open file": (lambda: io.StringIO("one\ntwo\n"), ""),
    "open bytes": (lambda: io.BytesIO(b"one\n"), "path"),
    "a Decimal": (lambda: decimal.Decimal("1.5"), ""),
    "a UUID": (lambda: uuid.UUID(int=1), ""),
    "an Enum": (lambda: Colour.RED, ""),
    "a datetime": (lambda: STAMP, ""),
    "a date": (lambda: STAMP.date(), ""),
    "a timedelta": (lambda: datetime.timedelta(1), ""),
    "bytes in an array": (lambda: np.array([b"one", b"two"]), ""),
    "masked texts": (lambda: np.ma.masked_array(["one", "two"], [False, True]), ""),
    "an array of 0 dimensions": (lambda: np.array("one"), ""),
    "a number of 0 dimensions": (lambda: np.array(5), ""),
    "a table of texts": (lambda: np.array([["one"], ["two"]]), ""),
    "complex vectors": (lambda: np.ones((2, DIMENSION), complex), ""),
    "packed bits": (lambda: np.packbits(np.ones((2, 8 * DIMENSION), bool), axis=1), ""),
    "truth values": (lambda: np.ones((2, DIMENSION), bool), ""),
    "masked vectors": (lambda: np.ma.masked_less(np.arange(2 * DIMENSION).reshape(2, -1), 3), ""),
    "vectors with None": (lambda: [[1.0] * (DIMENSION - 1) + [None]] * 2, ""),
    "vectors with NaN": (lambda: np.full((2, DIMENSION), np.nan), "features"),
    "vectors of strings": (lambda: np.full((2, DIMENSION), "1"), ""),
    "vectors of Decimals": (lambda: [[decimal.Decimal(1)] * DIMENSION] * 2, ""),
    "ragged vectors": (lambda: [[1.0] * DIMENSION, [1.0]], ""),
    "zeros": (lambda: np.zeros((2, DIMENSION)), ""),
    "dates": (lambda: np.full((2, DIMENSION), "2020-01-01", "datetime64[D]"), ""),
    "durations": (lambda: np.full((2, DIMENSION), 1, "timedelta64[D]"), ""),
    "a structured array": (lambda: np.zeros(2, [("a", "f4"), ("b", "f4")]), ""),
    "too large integers": (lambda: [[10**400] * DIMENSION] * 2, ""),
    "a number of torch": (lambda: torch.tensor(2), ""),
    "a sparse tensor": (lambda: torch.eye(2, DIMENSION).to_sparse(), ""),
    "a complex tensor": (lambda: torch.ones(2, DIMENSION, dtype=torch.complex64), ""),
    "a tensor without data": (lambda: torch.ones(2, DIMENSION, device="meta"), ""),
    "a tensor of truth values": (lambda: torch.ones(2, DIMENSION, dtype=torch.bool), ""),
    "an array of bytes": (lambda: array.array("B", b"one"), "features"),
    "a datetime in metadata": (lambda: [{"when": STAMP}] * 2, ""),
    "a number for a name in metadata": (lambda: [{1: "one"}] * 2, ""),
    "NaN in metadata": (lambda: [{"a": float("nan")}] * 2, ""),
    "metadata that contains itself": (lambda: [{"a": self_containing()}] * 2, ""),
}
if pandas:
    ODD |= {
        "pandas.DataFrame": (lambda: pandas.DataFrame({"one": ["a", "b"], "two": [1, 2]}), ""),
        "pandas.Series of numbers": (lambda: pandas.Series([1, 2]), "query texts features"),
        "pandas.Series with NaN": (lambda: pandas.Series(["one", None]), ""),
        "pandas.Series with NA": (lambda: pandas.Series(["one", pandas.NA], dtype="string"), ""),
        "pandas.Timestamp": (lambda: pandas.Timestamp("2020-01-02"), ""),
        "pandas.NaT": (lambda: pandas.NaT, ""),
        "pandas.NA": (lambda: pandas.NA, ""),
    }
if polars:
    ODD |= {
        "polars.DataFrame": (lambda: polars.DataFrame({"one": ["a", "b"], "two": [1, 2]}), ""),
        "polars.LazyFrame": (lambda: polars.LazyFrame({"one": ["a", "b"]}), ""),
        "polars.Series with null": (lambda: polars.Series(["one", None]), "keys"),
    }
if pyarrow:
    ODD |= {
        "pyarrow.Table": (lambda: pyarrow.table({"one": ["a", "b"]}), ""),
        "pyarrow.Array with null": (lambda: pyarrow.array(["one", None]), "keys"),
        "pyarrow.Scalar": (lambda: pyarrow.scalar("one"), ""),
    }
