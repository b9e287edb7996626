"""How are vectors laid out in vectors.npy, and in a FAISS index that holds them as they are? Read by mapping.

FAISS itself is not needed: an IndexFlatIP is a head of 45 bytes, little-endian, before the vectors (faiss/impl/
index_write.cpp, write_index): "IxFI", D as int32, n as int64, two int64 that nobody reads, a byte that says
"trained", the metric as int32 (0 is the inner product), and the count of floats as uint64.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..store.disk.files import beginning, mapped

_FAISS = struct.Struct("<4siqqq?iQ")
_UNREAD = 1 << 20
_INNER_PRODUCT = 0
_LONGEST_HEAD = 2**17
_NPY_HEADS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npy_head(rows: int, dimension: int) -> bytes:
    """What stands before ``rows`` float32 vectors in a .npy file."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)})
    return head.getvalue()


def faiss_head(rows: int, dimension: int) -> bytes:
    """What stands before ``rows`` float32 vectors in the file of an IndexFlatIP."""
    return _FAISS.pack(b"IxFI", dimension, rows, _UNREAD, _UNREAD, True, _INNER_PRODUCT, rows * dimension)


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array in a .npy file, mapped; raises ValueError where it is damaged, or holds something else than numbers."""
    stream = io.BytesIO(beginning(path, _LONGEST_HEAD))
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_HEADS:
        raise ValueError(f"it is of version {version} of the format, which is not for numbers")
    try:
        shape, is_fortran, dtype = _NPY_HEADS[version](stream)
    except Exception as error:  # a header is an expression, and numpy lets through what its parsers raise
        raise ValueError(f"its header cannot be read: {error!s:.100}") from None
    offset = stream.tell()
    if len(shape) != 2 or dtype.kind not in "fiu" or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise ValueError(f"it holds {dtype} of the shape {shape!s:.60}, not numbers (records, dimension)")
    if dtype == np.uint8:
        raise ValueError("it holds uint8, which packed bits look like too: write the numbers as int8 or float32")
    size, needed = path.stat().st_size, offset + shape[0] * shape[1] * dtype.itemsize
    if size != needed:
        raise ValueError(f"it holds {size} bytes; numbers of the shape {shape} need {needed}")
    if size == offset:
        return np.empty(shape, dtype)
    return np.frombuffer(mapped(path, needed), dtype, offset=offset).reshape(shape, order="F" if is_fortran else "C")


def read_faiss(path: Path) -> npt.NDArray[np.float32]:
    """The vectors (n, D) of an IndexFlatIP, mapped; raises ValueError where it is another index, or damaged."""
    head = beginning(path, _FAISS.size)
    if len(head) < _FAISS.size:
        raise ValueError("it is too short for a FAISS index")
    kind, dimension, rows, _, _, _, metric, numbers = _FAISS.unpack(head)
    if kind != b"IxFI" or metric != _INNER_PRODUCT:
        raise ValueError("it is not an IndexFlatIP, the only FAISS index that is read: others do not hold the vectors")
    needed = _FAISS.size + 4 * numbers
    if dimension < 0 or rows < 0 or numbers != dimension * rows or path.stat().st_size != needed:
        raise ValueError(f"it holds {path.stat().st_size} bytes; {rows} vectors of {dimension} numbers do not fit that")
    if numbers == 0:
        return np.empty((rows, dimension), np.float32)
    return np.frombuffer(mapped(path, needed), "<f4", offset=_FAISS.size).reshape(rows, dimension)
