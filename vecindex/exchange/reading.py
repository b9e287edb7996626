"""What records and vectors are in this file of another program, or of `writing`: all of it checked before it is used.

A file is read twice: first to check every row, so that a bad one is named and nothing is stored, and then to store it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..encoders.run.pooling import UNIT_TOLERANCE, unit_vectors, widened
from ..errors import Advice, InvalidInput, SourceError, SpaceMismatch
from ..index.add import CHARACTERS_A_COMMIT, VECTORS_A_COMMIT
from ..index.repeats import Keys
from ..machine.batching import windows
from ..store.changes import Incoming
from ..store.vectors import Vectors
from ..store.writer import TextVector, Writer
from ..values.records import AddReport
from ..values.space import Space
from .formats import ADVICE
from .rows import Block, blocks_of


@dataclass(frozen=True)
class Exchange:
    """What is in a file of records and vectors, made by `opened`: ``count`` records with vectors of ``dimension``.

    ``name`` is what errors call it; ``space`` is what made the vectors, None where the file does not say.
    """

    name: str
    space: Space | None
    count: int
    dimension: int
    _blocks: Callable[[], Iterator[Block]]

    def space_in(self, stored: Space | None, named: str | Space | None = None) -> Space:
        """The space to store the vectors under, in an index of the space ``stored``.

        ``named`` is the space, or an external one's name, as a person says it. Raises InvalidInput, SpaceMismatch.
        """
        said = Space.external(named, self.dimension) if isinstance(named, str) else named
        found = self.space or said
        if found is None and (stored is None or stored.is_external):
            if stored is None:
                raise InvalidInput(
                    f"{self.name} does not say what made its vectors",
                    Advice(
                        "Give that a name of your own with space=; two names never mix.",
                        typed="Give that a name of your own with --space NAME; two names never mix.",
                    ),
                )
            found = Space.external(stored.model, self.dimension)
        if found is None:
            assert stored is not None
            raise SpaceMismatch(
                *(stored.describe(), f"vectors of {self.name}, which does not say what made them"),
                advice=Advice(
                    "Import them into an index of their own, with space=.",
                    typed="Import them into an index of their own, with --index DIR and --space NAME.",
                ),
            )
        if said is not None and said.fingerprint != found.fingerprint:
            raise InvalidInput(
                f"{self.name} says itself what made its vectors: {found.describe()}",
                Advice("Leave space= out.", typed="Leave --space out."),
            )
        if stored is not None and stored.fingerprint != found.fingerprint:
            raise SpaceMismatch(
                *(stored.describe(), found.describe(), stored.differences(found)),
                advice=Advice(
                    "Import it into an index of its own.", typed="Import it into an index of its own, with --index DIR."
                ),
            )
        return found

    def store(self, writer: Writer, space: Space, progress: Callable[[AddReport], None] | None = None) -> AddReport:
        """Adds all records as vectors of ``space``; ``progress`` is called after every commit with the report so far.

        Raises:
            SpaceMismatch, IndexLocked, StorageError: nothing more was written.
        """
        total = AddReport()
        for window, truncated in _commits(self._incoming(keeps_lost=not space.is_external)):
            total += writer.add(window, truncated, space)
            if progress is not None:
                progress(total)
        return total

    def _incoming(self, keeps_lost: bool) -> Iterator[tuple[Incoming, Vectors, int]]:
        keys = Keys()
        for block in self._blocks():
            vectors = _units(self.name, block, self.dimension)
            start = len(keys)
            repeated = keys.repeated([each.key for each in block.records], [each.named for each in block.records])
            for position, (each, vector) in enumerate(zip(block.records, vectors, strict=True), start):
                lost = each.lost if keeps_lost else 0
                item = Incoming(each.key, each.text, each.metadata, None if lost else vector, named=each.named)
                item.again = position in repeated
                yield item, vector, lost


def import_into(
    writer: Writer,
    source: str | os.PathLike[str] | Exchange,
    stored: Space | None,
    made_by: Space | None = None,
    named: str | Space | None = None,
    progress: Callable[[AddReport], None] | None = None,
) -> AddReport:
    """Adds what is in ``source`` to an index of the space ``stored``; see `Exchange.space_in` and `Exchange.store`.

    ``made_by`` is the space of the model that the index was opened with, if it was with one.
    """
    if not isinstance(source, Exchange):
        with opened(source) as found:
            return import_into(writer, found, stored, made_by, named, progress)
    if source.count == 0:
        return AddReport()
    return source.store(writer, source.space_in(stored or made_by, named), progress)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Exchange]:
    """What is at ``path``, every row of it checked; "-" is standard input, for jsonl.

    Raises:
        SourceError: it cannot be read, is none of the formats, or a row is not usable; MissingExtra.
    """
    with blocks_of(path) as source:
        count = dimension = 0
        keys, lines = Keys(), array("q")
        for block in source.blocks():
            lines.extend(block.lines)
            _refuse_repeated(source.name, block, keys, lines)
            _units(source.name, block, dimension or block.vectors.shape[1])
            dimension = block.vectors.shape[1]
            count += len(block.records)
        space = source.space
        if space is not None and count and space.dimension != dimension:
            raise SourceError(
                *(source.name, None),
                f"its vectors have {dimension} numbers, and its space {space.model} has {space.dimension}",
                ADVICE,
            )
        yield Exchange(source.name, space, count, dimension, source.blocks)


def _refuse_repeated(name: str, block: Block, keys: Keys, lines: Sequence[int]) -> None:
    start = len(keys)
    for position, first in keys.repeated([r.key for r in block.records], [r.named for r in block.records]).items():
        if keys.is_named(position) or keys.is_named(first):
            key = block.records[position - start].key
            raise SourceError(name, lines[position], f"the key {key!r} is that of line {lines[first]} too", ADVICE)


def _units(name: str, block: Block, dimension: int) -> Vectors:
    """The vectors (n, D) of a block at unit length, those that have it as they are; raises SourceError."""
    found = block.vectors
    if found.shape[1] != dimension:
        reason = f"its vector has {found.shape[1]} numbers, and those before have {dimension}"
        raise SourceError(name, block.lines[0], reason, ADVICE)
    if dimension == 0:
        raise SourceError(name, block.lines[0], "its vector is empty", ADVICE)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = found.astype(np.float32)  # a float32 that another program stored as a double is itself again
        is_unit = np.abs(np.einsum("ij,ij->i", narrow, narrow) - 1) < UNIT_TOLERANCE
        largest = np.abs(widened(found)).max(axis=1)
    if is_unit.all():
        return narrow
    if len(bad := np.flatnonzero(~np.isfinite(largest) | (largest == 0))):
        what = "is zero: a cosine needs a direction" if largest[bad[0]] == 0 else "holds NaN or an infinite number"
        raise SourceError(name, block.lines[int(bad[0])], f"its vector {what}", ADVICE)
    units = unit_vectors(found)
    units[is_unit] = narrow[is_unit]
    return units


def _commits(
    items: Iterable[tuple[Incoming, Vectors, int]],
) -> Iterator[tuple[list[Incoming], dict[str, TextVector]]]:
    """What each commit adds: records, and the vectors of those whose text the model did not read to its end.

    Only a vector that belongs to a text can be said to be truncated; one text has one vector in a commit.
    """
    for window in windows(items, VECTORS_A_COMMIT, lambda each: each[0].text, CHARACTERS_A_COMMIT):
        commit: list[Incoming] = []
        truncated: dict[str, TextVector] = {}
        for item, vector, lost in window:
            known = truncated.get(item.text) if lost else None
            if known is not None and known.vector.tobytes() != vector.tobytes():
                yield commit, truncated
                commit, truncated = [], {}
            commit.append(item)
            if lost:
                truncated[item.text] = TextVector(vector, lost)
        yield commit, truncated
