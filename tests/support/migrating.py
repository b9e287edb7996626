"""An index to migrate, the models it migrates to, and what it must hold then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import vecindex
from vecindex.encoders.run.tokenized import IntArray

from .toy import ToyEncoder

TEXTS = [f"{a} {b}" for a in ("red", "green", "blue", "black") for b in ("cat", "dog", "sun", "rain", "sea")]


class Other(ToyEncoder):
    """Another space: more dimensions, and other vectors."""

    def __init__(self) -> None:
        super().__init__(model="other", dimension=24, weights="o" * 64)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> Any:
        states = super().forward(input_ids, attention_mask)
        return np.concatenate([states[:, :, ::-1] ** 3, states[:, :, :8]], axis=2).astype(np.float32)


def contents(index: Any) -> list[tuple[str, Any, bytes]]:
    keys = index.keys()
    records = [index.get(key) for key in keys]
    return [(record.text, record.metadata, record.vector.tobytes()) for record in records]


def fresh(folder: Path, texts: Sequence[tuple[str, Any]]) -> list[tuple[str, Any, bytes]]:
    """What an index holds that had the other model from the beginning."""
    with vecindex.open(folder, model=Other()) as index:
        index.add([text for text, _ in texts], metadata=[metadata for _, metadata in texts])
        return contents(index)


class Slow(Other):
    """Takes its time, so that a kill hits it at work; one text in a commit."""

    def encode_all(self, texts: Sequence[str], *arguments: Any, **more: Any) -> Any:
        time.sleep(0.02)
        return super().encode_all(texts, *arguments, **more)
