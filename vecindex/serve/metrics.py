"""What Prometheus reads of a server: requests, their time, what is being done, and the size of the index."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .logs import METHODS

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one server. Labels have few values, none of them made up by a client."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            *("vecindex_requests", "Requests that were answered.", ["method", "route", "status"]),
            registry=self._registry,
        )
        self._seconds = Histogram(
            *("vecindex_request_seconds", "Seconds from a request to its answer.", ["route"]),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._writes = Gauge(
            *("vecindex_changes_waiting", "Changes that are being made or wait."), registry=self._registry
        )
        self._records = Gauge(*("vecindex_records", "Records in the index."), registry=self._registry)
        self._generation = Gauge(
            *("vecindex_generation", "The number of commits of the index."), registry=self._registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, writes: int, records: int, generation: int) -> bytes:
        """All metrics in the format that Prometheus reads."""
        self._writes.set(writes)
        self._records.set(records)
        self._generation.set(generation)
        return generate_latest(self._registry)
