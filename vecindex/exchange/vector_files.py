"""Reads and writes files of raw vectors: NumPy's .npy, and a FAISS IndexFlatIP. Reading maps the file into memory.

FAISS itself is not needed. An IndexFlatIP is a little-endian header of 45 bytes and then the vectors
(faiss/impl/index_write.cpp, write_index): "IxFI", D as int32, n as int64, two unused int64, a byte for "trained", the
metric as int32 (0 is the inner product), and the number of floats as uint64.
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
_UNUSED = 1 << 20
_INNER_PRODUCT = 0
_LONGEST_HEADER = 2**17
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npy_header(rows: int, dimension: int) -> bytes:
    """The header of a .npy file of float32 (rows, dimension)."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)})
    return header.getvalue()


def faiss_header(rows: int, dimension: int) -> bytes:
    """The header of an IndexFlatIP of float32 (rows, dimension)."""
    return _FAISS.pack(b"IxFI", dimension, rows, _UNUSED, _UNUSED, True, _INNER_PRODUCT, rows * dimension)


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array in a .npy file, mapped; raises ValueError if it is damaged or not a matrix of numbers."""
    stream = io.BytesIO(beginning(path, _LONGEST_HEADER))
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_HEADERS:
        raise ValueError(f"version {version} of the .npy format is not supported")
    try:
        shape, is_fortran, dtype = _NPY_HEADERS[version](stream)
    except Exception as error:  # the header is a Python literal, and numpy does not map the errors of its parsers
        raise ValueError(f"its header cannot be read: {error!s:.100}") from None
    offset = stream.tell()
    if len(shape) != 2 or dtype.kind not in "fiu" or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise ValueError(f"it holds {dtype} of the shape {shape!s:.60}, not numbers of the shape (records, dimension)")
    if dtype == np.uint8:
        raise ValueError("it holds uint8, which may be packed bits; store numbers as int8 or float32")
    size, needed = path.stat().st_size, offset + shape[0] * shape[1] * dtype.itemsize
    if size != needed:
        raise ValueError(f"it has {size} bytes, but numbers of the shape {shape} need {needed}")
    if size == offset:
        return np.empty(shape, dtype)
    return np.frombuffer(mapped(path, needed), dtype, offset=offset).reshape(shape, order="F" if is_fortran else "C")


def read_faiss(path: Path) -> npt.NDArray[np.float32]:
    """The vectors (n, D) of an IndexFlatIP, mapped; raises ValueError if it is damaged or another kind of index."""
    header = beginning(path, _FAISS.size)
    if len(header) < _FAISS.size:
        raise ValueError("it is too short for a FAISS index")
    kind, dimension, rows, _, _, _, metric, numbers = _FAISS.unpack(header)
    if kind != b"IxFI" or metric != _INNER_PRODUCT:
        raise ValueError("it is not an IndexFlatIP, the only FAISS index that can be imported")
    needed = _FAISS.size + 4 * numbers
    if dimension < 0 or rows < 0 or numbers != dimension * rows or path.stat().st_size != needed:
        raise ValueError(f"it has {path.stat().st_size} bytes, which do not fit {rows} vectors of {dimension} numbers")
    if numbers == 0:
        return np.empty((rows, dimension), np.float32)
    return np.frombuffer(mapped(path, needed), "<f4", offset=_FAISS.size).reshape(rows, dimension)
