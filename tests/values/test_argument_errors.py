"""Errors for wrong items say which item is wrong, and how to convert it."""

from __future__ import annotations

import decimal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex.errors import InvalidFilter, InvalidInput

from ..support.helpers import opened
from ..support.odd_values import STAMP, Colour, pandas, polars, torch
from ..support.toy import ToyEncoder

WRONG_ITEMS: list[tuple[Any, str, str]] = [
    (None, "not NoneType", "Leave it out, for example with dropna() of pandas."),
    (float("nan"), "not float", "Leave it out, for example with dropna() of pandas."),
    (5, "not int", "Convert it with str() first."),
    (np.int64(5), "not int64", "Convert it with str() first."),
    (decimal.Decimal("1.5"), "not Decimal", "Convert it with str() first."),
    (uuid.UUID(int=1), "not UUID", "Convert it with str() first."),
    (Path("x"), "not PosixPath", "Convert it with str() first."),
    (Colour.RED, "not Colour", "Pass its value: item.value."),
    (b"one", "not bytes", "Decode it: bytes(item).decode('utf-8')."),
    (memoryview(b"one"), "not memoryview", "Decode it: bytes(item).decode('utf-8')."),
    (STAMP, "not datetime", "Pass item.isoformat()."),
    ({"text": "x"}, "not dict", "Pass the text in it, such as item['text']."),
    (["a", "b"], "not list", "Pass one string; join several with ' '.join(item)."),
    (np.array(["a"]), "not ndarray", "Pass one string for each item."),
]
if pandas:
    WRONG_ITEMS += [
        (pandas.NaT, "not NaTType", "Leave it out, for example with dropna() of pandas."),
        (pandas.NA, "not NAType", "Leave it out, for example with dropna() of pandas."),
        (pandas.Timestamp("2020-01-02"), "not Timestamp", "Pass item.isoformat()."),
    ]


@pytest.mark.parametrize(("item", "kind", "advice"), WRONG_ITEMS, ids=[kind for _, kind, _ in WRONG_ITEMS])
def test_an_error_for_a_wrong_item_names_its_number_and_a_conversion(
    tmp_path: Path, item: Any, kind: str, advice: str
) -> None:
    with opened(tmp_path / "i") as index:
        calls: list[tuple[Callable[[], Any], str]] = [
            (lambda: index.add(["a", "b", item]), "a text"),
            (lambda: index.add(iter(["a", "b", item])), "a text"),
            (lambda: index.delete(["a", "b", item]), "a key"),
            (lambda: ToyEncoder().encode(["a", "b", item]), "a text"),
            (lambda: index.search_many(["a", "b", item]), "a query"),
        ]
        if item is not None:
            calls.append((lambda: index.add(["a", "b", "c"], keys=["a", "b", item]), "a key"))
        for call, what in calls:
            with pytest.raises(InvalidInput) as caught:
                call()
            assert (caught.value.message, caught.value.advice) == (f"item 2: {what} must be a string, {kind}", advice)
        assert len(index) == 0


WRONG_METADATA: list[tuple[Any, str, str]] = [
    (float("nan"), "metadata['a'] is nan", "Use None, or leave it out."),
    (float("-inf"), "metadata['a'] is -inf", "Use None, or leave it out."),
    (np.float32("nan"), "metadata['a'] is nan", "Use None, or leave it out."),
    ([1, (2,)], "metadata['a'][1] is a tuple", "Use a list: list(value)."),
    ({"b": {1, 2}}, "metadata['a']['b'] is a set", "Use a list: sorted(value)."),
    ({1: 2}, "a name in metadata['a'] is 1", "Names must be strings; convert it with str()."),
    (decimal.Decimal("1.5"), "metadata['a'] is a Decimal", "Use float(value), or str(value) to keep every digit."),
    (STAMP, "metadata['a'] is a datetime", "Pass value.isoformat()."),
    (uuid.UUID(int=1), "metadata['a'] is an UUID", "Convert it with str() first."),
    (Colour.RED, "metadata['a'] is a Colour", "Pass its value: value.value."),
    (b"x", "metadata['a'] is a bytes", "Decode it: bytes(value).decode('utf-8')."),
    (np.arange(3), "metadata['a'] is a ndarray", "Use its numbers: value.tolist()."),
    (torch.ones(2), "metadata['a'] is a Tensor", "Use its numbers: value.tolist()."),
]


@pytest.mark.parametrize(("value", "reason", "advice"), WRONG_METADATA, ids=[reason for _, reason, _ in WRONG_METADATA])
def test_an_error_for_metadata_that_json_cannot_hold_names_the_place(
    tmp_path: Path, value: Any, reason: str, advice: str
) -> None:
    with opened(tmp_path / "i") as index:
        with pytest.raises(InvalidInput) as caught:
            index.add(["one", "two"], metadata=[{}, {"a": value}])
        assert caught.value.message.startswith("item 1: metadata ")
        assert caught.value.message.endswith(f": {reason}")
        assert caught.value.advice == advice
        with pytest.raises(InvalidFilter):
            index.search("one", where={"a": {"$eq": value}})


def test_a_table_is_not_iterated_and_a_mapping_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        for table in filter(None, (pandas, polars)):
            with pytest.raises(InvalidInput) as caught:
                index.add(table.DataFrame({"body": ["a"], "year": [1]}))
            assert caught.value.message == "no column 'text'; the columns are: 'body', 'year'"
            assert caught.value.advice == "Name the columns with text=, key= and metadata=."
            with pytest.raises(InvalidInput, match="metadata is a DataFrame, a table with several columns"):
                index.add(["a"], metadata=table.DataFrame({"year": [1]}))
        with pytest.raises(InvalidInput, match="texts is a single dict, not a sequence"):
            ToyEncoder().encode({"a": 1})  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="records is a set, which has no order"):
            index.add({"a", "b"})
        index.add(["one", "two"])
        with pytest.raises(InvalidInput, match="queries is a single str, not a sequence"):
            index.migrate(ToyEncoder(weights="v" * 64), queries="abc")
        assert len(index) == 2
