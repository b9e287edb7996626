"""A search takes the cheapest route."""

from __future__ import annotations

import pytest

from vecindex.search.dense.plan import CODED_ROWS, RANK_ROWS, Plan, Route, candidates, plan
from vecindex.search.dense.settings import CodeSettings

ONE_BIT = CodeSettings(bits=1, factor=20)
CLUSTERED = CodeSettings(bits=1, factor=5, lists=1024, probes=32)


@pytest.mark.parametrize(
    ("rows", "allowed", "k", "expected"),
    [
        (0, 0, 5, Plan(Route.NONE, 0, 0, 0)),
        (9, 0, 5, Plan(Route.NONE, 9, 0, 0)),
        (9, 9, 0, Plan(Route.NONE, 9, 9, 0)),
        (9, 1, 5, Plan(Route.RANK, 9, 1, 1)),
        (RANK_ROWS, RANK_ROWS, 5, Plan(Route.RANK, RANK_ROWS, RANK_ROWS, 5)),
        (100_000, RANK_ROWS, 5, Plan(Route.RANK, 100_000, RANK_ROWS, 5)),
        (5000, 5000, 5, Plan(Route.SCAN, 5000, 5000, 5)),
        (10**6, 10**6, 10**9, Plan(Route.SCAN, 10**6, 10**6, 10**6)),
        (
            10**6,
            5000,
            10,
            Plan(Route.RANK, 10**6, 5000, 10),
        ),  # passing over a million rows costs more than copying 5,000
    ],
)
def test_without_codes_every_allowed_row_is_searched(rows: int, allowed: int, k: int, expected: Plan) -> None:
    assert plan(rows, allowed, k, 384) == expected
    assert plan(rows, allowed, k, 384, ONE_BIT, coded=min(rows, CODED_ROWS - 1)) == expected


@pytest.mark.parametrize(
    ("rows", "allowed", "k", "route", "asked"),
    [
        (100_000, 100_000, 10, Route.CODES, 200),
        (100_000, 99_000, 10, Route.CODES, 203),  # a few dead rows
        (100_000, 80_000, 10, Route.CODES, 250),
        (100_000, 10_000, 10, Route.MASKED, 200),
        (100_000, 1_000, 10, Route.RANK, 0),
        (100_000, 3, 10, Route.RANK, 0),
        (100_000, 100_000, 1, Route.CODES, 100),
        (100_000, 100_000, 300, Route.CODES, 6_000),
        (100_000, 100_000, 1_000, Route.SCAN, 0),
        (100_000, 100_000, 10**9, Route.SCAN, 0),
        (1_000_000, 1_000_000, 10, Route.CODES, 200),
        (1_000_000, 100_000, 10, Route.CODES, 2_000),
        (1_000_000, 20_000, 10, Route.MASKED, 200),
        (1_000_000, 2_000, 10, Route.RANK, 0),
        (20_000, 20_000, 10, Route.CODES, 200),
    ],
)
def test_routes_with_codes_of_384_dimensions(rows: int, allowed: int, k: int, route: Route, asked: int) -> None:
    coded = 0 if asked == 0 else rows
    assert plan(rows, allowed, k, 384, ONE_BIT, rows) == Plan(route, rows, allowed, min(k, allowed), asked, coded)


def test_clustered_codes_use_the_mask_unless_every_row_is_allowed() -> None:
    assert plan(10**6, 10**6, 10, 384, CLUSTERED, 10**6).route is Route.CODES
    assert plan(10**6, 900_000, 10, 384, CLUSTERED, 10**6).route is Route.MASKED
    assert plan(10**6, 500, 10, 384, CLUSTERED, 10**6).route is Route.RANK


def test_codes_are_not_used_with_a_long_tail() -> None:
    short = plan(101_000, 101_000, 10, 384, ONE_BIT, 100_000)
    assert (short.route, short.coded, short.tail) == (Route.CODES, 100_000, 1_000)
    assert plan(1_000_000, 1_000_000, 10, 384, ONE_BIT, 20_000).route is Route.SCAN


@pytest.mark.parametrize("dimension", [96, 256, 384, 768, 3072])
def test_routes_follow_the_number_of_allowed_rows(dimension: int) -> None:
    order = [Route.NONE, Route.RANK, Route.MASKED, Route.CODES]
    allowed = [0, *(2**n for n in range(17)), 100_000]
    routes = [plan(100_000, each, 10, dimension, ONE_BIT, 100_000).route for each in allowed]
    assert routes == sorted(routes, key=order.index)
    assert set(routes) == set(order)


def test_few_hits_get_the_candidates_of_five() -> None:
    assert [candidates(k, ONE_BIT) for k in (1, 5, 10, 100)] == [100, 100, 200, 2000]
