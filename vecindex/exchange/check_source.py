"""Opens a file or folder to import, and checks every row of it before anything is stored.

It is read twice: first to check every row, so that a bad one is named and nothing is stored, and then to store it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ..encoders.run.pooling import UNIT_TOLERANCE, unit_vectors, widened
from ..errors import SourceError
from ..store.vectors import Vectors
from ..values.repeats import SeenKeys
from .detect_format import rows_of
from .formats import ADVICE
from .import_source import ImportSource
from .rows import Block


@contextmanager
def checked_source(path: str | os.PathLike[str]) -> Iterator[ImportSource]:
    """What is at ``path``, with every row checked; "-" reads JSON lines from standard input.

    Raises:
        SourceError: it cannot be read, its format is unknown, or a row cannot be used.
        MissingExtra.
    """
    with rows_of(path) as source:
        count = dimension = 0
        keys, lines = SeenKeys(), array("q")
        for block in source.blocks():
            lines.extend(block.lines)
            _refuse_repeated(source.name, block, keys, lines)
            if not block.missing.all():
                _units(source.name, block, dimension or block.vectors.shape[1])
                dimension = block.vectors.shape[1]
            count += len(block.records)
        space = source.space
        if space is not None and dimension and space.dimension != dimension:
            raise SourceError(
                *(source.name, None),
                f"its vectors have {dimension} numbers, but its space {space.model} has {space.dimension} dimensions",
                ADVICE,
            )

        def blocks() -> Iterator[Block]:
            for block in source.blocks():
                yield replace(block, vectors=_units(source.name, block, dimension))

        yield ImportSource(source.name, space, count, dimension, blocks)


def _refuse_repeated(name: str, block: Block, keys: SeenKeys, lines: Sequence[int]) -> None:
    start = len(keys)
    for position, first in keys.repeated([r.key for r in block.records], [r.named for r in block.records]).items():
        if keys.is_named(position) or keys.is_named(first):
            key = block.records[position - start].key
            raise SourceError(name, lines[position], f"the key {key!r} is also that of line {lines[first]}", ADVICE)


def _units(name: str, block: Block, dimension: int) -> Vectors:
    """The vectors (n, D) of a block at unit length, unchanged where they have it already; raises SourceError.

    They are zeros for the rows that have none.
    """
    if block.missing.any():
        left = np.flatnonzero(~block.missing)
        units = np.zeros((len(block.records), dimension), np.float32)
        if len(left):
            records = [block.records[place] for place in left.tolist()]
            lines = [block.lines[place] for place in left.tolist()]
            units[left] = _units(name, Block(lines, records, block.vectors[left], block.missing[left]), dimension)
        return units
    found = block.vectors
    if found.shape[1] != dimension:
        reason = f"its vector has {found.shape[1]} numbers, but earlier vectors have {dimension}"
        raise SourceError(name, block.lines[0], reason, ADVICE)
    if dimension == 0:
        raise SourceError(name, block.lines[0], "its vector is empty", ADVICE)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = found.astype(np.float32)  # restores a float32 that another program stored as a double
        is_unit = np.abs(np.einsum("ij,ij->i", narrow, narrow) - 1) < UNIT_TOLERANCE
        largest = np.abs(widened(found)).max(axis=1)
    if is_unit.all():
        return narrow
    if len(bad := np.flatnonzero(~np.isfinite(largest) | (largest == 0))):
        what = "is zero, so it has no direction" if largest[bad[0]] == 0 else "holds NaN or an infinite number"
        raise SourceError(name, block.lines[int(bad[0])], f"its vector {what}", ADVICE)
    units = unit_vectors(found)
    units[is_unit] = narrow[is_unit]
    return units
