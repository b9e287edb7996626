"""The OpenAPI: each operation has an example, and what is documented is what happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from vecindex import errors
from vecindex.errors import ServerError, VecindexError
from vecindex.serve.guards.tokens import Tokens
from vecindex.serve.problems import STATUSES, problem_of
from vecindex.values.records import AddReport, EncodeReport, IndexInfo

from ..support.helpers import opened
from ..support.served import Asked, asked


@pytest.fixture(scope="module")
def openapi(server: Asked) -> Any:
    return server.get("/openapi.json")


def operations(openapi: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_guide_lists_every_operation(openapi: Any) -> None:
    page = (Path(errors.__file__).parents[1] / "guide" / "server.md").read_text()
    table = page.split("| method and path |")[1].split("\n## ")[0]
    for method, path, _ in operations(openapi):
        assert f"`{method} {path}" in table


def test_every_operation_has_examples_and_says_what_may_go_wrong(openapi: Any) -> None:
    for method, path, operation in operations(openapi):
        if path.startswith("/v1"):
            assert {"400", "401", "403", "429", "500", "503", "504"} <= set(operation["responses"]), path
            assert ("422" in operation["responses"]) == (operation["tags"] != ["openai"]), path  # there it is 400
        assert operation["summary"]
        if method == "POST":
            body = operation["requestBody"]["content"]["application/json"]
            assert body["examples"], path
            assert {"408", "413", "415"} <= set(operation["responses"])


def test_the_examples_of_bodies_are_taken(fresh: Asked, openapi: Any) -> None:
    for method, path, operation in operations(openapi):
        if method != "POST":
            continue
        for name, example in operation["requestBody"]["content"]["application/json"]["examples"].items():
            answer = fresh.ask("POST", path, json=example["value"])
            # Vectors of an example are of no space of this index; what was deleted or is of another is not there.
            assert answer.status_code in ({200} if "made elsewhere" not in name else {200, 409}), (path, name)


def test_answers_have_the_members_that_are_documented(server: Asked, openapi: Any) -> None:
    def members(name: str) -> set[str]:
        return set(openapi["components"]["schemas"][name]["properties"])

    assert members("Added") == {*AddReport.__dataclass_fields__, "warnings"} - {"written"}
    assert members("Encoded") == {*EncodeReport.__dataclass_fields__, "warnings"}
    assert members("Info") <= {*IndexInfo.__dataclass_fields__}
    assert set(server.post("/v1/search", query="name")) == members("Hits")
    assert set(server.post("/v1/explain-search", query="name")) == members("ExplainedHits")


def test_a_server_that_only_reads_documents_and_makes_no_changes(tmp_path: Path) -> None:
    with opened(tmp_path / "index") as index:
        index.add(["one"], keys=["one"])
    with asked(opened(tmp_path / "index", readonly=True), readonly=True) as server:
        assert "post" not in server.get("/openapi.json")["paths"]["/v1/records"]
        for path, body in (("/v1/records", {"records": [{"text": "two"}]}), ("/v1/records/delete", {"keys": ["one"]})):
            for sent in ({"json": body}, {"json": {"no": 1}}, {"content": b"{"}, {}):
                assert server.refused("POST", path, **sent) == (403, "ReadOnly")
        assert server.get("/v1/count")["count"] == 1


def test_a_server_with_tokens_documents_which_requests_need_one(tmp_path: Path, openapi: Any) -> None:
    token = "correct-horse-battery-staple"
    with asked(opened(tmp_path / "index"), tokens=Tokens([token])) as server:
        for _ in range(2):
            told = server.ask("GET", "/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()
            assert told["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
            assert told["security"] == [{"token": []}]
            assert [path for _, path, each in operations(told) if each.get("security") == []] == ["/healthz"]
    assert "security" not in openapi


# --- errors


def below(kind: type[VecindexError]) -> Iterator[type[VecindexError]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


MADE: list[tuple[VecindexError, int]] = [
    (errors.InvalidInput("WHAT", "ADVICE"), 422),
    (errors.TextTooLong(4, "KEY", "TEXT", 312, 256, "MODEL"), 422),
    (errors.TextWithoutToken("TEXT", False, 4, "KEY"), 422),
    (errors.InvalidFilter("REASON", "FILTER", 7), 422),
    (errors.SourceError("PATH", 2, "REASON"), 422),
    (errors.RecordNotFound("KEY"), 404),
    (errors.CursorExpired(3, 5, "REASON"), 409),
    (errors.SpaceMismatch("SPACE", "SPACE", "DIFFERENCE"), 409),
    (errors.IndexLocked("PATH", 4711, "HOST", 10, 25), 503),
    (errors.IndexNotFound("PATH"), 503),
    (errors.StorageError("PATH", "REASON"), 503),
    (errors.OutOfMemory("DOING"), 503),
    (errors.EncodingFailed("REASON", "ADVICE"), 503),
    (errors.ModelNotFound("MODEL", ["PLACES"]), 503),
    (errors.MissingExtra("parquet", "WHAT"), 503),
    (errors.UnsupportedModel("MODEL", "REASON"), 500),
    (errors.IncompatibleFormat("PATH", 6, 5), 500),
    (errors.CorruptIndex("PATH", "REASON"), 500),
]


@pytest.mark.parametrize(("error", "status"), MADE, ids=lambda each: type(each).__name__)
def test_each_error_of_the_index_has_its_status_and_its_fields(error: VecindexError, status: int) -> None:
    problem = problem_of(error)
    found = problem.to_dict()["error"]
    assert problem.status_code == status
    assert (found["type"], found["message"], found["advice"]) == (type(error).__name__, error.message, error.advice)
    assert {name for name in vars(error) if name[0] != "_"} <= set(found)
    assert ("Retry-After" in (problem.headers or {})) == (status == 503)
    assert problem.response().body


def test_every_error_is_among_them() -> None:
    assert {type(error) for error, _ in MADE} == {
        each for each in below(cast(Any, VecindexError)) if "vecindex" in each.__module__
    } - {ServerError}  # a client's
    assert set(STATUSES) <= {type(error) for error, _ in MADE}
