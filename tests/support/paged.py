"""An index of random texts, for tests of pages."""

from __future__ import annotations

from pathlib import Path
from random import Random

from vecindex import Index

from .helpers import opened
from .toy import ToyEncoder

WORDS = [f"{word}{end}" for word in ("rain", "sun", "wind", "pump", "error", "light") for end in ("", "er", "y")]
COUNT = 260
QUERY = "rain sun pump"


def filled(folder: Path, count: int = COUNT, seed: int = 1) -> Index:
    draw = Random(seed)
    index = opened(folder, model=ToyEncoder(dimension=48))
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 8))) for _ in range(count)]
    metadata = [{"n": n, "topic": draw.randrange(9)} if n % 7 else {"n": n} for n in range(count)]
    index.add(texts, keys=[f"k{n}" for n in range(count)], metadata=metadata)
    return index
