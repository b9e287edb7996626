"""Segments of token codes: built, merged and renumbered to the same bytes; written and read; damage is found."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.rerank.token_codes import Codes, bytes_a_token
from vecindex.search.rerank.token_segment import (
    HEADER_BYTES,
    TokenSegment,
    build,
    dump,
    load,
    merge,
    renumbered,
)

from ...support.extent import examples

DIMENSION = 10
SIZES = st.lists(st.integers(0, 6), max_size=12)


def codes(sizes: list[int], seed: int = 0) -> list[Codes]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, (size, bytes_a_token(DIMENSION)), np.uint8) for size in sizes]


def data(segment: TokenSegment) -> bytes:
    return b"".join(dump(segment))


def held(segment: TokenSegment) -> list[list[list[int]]]:
    return [segment.of_row(row).tolist() for row in range(segment.first, segment.stop)]


@examples(60)
@given(SIZES, st.integers(0, 50))
def test_a_segment_is_read_as_it_was_written(sizes: list[int], first: int) -> None:
    made = codes(sizes)
    segment = build(first, made, DIMENSION)
    written = data(segment)
    assert len(written) % 8 == 0
    found = load(written)
    found.check(DIMENSION)
    assert (found.first, found.stop, found.dimension, found.tokens) == (
        *(first, first + len(sizes), DIMENSION, sum(sizes)),
    )
    assert held(found) == held(segment) == [each.tolist() for each in made]
    assert data(found) == written


@examples(60)
@given(SIZES, st.integers(0, 12))
def test_merged_segments_have_the_bytes_of_one(sizes: list[int], cut: int) -> None:
    made = codes(sizes)
    parts = [build(5, made[:cut], DIMENSION), build(5 + len(made[:cut]), made[cut:], DIMENSION)]
    assert data(merge([load(data(part)) for part in parts])) == data(build(5, made, DIMENSION))


def test_only_adjacent_segments_are_merged() -> None:
    with pytest.raises(ValueError, match="adjacent"):
        merge([build(0, codes([1]), DIMENSION), build(2, codes([1]), DIMENSION)])
    with pytest.raises(ValueError, match="adjacent"):
        merge([])


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12), st.integers(0, 9))
def test_renumbered_segments_have_the_bytes_of_what_is_left(rows: list[tuple[int, bool]], first: int) -> None:
    made = codes([size for size, _ in rows])
    left = [each for each, (_, stays) in zip(made, rows, strict=True) if stays]
    numbers = np.full(len(rows), -1, np.int64)
    numbers[[place for place, (_, stays) in enumerate(rows) if stays]] = np.arange(first, first + len(left))
    found = renumbered(build(20, made, DIMENSION), numbers, first, first + len(left))
    assert data(found) == data(build(first, left, DIMENSION))


@pytest.mark.parametrize("numbers", [[0, 1], [0, 1, 3], [1, 0, 2], [0, 0, 1]])
def test_other_numbers_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="new numbers"):
        renumbered(build(0, codes([1, 1, 1]), DIMENSION), np.array(numbers), 0, 3)


def test_any_changed_byte_is_found() -> None:
    written = data(build(3, codes([2, 0, 5, 1]), DIMENSION))
    load(written).check(DIMENSION)
    for place in range(len(written)):
        harmed = bytearray(written)
        harmed[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match="token vectors"):
            load(bytes(harmed)).check(DIMENSION)


def test_damage_of_one_row_leaves_the_others_readable() -> None:
    written = bytearray(data(build(3, codes([2, 1, 5]), DIMENSION)))
    at = HEADER_BYTES + 4 * 8 + 16 + 2 * bytes_a_token(DIMENSION)  # the first code of the second row
    written[at] ^= 8
    found = load(bytes(written))
    assert len(found.of_row(3)) == 2
    assert len(found.of_row(5)) == 5
    with pytest.raises(ValueError, match="of row 4 are damaged"):
        found.of_row(4)
    with pytest.raises(ValueError, match="of row 4 are damaged"):
        merge([found])


def test_any_bytes_are_a_segment_or_an_error() -> None:
    written, draw = data(build(3, codes([2, 0, 5, 1]), DIMENSION)), Random(1)
    for size in range(len(written)):
        with pytest.raises(ValueError, match="file of token vectors"):
            load(written[:size])
    with pytest.raises(ValueError, match="too long"):
        load(written + bytes(8))
    for _ in range(300):
        with pytest.raises(ValueError, match="file of token vectors"):
            load(draw.randbytes(draw.randrange(200)))
        with pytest.raises(ValueError, match="file of token vectors"):
            load(written[:8] + draw.randbytes(len(written) - 8))
