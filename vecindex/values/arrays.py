"""Converts arrays of numpy, torch, pandas, polars and pyarrow, and lists of lists, to numpy arrays of numbers.

Only numpy is imported; the others are recognised by their methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .columns import is_table
from .scalars import how_to, shown

Numbers = npt.NDArray[Any]

_PACKED = "Unpack bits with np.unpackbits(array, axis=1), or pass array.astype('float32') if they are numbers."
_KINDS = {
    "b": ("truth values", "Pass array.astype('float32') if they are numbers."),
    "c": ("complex numbers", "Pass array.real, or real and imaginary parts side by side."),
    "U": ("strings", "Convert them with astype('float32'), or pass texts where texts are expected."),
    "S": ("bytes", "Read the numbers with np.frombuffer(data, 'float32')."),
    "M": ("dates", "Pass numbers."),
    "m": ("durations", "Pass numbers."),
    "V": ("records", "Pass one array of numbers."),
}


def numbers(value: Any, what: str) -> Numbers:
    """``value`` as an array of floats or integers; ``what`` is what errors call it.

    Nothing is lost in the conversion: masked, missing and complex numbers, packed bits, and lists of different lengths
    raise InvalidInput.
    """
    found = _array(value, what)
    if found.dtype == object:
        found = _unpacked(found, what)
    if found.dtype.kind == "V" and found.dtype.type.__module__ == "ml_dtypes":
        found = found.astype(np.float32)  # bfloat16 and the like, which float32 holds exactly
    if found.dtype.kind in _KINDS:
        kind, advice = _KINDS[found.dtype.kind]
        raise InvalidInput(f"{what} are {kind} ({found.dtype}), not numbers", advice)
    if found.dtype == np.uint8:
        raise InvalidInput(f"{what} are bytes (uint8), which may be packed bits", _PACKED)
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def mask_numbers(value: Any, what: str) -> Numbers:
    """As `numbers`, but also accepts truth values and bytes."""
    found = _array(value, what)
    return found if found.dtype.kind == "b" or found.dtype == np.uint8 else numbers(found, what)


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _array(value: Any, what: str) -> Numbers:
    if isinstance(value, (Mapping, AnySet, bytes, bytearray, memoryview)):
        raise InvalidInput(f"{what} are {shown(value)}, not numbers", "Pass an array of numbers.")
    if is_table(value):
        raise InvalidInput(f"{what} are a table, {shown(value)}", "Pass its numbers: table.to_numpy().")
    if is_tensor(value):
        return _of_tensor(value, what)
    if hasattr(value, "__next__"):
        value = list(value)
    if isinstance(value, (list, tuple)) and any(_is_special(item) for item in value):
        value = [_array(item, what) if _is_special(item) else item for item in value]
    try:
        found = np.asanyarray(value)
    except ValueError:
        raise InvalidInput(
            f"{what} have different lengths", "All must have as many numbers as the model has dimensions."
        ) from None
    except Exception as error:  # an unknown __array__ may raise anything
        raise InvalidInput(f"{what} are {shown(value)}, not numbers ({error})", "Pass an array of numbers.") from None
    if isinstance(found, np.ma.MaskedArray) and np.ma.is_masked(found):
        at = np.argwhere(np.ma.getmaskarray(found))[0].tolist()
        raise InvalidInput(
            f"{what} have masked numbers, the first at {at}", "Fill them with array.filled(...), or remove them."
        )
    return np.asarray(found)


def _is_special(item: object) -> bool:
    """Whether numpy would convert this with a loss, or fail: a masked array or a tensor."""
    return type(item) not in _ORDINARY and (isinstance(item, np.ma.MaskedArray) or is_tensor(item))


_ORDINARY = frozenset({float, int, list, tuple, np.ndarray, str})


def _of_tensor(tensor: Any, what: str) -> Numbers:
    try:
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() <= 2:
            tensor = tensor.float()  # numpy has no bfloat16; float32 holds all smaller floats exactly
        return np.asarray(tensor.numpy())
    except Exception as error:  # it is sparse, quantized or without data, for example
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"{what} are a tensor that cannot be converted to an array: {reason}", "Pass tensor.to_dense()."
        ) from None


def _unpacked(found: Numbers, what: str) -> Numbers:
    """Converts an array of objects, which pandas and pyarrow make of a column of lists, to an array of numbers."""
    items = found.tolist() if found.ndim == 1 else []
    if items and all(isinstance(item, (np.ndarray, Sequence)) and not isinstance(item, (str, bytes)) for item in items):
        return numbers([numbers(item, f"{what}, item {number},") for number, item in enumerate(items)], what)
    for place, item in np.ndenumerate(found):
        if not isinstance(item, (int, float)):
            where = list(place) if found.ndim > 1 else place[0] if place else "0"
            advice = "Leave it out." if item is None else how_to(item).replace("str()", "float()")
            raise InvalidInput(f"{what} are not all numbers: item {where} is {shown(item)}", advice)
    raise InvalidInput(f"{what} hold a number that is too large", "Pass floats.")
