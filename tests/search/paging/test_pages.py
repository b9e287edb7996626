"""Pages together have each record that matches once, in one order, and go on over commits that leave this order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import CursorExpired, Hits, Index, InvalidInput, RecordNotFound, RerankUnfinished
from vecindex.encoders.run.encoder import Encoder
from vecindex.search import sides
from vecindex.search.dense.exact import Ranking
from vecindex.search.dense.nearest import rankings
from vecindex.search.derived import upkeep
from vecindex.search.options import Mode
from vecindex.search.rerank import budget

from ...support.crafted import rewrite
from ...support.extent import examples
from ...support.helpers import opened
from ...support.paged import COUNT, QUERY, WORDS, filled
from ...support.toy import ToyEncoder

SHAPES: list[dict[str, Any]] = [
    {},
    {"min_score": 0.1},
    {"where": "n < 90"},
    {"exclude": ["k3", "k17", "k40"]},
    {"group_by": "topic", "per_group": 3},
    {"diversity": 0.4},
    {"diversity": 0.4, "group_by": "topic", "per_group": 9},
    {"rerank": "tokens"},
    {"rerank": "tokens", "group_by": "topic", "per_group": 15},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with filled(tmp_path_factory.mktemp("i") / "i") as index:
        index.delete(["k5", "k77", "k200"])
        yield index


def keys(hits: Hits) -> list[str]:
    return [hit.key for hit in hits]


def paged(index: Index, sizes: list[int], query: Any = QUERY, **options: Any) -> Hits:
    """The hits of all pages; the last size is that of all further pages."""
    page = index.search(query, sizes[0], **options)
    every, number = Hits(page), 1
    while page.cursor is not None:
        size = sizes[min(number, len(sizes) - 1)]
        page = index.search(query, size, cursor=page.cursor, **options)
        assert page or (page.cursor is None and "group_by" in options)
        every, number = Hits([*every, *page]), number + 1
    return every


# --- one state of the index


@examples(160, deadline=None)
@given(
    st.sampled_from(["dense", "lexical", "hybrid"]),
    st.sampled_from(SHAPES),
    st.lists(st.integers(1, 70), min_size=1, max_size=8),
    st.sampled_from([QUERY, '"rain sun"', "windy -sun error", "nowhere"]),
)
def test_all_pages_have_each_matching_record_once(
    index: Index, mode: Any, shape: dict[str, Any], sizes: list[int], query: str
) -> None:
    options: dict[str, Any] = {"mode": mode, **shape}
    found = paged(index, sizes, query, **options)
    assert keys(found[: sizes[0]]) == keys(index.search(query, sizes[0], **options))
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    assert len(set(keys(found))) == len(found)
    whole = index.search(query, COUNT, **{**options, "rerank": None, "diversity": 0.0})
    assert len(found) == len(whole)
    if "group_by" not in shape:
        assert set(keys(found)) == set(keys(whole))
    by_key = {hit.key: hit for hit in index.search(query, COUNT, **{**options, "group_by": None, "per_group": 1})}
    for hit in found:
        assert (hit.text, hit.metadata, hit.score) == (by_key[hit.key].text, hit.metadata, by_key[hit.key].score)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("shape", SHAPES[:5])
def test_pages_are_parts_of_one_long_search(index: Index, mode: Any, shape: dict[str, Any]) -> None:
    whole = index.search(QUERY, COUNT, mode=mode, **shape)
    assert paged(index, [1, 9, 40, 3, 50], mode=mode, **shape) == whole
    assert paged(index, [50], mode=mode, **shape) == whole


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize(
    ("shape", "pool"),
    [({"rerank": "tokens"}, 100), ({"diversity": 0.4}, 50), ({"rerank": "tokens", "group_by": "n"}, 100)],
)
def test_the_pool_of_the_first_page_is_shown_first_and_then_the_others_in_the_first_order(
    index: Index, mode: Any, shape: dict[str, Any], pool: int
) -> None:
    found = paged(index, [10, 33, 60], mode=mode, **shape)
    plain = [hit.key for hit in index.search_all(QUERY, mode=mode)]
    if "rerank" in shape:
        assert found[:pool] == index.search(QUERY, pool, mode=mode, **shape)
    chosen = set(keys(found[:pool]))
    assert keys(found[pool:]) == [key for key in plain if key not in chosen]
    assert {hit.ranked_by for hit in found[:pool]} == {f"{mode}+{'tokens' if 'rerank' in shape else 'diversity'}"}
    assert {hit.ranked_by for hit in found[pool:]} == {mode}


def test_after_the_first_page_ranks_are_joined_as_in_a_search_for_all(index: Index) -> None:
    found = keys(paged(index, [10, 25], mode="hybrid", fusion="rrf"))
    plain = [hit.key for hit in index.search_all(QUERY, mode="hybrid", fusion="rrf")]
    assert found[10:] == [key for key in plain if key not in found[:10]]


def test_there_is_no_cursor_where_there_is_no_more(index: Index) -> None:
    every: list[dict[str, Any]] = [{}, {"mode": "lexical"}, {"mode": "hybrid"}, {"min_score": 0.5}]
    for shape in every:
        whole = index.search(QUERY, COUNT, **shape)
        assert whole.cursor is None
        assert index.search(QUERY, len(whole), **shape).cursor is None
        assert index.search(QUERY, len(whole) - 1, **shape).cursor is not None
    assert index.search("nowhere", mode="lexical").cursor is None
    assert index.search(QUERY, where="n = 8").cursor is None


def test_a_cursor_is_a_short_word_that_urls_can_hold(index: Index) -> None:
    for mode in get_args(Mode):
        cursor = index.search(QUERY, mode=mode).cursor
        assert cursor is not None
        assert cursor.replace("-", "").replace("_", "").isalnum()
        assert 50 <= len(cursor) <= 80
        assert cursor[0].isalpha()


def test_hits_keep_their_cursor_and_parts_of_them_have_none(index: Index) -> None:
    hits = index.search(QUERY, where="n > 3")
    assert pickle.loads(pickle.dumps(hits)).cursor == hits.cursor
    assert pickle.loads(pickle.dumps(hits)) == hits
    assert hits[:2].cursor is None
    (many,) = index.search_many([QUERY], where={"n": {"$gt": 3}})
    assert many.cursor == hits.cursor
    assert index.explain_search(QUERY, cursor=hits.cursor, where="n > 3")[0] == index.search(
        QUERY, cursor=hits.cursor, where="n > 3"
    )


def test_a_vector_has_pages_too(index: Index) -> None:
    vector = index.get("k9").vector
    assert vector is not None
    assert paged(index, [30], vector) == index.search(vector, COUNT)
    cursor = index.search(vector).cursor
    with pytest.raises(InvalidInput, match="the cursor is of another search"):
        index.search(vector[::-1], cursor=cursor)


def test_k_the_sentences_around_and_the_time_may_change_from_page_to_page(index: Index) -> None:
    cursor = index.search(QUERY, 3, rerank="tokens").cursor
    first = index.search(QUERY, 4, rerank="tokens", cursor=cursor)
    again = index.search(QUERY, 2, rerank="tokens", rerank_ms=5000, context=1, cursor=cursor)
    assert keys(again) == keys(first[:2])


def test_what_the_first_page_missed_comes_on_the_second(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = keys(index.search(QUERY, COUNT))

    def missing(view: Any, queries: Any, k: int, *rest: Any) -> Iterator[Ranking]:
        """As codes may propose too little: the second-best and the fourth-best rows are not found."""
        found = rankings(view, queries, k + 2, *rest)
        kept = [place for place in range(k + 2) if place not in (1, 3)]
        return (Ranking(one.rows[kept], one.scores[kept]) for one in found)

    monkeypatch.setattr(sides, "each_ranking", missing)
    expected = [whole[0], whole[2], *whole[4:12], whole[1], whole[3], *whole[12:]]
    assert keys(paged(index, [10, 20])) == expected
    assert keys(paged(index, [10, 1])) == expected


def test_texts_that_the_model_does_not_know_come_on_the_last_pages(tmp_path: Path, encoder: Encoder) -> None:
    texts = ["🦊", "a fox", "​", "a dog", "🚆", "a train", "🦊 🦊", "a fox runs"]
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts, keys=[f"k{n}" for n in range(8)], metadata=[{"g": n} for n in range(8)])
        modes: tuple[Mode, ...] = ("dense", "hybrid")
        for mode in modes:
            whole = index.search("a fox", k=8, mode=mode)
            for sizes in ([1], [3], [5, 2], [2, 4]):
                assert paged(index, sizes, "a fox", mode=mode) == whole
                assert paged(index, sizes, "a fox", mode=mode, group_by="g") == whole
        for size in range(1, 12):
            whole = index.search("a fox", k=20)
            page = index.search("a fox", size)
            index.add([f"a fox and {size}"])
            after = index.search("a fox", 20, cursor=page.cursor)
            assert keys(after) == keys(whole)[size:]


def test_hits_that_the_second_stage_did_not_reach_are_where_they_were(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def tick() -> float:
        clock[0] += 0.01
        return clock[0]

    monkeypatch.setattr(budget, "perf_counter", tick)
    monkeypatch.setattr(ToyEncoder, "tokens_a_batch", 40, raising=False)
    options: dict[str, Any] = {"rerank": "tokens", "rerank_ms": 60}
    with pytest.warns(RerankUnfinished):
        first = index.search(QUERY, 100, **options)
    read = [hit.key for hit in first if "tokens" in hit.scores]
    assert 5 < len(read) < 95
    with pytest.warns(RerankUnfinished):
        page = index.search(QUERY, 7, **options)
    after = index.search(QUERY, 93, cursor=page.cursor, **options)
    assert keys(page) + keys(after) == keys(first)
    assert [hit.key for hit in (*page, *after) if "tokens" in hit.scores] == read


# --- commits between pages


Change = Callable[[Index, Random, set[str]], None]


def added(index: Index, draw: Random, gone: set[str]) -> None:
    index.add([" ".join(draw.choices(WORDS, k=3)) for _ in range(5)])


def deleted(index: Index, draw: Random, gone: set[str]) -> None:
    some = draw.sample(sorted(index.keys()), 4)
    index.delete(some)
    gone.update(some)


def updated(index: Index, draw: Random, gone: set[str]) -> None:
    some = draw.sample(sorted(index.keys()), 4)
    index.add([f"{QUERY} {draw.random()}" for _ in some], keys=some)
    gone.update(some)


def put_again(index: Index, draw: Random, gone: set[str]) -> None:
    key = draw.choice(sorted(index.keys()))
    index.add([index.get(key).text], keys=[key])
    one = draw.choice(sorted(index.keys()))
    text = index.get(one).text
    index.delete([one])
    index.add([text], keys=[one])
    gone.add(one)


@examples(40, deadline=None)
@given(
    st.lists(st.sampled_from([added, deleted, updated, put_again]), min_size=1, max_size=6),
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
    st.integers(0, 1000),
    st.sampled_from([{}, {"where": "n < 60"}, {"min_score": 0.0}, {"exclude": ["k3", "k4"]}]),
)
def test_a_dense_search_goes_on_over_commits(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[Change],
    sizes: list[int],
    seed: int,
    shape: dict[str, Any],
) -> None:
    draw, gone = Random(seed), set[str]()
    with filled(tmp_path_factory.mktemp("i") / "i", 90, seed) as index:
        left = keys(index.search(QUERY, 90, **shape))
        page, number, rank = index.search(QUERY, sizes[0], **shape), 0, 0
        while True:
            left = [key for key in left if key not in gone]
            expected, left = left[: len(page)], left[len(page) :]
            assert keys(page) == expected
            assert [hit.rank for hit in page] == list(range(rank + 1, rank + len(page) + 1))
            rank += len(page)
            if page.cursor is None:
                assert left == []
                return
            if number < len(changes):
                changes[number](index, draw, gone)
            number += 1
            size = sizes[min(number, len(sizes) - 1)]
            page = index.search(QUERY, size, cursor=page.cursor, **shape)
            assert len(page) == size or page.cursor is None


def expiry(index: Index, cursor: str | None, **options: Any) -> CursorExpired:
    with pytest.raises(CursorExpired) as caught:
        index.search(QUERY, cursor=cursor, **options)
    assert caught.value.advice == "Start again from the first page: search without cursor=."
    assert (caught.value.made, caught.value.now) == (1, 2)
    return caught.value


@pytest.mark.parametrize(
    "options",
    [{"mode": "lexical"}, {"mode": "hybrid"}, {"group_by": "topic"}, {"diversity": 0.2}, {"rerank": "tokens"}],
)
def test_every_other_cursor_expires_with_the_next_commit(tmp_path: Path, options: dict[str, Any]) -> None:
    with filled(tmp_path / "i") as index:
        cursor = index.search(QUERY, **options).cursor
        assert index.search(QUERY, cursor=cursor, **options)
        index.add(["more rain"])
        error = expiry(index, cursor, **options)
        assert error.message == (
            "the cursor of commit 1 has expired at commit 2: only a dense search without groups, diversity and rerank "
            "goes on after a change"
        )
        assert pickle.loads(pickle.dumps(error)).reason == error.reason


def test_a_cursor_expires_where_what_is_derived_decides_and_changes(tmp_path: Path) -> None:
    with filled(tmp_path / "i") as index:
        options: list[dict[str, Any]] = [{"mode": "lexical"}, {"rerank": "tokens"}]
        cursors = [index.search(QUERY, **each).cursor for each in options]
        near = index.search(QUERY)
        index.index_lexical(language="none")
        index.index_tokens()
        for each, cursor in zip(options, cursors, strict=True):
            with pytest.raises(CursorExpired):
                index.search(QUERY, cursor=cursor, **each)
        whole = keys(index.search(QUERY, COUNT))
        assert keys(index.search(QUERY, COUNT, cursor=near.cursor)) == whole[5:]


def test_a_compaction_ends_every_cursor(tmp_path: Path) -> None:
    with filled(tmp_path / "i") as index:
        index.delete(["k9"])
        cursor = index.search(QUERY).cursor
        index.compact()
        with pytest.raises(CursorExpired, match="commit 2 has expired at commit 3: the rows of the index have other"):
            index.search(QUERY, cursor=cursor)


def test_another_model_ends_every_cursor(tmp_path: Path) -> None:
    with filled(tmp_path / "i") as index:
        cursor = index.search(QUERY).cursor
        index.migrate(model=ToyEncoder(dimension=48, weights="v" * 64))
        with pytest.raises(CursorExpired):
            index.search(QUERY, cursor=cursor)


def test_a_key_that_is_excluded_twice_ends_no_page_early(index: Index) -> None:
    once, twice = (index.search(QUERY, COUNT - 5, exclude=names) for names in (["k1"], ["k1", "k1"]))
    assert keys(once) == keys(twice)
    rest = [keys(index.search(QUERY, 9, exclude=["k1"], cursor=page.cursor)) for page in (once, twice)]
    assert (len(rest[0]), rest[0]) == (1, rest[1])


@pytest.mark.parametrize("options", [{"mode": "hybrid"}, {"rerank": "tokens"}])
def test_another_background_ends_an_order_that_depends_on_it(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RECORDS_FOR_BACKGROUND", 64)
    with filled(tmp_path / "i") as index:
        page, plain = index.search(QUERY, 9, **options), index.search(QUERY, 9)
        rewrite(tmp_path / "i", background=None)
        with pytest.raises(CursorExpired):
            index.search(QUERY, 9, cursor=page.cursor, **options)
        assert keys(index.search(QUERY, 9, cursor=plain.cursor)) == keys(index.search(QUERY, 18))[9:]


def test_an_excluded_record_may_be_deleted_between_pages(tmp_path: Path) -> None:
    with filled(tmp_path / "i") as index:
        whole = keys(index.search(QUERY, COUNT, exclude=["k9"]))
        page = index.search(QUERY, 4, exclude=["k9"])
        index.delete(["k9"])
        assert keys(index.search(QUERY, COUNT, exclude=["k9"], cursor=page.cursor)) == whole[4:]
        with pytest.raises(RecordNotFound):
            index.search(QUERY, exclude=["k9"])
