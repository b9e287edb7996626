"""Grouped hits are the best of which at most so many are of one group, exactly, however large the groups are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import GroupWarning, Hit, Hits, Index, InvalidInput
from vecindex.encoders.run.encoder import Encoder
from vecindex.search.shaping import grouping

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened

Vectors = npt.NDArray[np.float32]


def unit_vectors(n: int, dimension: int = 4, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def filled(path: Path, metadata: Sequence[Any], vectors: Vectors | None = None) -> Index:
    """An index of records k0, k1, ..., with this metadata."""
    index = opened(path)
    names = [f"k{n}" for n in range(len(metadata))]
    made = unit_vectors(len(metadata)) if vectors is None else vectors
    index.add([f"t{n}" for n in range(len(metadata))], keys=names, metadata=metadata, vectors=made, space="theirs")
    return index


def group_of(hit: Hit, path: Sequence[str]) -> Any:
    """What tells groups apart, by another way than the code's: equal in Python, and of one JSON type."""
    found: Any = hit.metadata
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        return "alone", hit.key
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return "number", found
    return type(found).__name__, json.dumps(found)


def expected(hits: Hits, k: int, path: Sequence[str], most: int) -> list[tuple[int, str, float]]:
    """What is left of all hits."""
    counts: Counter[Any] = Counter()
    kept = []
    for hit in hits:
        counts[group_of(hit, path)] += 1
        if counts[group_of(hit, path)] <= most:
            kept.append(hit)
    return [(rank, hit.key, hit.score) for rank, hit in enumerate(kept[:k], 1)]


def plain(hits: Hits) -> list[tuple[int, str, float]]:
    return [(hit.rank, hit.key, hit.score) for hit in hits]


VALUES = st.one_of(
    st.sampled_from(["a", "b", "a\0x", "a\0y", 1, 1.0, True, "1", "true", None, 0, False, 2**53, 2**53 + 1, 2.0**53]),
    st.sampled_from([[], [1], {"b": 1}, {"b": 2}, ["a"]]),
)
METADATA = st.lists(st.fixed_dictionaries({}, optional={"g": VALUES, "in": st.fixed_dictionaries({"g": VALUES})}))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of records takes all the steps that a large index takes."""
    monkeypatch.setattr(grouping, "_ASKED", ((1, 2), (2, 4)))
    monkeypatch.setattr(grouping, "_SORTED_FIRST", 4)
    monkeypatch.setattr(grouping, "_SORTED_NEXT", 2)


@examples(100)
@given(METADATA, st.integers(1, 12), st.integers(1, 3), st.sampled_from(["g", "in.g"]), st.booleans())
@pytest.mark.usefixtures("small_steps")
@pytest.mark.filterwarnings("ignore::vecindex.GroupWarning")
def test_grouped_hits_equal_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, metadata: list[Any], k: int, most: int, field: str, ties: bool
) -> None:
    vectors = unit_vectors(max(len(metadata), 1))[: len(metadata)]
    if ties:
        vectors[1::2] = vectors[:1]
    queries = unit_vectors(3, seed=1)
    with filled(tmp_path_factory.mktemp("i") / "i", metadata, vectors) as index:
        whole = index.search_many(queries, k=100)
        wanted = [expected(hits, k, field.split("."), most) for hits in whole]
        options: dict[str, Any] = {"k": k, "group_by": field, "per_group": most}
        assert [plain(hits) for hits in index.search_many(queries, **options)] == wanted
        assert plain(index.search(queries[0], **options)) == wanted[0]
        assert plain(index.explain_search(queries[0], **options)[0]) == wanted[0]
        for key in index.keys()[:2]:
            near = index.similar(key, k=100)
            assert plain(index.similar(key, **options)) == expected(near, k, field.split("."), most)


def test_groups_of_filtered_and_deleted_records(tmp_path: Path) -> None:
    metadata = [{"g": n % 7, "n": n} for n in range(200)]
    with filled(tmp_path / "i", metadata) as index:
        index.delete(["k0", "k7", "k14"])
        query, where = unit_vectors(1, seed=3)[0], {"n": {"$lt": 150}}
        for k, most in ((5, 1), (20, 1), (20, 2), (1000, 3)):
            found = index.search(query, k=k, where=where, group_by="g", per_group=most)
            assert plain(found) == expected(index.search(query, k=200, where=where), k, ["g"], most)
            assert len(found) == min(k, 7 * most)
        index.add(["t1"], keys=["k1"], metadata=[{"g": "new"}], vectors=query[None, :], space="theirs")
        assert index.search(query, k=3, group_by="g")[0].metadata == {"g": "new"}


LARGE = 30_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Records of which 10,000 are of one group and nearer to [1, 0, ...] than all the others."""
    vectors = unit_vectors(LARGE, 64)
    vectors[:10_000, 0] = 5
    vectors[10_000:, 0] = 0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    metadata = [{"doc": "big" if n < 10_000 else f"d{n % 3_000}"} for n in range(LARGE)]
    with filled(tmp_path_factory.mktemp("large") / "i", metadata, vectors) as index:
        yield index


FIRST = np.eye(64, dtype=np.float32)[0]


def test_a_group_of_the_best_10_000_records_hides_no_other(large: Index) -> None:
    whole = large.search(FIRST, k=LARGE)
    assert {hit.metadata["doc"] for hit in whole[:10_000]} == {"big"}
    for k, most in ((5, 1), (3, 2), (3_001, 1), (5_000, 1)):
        hits, told = large.explain_search(FIRST, k=k, group_by="doc", per_group=most)
        assert plain(hits) == expected(whole, k, ["doc"], most)
        assert len(hits) == min(k, 3_001)
        assert (told.exhaustive or told.route == "rank", told.widened <= 4) == (True, True)
        assert told.rescored < 2 * LARGE  # every record is scored once, whatever the size of the group


def test_most_searches_with_groups_look_at_few_records(large: Index) -> None:
    query = large.get("k12000").vector
    hits, told = large.explain_search(query, k=5, group_by="doc")
    assert len({hit.metadata["doc"] for hit in hits}) == 5
    assert (told.exhaustive, "group" in told.milliseconds) == (False, True)


@pytest.mark.usefixtures("small_steps")
def test_texts_that_the_model_does_not_know_come_last(tmp_path: Path, encoder: Encoder) -> None:
    texts = ["🦊", "a fox", "​", "a dog", "🚆", "a train", "🦊 🦊", "a fox runs"]
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(texts, keys=[f"k{n}" for n in range(8)], metadata=[{"g": n // 2 % 3} for n in range(8)])
        whole = index.search("a fox", k=8)
        assert [hit.unknown for hit in whole] == [False] * 4 + [True] * 4
        for k, most in ((1, 1), (3, 1), (4, 2), (6, 3), (8, 4)):
            found = index.search("a fox", k=k, group_by="g", per_group=most)
            assert plain(found) == expected(whole, k, ["g"], most)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_by": "a b"}, "'a b' is not a field name: the field name 'a b' needs double quotes; without them it"),
        ({"group_by": ""}, "'' is not a field name"),
        ({"group_by": 7}, "a field must be a string, not int"),
        (
            {"per_group": 2},
            "how many hits a group may have is given, but not what to group by. Name the field with group_by=",
        ),
        ({"group_by": "g", "per_group": 0}, "per_group is 0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with filled(tmp_path / "i", [{"g": 1}]) as index:
        for ask in (index.search, index.search_many, index.explain_search):
            with pytest.raises(InvalidInput) as caught:
                ask(unit_vectors(1)[0], **options)
            assert message in str(caught.value)
        with pytest.raises(InvalidInput, match=message[:20]):
            index.similar("k0", **options)


def test_the_command_groups_hits(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one", "two", "three"], keys=["a", "b", "c"], metadata=[{"g": 1}, {"g": 1}, {"g": 2}])
        keys = [hit.key for hit in index.search("one", group_by="g")]
        near = [hit.key for hit in index.similar("a", group_by="g", k=1)]
    at = ("--index", tmp_path / "i", "--format", "json")

    def printed(*arguments: object) -> list[str]:
        return [hit["key"] for hit in json.loads(run(*map(str, (*arguments, *at)))[1])]

    assert (len(keys), near) == (2, printed("similar", "a", "--group-by", "g", "-k", "1"))
    assert sorted(printed("similar", "a", "--group-by", "g")) == ["b", "c"]
    code, out, err = run("similar", "a", "--per-group", "2", "--index", str(tmp_path / "i"))
    assert (code, out) == (1, "")
    assert err.endswith("but not what to group by\nName the field with --group-by.\n")


def test_a_field_to_group_by_that_no_record_has_is_a_warning(tmp_path: Path) -> None:
    with filled(tmp_path / "i", [{"topic": n, "of": {"x": 1}} for n in range(3)]) as index:
        query = unit_vectors(1)[0]
        for ask in (index.search, index.search_many, index.explain_search):
            with pytest.warns(GroupWarning) as caught:
                ask(query[None, :] if ask == index.search_many else query, group_by="topics")
            assert str(caught[0].message) == (
                "hits are grouped by topics, but no record has that field. Fields include: of, topic."
            )
        for field in ("of.y", "source", "document"):
            with pytest.warns(GroupWarning):
                index.similar("k0", group_by=field)
        index.add(["later"], keys=["k9"], metadata=[{"rare": 1}], vectors=-query[None, :], space="theirs")
        assert len(index.search(query, k=2, group_by="rare")) == 2
