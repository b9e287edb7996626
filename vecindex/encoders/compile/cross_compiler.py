"""Compiles a cross-encoder, as `compiler` does an encoder, or runs it on torch where it cannot be exported."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UnsupportedModel
from ...machine.extras import extra_errors
from ...machine.lacks import lacks_said
from ..config.cross_model import CrossModel
from ..cross.cross_encoder import CrossEncoder
from ..locate.resolve import ModelFiles
from ..run.pooling import FloatArray
from .compiled_models import (
    CompiledCross,
    forget_refusal,
    load_compiled_cross,
    made_with,
    open_cross_folder,
)
from .exporting import NotExportedError, compiled_or_reference, export_errors, faster, save_graph
from .probes import PROBES
from .publishing import digests, publish, scratch_folder

if TYPE_CHECKING:
    from ..cross.onnx import OnnxCrossEncoder
    from ..cross.torch import TorchCrossEncoder

log = logging.getLogger("vecindex")

MOST_CHANGE = 1e-5
"""The largest accepted change of a number by a rewrite for speed, relative to the largest of the probes."""
_LONG_PAIRS = 1200  # pairs of a word and a number in a text without repetition: more than most models read


def compiled_or_torch(files: ModelFiles, cross: CrossModel, threads: int | None) -> CrossEncoder:
    """The cross-encoder: compiled before, compiled now, or the reference if it cannot be exported."""
    if (found := load_compiled_cross(cross, threads)) is not None:
        return found

    def compiled() -> CrossEncoder:
        return compile_cross(files, cross, threads)

    def on_torch() -> TorchCrossEncoder:
        return reference(files, cross, threads)

    return compiled_or_reference(cross, compiled, on_torch, _check)


@lacks_said("the model was loaded")
def reference(files: ModelFiles, cross: CrossModel, threads: int | None) -> TorchCrossEncoder:
    """The cross-encoder as sentence-transformers runs it; raises MissingExtra if it is not installed."""
    with extra_errors(f"compiling {files.name}"):
        from ..cross.torch import TorchCrossEncoder
    return TorchCrossEncoder(files.folder, cross, threads)


@lacks_said("the model was compiled")
def compile_cross(files: ModelFiles, cross: CrossModel, threads: int | None = None) -> OnnxCrossEncoder:
    """Compiles a cross-encoder; raises `NotExportedError` if it cannot be exported."""
    log.info("Compiling %s for fast search; this happens once.", files.name)
    whole = reference(files, cross, None)
    with scratch_folder() as folder:
        with export_errors():
            _export(whole, folder)
        encoder = open_cross_folder(folder, cross, whole.padding_id, threads)
        difference = _difference(whole, encoder)
        if not difference <= whole.most_difference:
            raise NotExportedError(f"compiled, its scores differ from the reference by {difference:.1e}")
        record = CompiledCross(
            *(cross, whole.padding_id, files.origin, digests(folder), difference),
            made_with=made_with(),
            unread=whole.unread,
        )
        forget_refusal(cross)
        encoder.hold()  # whatever happens to the folder, this process keeps its encoder
        if not publish(folder, record):
            return encoder
        return load_compiled_cross(cross, threads) or encoder


def _export(whole: TorchCrossEncoder, folder: Path) -> None:
    """Writes what an `OnnxCrossEncoder` needs into ``folder``."""
    from ..cross.onnx import OUTPUT
    from ..run.onnx import output_of
    from .export import export_cross

    pairs = [whole.tokens(query, texts) for query, texts in _probes()]
    inputs = whole.padded([each for some in pairs for each in some if each.ids])

    def change(before: FloatArray, after: FloatArray) -> float:
        return float(np.abs(after - before).max() / max(1.0, np.abs(before).max()) / MOST_CHANGE)

    def rewrite(plain: Path) -> Path:
        return faster(whole.cross.model, plain, lambda graph: output_of(graph, OUTPUT, inputs), change)

    save_graph(folder, partial(export_cross, whole), rewrite)


def _check(whole: TorchCrossEncoder) -> None:
    """Raises UnsupportedModel if the reference's numbers are not sentence-transformers' own."""
    if not (difference := _difference(whole, whole)) <= whole.most_difference:
        reason = f"its scores differ from sentence-transformers' own by {difference:.1e}"
        raise UnsupportedModel(whole.cross.model, reason)


def _difference(whole: TorchCrossEncoder, encoder: CrossEncoder) -> float:
    """The largest difference of an encoder's numbers from sentence-transformers' own, over all probes."""
    long = " ".join(f"{word} {n}" for n, word in zip(range(_LONG_PAIRS), cycle(PROBES[2].split()), strict=False))
    probes = [*_probes(), (long, ["", PROBES[2]]), (PROBES[1], [long])]
    return max(whole.difference(encoder, query, texts) for query, texts in probes)


def _probes() -> Iterator[tuple[str, Sequence[str]]]:
    """Queries, and texts for each: of lengths from no word to over the maximum, in several scripts."""
    yield from ((query, PROBES) for query in ("", PROBES[1], PROBES[4], PROBES[-1]))
