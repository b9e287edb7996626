"""Saved codes and settings are read back unchanged, and anything else is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from vecindex.search.dense import codes as coding
from vecindex.search.dense.codes import Codes, build, dump, extend, load
from vecindex.search.dense.settings import FAST, MASKED, CodeSettings, default_settings, variants

from ..support.coded_vectors import (
    CLUSTERED,
    ONE_BIT,
    TWO_BITS,
    ArrayView,
    D,
    N,
    Vectors,
    coded,
    collection,
    recall,
    traced,
    unit_vectors,
)


def saved(codes: Codes) -> dict[str, Callable[[], Any]]:
    content = {name: memoryview(dump(codes, name).tobytes()) for name in variants(codes.settings)}
    return {name: partial(content.__getitem__, name) for name in content}


def assert_proposes_the_same(codes: Codes, others: Codes, queries: Vectors, count: int, bitmap: Any) -> None:
    rows, estimates = codes.propose(queries, count, bitmap)
    other_rows, other_estimates = others.propose(queries, count, bitmap)
    assert rows.tolist() == other_rows.tolist()
    assert estimates.tolist() == other_estimates.tolist()


@pytest.mark.parametrize("settings", [ONE_BIT, TWO_BITS, CodeSettings(4, 3), CLUSTERED], ids=["1", "2", "4", "many"])
@pytest.mark.parametrize("dimension", [5, 64, coding._ROTATED + 8])
def test_codes_survive_a_round_trip_and_can_be_extended(settings: CodeSettings, dimension: int) -> None:
    vectors = unit_vectors(1500, dimension)
    bitmap = np.packbits(np.arange(1500) % 3 == 0, bitorder="little")
    queries = unit_vectors(3, dimension, 8)
    whole = build(vectors[:1000], settings)
    read = load(saved(whole), settings, dimension, 1000)
    for given in (None, bitmap):
        assert_proposes_the_same(read, whole, queries, 40, given)
    rows, estimates = read.propose(queries, 40, bitmap)
    assert (rows % 3 <= 0).all()  # -1 may stand at the end
    assert (np.diff(estimates) <= 0).all()
    extend(whole, vectors)
    extend(read, vectors)
    assert read.rows == 1500
    assert_proposes_the_same(read, whole, queries, 1500, None)
    again = load(saved(read), settings, dimension, 1500)
    assert again.propose(vectors[1400:1401], 1500)[0].max() == read.propose(vectors[1400:1401], 1500)[0].max() >= 1400


def test_masked_codes_are_loaded_when_a_filter_needs_them() -> None:
    vectors, queries = collection("real-like")
    loaders = saved(coded("real-like", ONE_BIT))
    asked: list[str] = []

    def content(name: str) -> Any:
        asked.append(name)
        return loaders[name]()

    codes = load({name: partial(content, name) for name in loaders}, ONE_BIT, D, N)
    assert asked == [FAST]
    assert recall(ArrayView(vectors, codes), queries[:2]) >= 0.99
    assert asked == [FAST]
    view = ArrayView(vectors, codes, np.arange(N) % 4 == 0)
    threads = [threading.Thread(target=recall, args=(view, queries)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [FAST, MASKED]
    assert recall(view, queries) >= 0.99


def test_a_search_goes_on_without_masked_codes_that_cannot_be_loaded() -> None:
    vectors, queries = collection("real-like")
    loaders = saved(coded("real-like", ONE_BIT)) | {MASKED: lambda: np.zeros(100, np.uint8)}
    view = ArrayView(vectors, load(loaders, ONE_BIT, D, N), np.arange(N) % 4 == 0)
    assert recall(view, queries[:3]) == 1.0
    assert traced(view, queries[0]).exhaustive
    assert all(reason.startswith("the 'masked' codes cannot be read: ") for reason in view.refused)
    assert len(view.refused) == 2


def test_garbage_is_refused_with_a_reason() -> None:
    vectors = unit_vectors(300)
    codes = build(vectors, ONE_BIT)
    good = saved(codes)
    data = good[FAST]()
    rng = np.random.default_rng(0)
    garbage = [
        b"",
        b"x",
        bytes(1000),
        rng.bytes(5000),
        bytes(data[:4]),
        bytes(data[: len(data) // 2]),
        bytes(data[:-1]),
    ]
    for content in (*garbage, good[MASKED]()):
        with pytest.raises(ValueError, match="the 'fast' codes"):
            load(good | {FAST: partial(bytes, content)}, ONE_BIT, D, 300)
    for content in (*garbage, data):
        codes = load(good | {MASKED: partial(bytes, content)}, ONE_BIT, D, 300)
        with pytest.raises(ValueError, match="the 'masked' codes"):
            codes.variant(MASKED)
    with pytest.raises(ValueError, match="the 'masked' codes are missing"):
        load({FAST: good[FAST]}, ONE_BIT, D, 300)
    for dimension, rows, settings in ((D, 301, ONE_BIT), (32, 300, ONE_BIT), (2000, 300, ONE_BIT), (D, 300, TWO_BITS)):
        with pytest.raises(ValueError, match="the 'fast' codes"):
            load(good, settings, dimension, rows)
    with pytest.raises(ValueError, match="the 'masked' codes"):
        load(good, CLUSTERED, D, 300)


def test_a_bitmap_must_cover_the_rows() -> None:
    codes = build(unit_vectors(100), ONE_BIT)
    with pytest.raises(IndexError, match="96 bits for 100 rows"):
        codes.propose(unit_vectors(1), 5, np.zeros(12, np.uint8))


def test_codes_take_few_bytes() -> None:
    for settings, limit in ((ONE_BIT, 125), (replace(ONE_BIT, lists=32, probes=8), 75)):
        codes = build(unit_vectors(5_000, 384), settings)
        rotation = 384 * 384 * 4 + settings.lists * 384 * 4
        assert sum(len(dump(codes, name)) - rotation for name in variants(settings)) / 5_000 < limit


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [ONE_BIT, CodeSettings(2, 5, 1024, 32, 0.5, 0.9512, "2025-11-22")])
def test_settings_survive_json(settings: CodeSettings) -> None:
    assert CodeSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", "3", '{"bits": 1}', '{"bits": 3, "factor": 5}', '{"bits": 1, "factor": 0}'),
        *('{"bits": true, "factor": 5}', '{"bits": 1.0, "factor": 5}', '{"bits": 1, "factor": 5, "more": 1}'),
        *('{"bits": 1, "factor": 5, "lists": 4}', '{"bits": 1, "factor": 5, "lists": 4, "probes": 5}'),
        *('{"bits": 1, "factor": 5, "probes": 1}', '{"bits": 1, "factor": 5, "recall": 2}'),
        *('{"bits": 1, "factor": 5, "doubt": null}', '{"bits": 1, "factor": 5, "doubt": NaN}'),
        '{"bits": 1, "factor": 5, "measured": 3}',
    ],
)
def test_invalid_settings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        CodeSettings.from_json(text)


def test_default_settings_depend_on_the_dimension() -> None:
    bits = {dimension: settings.bits for dimension in range(1, 5000) if (settings := default_settings(dimension))}
    assert sorted(bits) == list(range(48, 5000))
    assert [bits[d] for d in (48, 95, 96, 255, 256, 384, 4096)] == [4, 4, 2, 2, 1, 1, 1]
