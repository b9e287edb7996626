"""Lists, describes, compiles and removes models, for ``vecindex models``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InvalidInput, ModelNotFound, UnsupportedModel
from ..values.space import Precision, Space
from .compile.compiled_models import (
    Compiled,
    CompiledCross,
    Defined,
    every_compiled,
    every_compiled_cross,
    faults,
    forget_refusal,
    load_compiled,
    load_compiled_cross,
    read_record,
    refuse,
    runtime_of,
    take_away,
)
from .compile.compiler import Sample, compile_fewer_bits, compile_full, measure_again
from .compile.cross_compiler import compile_cross
from .compile.exporting import NotExportedError
from .config.cross_model import LABELS, CrossModel
from .config.read_cross import is_cross
from .cross.load import cross_of
from .load import files_fingerprint, precision_here, space_of
from .locate.resolve import CROSS, ModelFiles, resolve
from .locate.vecindex_cache import compiled_folder
from .run.agreement import Agreement

_LEAST_PREFIX = 6
"""The fewest characters of a fingerprint that identify a model."""


@dataclass(frozen=True, slots=True)
class ModelAtHand:
    """A model that needs no download. If it is not ``compiled`` yet, it is compiled when it is first used.

    ``folder`` holds its files, ``bytes`` in all. ``weights`` is the digest of the original weights, ``origin`` says
    where they were found, and ``revision`` is their commit on the hub. A cross-encoder has no ``dimension``.
    """

    model: str
    compiled: bool
    folder: str
    bytes: int
    dimension: int | None
    fingerprint: str
    precision: str
    weights: str
    origin: str
    revision: str
    runtime: str
    kind: Literal["encoder", "cross-encoder"] = "encoder"


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What is known of a model; None where nothing was measured or checked.

    ``agreement`` is that of int8 with fp32, ``cosine`` that of the compiled encoder with the reference.
    ``faults`` are the defects of the compiled files, ``unread`` the arrays in the model's own files that nothing reads.
    """

    at_hand: ModelAtHand
    max_tokens: int
    pooling: str
    query_prompt: str
    document_prompt: str
    cosine: float | None
    agreement: Agreement | None
    faults: tuple[str, ...] | None
    unread: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CrossDetails:
    """What is known of a cross-encoder; see `ModelDetails`.

    It reads at most ``max_tokens`` of a query and a text together, with the ``prompt`` before the query, and gives
    ``labels`` numbers for them; ``activation`` makes the score. ``difference`` is the largest of the compiled model's
    scores from the reference's.
    """

    at_hand: ModelAtHand
    max_tokens: int
    labels: int
    activation: str
    prompt: str
    difference: float | None
    faults: tuple[str, ...] | None
    unread: tuple[str, ...] | None


def models_at_hand() -> list[ModelAtHand]:
    """The default model if its files are on this machine, and every compiled model; opens no connection."""
    found = [_at_hand(record.space, folder, record) for folder, record in every_compiled()]
    found += [_at_hand(record.cross, folder, record) for folder, record in every_compiled_cross()]
    with contextlib.suppress(ModelNotFound, UnsupportedModel):  # a refused model is not at hand
        files = resolve(offline=True)
        space = space_of(files)
        if all(model.fingerprint != space.fingerprint for model in found):
            found.insert(0, _at_hand(space, files.folder, None, files))
    return found


def details(name: str, *, verify: bool = False) -> list[ModelDetails | CrossDetails]:
    """Describes a model in each form in which it is compiled; opens no connection.

    Args:
        name: a folder, a hub name, or the first characters of a fingerprint.
        verify: read the compiled files, and report damaged ones.

    Raises:
        ModelNotFound, UnsupportedModel.
    """
    found: list[ModelDetails | CrossDetails] = [
        *(_details(record.space, folder, record, None, verify) for folder, record in _compiled_as(name)),
        *(_cross_details(record.cross, folder, record, None, verify) for folder, record in _compiled_cross_as(name)),
    ]
    if found:
        return found
    files = _files_here(name)
    if is_cross(files.folder):
        return [_cross_details(cross_of(files), files.folder, None, files, verify)]
    return [_details(space_of(files), files.folder, None, files, verify)]


def _files_here(name: str) -> ModelFiles:
    """The files of an encoder with this name, or else of a cross-encoder; raises ModelNotFound, UnsupportedModel."""
    try:
        return resolve(name, offline=True)
    except ModelNotFound:
        with contextlib.suppress(ModelNotFound):
            return resolve(name, offline=True, kind=CROSS)
        raise


@dataclass(frozen=True, slots=True)
class CompileReport:
    """A compiled model, and whether it had been compiled ``before``; ``space`` is a `CrossModel` of a cross-encoder."""

    space: Space | CrossModel
    folder: str
    bytes: int
    before: bool
    agreement: Agreement | None


def compile_model(
    name: str | None,
    precision: Precision = "fp32",
    *,
    dimensions: int | None = None,
    sample: Sample | None = None,
    offline: bool | None = None,
) -> CompileReport:
    """Compiles a model unless it is compiled already; what int8 loses is measured on a sample of texts.

    Raises:
        ModelNotFound, MissingExtra.
        UnsupportedModel: it cannot be compiled, or int8 changes its vectors too much; the message gives the figures.
    """
    if sample is not None and precision == "fp32":
        raise InvalidInput("a sample is used for int8 only", "Leave it out, or compile in int8.")
    files = resolve(name, offline=offline)
    if is_cross(files.folder):
        return _compile_cross(files, precision, dimensions)
    space = space_of(files, precision_here(precision), dimensions)
    if space.is_static:
        raise UnsupportedModel(space.model, "it has no transformer, so there is nothing to compile", "Use it as it is.")
    folder = compiled_folder(space.fingerprint)
    encoder = load_compiled(space, None)
    if encoder is None:
        made = compile_full(files, space) if precision == "fp32" else compile_fewer_bits(files, space, sample=sample)
        agreement = made.compiled.sample
    else:
        agreement = measure_again(files, encoder, sample) if sample else read_record(folder).sample
    return CompileReport(space, str(folder), _bytes(folder), encoder is not None, agreement)


def _compile_cross(files: ModelFiles, precision: Precision, dimensions: int | None) -> CompileReport:
    if precision != "fp32" or dimensions is not None:
        raise InvalidInput(
            f"{files.name} is a cross-encoder, which has no vectors", "Compile it in fp32, without dimensions."
        )
    cross = cross_of(files)
    before = load_compiled_cross(cross, None) is not None
    if not before:
        try:
            compile_cross(files, cross)
        except NotExportedError as error:
            refuse(cross, str(error))
            reason = f"it cannot be compiled: {error}"
            raise UnsupportedModel(files.name, reason, "It runs on torch, which is slower.") from error
    folder = compiled_folder(cross.fingerprint)
    return CompileReport(cross, str(folder), _bytes(folder), before, None)


def remove_model(name: str, precision: Precision | None = None) -> list[ModelAtHand]:
    """Removes the compiled files of a model, in one precision or in all, and returns what was removed.

    The model's own files stay, since other programs may use them.

    Raises:
        ModelNotFound: nothing of it is compiled.
    """
    wanted = None if precision is None else {precision, precision_here(precision)}
    every: list[tuple[Path, Compiled | CompiledCross]] = [*_compiled_as(name), *_compiled_cross_as(name)]
    found = [(folder, record) for folder, record in every if wanted is None or record.defined.precision in wanted]
    if not found:
        what = "nothing of it" if precision is None else f"nothing of it in {precision}"
        raise ModelNotFound(name, [f"vecindex's own cache ({what} is compiled there)"])
    removed = [_at_hand(record.defined, folder, record) for folder, record in found]
    for folder, record in found:
        take_away(folder)
        forget_refusal(record.defined)
    return removed


def _compiled_as(name: str) -> Sequence[tuple[Path, Compiled]]:
    """The compiled encoders of the model with this name, folder or beginning of a fingerprint."""
    every = list(every_compiled())
    if len(name) >= _LEAST_PREFIX:
        prefixed = [(f, r) for f, r in every if r.space.fingerprint.startswith(name)]
        if prefixed:
            return prefixed
    hub_name, _, revision = name.partition("@")
    names = {hub_name, f"sentence-transformers/{hub_name}"}
    with contextlib.suppress(ModelNotFound, UnsupportedModel):
        files = resolve(name, offline=True)
        names.add(files.name)
        if not is_cross(files.folder):  # it could be read as an encoder, with a warning
            full = space_of(files)
            same = [(f, r) for f, r in every if files_fingerprint(r.space) == files_fingerprint(full)]
            if same:
                return same
    return [
        (f, r) for f, r in every if r.space.model in names and (not revision or r.space.revision.startswith(revision))
    ]


def _compiled_cross_as(name: str) -> Sequence[tuple[Path, CompiledCross]]:
    """The compiled cross-encoders with this name, folder or beginning of a fingerprint."""
    every = list(every_compiled_cross())
    same: set[str] = set()
    with contextlib.suppress(ModelNotFound, UnsupportedModel):
        same = {cross_of(resolve(name, offline=True, kind=CROSS)).fingerprint}
    return [
        (folder, record)
        for folder, record in every
        if record.cross.fingerprint in same
        or record.cross.model in (name, f"{CROSS.owner}/{name}")
        or (len(name) >= _LEAST_PREFIX and record.cross.fingerprint.startswith(name))
    ]


def _at_hand(
    defined: Defined, folder: Path, record: Compiled | CompiledCross | None, files: ModelFiles | None = None
) -> ModelAtHand:
    origin = record.origin if record else files.origin if files else ""
    return ModelAtHand(
        model=defined.model,
        compiled=record is not None,
        folder=str(folder),
        bytes=_bytes(folder),
        dimension=defined.dimension if isinstance(defined, Space) else None,
        fingerprint=defined.fingerprint,
        precision=defined.precision,
        weights=defined.weights,
        origin=origin,
        revision=defined.revision,
        runtime=runtime_of(defined),
        kind="encoder" if isinstance(defined, Space) else "cross-encoder",
    )


def _details(
    space: Space, folder: Path, record: Compiled | None, files: ModelFiles | None, verify: bool
) -> ModelDetails:
    return ModelDetails(
        _at_hand(space, folder, record, files),
        max_tokens=space.max_tokens,
        pooling=space.pooling,
        query_prompt=space.query_prompt,
        document_prompt=space.document_prompt,
        cosine=record.agreement if record else None,
        agreement=record.sample if record else None,
        faults=_faults(folder, record, verify),
        unread=record.unread if record else _unread(folder, space),
    )


def _cross_details(
    cross: CrossModel, folder: Path, record: CompiledCross | None, files: ModelFiles | None, verify: bool
) -> CrossDetails:
    return CrossDetails(
        _at_hand(cross, folder, record, files),
        max_tokens=cross.max_tokens,
        labels=LABELS,
        activation=cross.activation,
        prompt=cross.prompt,
        difference=record.difference if record else None,
        faults=_faults(folder, record, verify),
        unread=record.unread if record else None,
    )


def _faults(folder: Path, record: Compiled | CompiledCross | None, verify: bool) -> tuple[str, ...] | None:
    return tuple(faults(folder, record, reread=True)) if record and verify else None


def _unread(folder: Path, space: Space) -> tuple[str, ...] | None:
    if not space.is_static:
        return None  # known once its library has loaded it
    from .run.static import unread

    return tuple(unread(folder, space.model))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
