"""Reads weights: safetensors in, float32 arrays out, and never a pickle.

File format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import UnsupportedModel

WEIGHTS_FILE = "model.safetensors"
_MOST_HEADER = 100_000_000
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Files that training leaves behind, which are not weights.
_OF_TRAINING = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")

Array = npt.NDArray[np.generic]


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays' names and shapes; raises ValueError if the file cannot be read."""
    import safetensors

    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by name, floats as float32, and the file's metadata; raises ValueError if it cannot be read."""
    import safetensors

    found: dict[str, Array] = {}
    brain_floats: dict[str, Array] | None = None
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                if file.get_slice(name).get_dtype() == "BF16":
                    brain_floats = brain_floats or _brain_floats(path)  # numpy has no such type
                    found[name] = brain_floats[name]
                    continue
                array = file.get_tensor(name)
                found[name] = array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array
            return found, dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def pickle_among(names: Iterable[str]) -> str:
    """The first of these files that holds weights as a pickle; empty if none does."""
    files = (PurePosixPath(name) for name in names)
    return min((str(f) for f in files if f.suffix in _PICKLES and not f.name.startswith(_OF_TRAINING)), default="")


def pickle_refused(model: str, name: str) -> UnsupportedModel:
    """The error for a model whose weights are in this pickle."""
    return UnsupportedModel(
        model,
        f"its weights are a pickle ({name}), which can run any code; only safetensors are read: load it where you "
        "trust it, save it again with sentence-transformers' save_pretrained, and use that folder",
    )


def check_header(path: Path) -> None:
    """Raises ValueError if a file's size is not what its header says, without reading the weights."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= min(size, _MOST_HEADER) else b""
    try:
        named = json.loads(header)
        ends = [array["data_offsets"][1] for name, array in named.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError):
        raise ValueError(f"{path} cannot be read: its header is damaged") from None
    if expected != size:
        raise ValueError(f"{path} has {size:,} bytes, but its header says {expected:,}")


def save_arrays(path: Path, named: Mapping[str, npt.NDArray[np.float32]], about: dict[str, str]) -> None:
    """Writes arrays and metadata that `arrays` reads."""
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
