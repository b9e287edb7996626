"""How a server is set up: `Settings`."""

from __future__ import annotations

from dataclasses import dataclass

from .guards.tokens import Tokens

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server allows.

    Attributes:
        readonly: nothing is added or deleted.
        tokens: one of them must be sent with each request; None asks for none.
        local: only programs on this machine reach the server, so that the name by which they call it is known.
        hosts: further names by which the server may be called, as `read_hosts` gives them.
        origins: the web pages of other servers that may ask, as `read_origins` gives them.
        rerankers: the cross-encoders that a request may name.
        rate: how many requests a second a client may send; None sets no limit.
        max_body: bytes of a request's body.
        max_bodies: bytes of all bodies that are held at once.
        body_seconds: within which a body has to arrive.
        timeout: seconds within which a request is answered.
        readers: searches and other reads that run beside each other; those that wait for each other are done as one,
            see `search.together`, which makes the most of many.
        long_readers: reads of many things, as many searches in one request, that run beside each other and the others.
        requests: requests that are worked on or wait at once.
        queue: changes that wait for the writer.
        drain_seconds: for how long a server that stops still takes connections, and then requests over them.
        stop_seconds: for how long it finishes after that what it was asked.
    """

    readonly: bool = False
    tokens: Tokens | None = None
    local: bool = True
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    rerankers: tuple[str, ...] = ()
    rate: float | None = None
    max_body: int = 16 * MEGABYTE
    max_bodies: int = 128 * MEGABYTE
    body_seconds: float = 30.0
    timeout: float = 60.0
    readers: int = 64
    long_readers: int = 4
    requests: int = 256
    queue: int = 64
    drain_seconds: float = 0.5
    stop_seconds: float = 5.0
