"""What an engine of peers.py is: the calls behind which each one is put, and the rows that it is filled with."""

from __future__ import annotations

import importlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

K = 10
BATCH = 10_000
BUCKETS = 1000  # every bucket is below it, so a search below it is one without a filter
TEXT_QUERIES = 100


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of the corpus."""

    numbers: range
    texts: list[str]
    metadata: list[dict[str, Any]]
    vectors: np.ndarray

    @property
    def keys(self) -> list[str]:
        return [str(number) for number in self.numbers]


@dataclass
class Rows:
    """The corpus on disk, read in batches so that it weighs nothing in an engine's memory; ``seconds`` of reading."""

    texts: str
    vectors: str
    skip: int
    dim: int
    count: int
    seconds: float = 0.0

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        with open(self.texts, encoding="utf-8") as lines, open(self.vectors, "rb") as floats:
            floats.seek(4 * self.dim * self.skip)
            for start in range(0, self.count, size):
                began = time.perf_counter()
                numbers = range(start, min(start + size, self.count))
                rows = [json.loads(next(lines)) for _ in numbers]
                batch = Batch(
                    numbers=numbers,
                    texts=[text for text, _, _ in rows],
                    metadata=[{"lang": language, "bucket": bucket} for _, language, bucket in rows],
                    vectors=np.fromfile(floats, "<f4", len(numbers) * self.dim).reshape(-1, self.dim),
                )
                self.seconds += time.perf_counter() - began
                yield batch


Found = tuple[int, str, int]  # a hit's row number, text and bucket


class Engine(ABC):
    """One engine with its default settings; ``home`` is the folder that it may fill."""

    modules: ClassVar[tuple[str, ...]]
    distribution: ClassVar[str]
    filters: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def __init__(self, home: Path, rows: Rows) -> None:
        self.home = home
        self.rows = rows

    def load(self) -> None:
        """Imports the engine."""
        for name in self.modules:
            importlib.import_module(name)

    @abstractmethod
    def create(self) -> None:
        """Makes an empty index."""

    @abstractmethod
    def fill(self) -> float | None:
        """Adds all rows until they are durable and found; returns the seconds of a build that follows, if one does."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """What a user without a text store does before `open`; not counted."""

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def search(self, vector: np.ndarray, below: int) -> list[Found]:
        """The nearest K rows with their texts and buckets, of those whose bucket is ``below`` it."""

    def settings(self) -> str:
        """What the engine chose for itself; asked of an open index."""
        return ""

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        pass


class Storeless(Engine):
    """An index of vectors alone: texts and metadata are lists beside it."""

    note = "no store: no durability, no filter"

    def __init__(self, home: Path, rows: Rows) -> None:
        super().__init__(home, rows)
        self.texts: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.path = str(home / "index.bin")

    def keep(self, batch: Batch) -> None:
        self.texts.extend(batch.texts)
        self.metadata.extend(batch.metadata)

    def prepare(self) -> None:
        for batch in self.rows.batches():
            self.keep(batch)

    def fill(self) -> float | None:
        for batch in self.rows.batches():
            self.add(batch)
            self.keep(batch)
        self.save()
        return None

    @abstractmethod
    def add(self, batch: Batch) -> None: ...

    @abstractmethod
    def save(self) -> None: ...

    def rows_of(self, numbers: Any) -> list[Found]:
        return [(n, self.texts[n], self.metadata[n]["bucket"]) for n in map(int, numbers) if n >= 0]

    @cached_property
    def buckets(self) -> np.ndarray:
        return np.array([data["bucket"] for data in self.metadata])
