"""Compiles an encoder: exports it, checks it, and publishes it in the cache, whole or not at all.

The steps: the model is exported into a scratch folder and rewritten for speed; sentence-transformers and the compiled
encoder encode the same probe texts; only if their vectors agree is the folder renamed to its final name. An int8
encoder is compared with the compiled fp32 one, on a sample of texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import Advice, UnsupportedModel
from ...machine.extras import extra_errors
from ...machine.lacks import lacks_said
from ...values.space import Space
from ..locate.resolve import ModelFiles
from ..locate.vecindex_cache import compiled_folder
from ..run.agreement import BUILT_IN, LEAST_COSINE, LEAST_MEAN, SAMPLE, Agreement, measure
from ..run.checks import first_line
from ..run.encoder import Encoder
from ..run.pooling import FloatArray
from .compiled_models import (
    Compiled,
    forget_refusal,
    load_compiled,
    made_with,
    open_folder,
    read_record,
    refusal,
    refuse,
    take_away,
    write_record,
)
from .exporting import NotExportedError, compiled_or_reference, export_errors, faster, save_graph
from .probes import AGREEMENT, PROBES, probed
from .publishing import digests, publish, scratch_folder

if TYPE_CHECKING:
    from ..run.onnx import OnnxEncoder
    from ..run.torch import TorchEncoder

log = logging.getLogger("vecindex")

MOST_CHANGE = 1e-4
"""The largest accepted change of a token's vector by a rewrite for speed, relative to its length."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The texts on which int8 is measured, and where they come from."""

    name: str = BUILT_IN
    texts: Sequence[str] = SAMPLE


@dataclass(frozen=True, slots=True)
class Made:
    """An encoder that was just compiled, and its record."""

    encoder: OnnxEncoder
    compiled: Compiled


def compiled_or_torch(files: ModelFiles, space: Space, threads: int | None) -> Encoder:
    """The encoder in fp32: compiled now, or the reference if it cannot be exported, which is remembered."""

    def compiled() -> Encoder:
        return _compile_full(files, space, threads).encoder

    def on_torch() -> TorchEncoder:
        return reference(files, space, threads)

    return compiled_or_reference(space, compiled, on_torch, _check_vectors)


def _check_vectors(encoder: TorchEncoder) -> None:
    """Raises UnsupportedModel if the reference's vectors are not sentence-transformers' own."""
    if not (agreement := probed(encoder, encoder)) >= AGREEMENT:
        raise UnsupportedModel(
            encoder.space.model,
            f"its vectors agree with sentence-transformers' own to a cosine of only {agreement:.6f}",
        )


def compile_full(files: ModelFiles, space: Space, threads: int | None = None) -> Made:
    """Compiles a model in fp32; raises UnsupportedModel if it cannot be exported, which is remembered."""
    try:
        return _compile_full(files, space, threads)
    except NotExportedError as error:
        refuse(space, str(error))
        raise _only_on_torch(files.name, str(error)) from error


@lacks_said("the model was compiled")
def compile_fewer_bits(
    files: ModelFiles, space: Space, threads: int | None = None, sample: Sample | None = None
) -> Made:
    """Compiles a model in int8, and first in fp32, which int8 is compared with, if that is missing.

    Raises:
        UnsupportedModel: the model cannot be exported, or its vectors differ too much from those in fp32 on the
            sample; nothing is kept.
    """
    full = _full_encoder(files, space, threads)
    log.info("Compiling %s in %s; this happens once.", files.name, space.precision)
    whole = reference(files, full.space, None)
    with scratch_folder() as folder:
        _quantise(whole, folder, space)
        encoder = open_folder(folder, space, whole.padding_id, threads, made_with())
        agreement = _accepted(full, encoder, sample or Sample())
        compiled = Compiled(
            *(space, whole.padding_id, files.origin, digests(folder)),
            sample=agreement,
            made_with=encoder.made_with,
            unread=whole.unread,
        )
        return Made(_publish(folder, encoder, compiled), compiled)


def measure_again(files: ModelFiles, encoder: Encoder, sample: Sample) -> Agreement:
    """Measures a compiled int8 encoder on a different sample; an encoder that fails is removed."""
    folder = compiled_folder(encoder.space.fingerprint)
    try:
        agreement = _accepted(_full_encoder(files, encoder.space, None), encoder, sample)
    except UnsupportedModel:
        take_away(folder)
        raise
    write_record(folder, replace(read_record(folder), sample=agreement))
    return agreement


def static_reference(files: ModelFiles, space: Space) -> Encoder:
    """A static embedding as sentence-transformers reads it; raises MissingExtra if it is not installed."""
    with extra_errors("runtime='torch'"):
        from ..run.torch import TorchStatic
    return TorchStatic(files.folder, space)


@lacks_said("the model was loaded")
def reference(files: ModelFiles, space: Space, threads: int | None) -> TorchEncoder:
    """The encoder as sentence-transformers runs it; raises MissingExtra if it is not installed."""
    # A machine that only searches can do without these gigabytes if its models are compiled elsewhere.
    with extra_errors(f"compiling {files.name}"):
        from ..run.torch import TorchEncoder
    return TorchEncoder(files.folder, space, threads)


@lacks_said("the model was compiled")
def _compile_full(files: ModelFiles, space: Space, threads: int | None) -> Made:
    log.info("Compiling %s for fast search; this happens once.", files.name)
    whole = reference(files, space, None)
    with scratch_folder() as folder:
        with export_errors():
            _export(whole, folder, partial(_faster, whole))
        encoder = open_folder(folder, space, whole.padding_id, threads, made_with())
        agreement = probed(whole, encoder)
        if not agreement >= AGREEMENT:
            raise NotExportedError(
                f"compiled, its vectors agree with the reference to a cosine of only {agreement:.6f}"
            )
        compiled = Compiled(
            *(space, whole.padding_id, files.origin, digests(folder)),
            agreement=agreement,
            made_with=encoder.made_with,
            unread=whole.unread,
        )
        forget_refusal(space)
        return Made(_publish(folder, encoder, compiled), compiled)


def _full_encoder(files: ModelFiles, space: Space, threads: int | None) -> OnnxEncoder:
    """The fp32 encoder that an int8 one is compared with."""
    full_space = replace(space, precision="fp32")
    if (full := load_compiled(full_space, threads)) is not None:
        return full
    if (reason := refusal(full_space)) is not None:
        raise _only_on_torch(files.name, reason)
    return compile_full(files, full_space, threads).encoder


def _only_on_torch(model: str, reason: str) -> UnsupportedModel:
    return UnsupportedModel(
        model,
        f"it cannot be compiled: {reason}",
        Advice("It runs on torch, without precision=.", typed="It runs on torch, without --precision."),
    )


def _export(whole: TorchEncoder, folder: Path, rewrite: Callable[[Path], Path], fused: bool = False) -> None:
    """Writes what an `OnnxEncoder` needs into ``folder``, with the exported graph rewritten by ``rewrite``."""
    from .export import export

    save_graph(folder, partial(export, whole), rewrite, fused)
    whole.head.save(folder)


def _faster(whole: TorchEncoder, plain: Path) -> Path:
    """The graph after the rewrites for speed that leave its output unchanged."""
    from ..run.onnx import INPUTS, OUTPUT, output_of

    ids, mask = whole.padded(whole.tokenizer.tokenize(PROBES[1:]))
    inputs = dict(zip(INPUTS, (ids, mask), strict=True))

    def change(before: FloatArray, after: FloatArray) -> float:
        lengths = np.linalg.norm(before[mask == 1], axis=1)
        return float((np.linalg.norm((after - before)[mask == 1], axis=1) / lengths).max() / MOST_CHANGE)

    return faster(whole.space.model, plain, lambda graph: output_of(graph, OUTPUT, inputs), change)


def _quantise(whole: TorchEncoder, folder: Path, space: Space) -> None:
    """Writes an int8 encoder into ``folder``."""
    with extra_errors(f"compiling {space.model} in {space.precision}"):
        from .quantise import quantise

    def rewrite(plain: Path) -> Path:
        target = plain.with_name("int8.onnx")
        if not quantise(plain, target, 7 if space.precision == "int8-7bit" else 8).products:
            raise ValueError("its graph has no matrix product with constant weights")
        return target

    try:
        _export(whole, folder, rewrite, fused=True)
    except Exception as error:  # onnx and onnxruntime raise many classes
        reason = error.reason if isinstance(error, UnsupportedModel) else first_line(error)
        raise UnsupportedModel(
            space.model, f"it cannot be compiled in {space.precision}: {reason}", "Use it in fp32."
        ) from error


def _accepted(full: Encoder, compiled: Encoder, sample: Sample) -> Agreement:
    """How well two encoders agree on a sample; raises UnsupportedModel if not well enough."""
    agreement = measure(full, compiled, sample.name, sample.texts)
    if agreement.accepted:
        return agreement
    raise UnsupportedModel(
        compiled.space.model,
        f"in {compiled.space.precision} its vectors differ too much from those in fp32: {agreement.describe()}; "
        f"the bounds are {LEAST_MEAN} for the mean and {LEAST_COSINE} for the least",
        "Use it in fp32.",
    )


def _publish(folder: Path, encoder: OnnxEncoder, compiled: Compiled) -> OnnxEncoder:
    """Renames a compiled folder to its final name and returns the encoder there."""
    encoder.hold()  # whatever happens to the folder, this process keeps its encoder
    if not publish(folder, compiled):
        return encoder
    return load_compiled(compiled.space, encoder.threads) or encoder
