"""Compiles a model: exports it, checks it, and publishes it in the cache, whole or not at all.

The steps: the model is exported into a scratch folder and rewritten for speed; sentence-transformers and the compiled
encoder encode the same probe texts; only if their vectors agree is the folder renamed to its final name. An int8
encoder is compared with the compiled fp32 one, on a sample of texts.

1. Two processes compile the same model at once: both succeed; the second to finish finds the name taken and discards
   its own folder.
2. A process is killed: it leaves a ``compiling-*`` folder that nobody reads. The next compilation removes it once it
   is a day old.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import Advice, EncodingFailed, UnsupportedModel
from ...machine.extras import extra_errors
from ...machine.lacks import lack, lacks_said
from ...values.space import Space
from ..locate.ownership import make_folder, seal, tell
from ..locate.resolve import ModelFiles
from ..locate.vecindex_cache import cache_folder, compiled_folder, distrusted, remember_digests, sha256
from ..run.agreement import BUILT_IN, LEAST_COSINE, LEAST_MEAN, SAMPLE, Agreement, measure
from ..run.checks import first_line
from ..run.encoder import Encoder
from .compiled_models import (
    COMPILING,
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
from .probes import AGREEMENT, PROBES, probed

if TYPE_CHECKING:
    from ..run.onnx import OnnxEncoder
    from ..run.torch import TorchEncoder

log = logging.getLogger("vecindex")

MOST_CHANGE = 1e-4
"""The largest accepted change of a token's vector by a rewrite for speed, relative to its length."""

_STALE_SECONDS = 86_400


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


class _NotExportedError(Exception):
    """The reference works but its export does not; says why."""


def compiled_or_torch(files: ModelFiles, space: Space, threads: int | None) -> Encoder:
    """The encoder in fp32: compiled now, or the reference if it cannot be exported, which is remembered."""
    if refusal(space) is None:
        try:
            return _compile_full(files, space, threads).encoder
        except EncodingFailed as error:  # a passing lack of memory or disk space is not remembered
            log.warning(
                "%s is not compiled this time and runs on torch, which is slower: %s.", files.name, error.reason
            )
            return reference(files, space, threads)
        except _NotExportedError as error:
            encoder = reference(files, space, threads)
            if not (agreement := probed(encoder, encoder)) >= AGREEMENT:
                raise UnsupportedModel(
                    files.name,
                    f"its vectors agree with sentence-transformers' own to a cosine of only {agreement:.6f}",
                ) from error
            log.warning("%s runs on torch, which is slower: %s.", files.name, error)
            refuse(space, str(error))
            return encoder
    return reference(files, space, threads)


def compile_full(files: ModelFiles, space: Space, threads: int | None = None) -> Made:
    """Compiles a model in fp32; raises UnsupportedModel if it cannot be exported, which is remembered."""
    try:
        return _compile_full(files, space, threads)
    except _NotExportedError as error:
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
    with _scratch_folder() as folder:
        _quantise(whole, folder, space)
        encoder = open_folder(folder, space, whole.padding_id, threads, made_with())
        agreement = _accepted(full, encoder, sample or Sample())
        compiled = Compiled(
            *(space, whole.padding_id, files.origin, _digests(folder)),
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
    with _scratch_folder() as folder:
        try:
            _export(whole, folder, partial(_faster, whole))
        except UnsupportedModel as error:
            if lack(error):
                raise
            raise _NotExportedError(error.reason) from error
        except Exception as error:  # onnxruntime and the exporter raise many classes
            if lack(error):
                raise
            raise _NotExportedError(f"onnxruntime refuses the exported graph ({first_line(error)})") from error
        encoder = open_folder(folder, space, whole.padding_id, threads, made_with())
        agreement = probed(whole, encoder)
        if not agreement >= AGREEMENT:
            raise _NotExportedError(
                f"compiled, its vectors agree with the reference to a cosine of only {agreement:.6f}"
            )
        compiled = Compiled(
            *(space, whole.padding_id, files.origin, _digests(folder)),
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
    """Writes what an `OnnxEncoder` needs into ``folder``, with the exported graph rewritten by ``rewrite``.

    ``rewrite`` gets the path of a graph with folded constants. It may write files beside it, and returns the path of
    the graph to use.
    """
    from ..run.onnx import MODEL_FILE, save_optimized
    from ..run.text_tokenizer import TOKENIZER_FILE
    from .export import export

    exported, plain = folder / "exported", folder / "plain"
    exported.mkdir()
    plain.mkdir()
    export(whole, exported)
    save_optimized(exported / MODEL_FILE, plain)
    (exported / TOKENIZER_FILE).rename(folder / TOKENIZER_FILE)
    shutil.rmtree(exported)
    save_optimized(rewrite(plain / MODEL_FILE), folder, fused)
    shutil.rmtree(plain)
    whole.head.save(folder)


def _faster(whole: TorchEncoder, plain: Path) -> Path:
    """The graph after the rewrites for speed that leave its output unchanged."""
    from ..run.onnx import token_vectors
    from .bias_folding import fold_biases
    from .token_layout import lay_out

    ids, mask = whole.padded(whole.tokenizer.tokenize(PROBES[1:]))
    before = token_vectors(plain, ids, mask)[mask == 1]
    best = plain
    for name, rewrite in {"folded": fold_biases, "laid_out": lay_out}.items():
        target = plain.with_name(f"{name}.onnx")
        try:
            if not rewrite(best, target):
                continue
            after = token_vectors(target, ids, mask)[mask == 1]
            change = np.linalg.norm(after - before, axis=1) / np.linalg.norm(before, axis=1)
            if not change.max() <= MOST_CHANGE:
                raise ValueError(f"its token vectors change by {change.max():.1e}")
            best = target
        except Exception as error:  # the rewrite is only for speed
            log.debug("%s cannot be %s: %s.", whole.space.model, name, first_line(error))
    return best


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


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(folder.iterdir())}


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder to compile in, in the cache if that is writable; removed at the end unless it was renamed."""
    parent = cache_folder() / "compiled"
    try:
        make_folder(parent, cache_folder())
        _remove_stale(parent)
        folder = parent / f"{COMPILING}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o755)
    except OSError as error:
        if reason := distrusted(parent):
            tell(reason)
        else:
            log.warning(
                "The cache %s is not writable (%s), so the model is compiled into a temporary folder each time. "
                "Set VECINDEX_CACHE to a writable folder, or to a DIR that was filled before with "
                "`vecindex models compile MODEL --to DIR`, which may be read-only.",
                parent,
                error,
            )
        folder = Path(tempfile.mkdtemp(prefix="vecindex-compiling-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        yield folder  # kept until the process ends, since the encoder may open its files again
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, encoder: OnnxEncoder, compiled: Compiled) -> OnnxEncoder:
    """Renames a compiled folder to its final name and returns the encoder there.

    If another process came first, its folder stays: it is just as good.
    """
    encoder.hold()  # whatever happens to the folder, this process keeps its encoder
    place = compiled_folder(compiled.space.fingerprint)
    if folder.parent != place.parent:
        return encoder
    seal(folder)
    write_record(folder, compiled)
    try:
        folder.rename(place)
        remember_digests((place / name, digest) for name, digest in compiled.files.items())
    except OSError as error:
        log.debug("%s was not published: %s", place, error)
    return load_compiled(compiled.space, encoder.threads) or encoder


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{COMPILING}*"):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
