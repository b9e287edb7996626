"""What each route answers is what the index answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

import vecindex

from ..support.helpers import opened, state_of
from ..support.served import Asked, asked

SEARCHES: list[dict[str, Any]] = [
    {"query": "my name"},
    {"query": "name", "k": 2, "where": "lang = 'en'"},
    {"query": "name", "where": {"year": {"$gte": 2020}}},
    {"query": "name", "mode": "lexical", "min_score": 0.1},
    {"query": "name rain", "mode": "hybrid", "fusion": "rrf"},
    {"query": "name", "rerank": "tokens", "rerank_ms": 60_000},
    {"query": "name", "group_by": "lang", "per_group": 1},
    {"query": "name", "exclude": ["aun", "docs/de.txt:1"], "min_percentile": 0},
    {"query": "name", "diversity": 0.5, "context": 2},
    {"query": [1.0] * 16},
    {"query": "name", "vector": [1] * 16, "mode": "hybrid"},
]


@pytest.mark.parametrize("asked", SEARCHES, ids=str)
def test_a_search_answers_the_hits_of_the_index(server: Asked, asked: dict[str, Any]) -> None:
    hits = server.service.index.search(**asked)
    assert len(hits) > 0
    assert server.post("/v1/search", **asked)["hits"] == [hit.to_dict() for hit in hits]


def test_a_search_by_a_url_takes_the_same_options(server: Asked) -> None:
    found = server.get("/v1/search", query="name", k=2, where="lang = 'en'", mode="hybrid", exclude=["aun", "rose"])
    hits = server.service.index.search("name", 2, "lang = 'en'", mode="hybrid", exclude=["aun", "rose"])
    assert found == {"hits": [hit.to_dict() for hit in hits], "cursor": None, "warnings": []}


def test_a_filter_in_a_url_may_be_json(server: Asked) -> None:
    where = json.dumps({"year": {"$gte": 2020}})
    assert server.get("/v1/count", where=where)["count"] == 2
    assert [each["key"] for each in server.get("/v1/records", where=where)["records"]] == ["rain", "docs/de.txt:1"]
    assert server.get("/v1/facets", field="lang", where=where)["records"] == 2
    assert len(server.get("/v1/search", query="name", where=where)["hits"]) == 2
    for bad in ("{", "{}x", '{"a": NaN}', '{"$where": 1}', '{"a":' * 200, '{"a": 1, "a": 2}', "lang ="):
        assert server.refused("GET", "/v1/count", params={"where": bad})[0] == 422


def test_pages_follow_each_other_by_their_cursors(server: Asked) -> None:
    found, cursor = [], None
    while True:
        page = server.post("/v1/search", query="name", k=1, cursor=cursor)
        found += [hit["key"] for hit in page["hits"]]
        if (cursor := page["cursor"]) is None:
            break
    assert found == [hit.key for hit in server.service.index.search("name", k=4)]


def test_several_searches_are_answered_together(server: Asked) -> None:
    answers = server.post("/v1/search-many", queries=["name", "rain"], k=2)
    hits = server.service.index.search_many(["name", "rain"], k=2)
    assert [each["hits"] for each in answers["results"]] == [[hit.to_dict() for hit in each] for each in hits]
    assert len(server.post("/v1/search-many", queries=[[1] * 16, [0.5] * 16])["results"]) == 2
    assert server.post("/v1/search-many", queries=[])["results"] == []


def test_similar_records_are_found_by_keys(server: Asked) -> None:
    found = server.post("/v1/similar", **{"keys": ["aun", "rain"], "not": ["rose"], "k": 1})
    assert found["hits"] == [hit.to_dict() for hit in server.service.index.similar(["aun", "rain"], 1, not_=["rose"])]


def test_warnings_are_part_of_the_answer_and_are_not_issued(server: Asked) -> None:
    (warning,) = server.post("/v1/search", query="name", where="colour = 'red'")["warnings"]
    assert warning["type"] == "FilterWarning"
    assert warning["message"] == "the filter asks for the field colour, but no record has it"
    assert warning["advice"].startswith("Fields include: ")


def test_warnings_of_changes_are_told_too(fresh: Asked) -> None:
    answer = fresh.post("/v1/records/delete", where="colour = 'red'")
    assert (answer["deleted"], [each["type"] for each in answer["warnings"]]) == (0, ["FilterWarning"])


def test_a_record_is_got_with_its_vector(server: Asked) -> None:
    found = server.get("/v1/record", key="docs/de.txt:1")
    record = server.service.index.get("docs/de.txt:1")
    assert record.vector is not None
    assert found == {"record": record.to_dict(), "vector": record.vector.tolist()}


def test_records_are_listed_some_at_a_time(server: Asked) -> None:
    keys, after, pages = [], None, 0
    while True:
        page = server.get("/v1/records", limit=3, **({} if after is None else {"after": after}))
        keys += [record["key"] for record in page["records"]]
        pages += 1
        if (after := page["after"]) is None:
            break
    assert (keys, pages) == (["aun", "rain", "docs/de.txt:1", "rose"], 2)
    assert [each["key"] for each in server.get("/v1/records", where="lang = 'de'")["records"]] == ["docs/de.txt:1"]


def test_counts_facets_and_facts_are_those_of_the_index(server: Asked) -> None:
    index = server.service.index
    assert server.get("/v1/count") == {"count": 4, "warnings": []}
    assert server.get("/v1/count", where="lang = 'en'")["count"] == 2
    facets = asdict(index.facets("lang"))
    assert server.get("/v1/facets", field="lang") == {**facets, "values": [*facets["values"]], "warnings": []}
    assert server.get("/v1/info")["fingerprint"] == index.info().fingerprint
    assert server.get("/v1/sources") == {"sources": []}


def test_sources_and_places_of_files_are_told(fresh: Asked, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk\nthe milk is sour\n")
    with opened(tmp_path / "index") as other:
        other.add_files([tmp_path / "notes.txt"])
    assert [each["records"] for each in fresh.get("/v1/sources")["sources"]] == [2]
    (hit,) = fresh.post("/v1/search", query="sour", mode="lexical")["hits"]
    assert (hit["source"], hit["line"]) == ("notes.txt", 2)
    (record,) = fresh.get("/v1/records", source="notes.txt", limit=1)["records"]
    assert record["line"] == 1


def test_a_text_is_explained(server: Asked) -> None:
    found = server.post("/v1/explain", text="my name is Aun", against="my name")
    expected = vecindex.explain("my name is Aun", "my name", encoder=server.service.index.encoder)
    assert found["score"] == pytest.approx(sum(each["contribution"] for each in found["tokens"]), abs=1e-6)
    assert [each["token"] for each in found["tokens"]] == [each.token for each in expected.tokens]


def test_a_search_is_explained(server: Asked) -> None:
    found = server.post("/v1/explain-search", query="name", mode="hybrid", k=2)
    assert found["report"]["mode"] == "hybrid"
    assert [each["key"] for each in found["report"]["explanations"]] == [each["key"] for each in found["hits"]]
    assert found["hits"] == server.post("/v1/search", query="name", mode="hybrid", k=2)["hits"]


def test_health_and_metrics_are_told(server: Asked) -> None:
    assert server.get("/healthz") == server.get("/readyz") == {"status": "ok"}
    text = server.ask("GET", "/metrics").text
    assert "vecindex_records 4.0" in text
    assert 'vecindex_requests_total{method="GET",route="/healthz",status="200"}' in text


# --- changes


def test_health_may_be_asked_for_without_an_answer_to_read(server: Asked) -> None:
    for path in ("/healthz", "/readyz"):
        assert (server.ask("HEAD", path).status_code, server.ask("HEAD", path).content) == (200, b"")


def test_records_are_added_with_keys_metadata_and_vectors(fresh: Asked, tmp_path: Path) -> None:
    records = [
        {"text": "a new one", "key": "new", "metadata": {"n": [1, {"deep": None}]}},
        {"text": "my name was Aun", "key": "aun"},
        {"text": "without a key"},
    ]
    report = fresh.post("/v1/records", records=records)
    assert (report["added"], report["updated"], report["unchanged"]) == (2, 1, 0)
    with opened(tmp_path / "index") as other:
        state = state_of(other)
    assert state["new"] == ("a new one", {"n": [1, {"deep": None}]})
    assert state["aun"] == ("my name was Aun", {"lang": "en", "year": 2019})
    assert fresh.refused("POST", "/v1/records", json={"records": [{"text": "x", "vector": [1.0]}]})[0] == 422


def test_an_index_of_vectors_made_elsewhere_is_filled_and_searched(tmp_path: Path) -> None:
    with asked(vecindex.open(tmp_path / "index"), readonly=True) as empty:
        assert empty.get("/v1/count")["count"] == 0
    index = vecindex.open(tmp_path / "index")
    index.add(["zero"], keys=["z"], vectors=[[1, 1]], space="theirs")
    with asked(index) as server:
        records = [{"text": "one", "key": "a", "vector": [1, 0]}, {"text": "two", "key": "b", "vector": [0, 1]}]
        assert server.post("/v1/records", records=records, space="theirs")["added"] == 2
        assert server.post("/v1/search", query=[0.0, 2.0], k=1)["hits"][0]["key"] == "b"
        assert server.refused("POST", "/v1/search", json={"query": "one"}) == (422, "InvalidInput")
        changed: list[dict[str, Any]] = [{**records[0], "vector": None}, {**records[1], "vector": [1, 0]}]
        assert server.post("/v1/records", records=changed, space="theirs")["updated"] == 2
        assert [hit["key"] for hit in server.post("/v1/search", query=[1.0, 0.0])["hits"]] == ["b", "z"]
        del changed[1]["vector"]
        silent = {"records": changed, "space": "theirs"}
        assert server.refused("POST", "/v1/records", json=silent) == (422, "InvalidInput")
        useless = {"records": [{"text": "three", "vector": [0, 0]}], "space": "theirs"}
        assert server.refused("POST", "/v1/records", json=useless) == (422, "InvalidInput")
        large = {"text": "large", "key": "large", "vector": [1e300, 1e-300]}
        assert server.post("/v1/records", records=[large], space="theirs")["added"] == 1
        assert server.get("/v1/record", key="large")["vector"] == [1.0, 0.0]
        other = {"records": [{"text": "three", "vector": [1, 0]}], "space": "others"}
        assert server.refused("POST", "/v1/records", json=other) == (409, "SpaceMismatch")


def test_records_may_be_encoded_later(fresh: Asked) -> None:
    assert fresh.post("/v1/records", records=[{"text": "later", "key": "l"}], encode=False)["without_vector"] == 1
    assert fresh.get("/v1/record", key="l")["vector"] is None
    assert fresh.post("/v1/search", query="later", mode="lexical")["hits"][0]["key"] == "l"
    assert fresh.post("/v1/records/encode")["encoded"] == 1
    assert len(fresh.get("/v1/record", key="l")["vector"]) == 16


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("search", [], "the body: input should be a JSON object"),
        ("search", {"query": ""}, "query: string should have at least 1 character"),
        ("search", {"query": 5}, "query: input should be a valid string or a valid list"),
        ("search", {"query": [1, "a"]}, "query.1: input should be a valid number"),
        ("search", {"query": []}, "query: list should have at least 1 item, not 0"),
        ("search", {"query": "a", "where": [1]}, "where: input should be a valid string or a JSON object"),
        ("search", {"query": 5, "k": 0}, "k: input should be greater than or equal to 1 (1 more)"),
        ("search-many", {"queries": ["a", ""]}, "queries.1: string should have at least 1 character"),
        ("search-many", {"queries": ["a", [1]]}, "queries.1: input should be a valid string"),
        ("search-many", {"queries": [[1], ["a"]]}, "queries.1.0: input should be a valid number"),
        ("search-many", {"queries": "a"}, "queries: input should be a valid list"),
        ("records", {"records": [{"text": "a"}, {}]}, "records.1.text: field required"),
    ],
)
def test_what_cannot_be_used_is_named_as_it_was_sent(server: Asked, path: str, body: Any, message: str) -> None:
    assert server.ask("POST", f"/v1/{path}", json=body).json()["error"]["message"] == message


def test_a_parameter_that_is_not_known_may_have_any_name(server: Asked) -> None:
    for name in ("x[y]", "constrained-str", "limit[]"):
        error = server.ask("GET", "/v1/count", params={name: "1"}).json()["error"]
        assert (error["type"], error["message"]) == ("InvalidInput", f"{name}: there is no such parameter")


def test_a_filter_has_few_conditions(fresh: Asked) -> None:
    many = " or ".join(f"year = {n}" for n in range(101))
    for path, body in (
        ("/v1/search", {"query": "name", "where": many}),
        ("/v1/search", {"query": "name", "where": {f"k{n}": n for n in range(101)}}),
        ("/v1/search-many", {"queries": ["name"], "where": many}),
        ("/v1/similar", {"keys": ["aun"], "where": many}),
        ("/v1/explain-search", {"query": "name", "where": many}),
        ("/v1/records/delete", {"where": f"not ({many})"}),
    ):
        assert fresh.refused("POST", path, json=body) == (422, "InvalidInput")
    for path in ("/v1/records", "/v1/count", "/v1/facets?field=lang", "/v1/search?query=name"):
        parameters = httpx.QueryParams(path.partition("?")[2]).set("where", many)
        assert fresh.refused("GET", path, params=parameters) == (422, "InvalidInput")
    values = ", ".join(map(str, range(10_000)))
    assert fresh.post("/v1/search", query="name", where=f"year in ({values})")["hits"]


def test_records_are_deleted_by_keys_filter_and_source(fresh: Asked) -> None:
    assert fresh.post("/v1/records/delete", keys=["aun"]) == {"deleted": 1, "warnings": []}
    assert fresh.post("/v1/records/delete", where="lang = 'en'") == {"deleted": 1, "warnings": []}
    assert fresh.refused("POST", "/v1/records/delete", json={"source": "nowhere.txt"}) == (422, "InvalidInput")
    assert fresh.get("/v1/count")["count"] == 2
    assert fresh.post("/v1/records/delete", where="true") == {"deleted": 2, "warnings": []}


def test_commits_of_other_processes_are_seen(fresh: Asked, tmp_path: Path) -> None:
    with opened(tmp_path / "index") as other:
        other.add(["a later text"], keys=["later"])
    assert fresh.post("/v1/search", query="later", mode="lexical")["hits"][0]["key"] == "later"
    with opened(tmp_path / "index") as other:
        other.delete(["later"])
    assert fresh.refused("GET", "/v1/record?key=later") == (404, "RecordNotFound")
    assert fresh.get("/v1/count")["count"] == 4
