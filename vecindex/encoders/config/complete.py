"""Checks that a transformer's files hold all its weights: by size before it is built, by name once it is loaded.

transformers itself builds whatever a config asks for, and fills missing weights with random numbers.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from .modules import is_size
from .weights import shapes

_COUNTS = re.compile(r"layer|block|expert|depth|stage|level|branch|label|group")
_NO_COUNTS = re.compile(r"size|dim|theta|window|capacity|_id|channels|interval|period")
_LEAST_COUNT = 128
_LABELS = ("id2label", "label2id")  # their keys are the names of labels, which may be anything
_UNUSED = re.compile(r"(^|\.)pooler\.")
_SHOWN = 8
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class Held:
    """The number of ``arrays`` in a transformer's files, and of the ``numbers`` in all of them."""

    arrays: int
    numbers: int

    @classmethod
    def within(cls, folder: Path) -> Held:
        """Counts them; raises ValueError if a file cannot be read."""
        found = [shape for file in sorted(folder.glob("*.safetensors")) for shape in shapes(file).values()]
        return cls(len(found), sum(map(math.prod, found)))


def check_counts(config: Mapping[str, Any], held: Held) -> None:
    """Raises ValueError if a config asks for more layers, or the like, than there are arrays of weights.

    Building them first would take minutes and all memory.
    """
    for name, value in config.items():
        if name in _LABELS:
            continue
        if isinstance(value, Mapping):
            check_counts(value, held)
        elif is_size(value) and value > max(held.arrays, _LEAST_COUNT) and _is_count(name):
            raise ValueError(
                f"config.json sets {name} to {value:,}, but its files hold only {held.arrays:,} arrays of weights"
            )


def _is_count(name: str) -> bool:
    return _COUNTS.search(name) is not None and _NO_COUNTS.search(name) is None


@contextlib.contextmanager
def all_weights_required(held: Held, is_headed: bool = False) -> Iterator[list[str]]:
    """Within this context, this thread loads a model of transformers only if its files hold all its weights.

    Yields a list, which receives the names of the arrays that the loaded model does not read. A missing weight raises
    a ValueError that names it; only of a model that ``is_headed`` the pooler is one of them, as its head reads that.
    Models that other threads load meanwhile are not checked.
    """
    unread: list[str] = []
    loader = threading.get_ident()
    library: Any = transformers.PreTrainedModel
    original: Any = library.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, /, *arguments: Any, output_loading_info: bool = False, **settings: Any) -> Any:
        if threading.get_ident() != loader:
            return original.__func__(cls, *arguments, output_loading_info=output_loading_info, **settings)
        if settings.get("config") is not None:
            _check_size(cls, settings["config"], held)
        settings |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, found = original.__func__(cls, *arguments, **settings)
        _check_found(found, is_headed)
        unread[:] = sorted(found["unexpected_keys"])
        return (model, found) if output_loading_info else model

    with _loading:
        library.from_pretrained = classmethod(from_pretrained)
        try:
            yield unread
        finally:
            library.from_pretrained = original


def _check_size(kind: Any, config: Any, held: Held) -> None:
    """Raises ValueError if the model is larger than its files; on torch's device "meta" it takes no memory."""
    with torch.device("meta"):
        model = kind(copy.deepcopy(config))
    numbers = sum(each.numel() for each in (*model.parameters(), *model.buffers()))
    # A pooler may be missing, and tables of positions are computed.
    if numbers > 4 * held.numbers + (1 << 26):
        raise ValueError(f"its config asks for {numbers:,} numbers, but its files hold only {held.numbers:,}")


def _check_found(found: Mapping[str, Any], is_headed: bool) -> None:
    def is_unused(name: str) -> bool:
        return not is_headed and _UNUSED.search(name) is not None

    missing = sorted(name for name in found["missing_keys"] if not is_unused(name))
    if missing:
        unread = found["unexpected_keys"]
        instead = f"; they hold {listed(sorted(unread))}, which it does not read" if unread else ""
        raise ValueError(f"its files lack weights that the model needs: {listed(missing)}{instead}")
    for name, held, wanted in found["mismatched_keys"]:
        if not is_unused(name):
            raise ValueError(f"{name} has the shape {tuple(held)} in its files, but its config says {tuple(wanted)}")


def listed(names: Collection[str]) -> str:
    """The first few names, and the number of others."""
    first = ", ".join(list(names)[:_SHOWN])
    return f"{first} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else first
