"""A cursor that is damaged, or of another search or another index, is refused and never followed."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Index, InvalidInput, VecindexError
from vecindex.search.paging.cursor import Cursor, Last, State

from ...support.extent import examples
from ...support.paged import QUERY, filled

NUMBERS = st.integers(0, 2**62) | st.integers(0, 300)
DIGESTS = st.binary(min_size=8, max_size=8)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with filled(tmp_path_factory.mktemp("i") / "i") as index:
        yield index


def refusal(index: Index, cursor: Any, query: str = QUERY, **options: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        index.search(query, cursor=cursor, **options)
    return caught.value


@given(
    st.builds(
        Cursor,
        DIGESTS,
        st.builds(State, DIGESTS, NUMBERS, NUMBERS, st.just(2**62), NUMBERS, st.binary(min_size=4, max_size=4)),
        st.integers(1, 2**62),
        NUMBERS,
        st.none() | st.builds(Last, st.booleans(), st.floats(width=32), NUMBERS),
        st.binary(max_size=40),
    )
)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert str(Cursor.read_from(str(cursor))) == str(cursor)
    if cursor.last is None or cursor.last.score == cursor.last.score:
        assert Cursor.read_from(str(cursor)) == cursor


@examples(600)
@given(st.data())
def test_a_damaged_cursor_is_refused(index: Index, data: st.DataObject) -> None:
    cursor = index.search(QUERY, 7, where="n > 3").cursor
    assert cursor is not None
    place = data.draw(st.integers(0, len(cursor)))
    part = data.draw(st.text(max_size=3) | st.text("ABab01-_", max_size=3))
    damaged = cursor[:place] + part + cursor[place + data.draw(st.integers(0, 3)) :]
    if damaged != cursor:
        error = refusal(index, damaged, where="n > 3")
        assert error.message == "the cursor is damaged, or is none"
        assert error.advice.startswith("Pass the cursor of the hits before as it is")


@examples(300)
@given(st.text(max_size=90) | st.binary(max_size=60).map(lambda some: urlsafe_b64encode(some).decode().rstrip("=")))
def test_any_other_text_is_refused(index: Index, text: str) -> None:
    assert refusal(index, text).message == "the cursor is damaged, or is none"


def test_a_very_long_text_is_refused(index: Index) -> None:
    assert refusal(index, "A" * 2_000_000).message == "the cursor is damaged, or is none"


@examples(200, deadline=None)
@given(st.data())
def test_a_forged_cursor_gives_hits_or_an_error(index: Index, data: st.DataObject) -> None:
    options: dict[str, Any] = data.draw(
        st.sampled_from([{}, {"mode": "hybrid"}, {"rerank": "tokens"}, {"group_by": "topic"}, {"diversity": 0.5}])
    )
    real = Cursor.read_from(str(index.search(QUERY, 7, **options).cursor))
    numbers = st.integers(0, 260) | NUMBERS
    state = replace(
        real.state, rows=data.draw(st.just(real.state.rows) | numbers), generation=data.draw(st.integers(0, 3))
    )
    last = data.draw(st.none() | st.builds(Last, st.booleans(), st.floats(width=32), numbers))
    forged = replace(
        real,
        state=state,
        pool=data.draw(numbers),
        shown=data.draw(numbers),
        last=last,
        read=data.draw(st.binary(max_size=40)),
    )
    try:
        hits = index.search(QUERY, 5, cursor=str(forged), **options)
    except VecindexError:
        return
    assert len(hits) <= 5


def test_every_option_that_changes_the_hits_belongs_to_the_cursor(index: Index) -> None:
    cursor = index.search(QUERY, exclude=["k1", "k2"], where={"n": {"$lt": 200}}).cursor
    assert index.search(QUERY, exclude=["k2", "k1", "k2"], where="n < 200", cursor=cursor)
    same: dict[str, Any] = {"exclude": ["k1", "k2"], "where": "n < 200"}
    for change in (
        *({"where": "n < 201"}, {"where": None}, {"exclude": ["k1"]}, {"mode": "hybrid"}, {"mode": "lexical"}),
        *(
            {"fusion": "rrf"},
            {"min_score": 0.1},
            {"min_percentile": 1},
            {"group_by": "n"},
            {"diversity": 0.1},
            {"rerank": "tokens"},
        ),
        {"query": "rain"},
    ):
        error = refusal(index, cursor, **{**same, **change})
        assert error.message == "the cursor is of another search"
        assert error.advice.startswith("Pass it with the query and the options of the first page; only k, context")


def test_a_cursor_of_another_index_is_refused(index: Index, tmp_path: Path) -> None:
    with filled(tmp_path / "i", seed=2) as other:
        cursor = other.search(QUERY).cursor
        assert refusal(index, cursor).message == "the cursor is of another index"


def test_a_cursor_has_no_part_of_the_query(index: Index) -> None:
    cursor = str(index.search("secret secret secret").cursor)
    assert b"secret" not in urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
