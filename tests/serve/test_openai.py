"""Embeddings by OpenAI's API: what the real ``openai`` client gets, and what its own exceptions say."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

openai = pytest.importorskip("openai", reason="the client is not installed: pip install openai")
httpx2 = pytest.importorskip("httpx2")

import vecindex
from vecindex.encoders.run.encoder import Encoder
from vecindex.serve.embedder import Embedder
from vecindex.serve.guards.tokens import Tokens
from vecindex.serve.problems import Problem

from ..support.helpers import opened
from ..support.served import Asked, asked
from ..support.toy import BareEncoder, ToyEncoder

TOKEN = "correct-horse-battery-staple"
Use = Callable[[Any], Coroutine[Any, Any, Any]]


def with_client(server: Asked, use: Use, key: str = "any") -> Any:
    """What ``use`` returns of a real client of this server."""

    async def used() -> Any:
        transport = httpx2.ASGITransport(server.app, raise_app_exceptions=False)
        async with openai.AsyncOpenAI(
            api_key=key,
            base_url="http://127.0.0.1:8000/v1",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=transport),
        ) as client:
            return await use(client)

    return asyncio.run(used())


def embed(server: Asked, input: Any, **more: Any) -> Any:
    return with_client(server, lambda client: client.embeddings.create(**{"model": "toy", "input": input, **more}))


def fails(server: Asked, kind: type[Exception], use: Use, key: str = "any") -> dict[str, Any]:
    """The error that the client raises, which has to be of just this kind."""
    with pytest.raises(kind) as raised:
        with_client(server, use, key)
    assert type(raised.value) is kind
    error: Any = raised.value
    assert set(error.body) == {"message", "type", "param", "code"}
    assert (error.param, error.code, error.type) == (error.body["param"], error.body["code"], error.body["type"])
    return dict(error.body)


def refused(server: Asked, kind: type[Exception], **members: Any) -> dict[str, Any]:
    asked = {"model": "toy", "input": "one", **members}
    return fails(server, kind, lambda client: client.embeddings.create(**asked))


# --- answers


def test_a_thousand_texts_have_the_vectors_of_the_encoder(encoder: Encoder, minilm: Path, tmp_path: Path) -> None:
    texts = [f"note {i} of {i % 7} about {word}" for i, word in enumerate(["rain", "my name", "trains", "tea"] * 250)]
    with asked(opened(tmp_path / "index", model=encoder)) as server:
        found = embed(server, texts, model=encoder.space.model)
    assert (
        np.abs(np.array([each.embedding for each in found.data]) - vecindex.load_encoder(minilm).encode(texts)).max()
        <= 1e-6
    )
    assert [each.index for each in found.data] == list(range(1000))
    assert found.usage.prompt_tokens == found.usage.total_tokens == sum(encoder.count_tokens(texts))


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_vectors_come_as_numbers_or_as_bytes(server: Asked, form: str | None) -> None:
    more = {} if form is None else {"encoding_format": form}
    found = embed(server, ["my name", "it rains today"], **more)
    got = [np.frombuffer(base64.b64decode(e.embedding), "<f4") if form == "base64" else e.embedding for e in found.data]
    assert np.array_equal(np.array(got, np.float32), ToyEncoder().encode(["my name", "it rains today"]))
    assert (found.object, found.model, found.usage.prompt_tokens) == ("list", "toy", 5)
    assert {each.object for each in found.data} == {"embedding"}


def test_one_text_is_a_list_of_one(server: Asked) -> None:
    found = embed(server, "my name", dimensions=16, user="somebody")
    assert np.array_equal(
        np.array([each.embedding for each in found.data], np.float32), ToyEncoder().encode(["my name"])
    )


def test_the_model_may_be_left_out(server: Asked) -> None:
    assert server.post("/v1/embeddings", input="my name")["model"] == "toy"


def test_queries_are_encoded_as_such(tmp_path: Path) -> None:
    prompted = ToyEncoder(query_prompt="query: ", document_prompt="text: ")
    with asked(opened(tmp_path / "index", model=prompted)) as server:
        for role in ("document", "query", None):
            more = {} if role is None else {"extra_body": {"input_type": role}}
            got = np.array([each.embedding for each in embed(server, ["one two"], **more).data], np.float32)
            assert np.array_equal(got, prompted.encode(["one two"], role=role or "document"))


def test_models_are_that_of_the_index(server: Asked, tmp_path: Path) -> None:
    assert [each.id for each in with_client(server, lambda client: client.models.list()).data] == ["toy"]
    assert with_client(server, lambda client: client.models.retrieve("toy")).object == "model"
    named = "folder/of models/toy"
    with asked(opened(tmp_path / "index", model=ToyEncoder(model=named))) as other:
        assert with_client(other, lambda client: client.models.retrieve(named)).id == named
        assert embed(other, "one", model=named).model == named


def test_an_index_of_foreign_vectors_has_no_model(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index") as index:
        index.add(["one"], vectors=[[1.0, 0.0]], space="elsewhere")
    with asked(vecindex.open(tmp_path / "index")) as server:
        assert with_client(server, lambda client: client.models.list()).data == []
        error = refused(server, openai.BadRequestError, model="elsewhere")
        assert "made elsewhere" in error["message"]


# --- errors


@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        ({"input": []}, "input", "at least 1"),
        ({"input": ""}, "input", "at least 1"),
        ({"input": ["one", ""]}, "input", "at least 1"),
        ({"input": [1, 2, 3]}, "input", "send the texts"),
        ({"input": [[1, 2], [3]]}, "input", "send the texts"),
        ({"input": {"text": "one"}}, "input", ""),
        ({"input": "x" * 1_000_001}, "input", "1000000"),
        ({"input": ["one"] * 2_049}, "input", "2048"),
        ({"dimensions": 8}, "dimensions", "16"),
        ({"dimensions": 0}, "dimensions", "1"),
        ({"encoding_format": "int8"}, "encoding_format", "base64"),
        ({"extra_body": {"input_type": "passage"}}, "input_type", "query"),
        ({"extra_body": {"truncate": "END"}}, "truncate", ""),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_cannot_be_used_is_a_bad_request(server: Asked, members: dict[str, Any], param: str, words: str) -> None:
    error = refused(server, openai.BadRequestError, **members)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, "invalid_input")
    assert words in error["message"]


def test_a_body_that_is_no_json_is_a_bad_request_too(server: Asked) -> None:
    for content in (b"", b"[]", b"{", b'"text"', b"{}", b'{"input": NaN}'):
        answer = server.ask("POST", "/v1/embeddings", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, content
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_another_model_is_not_found(server: Asked) -> None:
    error = refused(server, openai.NotFoundError, model="text-embedding-3-small")
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert (
        fails(server, openai.NotFoundError, lambda client: client.models.retrieve("gpt"))["code"] == "model_not_found"
    )


def test_the_wrong_key_a_full_rate_and_a_start_are_errors_of_the_client(tmp_path: Path) -> None:
    def use(client: Any) -> Any:
        return client.models.list()

    with asked(opened(tmp_path / "index"), tokens=Tokens([TOKEN])) as server:
        assert fails(server, openai.AuthenticationError, use)["code"] == "invalid_api_key"
        server.service.state.ready = False
        assert fails(server, openai.InternalServerError, use, TOKEN)["type"] == "server_error"
    with asked(opened(tmp_path / "other"), rate=0.01) as server:
        assert server.get("/v1/models")["data"]
        assert fails(server, openai.RateLimitError, use)["code"] == "rate_limit_exceeded"


def test_other_paths_keep_their_errors(server: Asked) -> None:
    assert server.refused("GET", "/v1/modelsx") == (404, "NotFound")
    assert "code" in server.ask("GET", "/v1/embeddings").json()["error"]


# --- together


class Gate(ToyEncoder):
    """Its first call waits until it is let go; ``calls`` has the texts of each."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.began, self.go = threading.Event(), threading.Event()

    def encode(self, texts: Sequence[str], role: Any = "document") -> Any:
        self.calls.append(list(texts))
        if len(self.calls) == 1:
            self.began.set()
            assert self.go.wait(30)
        return super().encode(texts, role)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.go.set()


def test_requests_that_wait_are_encoded_together_and_each_gets_its_own(gate: Gate) -> None:
    embedder, found = Embedder(), {}

    def ask(*texts: str) -> None:
        found[texts] = embedder.embed(texts, "document", gate, 30)

    threads = [threading.Thread(target=ask, args=(f"first {i}", f"second {i} x")) for i in range(10)]
    threads[0].start()
    assert gate.began.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(embedder._together._waiting) < 9:
        threading.Event().wait(0.001)
    gate.go.set()
    for thread in threads:
        thread.join(30)
    assert [len(call) for call in gate.calls] == [2, 18]
    for texts, each in found.items():
        assert np.array_equal(each.vectors, ToyEncoder().encode(texts))
        assert each.tokens == 5


def test_a_request_that_takes_too_long_is_given_up_between_its_batches(gate: Gate) -> None:
    gate.go.set()
    with pytest.raises(Problem, match="504"):
        Embedder().embed(["one"] * 1000, "document", gate, 0.0)
    assert gate.calls == []


def test_an_error_in_the_text_of_one_is_not_one_of_the_others(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index", model=BareEncoder())) as server:
        answers = server.together(
            *(("POST", "/v1/embeddings", {"json": {"input": text}}) for text in ["one", "~", "two", "~", "three"])
        )
    assert [answer.status_code for answer in answers] == [200, 400, 200, 400, 200]
    assert json.loads(answers[1].content)["error"]["code"] == "text_without_token"
