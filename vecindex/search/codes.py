"""Which rows are probably nearest: a few bits for each dimension, kept by FAISS (RaBitQ), propose candidates.

An estimate is a guess of the score; `exact.scores` decides. Flat codes come twice: "fast" is scanned by 32 rows at a
time and knows no filter, "masked" looks at allowed rows alone. Clustered codes need "masked" only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OutOfMemory
from ..machine.memory import has_room
from ..store.vectors import release
from .exact import Rows, Vectors, scores
from .native import faiss as _faiss
from .settings import FAST, MASKED, SAMPLE, Settings, parts
from .shares import Shares

Bytes = npt.NDArray[np.uint8]
Buffer = Bytes | memoryview | bytes

_FAST, _FLAT, _CLUSTERED = "IndexRaBitQFastScan", "IndexRaBitQ", "IndexIVFRaBitQ"  # what FAISS calls what is saved
_FLAT_SAMPLE = 16_384  # of which only the mean is taken
_ROWS_A_BLOCK = 65_536
_POINTS_A_CLUSTER = 64  # k-means gains little from more, and its time is proportional
_ROUNDS = 6
_ROTATED = 1024
"""Up to so many dimensions vectors are rotated at random before a bit a dimension is kept.

Bits serve badly where few dimensions hold most of the variance; a rotation spreads it. Measured on real vectors cut by
PCA to 256: the estimates' error is 0.033 instead of 0.060. In more dimensions a bit each is enough, and D x D numbers
are not small.
"""
_TOGETHER = 32
"""From so many queries on FAISS is given them together, for its threads to share.

Before, threads gain little, and on a busy machine they wait for each other: 8 queries took 17 ms instead of 5.
"""
_LARGEST_OF, _AT_LEAST = 4, 64 * 2**20  # loading codes takes less than so many times their bytes, and so many more
_QUERY_BITS = 4  # 8 give the same recall and take a fifth longer; 0, FAISS's default, takes a hundred times as long


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A FAISS ``index`` of rotated vectors; the ``file`` that is saved holds the ``rotation`` (D, D) too, if any."""

    file: Any
    index: Any
    rotation: Vectors | None

    def rotate(self, vectors: Vectors) -> Vectors:
        """``vectors`` (n, D) as the index takes them."""
        if self.rotation is None:
            return vectors
        if len(vectors) == 1:  # BLAS may wait for a thread on a busy machine; this does not
            return scores(self.rotation, vectors[0])[None, :]
        return np.asarray(vectors @ self.rotation.T, dtype=np.float32)

    def add(self, rotated: Vectors) -> None:
        self.index.add(rotated)
        self.file.ntotal = self.index.ntotal


class Codes:
    """Codes of rows [0, ``rows``). Any number of threads may call `propose` at once; nobody may during `extend`."""

    def __init__(self, settings: Settings, rows: int, loaders: Mapping[str, Callable[[], Part]]) -> None:
        self.settings = settings
        self.rows = rows
        self._loaders = loaders
        self._loading = threading.Lock()
        self._parts: dict[str, Part] = {}
        self._cut: Shares | None = None

    def forget_shares(self) -> None:
        """The fast part has changed."""
        self._cut = None

    def part(self, name: str) -> Part:
        """A part, loaded when first needed. Raises ValueError as `load` does, and what the loader raises."""
        found = self._parts.get(name)
        if found is None:
            with self._loading:
                found = self._parts.get(name)
                if found is None:
                    found = self._parts[name] = self._loaders[name]()
        return found

    def _shares(self) -> Shares:
        """The fast part cut for several threads; made when first needed."""
        if self._cut is None:
            part = self.part(FAST)
            with self._loading:
                if self._cut is None:
                    self._cut = Shares(part.index)
        return self._cut

    def propose(
        self, queries: Vectors, count: int, bitmap: Bytes | None = None, wider: int = 1
    ) -> tuple[Rows, Vectors]:
        """The ``count`` rows of the highest estimates for each of ``queries`` (q, D), at most all of them.

        ``bitmap`` has a bit for each row or more, the lowest of a byte first; rows whose bit is 0 are left out.
        ``wider`` times the settings' clusters are looked into.

        Returns:
            Rows (q, count) int64, -1 where there are no more, and estimates (q, count) float32, descending.
        """
        faiss = _faiss()
        count = min(count, self.rows)
        if count <= 0 or len(queries) == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        if 1 < len(queries) < _TOGETHER:
            rows_of, estimates_of = zip(*(self.propose(q[None, :], count, bitmap, wider) for q in queries), strict=True)
            return np.concatenate(rows_of), np.concatenate(estimates_of)
        if bitmap is None and not self.settings.lists:
            part = self.part(FAST)
            if len(queries) > 1:
                estimates, rows = part.index.search(part.rotate(queries), count)
                return rows, estimates
            return self._shares().search(part.rotate(queries), count)
        part = self.part(MASKED)
        probes = max(1, min(self.settings.probes * wider, self.settings.lists))
        selector = None
        if bitmap is not None:
            bitmap = np.ascontiguousarray(bitmap)
            if bitmap.size * 8 < self.rows:
                raise IndexError(f"the bitmap has {bitmap.size * 8} bits for {self.rows} rows")
            selector = faiss.IDSelectorBitmap(bitmap.size, faiss.swig_ptr(bitmap))
        parameters = faiss.IVFRaBitQSearchParameters(nprobe=probes, qb=_QUERY_BITS, sel=selector)
        estimates, rows = part.index.search(part.rotate(queries), count, params=parameters)
        del parameters, selector, bitmap  # FAISS keeps pointers only: they had to live until here
        return rows, estimates


def build(vectors: Vectors, settings: Settings) -> Codes:
    """Codes of all ``vectors`` (n, D), n at least 1, which may be mapped: they are read in blocks."""
    size = min(len(vectors), SAMPLE if settings.lists else _FLAT_SAMPLE)
    sample = _tame(vectors[np.unique(np.linspace(0, len(vectors) - 1, size).astype(np.int64))])
    release(vectors)
    made = {name: _made(name, vectors.shape[1], settings) for name in parts(settings)}
    for part in made.values():
        part.index.train(part.rotate(sample))
        part.file.is_trained = True
    codes = Codes(settings, 0, {name: partial(made.__getitem__, name) for name in made})
    extend(codes, vectors)
    return codes


def extend(codes: Codes, vectors: Vectors) -> None:
    """Adds the rows of ``vectors`` (n, D) from ``codes.rows`` on, in place; if it raises, the codes are of no use."""
    first, *others = [codes.part(name) for name in parts(codes.settings)]
    for start in range(codes.rows, len(vectors), _ROWS_A_BLOCK):
        block = _tame(vectors[start : start + _ROWS_A_BLOCK])
        rotated = first.rotate(block)
        first.add(rotated)
        for part in others:
            part.add(rotated if _same(part.rotation, first.rotation) else part.rotate(block))
        release(vectors)
    codes.rows = max(codes.rows, len(vectors))
    codes.forget_shares()


def _same(one: Vectors | None, other: Vectors | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _tame(vectors: Vectors) -> Vectors:
    """``vectors`` without what no unit vector holds: those of dead rows may be damaged, and FAISS refuses a NaN."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        if vectors.size and not (max(vectors.max(), -vectors.min()) <= 2):
            vectors = np.where(np.abs(vectors) <= 2, vectors, np.float32(0))
    return vectors


def dump(codes: Codes, name: str) -> Bytes:
    """The bytes of a part's file, as FAISS's write_index makes it."""
    file = codes.part(name).file
    if name == MASKED and not codes.settings.lists:
        file = _without_ids(codes.part(name), codes.settings)
    data: Bytes = _faiss().serialize_index(file)
    return data


def _without_ids(part: Part, settings: Settings) -> Any:
    """The file of a single cluster: flat codes, whose rows need no numbers (8 bytes each of 64)."""
    faiss = _faiss()
    clusters = part.index
    flat = faiss.IndexRaBitQ(clusters.d, faiss.METRIC_INNER_PRODUCT, settings.bits)
    faiss.copy_array_to_vector(clusters.quantizer.reconstruct(0), flat.center)
    size = clusters.ntotal * clusters.code_size
    codes = faiss.rev_swig_ptr(clusters.invlists.get_codes(0), size) if size else np.empty(0, np.uint8)
    faiss.copy_array_to_vector(codes, flat.codes)
    flat.ntotal, flat.is_trained = clusters.ntotal, True
    return _wrapped(flat, part.rotation)


def _with_ids(flat: Any, settings: Settings) -> Any:
    """What `_without_ids` wrote as a single cluster again; see `_made` for why."""
    faiss = _faiss()
    clusters = _clusters(flat.d, settings)
    clusters.quantizer.add(faiss.vector_to_array(flat.center)[None, :])
    ids = np.arange(flat.ntotal, dtype=np.int64)
    codes = faiss.vector_to_array(flat.codes)
    if codes.size != flat.ntotal * clusters.code_size:
        raise ValueError(f"{codes.size} bytes are not the codes of {flat.ntotal} rows")
    if len(ids):
        clusters.invlists.add_entries(0, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    clusters.ntotal, clusters.is_trained = flat.ntotal, flat.is_trained
    return clusters


def load(loaders: Mapping[str, Callable[[], Buffer]], settings: Settings, dimension: int, rows: int) -> Codes:
    """Codes whose parts' bytes the ``loaders`` return. Without a filter "masked" is not needed: it is loaded later.

    Raises:
        ValueError: the bytes are no codes of these settings, dimension and rows, now or when a part is first needed.
    """
    for name in parts(settings):
        if name not in loaders:
            raise ValueError(f"the part {name!r} of the codes is missing")
    made = {name: partial(_deserialised, loaders[name], name, settings, dimension, rows) for name in parts(settings)}
    codes = Codes(settings, rows, made)
    codes.part(parts(settings)[0])
    return codes


def _deserialised(loader: Callable[[], Buffer], name: str, settings: Settings, dimension: int, rows: int) -> Part:
    faiss = _faiss()
    data = np.frombuffer(loader(), dtype=np.uint8)
    try:
        # FAISS has clusters that lie in a file of their own, which they name and it opens for writing: not from memory.
        file = faiss.deserialize_index(data, faiss.IO_FLAG_ONDISK_SAME_DIR)
        index, rotation = file, None
        if dimension <= _ROTATED and isinstance(file, faiss.IndexPreTransform) and file.chain.size() == 1:
            index = faiss.downcast_index(file.index)
            matrix = faiss.downcast_VectorTransform(file.chain.at(0))
            rotation = faiss.vector_to_array(matrix.A).reshape(dimension, dimension)
    except MemoryError as error:
        if not has_room(_LARGEST_OF * len(data) + _AT_LEAST):
            raise OutOfMemory("codes were loaded") from error
        raise ValueError(f"the part {name!r} cannot be read: it asks for more memory than its bytes fill") from error
    except (RuntimeError, AssertionError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the part {name!r} cannot be read: {(str(error).splitlines() or [''])[0][:200]}") from error
    kind = _FAST if name == FAST else _CLUSTERED if settings.lists else _FLAT
    expected: tuple[Any, ...] = (kind, dimension <= _ROTATED, dimension, rows, faiss.METRIC_INNER_PRODUCT)
    found: tuple[Any, ...] = (type(index).__name__, rotation is not None, index.d, index.ntotal, index.metric_type)
    if found == expected:
        expected = (settings.bits, True, rows, settings.lists or None)
        found = (index.rabitq.nb_bits, index.is_trained, file.ntotal, getattr(index, "nlist", None))
    if found != expected:
        raise ValueError(f"the part {name!r} holds {found}, not {expected}")
    if kind == _FLAT:
        index = _with_ids(index, settings)
        file = _wrapped(index, rotation)
    return Part(file, index, rotation)


def _made(name: str, dimension: int, settings: Settings) -> Part:
    """A new part, to be trained.

    Flat codes for filters are clusters too, one of them. Unlike IndexRaBitQ these answer one query without OpenMP: on
    a busy machine a parallel region waits for its last thread, and 10 ms were seen instead of 1.
    """
    faiss = _faiss()
    if name == FAST:
        index = faiss.IndexRaBitQFastScan(dimension, faiss.METRIC_INNER_PRODUCT, 32, settings.bits)
    else:
        index = _clusters(dimension, settings)
    rotation = None
    if dimension <= _ROTATED:
        matrix = faiss.RandomRotationMatrix(dimension, dimension)
        matrix.init(1)
        rotation = faiss.vector_to_array(matrix.A).reshape(dimension, dimension)
    return Part(_wrapped(index, rotation), index, rotation)


def _clusters(dimension: int, settings: Settings) -> Any:
    faiss = _faiss()
    lists = max(1, settings.lists)
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT, True, settings.bits)
    quantizer.this.disown()
    index.own_fields = True
    index.cp.spherical = lists > 1  # the one centre is the mean itself, not the mean at unit length
    index.cp.niter = _ROUNDS if lists > 1 else 1
    index.cp.min_points_per_centroid = 1  # or FAISS warns on stderr
    index.cp.max_points_per_centroid = _POINTS_A_CLUSTER if lists > 1 else SAMPLE
    return index


def _wrapped(index: Any, rotation: Vectors | None) -> Any:
    """The FAISS index that takes vectors as they are; ``index`` belongs to it from now on."""
    faiss = _faiss()
    if rotation is None:
        return index
    matrix = faiss.RandomRotationMatrix(*rotation.shape)
    faiss.copy_array_to_vector(np.ascontiguousarray(rotation).ravel(), matrix.A)
    matrix.is_trained = matrix.is_orthonormal = True
    file = faiss.IndexPreTransform(matrix, index)
    file.ntotal, file.is_trained = index.ntotal, index.is_trained
    for owned in (matrix, index):
        owned.this.disown()
    file.own_fields = True
    return file
