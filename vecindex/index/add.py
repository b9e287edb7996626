"""What goes into an index: texts, records and vectors, checked, and committed window by window.

Each window is one commit, so memory is bounded, and what an interrupted ``add`` has committed stays. Texts that must be
encoded go through `pipeline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..encoders.run.encoder import Encoder
from ..encoders.run.pooling import unit_vectors
from ..errors import InvalidInput
from ..machine.batching import windows
from ..store.reconcile import Incoming
from ..store.snapshot import Snapshots
from ..store.vectors import Vectors
from ..store.writer import Writer
from ..values.arrays import numbers
from ..values.records import AddReport, Metadata, Record, checked_key, checked_metadata, checked_text, derived_key
from ..values.space import Space
from .encode_ahead import OnBad, Pipeline, Progress
from .long_texts import OnLong, without_reserved
from .repeats import OnDuplicate, marked

VECTORS_A_COMMIT = 16_384
"""Records of one commit that need no encoding: more of them share its cost."""
CHARACTERS_A_COMMIT = 16_000_000

SpaceFor = Callable[[int], Space]
"""The space of vectors that were made elsewhere, by their dimension; raises where it is not the index's."""


def add(
    records: Iterable[str | Record],
    keys: Iterable[str] | None,
    metadata: Iterable[Metadata | None] | None,
    snapshots: Snapshots,
    writer: Writer,
    encoder: Callable[[], Encoder],
    on_long: OnLong = "truncate",
    progress: Progress | None = None,
    on_bad: OnBad | None = None,
    on_duplicate: OnDuplicate = "error",
) -> AddReport:
    """Adds texts, with their keys and metadata, or records; ``encoder`` is asked for only when a text must be encoded.

    A sequence is checked whole before anything is committed; an iterator as it goes. ``on_long`` says what becomes of
    texts longer than the model reads. ``progress`` is called after each commit with the report so far, ``on_bad`` with
    each text that cannot be encoded and is left out. ``on_duplicate`` is as in `repeats`.
    """
    incoming: Iterable[Incoming] = marked(_incoming(records, keys, metadata), on_duplicate)
    if on_long == "split":
        incoming = without_reserved(incoming)
    if isinstance(records, Sequence):
        incoming = list(incoming)
    return Pipeline(snapshots, writer, encoder, on_long, progress, on_bad).add(incoming)


def add_vectors(
    records: Iterable[str | Record],
    keys: Iterable[str] | None,
    metadata: Iterable[Metadata | None] | None,
    vectors: Any,
    writer: Writer,
    space_for: SpaceFor,
    progress: Progress | None = None,
    on_duplicate: OnDuplicate = "error",
) -> AddReport:
    """Adds texts, with their keys and metadata, and the vectors (n, D) that were made of them elsewhere."""
    array = numbers(vectors, "vectors")
    incoming = list(marked(_incoming(records, keys, metadata), on_duplicate))
    if array.ndim != 2 or len(array) != len(incoming) or (array.ndim == 2 and array.shape[1] == 0):
        raise InvalidInput(
            f"there are {len(incoming)} texts, and vectors of the shape {array.shape}",
            "Give one vector for each text: an array of the shape (texts, dimension).",
        )
    if not incoming:
        return AddReport()
    space = space_for(array.shape[1])
    starts = range(0, len(array), VECTORS_A_COMMIT)
    for start in starts:  # all of them before the first is committed
        unit_vectors(array[start : start + VECTORS_A_COMMIT], start)

    def reports() -> Iterator[AddReport]:
        for start in starts:
            block = unit_vectors(array[start : start + VECTORS_A_COMMIT], start)
            yield writer.add(incoming[start : start + VECTORS_A_COMMIT], {}, space, block)

    return _committed(reports(), progress)


def add_records(
    records: Iterable[str | Record],
    writer: Writer,
    space_for: SpaceFor,
    progress: Progress | None = None,
    on_duplicate: OnDuplicate = "error",
) -> AddReport:
    """Adds records that hold the vectors that were made of them elsewhere, all of them or none; see `add_vectors`."""
    if isinstance(records, Sequence):  # all of it is checked before the first is committed
        for _ in _blocks(records, on_duplicate):
            pass

    def reports() -> Iterator[AddReport]:
        for items, block in _blocks(records, on_duplicate):
            yield writer.add(items, {}, space_for(block.shape[1]), block)

    return _committed(reports(), progress)


def _blocks(records: Iterable[str | Record], on_duplicate: OnDuplicate) -> Iterator[tuple[list[Incoming], Vectors]]:
    """The records with their vectors (n, D), in windows of one commit."""
    vectors: deque[Any] = deque()  # of the items that were read and not yet given out

    def items() -> Iterator[Incoming]:
        for position, record in enumerate(records):
            if not isinstance(record, Record) or record.vector is None:
                raise InvalidInput(f"item {position} holds no vector, and others do", "Give all or none of them.")
            vectors.append(record.vector)
            yield _item(position, record.text, record.key, record.metadata)

    first = 0
    pairs = ((item, vectors.popleft()) for item in marked(items(), on_duplicate))
    for window in windows(pairs, VECTORS_A_COMMIT, lambda pair: pair[0].text, CHARACTERS_A_COMMIT):
        arrays = [_numbers(vector, first + place) for place, (_, vector) in enumerate(window)]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1 or any(len(shape) != 1 or shape == (0,) for shape in shapes):
            raise InvalidInput(f"vectors have the shapes {sorted(shapes)}", "Each is (dimension,), all the same.")
        yield [item for item, _ in window], unit_vectors(np.array(arrays), first)
        first += len(window)


def peek(records: Iterable[str | Record]) -> tuple[Iterable[Any], bool]:
    """The same records, and whether the first of them holds a vector."""
    if isinstance(records, Sequence):
        return records, bool(records) and isinstance(records[0], Record) and records[0].vector is not None
    rest = iter(records)
    first = list(islice(rest, 1))
    holds = any(isinstance(record, Record) and record.vector is not None for record in first)
    return chain(first, rest), holds


def _numbers(vector: Any, item: int) -> npt.NDArray[Any]:
    if type(vector) is np.ndarray and vector.dtype == np.float32:  # as nearly always
        return vector
    return numbers(vector, f"the numbers of the vector of item {item}")


def each(committed: Callable[[], None], progress: Progress | None) -> Progress:
    """What is called after each commit: both."""

    def after(report: AddReport) -> None:
        committed()
        if progress is not None:
            progress(report)

    return after


def _committed(reports: Iterable[AddReport], progress: Progress | None) -> AddReport:
    total = AddReport()
    for report in reports:
        total = total + report
        if progress is not None:
            progress(total)
    return total


def _incoming(
    records: Iterable[str | Record], keys: Iterable[str] | None, metadata: Iterable[Metadata | None] | None
) -> Iterator[Incoming]:
    """Checked texts with their keys and metadata; columns of different lengths are refused before any is used."""
    if keys is None and metadata is None:
        for position, record in enumerate(records):
            if not isinstance(record, Record):
                yield _item(position, record, None, None)
            elif record.vector is None:
                yield _item(position, record.text, record.key, record.metadata)
            else:
                raise InvalidInput(
                    f"item {position}: it holds a vector, and the first one does not", "Give all or none of them."
                )
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


def _item(position: int, text: str, key: str | None, metadata: Metadata | None) -> Incoming:
    try:
        text = checked_text(text)
        said = None if metadata is None else checked_metadata(metadata)
        if key is None:
            return Incoming(derived_key(text, said), text, said, named=False)
        return Incoming(checked_key(key), text, said)
    except InvalidInput as error:
        raise InvalidInput(f"item {position}: {error.message}", error.advice) from None
