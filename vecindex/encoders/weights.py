"""Which arrays does a file of weights hold: safetensors in, float32 arrays out, and never a pickle.

File format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

WEIGHTS_FILE = "model.safetensors"

Array = npt.NDArray[np.generic]


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays' names and shapes; raises ValueError where the file cannot be read."""
    import safetensors

    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by name, floats as float32, and what the file says about itself; raises ValueError as `shapes`."""
    import safetensors

    found: dict[str, Array] = {}
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                if file.get_slice(name).get_dtype() == "BF16":
                    found[name] = _brain_floats(path)[name]  # of which numpy knows nothing
                    continue
                array = file.get_tensor(name)
                found[name] = array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array
            return found, dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def save_arrays(path: Path, named: Mapping[str, npt.NDArray[np.float32]], about: dict[str, str]) -> None:
    """Writes what `arrays` reads."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in named.items()}, str(path), metadata=about)


def _brain_floats(path: Path) -> dict[str, Array]:
    """The arrays of bfloat16, which is the upper half of a float32."""
    import safetensors

    deserialize: Any = safetensors.deserialize
    return {
        name: (np.frombuffer(given["data"], dtype="<u2").astype("<u4") << 16).view("<f4").reshape(given["shape"])
        for name, given in deserialize(path.read_bytes())
        if given["dtype"] == "BF16"
    }
