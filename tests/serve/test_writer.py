"""Changes wait in order for one thread, and at most so many; reads and changes are given up after a time."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import ModelNotFound, UnsupportedModel
from vecindex.search import together
from vecindex.serve.problems import Problem
from vecindex.serve.service import Service
from vecindex.serve.settings import Settings
from vecindex.serve.writer import Check, Writer
from vecindex.store.disk.lock import WriterLock

from ..support.helpers import opened, snapshots
from ..support.served import Asked, asked, error_of
from ..support.toy import ToyEncoder


def test_changes_are_made_in_order_by_one_thread() -> None:
    writer, seen = Writer(100), []

    def note(number: int) -> Any:
        return lambda check: seen.append((number, threading.current_thread().name))

    futures = [writer.submit(note(number)) for number in range(50)]
    for each in futures:
        each.result(10)
    assert seen == [(number, "vecindex-serve-writer") for number in range(50)]
    assert writer.stop(10)


def test_more_changes_than_may_wait_are_refused(tmp_path: Path) -> None:
    go = threading.Event()
    with asked(opened(tmp_path / "index"), queue=2) as server:
        writer = server.service.writer
        held = [writer.submit(lambda check: go.wait(30)) for _ in range(3)]
        answer = server.ask("POST", "/v1/records", json={"records": [{"text": "x"}]})
        assert error_of(answer) == (503, "QueueFull")
        assert int(answer.headers["retry-after"]) > 0
        assert "vecindex_changes_waiting 3.0" in server.ask("GET", "/metrics").text
        go.set()
        for each in held:
            each.result(30)
        assert server.post("/v1/records", records=[{"text": "x"}])["added"] == 1


def test_a_stop_makes_what_waits_and_takes_no_more() -> None:
    writer, done = Writer(10), []
    futures = [writer.submit(lambda check: done.append(1)) for _ in range(5)]
    assert writer.stop(30)
    assert len(done) == 5
    assert all(each.done() for each in futures)
    with pytest.raises(Problem) as caught:
        writer.submit(lambda check: None)
    assert (caught.value.status_code, caught.value.kind) == (503, "Stopping")


def test_a_stop_that_cannot_wait_gives_up_between_commits() -> None:
    writer, begun = Writer(10), threading.Event()

    def long(check: Check) -> None:
        begun.set()
        while True:
            check()

    futures = [writer.submit(long), writer.submit(long)]
    assert begun.wait(30)
    assert writer.stop(0)
    for each in futures:
        with pytest.raises(Problem) as caught:
            each.result(30)
        assert caught.value.kind == "Stopping"


def test_an_index_that_another_writer_holds_is_a_reason_to_try_again(fresh: Asked, tmp_path: Path) -> None:
    with WriterLock(tmp_path / "index", 0):
        answer = fresh.ask("POST", "/v1/records", json={"records": [{"text": "x"}]})
    assert error_of(answer) == (503, "IndexLocked")
    assert int(answer.headers["retry-after"]) > 0
    assert fresh.post("/v1/records", records=[{"text": "x"}])["added"] == 1


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    go = threading.Event()
    with asked(opened(tmp_path / "index"), timeout=0.2) as server:
        server.service.writer.submit(lambda check: go.wait(30))
        assert server.refused("POST", "/v1/records", json={"records": [{"text": "x"}]}) == (504, "TimedOut")
        go.set()
    assert snapshots(server.service.index).closed


def test_what_is_given_up_before_it_began_is_not_held(tmp_path: Path) -> None:
    class Records:
        """Stands for the records of a request."""

    go, records = threading.Event(), Records()
    held = weakref.ref(records)
    writer = Writer(1)
    writer.submit(lambda check: go.wait(30))
    given_up = writer.submit(lambda check, records=records: records)  # type: ignore[misc]
    del records
    with pytest.raises(Problem):
        writer.submit(lambda check: None)
    assert given_up.cancel()
    assert held() is None
    waits = writer.submit(lambda check: "made")  # in its place
    go.set()
    assert waits.result(30) == "made"
    assert writer.stop(30)
    assert writer.length == 0


def test_long_requests_that_are_given_up_do_not_keep_others_from_an_answer(tmp_path: Path) -> None:
    go, begun = threading.Event(), []
    with asked(opened(tmp_path / "index"), timeout=0.5, readers=2, long_readers=1) as server:

        def never(**arguments: Any) -> Any:
            begun.append(arguments)
            go.wait(60)
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(server.service.index, "search_many", never)
            many: tuple[str, str, dict[str, Any]] = ("POST", "/v1/search-many", {"json": {"queries": ["a", "b"]}})
            assert [error_of(each) for each in server.together(*[many] * 5)] == [(504, "TimedOut")] * 5
            assert server.refused(*many[:2], **many[2]) == (504, "TimedOut")
            assert server.get("/v1/count")["count"] == 0
            assert server.post("/v1/search", query="a")["hits"] == []
        assert len(begun) == 1
        go.set()
        assert server.post("/v1/search-many", queries=["a"])["results"]
        assert len(begun) == 1


def test_a_read_that_a_stop_cannot_wait_for_is_refused(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()
    with asked(opened(tmp_path / "index")) as server:

        def never() -> None:
            begun.set()
            go.wait(60)

        async def stop() -> Problem:
            reading = asyncio.ensure_future(server.service.run(never))
            while not begun.is_set():
                await asyncio.sleep(0.01)
            server.service.hurry()
            with pytest.raises(Problem) as caught:
                await reading
            with pytest.raises(Problem, match="Stopping"):
                await server.service.run(lambda: None)
            return caught.value

        problem = asyncio.run(stop())
        assert (problem.status_code, problem.kind) == (503, "Stopping")
        go.set()


def test_more_requests_than_are_worked_on_at_once_are_refused(tmp_path: Path) -> None:
    with asked(opened(tmp_path / "index"), requests=1) as server:
        count: tuple[str, str, dict[str, Any]] = ("GET", "/v1/count", {})
        answers = server.together(count, count, count)
        assert {each.status_code for each in answers} == {200, 503}
        refused = next(each for each in answers if each.status_code == 503)
        assert (error_of(refused), refused.headers["retry-after"]) == ((503, "Busy"), "1")
        assert server.get("/v1/count")["count"] == 0


def test_a_fault_is_answered_and_logged_without_what_it_says(fresh: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "a secret text"

    def broken(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError(said)

    monkeypatch.setattr(fresh.service.index, "count", broken)
    answer = fresh.ask("GET", "/v1/count")
    assert error_of(answer) == (500, "InternalError")
    assert "secret" not in answer.text + str(fresh.lines)
    assert "RuntimeError" in fresh.lines[0]


def test_until_it_is_ready_and_once_it_stops_a_server_says_so(fresh: Asked) -> None:
    state = fresh.service.state
    state.ready = False
    assert fresh.refused("GET", "/readyz") == (503, "NotReady")
    assert fresh.refused("GET", "/v1/count") == (503, "Starting")
    assert fresh.get("/healthz") == {"status": "ok"}
    state.ready, state.stopping = True, True
    assert fresh.refused("GET", "/readyz") == (503, "NotReady")
    answer = fresh.ask("GET", "/v1/count")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_the_first_request_finds_the_model_loaded(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with asked(opened(tmp_path / "index", model=encoder)):
        assert encoder.encoded > 0


def test_searches_that_come_together_are_encoded_together_whatever_their_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "available_cores", lambda: 1)
    monkeypatch.setattr(together, "_PATIENCE", 60)  # of searches whose others come late on a busy machine
    sizes: list[int] = []
    encode_all = ToyEncoder.encode_all

    def waiting(self: ToyEncoder, texts: Any, **named: Any) -> Any:
        """The first search waits until all others have come."""
        sizes.append(len(texts))
        while len(sizes) == 1 and len(server.service.index._encoded_together._waiting) < 39:
            time.sleep(0.01)
        return encode_all(self, texts, **named)

    with asked(opened(tmp_path / "index"), timeout=300) as server:
        server.post("/v1/records", records=[{"text": "one", "key": "one"}])
        monkeypatch.setattr(ToyEncoder, "encode_all", waiting)
        bodies = [{"query": f"text {n}", "k": 1 + n % 3, "mode": ("dense", "hybrid")[n % 2]} for n in range(40)]
        answers = server.together(*[("POST", "/v1/search", {"json": each}) for each in bodies])
    assert {each.status_code for each in answers} == {200}
    assert sizes == [1, 39]


@pytest.mark.parametrize("own", [True, False])
def test_a_reranker_that_is_not_there_is_found_before_the_server_is_ready(tmp_path: Path, own: bool) -> None:
    with opened(tmp_path / "index") as index:
        if own:
            index.add(["one"])
        else:
            index.add(["one"], vectors=np.eye(1, 5), space="elsewhere")
        service = Service(index, Settings(rerankers=("no/such-model",)))
        with pytest.raises(ModelNotFound) as caught:
            service.warm()
        assert caught.value.command_advice == "Check the name, or pass a local folder with --reranker DIR."
        (tmp_path / "model").mkdir()
        service = Service(index, Settings(rerankers=(str(tmp_path / "model"),)))
        with pytest.raises((ModelNotFound, UnsupportedModel)) as refused:
            service.warm()
        assert "--rerank " not in refused.value.command_advice


def test_a_reranker_is_used_only_if_the_server_allows_it(server: Asked, tmp_path: Path) -> None:
    for name in (str(tmp_path), "cross-encoder/ms-marco-MiniLM-L6-v2", "TOKENS", "../tokens"):
        assert server.refused("POST", "/v1/search", json={"query": "name", "rerank": name}) == (422, "InvalidInput")
        assert server.refused("GET", "/v1/search", params={"query": "name", "rerank": name})[0] == 422
