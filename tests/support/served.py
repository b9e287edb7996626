"""Asks a server: one within this process, or a real ``vecindex serve``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from vecindex import Index
from vecindex.serve.app import make_app
from vecindex.serve.logs import Log
from vecindex.serve.service import Service
from vecindex.serve.settings import Settings

from .places import PROJECT

LOCAL = "http://127.0.0.1:8000"


class Asked:
    """A server within this process, without a socket."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.lines: list[str] = []
        self.app = make_app(service, Log(self.lines.append))

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask([(method, path, more)]))[0]

    def together(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """The answers to several requests that are sent at once."""
        return asyncio.run(self._ask(requests))

    async def _ask(self, requests: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=LOCAL, timeout=60) as client:
            return await asyncio.gather(*(client.request(method, path, **more) for method, path, more in requests))

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a good answer to a request without a body."""
        return _good(self.ask("GET", path, params=parameters))

    def post(self, path: str, **members: Any) -> Any:
        """The JSON of a good answer to a request with these members."""
        return _good(self.ask("POST", path, json=members))

    def refused(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """The status and the type of the error."""
        return error_of(self.ask(method, path, **more))


@contextmanager
def asked(index: Index, **settings: Any) -> Iterator[Asked]:
    """A warm server for an index, which is closed with it."""
    service = Service(index, Settings(**settings))
    service.warm()
    service.state.ready = True
    try:
        yield Asked(service)
    finally:
        service.stop(10)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the type of the error, whose shape is checked."""
    error = answer.json()["error"]
    assert set(error) >= {"type", "message", "advice"}
    assert all(isinstance(error[name], str) and error[name] for name in ("type", "message", "advice"))
    return answer.status_code, error["type"]


def _good(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


_TOY = """
import sys
import vecindex.cli.options as options
from tests.support.toy import ToyEncoder
from vecindex.cli import main
opened = options.ModelOptions.open
def with_toy(self, *args, **named):
    return opened(self, *args, **{"encoder": ToyEncoder(), **named})
options.ModelOptions.open = with_toy
main(sys.argv[1:])
"""
_COMMAND = "from vecindex.cli import main; main()"


class Running:
    """A process that serves an index."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: list[str], reader: threading.Thread) -> None:
        self.process, self.url, self.log = process, url, log
        self._reader = reader

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal; returns the exit status, once all of the log is read."""
        self.process.send_signal(number)
        status = self.process.wait(300)
        self._reader.join(300)
        return status


@contextmanager
def running(index: Path, *options: str, toy: bool = True) -> Iterator[Running]:
    """``vecindex serve`` with these options, once it has printed its address; with the toy encoder, or the index's."""
    process = subprocess.Popen(
        [sys.executable, "-c", _TOY if toy else _COMMAND, "serve", "--index", str(index), "--port", "0", *options],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: log.extend(line.rstrip("\n") for line in stderr))
    reader.start()
    try:
        line = process.stdout.readline()
        if not line.startswith("Listening on http://"):
            process.wait(300)
            reader.join(30)
            raise AssertionError(f"the server did not start: {line}{log}")
        yield Running(process, line.removeprefix("Listening on ").rstrip("\n"), log, reader)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(300)
        reader.join(30)
        process.stdout.close()
        process.stderr.close()
