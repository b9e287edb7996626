"""Which arrays of numbers are taken as vectors: what numpy, torch, pandas, polars and pyarrow hold, and lists of lists.

None of them but numpy is imported: a tensor is recognised by what it can do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .arguments import how_to, is_table, shown

Numbers = npt.NDArray[Any]

_PACKED = "Unpack bits with np.unpackbits(array, axis=1), or write array.astype('float32') if they are numbers."
_KINDS = {
    "b": ("truth values", "Write array.astype('float32') if they are numbers."),
    "c": ("complex numbers", "Write array.real, or both parts as numbers side by side."),
    "U": ("strings", "Convert them with astype('float32'), or pass texts where texts are taken."),
    "S": ("bytes", "Read numbers out of bytes with np.frombuffer(data, 'float32')."),
    "M": ("dates", "Pass numbers."),
    "m": ("durations", "Pass numbers."),
    "V": ("records", "Pass one array of numbers."),
}


def numbers(value: Any, what: str) -> Numbers:
    """``value`` as an array of floats, or of integers of more than bits; ``what`` is what errors call it.

    Nothing is lost on the way: what is masked, missing, complex or packed is refused, and so are lists of different
    lengths. Raises InvalidInput.
    """
    found = _array(value, what)
    if found.dtype == object:
        found = _unpacked(found, what)
    if found.dtype.kind == "V" and found.dtype.type.__module__ == "ml_dtypes":
        found = found.astype(np.float32)  # bfloat16 and the like: a float32 holds all of them
    if found.dtype.kind in _KINDS:
        kind, advice = _KINDS[found.dtype.kind]
        raise InvalidInput(f"{what} are {kind} ({found.dtype}), not numbers", advice)
    if found.dtype == np.uint8:
        raise InvalidInput(f"{what} are bytes (uint8), which packed bits look like too", _PACKED)
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def mask_numbers(value: Any, what: str) -> Numbers:
    """As `numbers`, and truth values and bytes too."""
    found = _array(value, what)
    return found if found.dtype.kind == "b" or found.dtype == np.uint8 else numbers(found, what)


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch."""
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
            f"{what} have different lengths", "All have the same number of numbers, the model's dimension."
        ) from None
    except Exception as error:  # whatever a stranger's __array__ raises
        raise InvalidInput(f"{what} are {shown(value)}, not numbers ({error})", "Pass an array of numbers.") from None
    if isinstance(found, np.ma.MaskedArray) and np.ma.is_masked(found):
        at = np.argwhere(np.ma.getmaskarray(found))[0].tolist()
        raise InvalidInput(
            f"{what} have masked numbers, the first at {at}", "Fill them with array.filled(...), or leave them out."
        )
    return np.asarray(found)


def _is_special(item: object) -> bool:
    """Whether numpy would lose something of it, or fail: a masked array or a tensor."""
    return type(item) not in _ORDINARY and (isinstance(item, np.ma.MaskedArray) or is_tensor(item))


_ORDINARY = frozenset({float, int, list, tuple, np.ndarray, str})


def _of_tensor(tensor: Any, what: str) -> Numbers:
    try:
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() <= 2:
            tensor = tensor.float()  # numpy has no bfloat16; a float32 holds all of the smaller ones
        return np.asarray(tensor.numpy())
    except Exception as error:  # sparse, quantized, on no device, ...
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"{what} are a tensor that holds no plain array: {reason}", "Pass tensor.to_dense()."
        ) from None


def _unpacked(found: Numbers, what: str) -> Numbers:
    """The array of numbers in an array of objects, such as pandas and pyarrow make of a column of lists."""
    items = found.tolist() if found.ndim == 1 else []
    if items and all(isinstance(item, (np.ndarray, Sequence)) and not isinstance(item, (str, bytes)) for item in items):
        return numbers([numbers(item, f"{what}, item {number},") for number, item in enumerate(items)], what)
    for place, item in np.ndenumerate(found):
        if not isinstance(item, (int, float)):
            where = list(place) if found.ndim > 1 else place[0] if place else "0"
            advice = "Leave it out." if item is None else how_to(item).replace("str()", "float()")
            raise InvalidInput(f"{what} are not all numbers: item {where} is {shown(item)}", advice)
    raise InvalidInput(f"{what} hold a number that is too large", "Pass floats.")
