"""The methods of a remote index give what those of the index give: results, reports, warnings and errors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import (
    AddReport,
    AsyncRemoteIndex,
    CursorExpired,
    FilterWarning,
    Index,
    InvalidInput,
    PhraseNotFound,
    Record,
    RecordNotFound,
    RemoteIndex,
)
from vecindex.errors import InvalidFilter

from ...support.remote_texts import TEXTS
from ...support.served import Running

SEARCHES: dict[str, dict[str, Any]] = {
    "dense": {},
    "as many as there are": {"k": 100},
    "filter": {"where": {"n": {"$gte": 1}}},
    "written filter": {"where": "n >= 1 and n < 3"},
    "lexical": {"mode": "lexical"},
    "hybrid": {"mode": "hybrid", "k": 4},
    "ranks": {"mode": "hybrid", "fusion": "rrf"},
    "tokens": {"rerank": "tokens"},
    "groups": {"group_by": "n", "per_group": 2, "k": 9},
    "context": {"context": 1, "where": "source is not null"},
    "scores": {"min_score": 0.1},
    "percentiles": {"min_percentile": 10},
    "without some": {"exclude": {"k/0", "k/3"}},
    "diversity": {"diversity": 0.5},
    "vector": {"vector": np.arange(1.0, 9.0, dtype=np.float32), "mode": "hybrid"},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_have_the_hits_of_the_index(local: Index, remote: RemoteIndex, name: str) -> None:
    options = dict(SEARCHES[name])
    if "vector" in options:
        options["vector"] = local.get("k/1").vector
    expected = local.search("my name rain", **options)
    assert expected
    assert remote.search("my name rain", **options) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "lexical"},
        {"mode": "hybrid", "where": {"n": {"$gte": 1}}},
        {"min_score": 0.1, "min_percentile": 5, "exclude": ["k/0"]},
    ],
)
def test_all_hits_are_read_page_by_page(
    local: Index, remote: RemoteIndex, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("vecindex.serve.client.sync.HITS_A_PAGE", 2)
    expected = list(local.search_all("my name rain", **options))
    assert expected
    assert list(remote.search_all("my name rain", **options)) == expected


def test_a_vector_is_searched_for_as_it_is(local: Index, remote: RemoteIndex) -> None:
    vector = local.get("k/1").vector
    assert remote.search(vector) == local.search(vector)


def test_pages_go_on_where_the_last_one_ended(local: Index, remote: RemoteIndex) -> None:
    first = remote.search("rose", k=3)
    assert first.cursor is not None
    second = remote.search("rose", k=3, cursor=first.cursor)
    assert [hit.key for hit in first] + [hit.key for hit in second] == [hit.key for hit in local.search("rose", k=6)]
    assert remote.search("rose", k=100).cursor is None


def test_several_are_searched_for_at_once(local: Index, remote: RemoteIndex) -> None:
    queries = ["rain", "rose"]
    vectors = np.array([local.get("k/1").vector, local.get("k/3").vector])
    for given in (queries, vectors):
        assert remote.search_many(given, k=3) == local.search_many(given, k=3)


def test_records_are_like_others_and_unlike_some(local: Index, remote: RemoteIndex) -> None:
    assert remote.similar("k/3", k=3) == local.similar("k/3", k=3)
    examples = ["k/3", "k/5"]
    assert remote.similar(examples, not_=["k/0"]) == local.similar(examples, not_=["k/0"])


def test_a_search_is_explained_with_the_same_report(local: Index, remote: RemoteIndex) -> None:
    hits, report = remote.explain_search("my name", mode="hybrid", rerank="tokens")
    expected_hits, expected = local.explain_search("my name", mode="hybrid", rerank="tokens")
    assert hits == expected_hits
    assert replace(report, milliseconds={}) == replace(expected, milliseconds={})
    assert report.explanations[0].tokens
    assert set(report.milliseconds) == set(expected.milliseconds)


def test_a_text_is_explained_with_the_same_tokens(local: Index, remote: RemoteIndex) -> None:
    expected = vecindex.explain("my name is Aun", "my name", encoder=local.encoder)
    assert remote.explain("my name is Aun", "my name") == expected


def test_a_record_comes_with_its_vector_and_its_place(local: Index, remote: RemoteIndex) -> None:
    keys = [record.key for record in local.list()]
    for key in keys:
        assert key is not None
        found, expected = remote.get(key), local.get(key)
        assert (found, found.origin, found.span) == (expected, expected.origin, expected.span)
        assert found.vector is not None
        assert found.vector.dtype == np.float32
        np.testing.assert_array_equal(found.vector, expected.vector)


def test_records_are_listed_page_by_page(
    local: Index, remote: RemoteIndex, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecindex.serve.client.sync.RECORDS_A_PAGE", 3)
    assert list(remote.list()) == list(local.list())
    for options in (
        *({"limit": 7}, {"limit": 3}, {"after": "k/2"}, {"where": {"n": 1}}, {"where": "n = 1", "limit": 2}),
        {"source": notes / "notes.txt"},
    ):
        assert list(remote.list(**options)) == list(local.list(**options)), options


def test_facts_are_those_of_the_index(local: Index, remote: RemoteIndex) -> None:
    assert (len(remote), remote.count(), remote.count({"n": 1})) == (len(local), local.count(), local.count({"n": 1}))
    assert remote.facets("n", "n > 0", top=1) == local.facets("n", "n > 0", top=1)
    assert remote.keys() == local.keys()
    assert remote.sources() == local.sources()
    assert replace(remote.info(), path="", runtime=None, bytes=0) == replace(
        local.info(), path="", runtime=None, bytes=0
    )


def test_warnings_are_issued_here(remote: RemoteIndex) -> None:
    with pytest.warns(FilterWarning) as caught:
        assert remote.search("rain", where={"year": 1}) == []
    warning = caught[0].message
    assert isinstance(warning, FilterWarning)
    assert (warning.field, tuple(warning.known)) == ("year", ("headings", "n"))
    assert caught[0].filename == __file__
    with pytest.warns(PhraseNotFound):
        remote.search('"rain rose"', mode="lexical")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda index: index.get("nobody"), RecordNotFound),
        (lambda index: index.search("rain", where="n >"), InvalidFilter),
        (lambda index: index.search("rain", where=""), InvalidFilter),
        (lambda index: index.search("rain", where=5), InvalidFilter),
        (lambda index: index.search_many(["rain"], where={"n": float("nan")}), InvalidFilter),
        (lambda index: index.similar("k/0", where={"n": b"1"}), InvalidFilter),
        (lambda index: index.count({"n": float("inf")}), InvalidFilter),
        (lambda index: index.count(""), InvalidFilter),
        (lambda index: index.facets("n", {"n": object}), InvalidFilter),
        (lambda index: list(index.list({"n": b"1"})), InvalidFilter),
        (lambda index: index.search("rain", k=3, cursor="x"), InvalidInput),
        (lambda index: index.similar("k/0", not_=["k/0"]), InvalidInput),
        (lambda index: index.search([1.0]), InvalidInput),
        (lambda index: index.delete(), InvalidInput),
        (lambda index: list(index.list(limit=0)), InvalidInput),
    ],
)
def test_errors_are_those_of_the_index(
    local: Index, remote: RemoteIndex, call: Callable[[Any], Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as expected:
        call(local)
    with pytest.raises(kind) as found:
        call(remote)
    assert type(found.value) is type(expected.value)
    if kind is not InvalidInput:
        assert vars(found.value) == vars(expected.value)
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.add("a single text"),
        lambda index: index.add(["a text", None]),
        lambda index: index.add(["a text"], keys="k"),
        lambda index: index.add(["a text"], metadata=[{"n": float("nan")}]),
        lambda index: index.add(["a text"], progress=5),
        lambda index: index.delete("k/0"),
        lambda index: index.delete([7]),
        lambda index: index.get(5),
        lambda index: index.get("\ud800"),
        lambda index: index.search(b"rain"),
        lambda index: index.search("rain", k=0),
        lambda index: index.search("rain", mode="best"),
        lambda index: index.search("rain", exclude="k/0"),
        lambda index: index.search_all("rain", "high"),
        lambda index: index.similar([]),
        lambda index: index.facets(5),
    ],
)
def test_wrong_arguments_are_refused_as_by_the_index(
    local: Index, remote: RemoteIndex, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(InvalidInput) as expected:
        call(local)
    with pytest.raises(InvalidInput) as found:
        call(remote)
    if "nan" not in str(expected.value):
        assert str(found.value) == str(expected.value)


def test_a_table_is_refused_since_its_items_are_the_names_of_its_columns(remote: RemoteIndex) -> None:
    table = pytest.importorskip("pandas").DataFrame({"text": ["a row"]})
    with pytest.raises(InvalidInput, match="a table with several columns"):
        remote.add(table)


def test_numbers_of_every_type_and_empty_lists_are_taken_as_by_the_index(local: Index, remote: RemoteIndex) -> None:
    options: dict[str, Any] = {"k": np.int64(2), "rerank": "tokens", "rerank_ms": float("inf")}
    assert remote.search("rain", **options) == local.search("rain", **options)
    assert (remote.search_many([]), remote.delete([]), remote.add([])) == ([], 0, AddReport())


def test_changes_are_made_there(empty: RemoteIndex) -> None:
    reports: list[AddReport] = []
    report = empty.add(
        (text for text in TEXTS), keys=[str(n) for n in range(len(TEXTS))], metadata=[{"n": 1}, *[None] * 7],
        progress=reports.append,
    )  # fmt: skip
    assert (report.added, len(empty), reports) == (len(TEXTS), len(TEXTS), [report])
    assert empty.get("0").metadata == {"n": 1}
    assert empty.add(["snow"], keys=["1"]).updated == 1
    assert empty.add([Record("fog", "fog", {"a": [1]})], encode=False).added == 1
    assert empty.get("fog").vector is None
    assert empty.info().without_vector == 1
    assert empty.encode_missing().encoded == 1
    assert empty.get("fog").vector is not None
    cursor = empty.search("a", k=2, mode="lexical", group_by="n").cursor
    assert empty.delete(["fog", "1"]) == 2
    assert empty.delete(where={"n": 1}) == 1
    if cursor is not None:
        with pytest.raises(CursorExpired):
            empty.search("a", k=2, mode="lexical", group_by="n", cursor=cursor)
    assert len(empty) == len(TEXTS) - 2


def test_many_records_are_sent_in_several_requests(empty: RemoteIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.serve.client.questions.RECORDS_A_REQUEST", 4)
    reports: list[int] = []
    vectors = np.eye(10, dtype=np.float32)
    report = empty.add(
        map(str, range(10)),
        vectors=[*vectors[:9], None],
        space="theirs",
        progress=lambda report: reports.append(report.added),
    )
    assert (report.added, reports) == (10, [4, 8, 10])
    assert [hit.text for hit in empty.search(vectors[3], k=1)] == ["3"]
    assert empty.add(["3"], vectors=[None]).updated == 1
    assert [hit.text for hit in empty.search(vectors[3], k=1)] != ["3"]
    assert empty.add([Record("3"), Record("4", vector=vectors[4])], space="theirs").unchanged == 2
    monkeypatch.setattr("vecindex.serve.client.questions.BYTES_A_REQUEST", 2 * 22 * 10)
    empty.add(["a"] * 5, keys=list("abcde"), vectors=vectors[:5], space="theirs", progress=lambda _: reports.append(0))
    assert reports[3:] == [0, 0, 0]
    assert empty.info().model == "theirs"
    with pytest.raises(InvalidInput, match="have other lengths"):
        empty.add(["a", "b"], keys=["a"])


def test_the_asynchronous_client_has_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, Any]:
        return {name: each for name, each in vars(kind).items() if inspect.isfunction(each) and name[0] != "_"}

    mine, other = methods(RemoteIndex), methods(AsyncRemoteIndex)
    assert list(mine) == list(other)
    for name, method in mine.items():
        assert inspect.signature(method).parameters == inspect.signature(other[name]).parameters
        if name != "close":
            theirs = inspect.signature(getattr(Index, name, vecindex.explain)).parameters
            for parameter in inspect.signature(method).parameters.values():
                same = theirs.get(parameter.name)
                assert parameter.name == "self" or (same and same.default == parameter.default), (name, parameter)


def test_tasks_ask_beside_each_other(server: Running, local: Index) -> None:
    async def ask() -> None:
        async with vecindex.connect_async(server.url) as index:
            found = await asyncio.gather(*(index.search(text, k=2) for text in TEXTS))
            assert found == [local.search(text, k=2) for text in TEXTS]
            assert [record async for record in index.list(limit=3)] == list(local.list(limit=3))
            assert await index.count() == len(local)
            with pytest.raises(RecordNotFound):
                await index.get("nobody")

    asyncio.run(ask())
