"""Formats and files of exports, and what an index holds after an import."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from vecindex import Index
from vecindex.exchange.formats import Format

from .helpers import snapshots
from .toy import ToyEncoder

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAS_PYARROW, reason="the extra 'parquet' is not installed")
FORMATS = [each.value for each in Format if each is not Format.PARQUET or HAS_PYARROW]
in_every_format = pytest.mark.parametrize("format", FORMATS)


def stored(index: Index) -> list[tuple[Any, ...]]:
    """Every record in row order: key, text, metadata, tokens lost, and the bytes of its vector."""
    with snapshots(index).take() as snapshot:
        rows = snapshot.allowed(None).rows()
        return [
            (r.key, r.text, r.metadata, r.lost, snapshot.vectors[r.row].tobytes())
            for r in snapshot.fetch(rows.tolist())
        ]


def toy_vectors(*texts: str) -> Any:
    return ToyEncoder().encode(texts)


def write_lines(path: Path, *lines: Any) -> Path:
    """Writes strings as they are, and other values each as a line of JSON."""
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path
