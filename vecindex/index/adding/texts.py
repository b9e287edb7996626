"""How an ``add`` of texts works: check the input, take or make the vectors, commit in batches.

1. `Adding.add` looks at what was given: texts, texts with vectors, or records that hold vectors.
2. Each item is checked and becomes an `Incoming`; `repeats` marks keys that come again, or refuses them.
3. Texts go through `encode_ahead`, which encodes what is new; vectors that were given are committed as they are.
4. Each batch is one commit (`store.writer`). So memory is bounded, and an interrupted ``add`` keeps what it committed.

A sequence is checked to its end before anything is committed; an iterator is checked as it is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ...encoders.run.encoder import Encoder
from ...encoders.run.pooling import unit_vectors
from ...errors import InvalidInput
from ...machine.batching import windows
from ...store.changes.reconcile import Incoming
from ...store.snapshot import Snapshots
from ...store.vectors import Vectors
from ...store.writer import Writer
from ...values.arrays import numbers
from ...values.keys import checked_key, derived_key
from ...values.metadata import checked_metadata
from ...values.records import AddReport, Metadata, Origin, Record
from ...values.space import Space
from ...values.texts import checked_text
from ..model import IndexModel
from .encode_ahead import Pipeline
from .options import AddOptions, check_encoded
from .repeats import OnDuplicate, marked
from .units import Unit

VECTORS_A_COMMIT = 16_384
"""Records in a commit that needs no encoding: the more there are, the less each one costs."""
CHARACTERS_A_COMMIT = 16_000_000

Texts = Iterable[str | Record]
Blocks = Iterator[tuple[list[Incoming], Vectors | None]]
"""What each commit adds: records and their unit vectors (n, D); None if some have none, and the others hold theirs."""
_ALL_OR_NONE = "Give each of them a vector, or none; or pass encode=False, which stores the others without one."


@dataclass(frozen=True, slots=True)
class Adding:
    """One ``add``: the index's collaborators, and the options that it was called with."""

    snapshots: Snapshots
    writer: Writer
    model: IndexModel
    encoder: Callable[[], Encoder]
    """The index's encoder at the time of the call, since a migration may replace the model meanwhile."""
    options: AddOptions

    def add(
        self,
        records: Texts,
        keys: Iterable[str] | None,
        metadata: Iterable[Metadata | None] | None,
        vectors: Any,
    ) -> AddReport:
        """See `Index.add`."""
        options = self.options
        may_lack = options.space is not None or not options.encode
        records, hold_vectors = _peek(records, may_lack)
        check_encoded(options)
        if vectors is None and not hold_vectors:
            return self._add_texts(records, keys, metadata)
        if options.on_long != "truncate":
            raise InvalidInput("on_long= says how texts are encoded, but vectors were given", "Leave it out.")
        if vectors is not None:
            listed = _with_missing(vectors)
            array = numbers(vectors, "vectors") if listed is None else None
            items = list(marked(_items(records, keys, metadata), options.on_duplicate))
            if array is None:
                return self._add_blocks(partial(_blocks_of_list, items, listed or []), check_first=True)
            return self._add_blocks(partial(_blocks_of_array, items, array), check_first=True)
        blocks = partial(_blocks_of_records, records, options.on_duplicate, may_lack)
        return self._add_blocks(blocks, check_first=isinstance(records, Sequence))

    def _add_texts(
        self, records: Texts, keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
    ) -> AddReport:
        if self.options.space is not None:
            raise InvalidInput("space= says what made vectors, but there are none", "Pass vectors=, or leave it out.")
        if self.options.encode and self.model.is_chosen:
            self.encoder()  # a different space is refused even if nothing must be encoded
        items: Iterable[Incoming] = marked(_items(records, keys, metadata), self.options.on_duplicate)
        if isinstance(records, Sequence):
            items = list(items)
        return self.add_units(Unit([item]) for item in items)

    def add_units(self, units: Iterable[Unit]) -> AddReport:
        """Adds texts that are checked."""
        return Pipeline(self.snapshots, self.writer, self.encoder, self.options).add(units)

    def _add_blocks(self, blocks: Callable[[], Blocks], check_first: bool) -> AddReport:
        if check_first:
            for _ in blocks():
                pass
        stored, total = self._space(), AddReport()
        for items, block in blocks():
            space = None
            if dimension := _dimension(items, block):
                space = self.model.space_of_vectors(self.options.space, stored, dimension)
            total += self.writer.add(items, {}, space, block, encode=False)
            if self.options.progress is not None:
                self.options.progress(total)
        return total

    def _space(self) -> Space | None:
        with self.snapshots.borrow() as catalog:
            return catalog.manifest().space


def _blocks_of_array(items: list[Incoming], array: npt.NDArray[Any]) -> Blocks:
    """The items with their rows of an array (n, D) of any numbers."""
    if array.ndim != 2 or len(array) != len(items) or (array.ndim == 2 and array.shape[1] == 0):
        raise _other_number(len(items), f"vectors has the shape {array.shape}")
    for start in range(0, len(array), VECTORS_A_COMMIT):
        window = slice(start, start + VECTORS_A_COMMIT)
        yield items[window], unit_vectors(array[window], start)


def _blocks_of_list(items: list[Incoming], vectors: list[Any]) -> Blocks:
    """The items with their vectors; one whose vector is None loses the vector that is stored."""
    if len(items) != len(vectors):
        raise _other_number(len(items), f"{len(vectors)} vectors")
    pairs = zip(items, vectors, strict=True)
    return _blocks((replace(item, bare=True) if vector is None else item, vector) for item, vector in pairs)


def _other_number(texts: int, given: str) -> InvalidInput:
    return InvalidInput(
        f"there are {texts} texts, but {given}",
        "Give one vector for each text: an array of the shape (texts, dimension), or a list with None for a text "
        "without a vector.",
    )


def _blocks_of_records(records: Texts, on_duplicate: OnDuplicate, may_lack: bool) -> Blocks:
    """The records with the vectors that they hold; ``may_lack`` says that some may hold none."""
    vectors: deque[Any] = deque()  # of items that were read but not yet yielded

    def items() -> Iterator[Incoming]:
        for position, record in enumerate(records):
            if not isinstance(record, Record):
                record = Record(record)
            if record.vector is None and not may_lack:
                raise InvalidInput(f"item {position} holds no vector, but others do", _ALL_OR_NONE)
            vectors.append(record.vector)
            yield _item(position, record.text, record.key, record.metadata, record.origin)

    return _blocks((item, vectors.popleft()) for item in marked(items(), on_duplicate))


def _blocks(pairs: Iterable[tuple[Incoming, Any]]) -> Blocks:
    """Items with their vectors, each None or (D,) numbers."""
    first, shape = 0, None
    for window in windows(pairs, VECTORS_A_COMMIT, lambda pair: pair[0].text, CHARACTERS_A_COMMIT):
        arrays = [None if vector is None else _array(vector, first + place) for place, (_, vector) in enumerate(window)]
        items, given = [item for item, _ in window], [array for array in arrays if array is not None]
        shapes = {array.shape for array in given} | ({shape} if shape else set())
        if len(shapes) > 1 or any(len(each) != 1 or each == (0,) for each in shapes):
            raise InvalidInput(
                f"the vectors have the shapes {sorted(shapes)}", "All must have the same shape, (dimension,)."
            )
        if len(given) == len(items):
            yield items, unit_vectors(np.array(given), first)
        elif not given:
            yield items, None
        else:
            filled = unit_vectors(np.array([given[0] if array is None else array for array in arrays]), first)
            pairs_left = zip(items, arrays, filled, strict=True)
            yield [item if array is None else item.with_vector(unit) for item, array, unit in pairs_left], None
        first, shape = first + len(window), next(iter(shapes), None)


def _peek(records: Texts, may_lack: bool) -> tuple[Iterable[Any], bool]:
    """The same records, and whether they hold vectors.

    Of an iterator only the first one is looked at; if it ``may_lack`` one, another may hold one.
    """
    if isinstance(records, Sequence):
        return records, any(isinstance(record, Record) and record.vector is not None for record in records)
    rest = iter(records)
    first = list(islice(rest, 1))
    holds = any(isinstance(record, Record) and (may_lack or record.vector is not None) for record in first)
    return chain(first, rest), holds


def _with_missing(vectors: Any) -> list[Any] | None:
    """Vectors as a list if some are None or there are none, in a list or a column of a table; else None."""
    if isinstance(vectors, (list, tuple)) or getattr(getattr(vectors, "dtype", None), "kind", "") == "O":
        listed = list(vectors)
        if not listed or any(vector is None for vector in listed):
            return listed
    return None


def _dimension(items: Sequence[Incoming], block: Vectors | None) -> int:
    """How many numbers the vectors have; 0 if there are none."""
    if block is not None:
        return int(block.shape[1])
    return next((len(item.vector) for item in items if item.vector is not None), 0)


def _array(vector: Any, item: int) -> npt.NDArray[Any]:
    if type(vector) is np.ndarray and vector.dtype == np.float32:  # the usual case
        return vector
    return numbers(vector, f"the numbers of the vector of item {item}")


def _items(
    records: Texts, keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
) -> Iterator[Incoming]:
    """Checked texts with their keys and metadata; columns of different lengths are refused before any is used."""
    if keys is None and metadata is None:
        for position, record in enumerate(records):
            if not isinstance(record, Record):
                yield _item(position, record, None, None)
            elif record.vector is None:
                yield _item(position, record.text, record.key, record.metadata, record.origin)
            else:
                raise InvalidInput(f"item {position} holds a vector, but the first one does not", _ALL_OR_NONE)
        return
    texts = list(records)
    key_list = [None] * len(texts) if keys is None else list(keys)
    metadata_list = [None] * len(texts) if metadata is None else list(metadata)
    if not len(texts) == len(key_list) == len(metadata_list):
        raise InvalidInput(
            f"there are {len(texts)} texts, {len(key_list)} keys and {len(metadata_list)} metadata objects",
            "Give one key and one metadata object for each text, or leave keys= or metadata= out.",
        )
    for position, (text, key, data) in enumerate(zip(texts, key_list, metadata_list, strict=True)):
        if isinstance(text, Record):
            raise InvalidInput("keys= and metadata= go with texts; a Record holds its own", "Leave them out.")
        yield _item(position, text, key, data)


def _item(
    position: int,
    text: str,
    key: str | None,
    metadata: Metadata | None,
    origin: Origin | None = None,
) -> Incoming:
    try:
        text = checked_text(text)
        said = None if metadata is None else checked_metadata(metadata)
        if key is None:
            return Incoming(derived_key(text, said), text, said, named=False, item=position, origin=origin)
        return Incoming(checked_key(key), text, said, item=position, origin=origin)
    except InvalidInput as error:
        raise InvalidInput(f"item {position}: {error.message}", error.advice) from None
