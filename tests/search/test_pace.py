"""A scan is cut over the cores while that is faster, and now and then to see whether it is again."""

from __future__ import annotations

import os

import pytest

from vecindex.search.dense.pace import Pace, Searches


def cuts(pace: Pace, number: int, whole: float, cut: float) -> int:
    """How many of so many scans are cut, where whole and cut ones take so long."""
    found = 0
    for _ in range(number):
        is_cut = pace.cuts()
        found += is_cut
        pace.took(cut if is_cut else whole, is_cut)
    return found


def test_scans_are_cut_from_the_second_on_where_that_is_faster() -> None:
    assert cuts(Pace(), 100, whole=1.0, cut=0.6) == 99


def test_scans_are_rarely_cut_where_that_is_slower() -> None:
    pace = Pace()
    assert cuts(pace, 1 + 1 + 16 + 1 + 32 + 1, whole=1.0, cut=5.0) == 3
    assert 5 <= cuts(pace, 5000, whole=1.0, cut=5.0) <= 10


def test_scans_are_cut_again_once_that_is_faster_again() -> None:
    pace = Pace()
    cuts(pace, 5000, whole=1.0, cut=5.0)
    cuts(pace, 1024, whole=1.0, cut=0.6)
    assert cuts(pace, 100, whole=1.0, cut=0.6) == 100


def test_scans_that_have_become_longer_are_cut_again() -> None:
    pace = Pace()
    cuts(pace, 100, whole=1.0, cut=0.6)
    cuts(pace, 200, whole=3.0, cut=2.0)
    assert cuts(pace, 100, whole=3.0, cut=2.0) == 100


def test_searches_are_many_while_another_one_runs() -> None:
    searches = Searches()
    with searches:
        assert not searches.are_many
        with searches:
            assert searches.are_many
        assert not searches.are_many


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_searches_of_a_parent_do_not_run_in_its_child() -> None:
    searches = Searches()
    with searches:
        child = os.fork()
        if child == 0:
            with searches:
                os._exit(int(searches.are_many))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
