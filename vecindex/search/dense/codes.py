"""Codes: a few bits for each dimension of a vector, kept by FAISS (RaBitQ), that propose a search's candidates.

An estimate approximates the score; `exact.scores` decides. Flat codes are kept in two variants: "fast" scans 32 rows at
a time and takes no filter, "masked" scans allowed rows only. Clustered codes need "masked" only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import OutOfMemory
from ...machine.memory import has_room
from ...store.vectors import release
from .exact import Rows, Vectors
from .load_faiss import load_faiss
from .parallel_scan import ParallelScan
from .settings import FAST, MASKED, SAMPLE, CodeSettings, variants

Bytes = npt.NDArray[np.uint8]
Buffer = Bytes | memoryview | bytes

_FAST, _FLAT, _CLUSTERED = "IndexRaBitQFastScan", "IndexRaBitQ", "IndexIVFRaBitQ"  # the FAISS classes that are saved
_FLAT_SAMPLE = 16_384  # only its mean is used
_ROWS_A_BLOCK = 65_536
_POINTS_A_CLUSTER = 64  # k-means gains little from more, and takes time in proportion
_ROUNDS = 6
_ROTATED = 1024
"""The largest dimension at which vectors are rotated at random before their bits are taken.

Bits are inaccurate where few dimensions hold most of the variance; a rotation spreads it. Measured on real vectors
reduced by PCA to 256: the estimates' error is 0.033 instead of 0.060. With more dimensions a bit each is enough, and
the D x D numbers of a rotation take much space.
"""
_LARGEST_OF, _AT_LEAST = 4, 64 * 2**20  # loading takes less memory than 4 times the codes' bytes plus 64 MiB
_QUERY_BITS = 4  # 8 give the same recall and take a fifth longer; 0, FAISS's default, takes 100 times as long


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """A FAISS ``index`` of rotated vectors; ``file``, the index that is saved, also holds the ``rotation`` (D, D)."""

    file: Any
    index: Any
    rotation: Vectors | None

    def rotate(self, vectors: Vectors) -> Vectors:
        """Rotates ``vectors`` (n, D) for the index."""
        if self.rotation is None:
            return vectors
        if len(vectors) == 1:  # on a busy machine BLAS may wait for a thread; this does not
            return _rotated(self.rotation, vectors)
        return np.asarray(vectors @ self.rotation.T, dtype=np.float32)

    def add(self, rotated: Vectors) -> None:
        self.index.add(rotated)
        self.file.ntotal = self.index.ntotal


def _rotated(rotation: Vectors, vector: Vectors) -> Vectors:
    """The product (1, D) of ``rotation`` (D, D) and ``vector`` (1, D); takes half the time of `scores`."""
    faiss = load_faiss()
    rotation, vector = np.ascontiguousarray(rotation), np.ascontiguousarray(vector, np.float32)
    found = np.empty(vector.shape, np.float32)
    pointers = [faiss.swig_ptr(each) for each in (found, vector, rotation)]
    faiss.fvec_inner_products_ny(*pointers, vector.size, len(rotation))
    return found


class Codes:
    """Codes of rows [0, ``rows``). Any number of threads may call `propose` at once, but none during `extend`."""

    def __init__(self, settings: CodeSettings, rows: int, loaders: Mapping[str, Callable[[], Variant]]) -> None:
        self.settings = settings
        self.rows = rows
        self._loaders = loaders
        self._loading = threading.Lock()
        self._variants: dict[str, Variant] = {}
        self._scan: ParallelScan | None = None

    def forget_scan(self) -> None:
        """To be called when the fast variant has changed."""
        self._scan = None

    def variant(self, name: str) -> Variant:
        """A variant, loaded when first needed. Raises ValueError as `load` does, and what the loader raises."""
        found = self._variants.get(name)
        if found is None:
            with self._loading:
                found = self._variants.get(name)
                if found is None:
                    found = self._variants[name] = self._loaders[name]()
        return found

    def _parallel_scan(self) -> ParallelScan:
        """The fast variant, split for several threads when first needed."""
        if self._scan is None:
            fast = self.variant(FAST)
            with self._loading:
                if self._scan is None:
                    self._scan = ParallelScan(fast.index)
        return self._scan

    def propose(
        self, queries: Vectors, count: int, bitmap: Bytes | None = None, wider: int = 1
    ) -> tuple[Rows, Vectors]:
        """The ``count`` rows with the highest estimates for each of ``queries`` (q, D), at most all rows.

        ``bitmap`` has at least a bit for each row, the lowest of a byte first; rows with the bit 0 are left out.
        ``wider`` times as many clusters are scanned as the settings say.

        Returns:
            Rows (q, count) int64, -1 where there are no more, and estimates (q, count) float32, descending.
        """
        count = min(count, self.rows)
        if count <= 0 or len(queries) == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        if bitmap is None and not self.settings.lists:
            return self._scanned(queries, count)
        return self._scanned_masked(queries, count, bitmap, wider)

    def _scanned(self, queries: Vectors, count: int) -> tuple[Rows, Vectors]:
        scan, rotate = self._parallel_scan(), self.variant(FAST).rotate
        rotated = [rotate(query[None, :]) for query in queries]
        if len(rotated) == 1:
            return scan.search(rotated[0], count)
        return scan.search_whole(np.concatenate(rotated), count)

    def _scanned_masked(self, queries: Vectors, count: int, bitmap: Bytes | None, wider: int) -> tuple[Rows, Vectors]:
        faiss = load_faiss()
        masked = self.variant(MASKED)
        probes = max(1, min(self.settings.probes * wider, self.settings.lists))
        selector = None
        if bitmap is not None:
            bitmap = np.ascontiguousarray(bitmap)
            if bitmap.size * 8 < self.rows:
                raise IndexError(f"the bitmap has {bitmap.size * 8} bits for {self.rows} rows")
            selector = faiss.IDSelectorBitmap(bitmap.size, faiss.swig_ptr(bitmap))
        parameters = faiss.IVFRaBitQSearchParameters(nprobe=probes, qb=_QUERY_BITS, sel=selector)
        # One query at a time, as in `ParallelScan.search_whole`.
        found = [masked.index.search(masked.rotate(query[None, :]), count, params=parameters) for query in queries]
        del parameters, selector, bitmap  # FAISS only has pointers to them: they had to live until here
        return np.concatenate([rows for _, rows in found]), np.concatenate([estimates for estimates, _ in found])


def build(vectors: Vectors, settings: CodeSettings, rows: Rows | None = None) -> Codes:
    """Makes codes of all ``vectors`` (n, D), n at least 1. They may be mapped: they are read in blocks.

    They are trained on some of those in ``rows``, at least one; None stands for all.
    """
    count = len(vectors) if rows is None else len(rows)
    places = np.unique(np.linspace(0, count - 1, min(count, _sampled(settings))).astype(np.int64))
    sample = _tame(vectors[places if rows is None else rows[places]])
    release(vectors)
    made = {name: _made(name, vectors.shape[1], settings) for name in variants(settings)}
    for variant in made.values():
        variant.index.train(variant.rotate(sample))
        variant.file.is_trained = True
    codes = Codes(settings, 0, {name: partial(made.__getitem__, name) for name in made})
    extend(codes, vectors)
    return codes


def _sampled(settings: CodeSettings) -> int:
    """On how many vectors codes are trained."""
    return SAMPLE if settings.lists else _FLAT_SAMPLE


def extend(codes: Codes, vectors: Vectors) -> None:
    """Adds the rows of ``vectors`` (n, D) from ``codes.rows`` on, in place; if it raises, the codes are unusable."""
    first, *others = [codes.variant(name) for name in variants(codes.settings)]
    for start in range(codes.rows, len(vectors), _ROWS_A_BLOCK):
        block = _tame(vectors[start : start + _ROWS_A_BLOCK])
        rotated = first.rotate(block)
        first.add(rotated)
        for other in others:
            other.add(rotated if _same(other.rotation, first.rotation) else other.rotate(block))
        release(vectors)
    codes.rows = max(codes.rows, len(vectors))
    codes.forget_scan()


def _same(one: Vectors | None, other: Vectors | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _tame(vectors: Vectors) -> Vectors:
    """``vectors`` with 0 for numbers that no unit vector holds: dead rows may be damaged, and FAISS refuses NaN."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        if vectors.size and not (max(vectors.max(), -vectors.min()) <= 2):
            vectors = np.where(np.abs(vectors) <= 2, vectors, np.float32(0))
    return vectors


def dump(codes: Codes, name: str) -> Bytes:
    """The bytes of a variant's file, as FAISS's write_index makes it."""
    file = codes.variant(name).file
    if name == MASKED and not codes.settings.lists:
        file = _without_ids(codes.variant(name), codes.settings)
    data: Bytes = load_faiss().serialize_index(file)
    return data


def _without_ids(variant: Variant, settings: CodeSettings) -> Any:
    """The file of a single cluster: flat codes, which store no row numbers (8 bytes of 64 a row)."""
    faiss = load_faiss()
    clusters = variant.index
    flat = faiss.IndexRaBitQ(clusters.d, faiss.METRIC_INNER_PRODUCT, settings.bits)
    faiss.copy_array_to_vector(clusters.quantizer.reconstruct(0), flat.center)
    size = clusters.ntotal * clusters.code_size
    codes = faiss.rev_swig_ptr(clusters.invlists.get_codes(0), size) if size else np.empty(0, np.uint8)
    faiss.copy_array_to_vector(codes, flat.codes)
    flat.ntotal, flat.is_trained = clusters.ntotal, True
    return _wrapped(flat, variant.rotation)


def _with_ids(flat: Any, settings: CodeSettings) -> Any:
    """Turns what `_without_ids` wrote back into a single cluster; `_made` says why."""
    faiss = load_faiss()
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


def load(loaders: Mapping[str, Callable[[], Buffer]], settings: CodeSettings, dimension: int, rows: int) -> Codes:
    """Codes from the bytes that the ``loaders`` return, one a variant. "masked" is loaded when a filter needs it.

    Raises:
        ValueError: the bytes are not codes of these settings, dimension and rows; also later, when a variant is loaded.
    """
    for name in variants(settings):
        if name not in loaders:
            raise ValueError(f"the {name!r} codes are missing")
    made = {name: partial(_deserialised, loaders[name], name, settings, dimension, rows) for name in variants(settings)}
    codes = Codes(settings, rows, made)
    codes.variant(variants(settings)[0])
    return codes


def _deserialised(
    loader: Callable[[], Buffer], name: str, settings: CodeSettings, dimension: int, rows: int
) -> Variant:
    faiss = load_faiss()
    data = np.frombuffer(loader(), dtype=np.uint8)
    try:
        # Clusters may name a file of their own, which FAISS would open for writing; this flag keeps it from that.
        file = faiss.deserialize_index(data, faiss.IO_FLAG_ONDISK_SAME_DIR)
        index, rotation = file, None
        if dimension <= _ROTATED and isinstance(file, faiss.IndexPreTransform) and file.chain.size() == 1:
            index = faiss.downcast_index(file.index)
            matrix = faiss.downcast_VectorTransform(file.chain.at(0))
            rotation = faiss.vector_to_array(matrix.A).reshape(dimension, dimension)
    except MemoryError as error:
        if not has_room(_LARGEST_OF * len(data) + _AT_LEAST):
            raise OutOfMemory("codes were loaded") from error
        raise ValueError(
            f"the {name!r} codes cannot be read: they ask for more memory than their bytes fill"
        ) from error
    except (RuntimeError, AssertionError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the {name!r} codes cannot be read: {(str(error).splitlines() or [''])[0][:200]}") from error
    kind = _FAST if name == FAST else _CLUSTERED if settings.lists else _FLAT
    expected: tuple[Any, ...] = (kind, dimension <= _ROTATED, dimension, rows, faiss.METRIC_INNER_PRODUCT)
    found: tuple[Any, ...] = (type(index).__name__, rotation is not None, index.d, index.ntotal, index.metric_type)
    if found == expected:
        expected = (settings.bits, True, rows, settings.lists or None)
        found = (index.rabitq.nb_bits, index.is_trained, file.ntotal, getattr(index, "nlist", None))
    if found != expected:
        raise ValueError(f"the {name!r} codes hold {found}, not {expected}")
    if kind == _FLAT:
        index = _with_ids(index, settings)
        file = _wrapped(index, rotation)
    return Variant(file, index, rotation)


def _made(name: str, dimension: int, settings: CodeSettings) -> Variant:
    """A new variant, to be trained.

    Flat masked codes are a single cluster: unlike IndexRaBitQ, clusters answer one query without OpenMP. On a busy
    machine a parallel region waits for its last thread, and a query took 10 ms instead of 1.
    """
    faiss = load_faiss()
    if name == FAST:
        index = faiss.IndexRaBitQFastScan(dimension, faiss.METRIC_INNER_PRODUCT, 32, settings.bits)
    else:
        index = _clusters(dimension, settings)
    rotation = None
    if dimension <= _ROTATED:
        matrix = faiss.RandomRotationMatrix(dimension, dimension)
        matrix.init(1)
        rotation = faiss.vector_to_array(matrix.A).reshape(dimension, dimension)
    return Variant(_wrapped(index, rotation), index, rotation)


def _clusters(dimension: int, settings: CodeSettings) -> Any:
    faiss = load_faiss()
    lists = max(1, settings.lists)
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT, True, settings.bits)
    quantizer.this.disown()
    index.own_fields = True
    index.cp.spherical = lists > 1  # a single centre is the mean itself, not the mean at unit length
    index.cp.niter = _ROUNDS if lists > 1 else 1
    index.cp.min_points_per_centroid = 1  # or FAISS warns on stderr
    index.cp.max_points_per_centroid = _POINTS_A_CLUSTER if lists > 1 else SAMPLE
    return index


def _wrapped(index: Any, rotation: Vectors | None) -> Any:
    """The FAISS index that takes unrotated vectors; it owns ``index`` from now on."""
    faiss = load_faiss()
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
