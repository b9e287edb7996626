"""Which models are at hand, what is known of each, and how is one compiled or removed: ``vecindex models``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InvalidInput, ModelNotFound, UnsupportedModel
from ..values.space import Precision, Space
from .compile.compiled_models import Compiled, every_compiled, faults, load_compiled, read_record, runtime_of, take_away
from .compile.compiler import Sample, compile_fewer_bits, compile_full, measure_again
from .load import here, space_of
from .locate.resolve import ModelFiles, resolve
from .locate.vecindex_cache import compiled_folder, refusal_file
from .run.agreement import Agreement

_LEAST_PREFIX = 6
"""Characters of a fingerprint that name a model."""


@dataclass(frozen=True, slots=True)
class ModelAtHand:
    """A model that needs no download: a ``compiled`` one is ready for search, another is compiled when first used.

    ``folder`` holds its files, ``bytes`` in all; ``weights`` is the digest of the original ones, ``origin`` the door
    that it came through, and ``revision`` its commit on the hub.
    """

    model: str
    compiled: bool
    folder: str
    bytes: int
    dimension: int
    fingerprint: str
    precision: str
    weights: str
    origin: str
    revision: str
    runtime: str


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """All that is known of a model.

    ``agreement`` is that of fewer bits with fp32, ``cosine`` that of the compiled encoder with the reference,
    ``faults`` is what is wrong with the compiled files, and ``unread`` names the arrays in the model's own files that
    nothing reads. Each is None where nobody looked.
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


def models_at_hand() -> list[ModelAtHand]:
    """The default model if its files are here, and every compiled model in the cache; contacts nobody."""
    found = [_at_hand(record.space, folder, record) for folder, record in every_compiled()]
    with contextlib.suppress(ModelNotFound, UnsupportedModel):  # what is refused is not at hand
        files = resolve(offline=True)
        space = space_of(files)
        if all(model.fingerprint != space.fingerprint for model in found):
            found.insert(0, _at_hand(space, files.folder, None, files))
    return found


def details(name: str, *, verify: bool = False) -> list[ModelDetails]:
    """What is known of a model, in each precision that is compiled; contacts nobody.

    Args:
        name: a folder, a hub name, or the first characters of a fingerprint.
        verify: read the compiled files, and say which are damaged.

    Raises:
        ModelNotFound, UnsupportedModel.
    """
    found = _compiled_as(name)
    if found:
        return [_details(record.space, folder, record, None, verify) for folder, record in found]
    files = resolve(name, offline=True)
    return [_details(space_of(files), files.folder, None, files, verify)]


@dataclass(frozen=True, slots=True)
class CompileReport:
    """A model that is compiled now, and whether it had been before."""

    space: Space
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
    """Compiles a model for search, unless it is; a sample of texts says what fewer bits cost.

    Raises:
        ModelNotFound, MissingExtra.
        UnsupportedModel: it cannot be compiled, or agrees too little with fp32; the figures are in the message.
    """
    if sample is not None and precision == "fp32":
        raise InvalidInput("a sample was given, and fp32 is measured on none", "Leave it out, or ask for int8.")
    files = resolve(name, offline=offline)
    space = space_of(files, here(precision), dimensions)
    if space.is_static:
        raise UnsupportedModel(space.model, "it has no transformer: there is nothing to compile", "Use it as it is.")
    folder = compiled_folder(space.fingerprint)
    encoder = load_compiled(space, None)
    if encoder is not None:
        known = read_record(folder).sample
        agreement = measure_again(files, encoder, sample) if sample else known
        return CompileReport(space, str(folder), _bytes(folder), True, agreement)
    made = compile_full(files, space) if precision == "fp32" else compile_fewer_bits(files, space, sample=sample)
    return CompileReport(space, str(folder), _bytes(folder), False, made.compiled.sample)


def remove_model(name: str, precision: Precision | None = None) -> list[ModelAtHand]:
    """Removes what was compiled of a model, in one precision or in all; says what was given back.

    The model's own files stay where they are: other programs may use them.

    Raises:
        ModelNotFound: nothing of it is compiled.
    """
    wanted = None if precision is None else {precision, here(precision)}
    found = [
        (folder, record) for folder, record in _compiled_as(name) if wanted is None or record.space.precision in wanted
    ]
    if not found:
        what = "nothing of it" if precision is None else f"nothing of it in {precision}"
        raise ModelNotFound(name, [f"vecindex's own cache ({what} is compiled there)"])
    removed = [_at_hand(record.space, folder, record) for folder, record in found]
    for folder, record in found:
        take_away(folder)
        with contextlib.suppress(OSError):
            refusal_file(record.space.fingerprint).unlink()
    return removed


def _compiled_as(name: str) -> Sequence[tuple[Path, Compiled]]:
    """The compiled encoders of the model that a user means by ``name``."""
    every = list(every_compiled())
    if len(name) >= _LEAST_PREFIX:
        prefixed = [(f, r) for f, r in every if r.space.fingerprint.startswith(name)]
        if prefixed:
            return prefixed
    with contextlib.suppress(ModelNotFound, UnsupportedModel):
        full = space_of(resolve(name, offline=True))
        same = [(f, r) for f, r in every if _in_fp32(r.space, full.dimension).fingerprint == full.fingerprint]
        if same:
            return same
    hub_name, _, revision = name.partition("@")
    names = {hub_name, f"sentence-transformers/{hub_name}"}
    return [
        (f, r) for f, r in every if r.space.model in names and (not revision or r.space.revision.startswith(revision))
    ]


def _in_fp32(space: Space, dimension: int) -> Space:
    return replace(space, precision="fp32", dimension=dimension)


def _at_hand(space: Space, folder: Path, record: Compiled | None, files: ModelFiles | None = None) -> ModelAtHand:
    origin = record.origin if record else files.origin if files else ""
    return ModelAtHand(
        model=space.model,
        compiled=record is not None,
        folder=str(folder),
        bytes=_bytes(folder),
        dimension=space.dimension,
        fingerprint=space.fingerprint,
        precision=space.precision,
        weights=space.weights,
        origin=origin,
        revision=space.revision,
        runtime=runtime_of(space),
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
        faults=tuple(faults(folder, record, anew=True)) if record and verify else None,
        unread=record.unread if record else _unread(folder, space),
    )


def _unread(folder: Path, space: Space) -> tuple[str, ...] | None:
    if not space.is_static:
        return None  # it is known once its library has loaded it
    from .run.static import unread

    return tuple(unread(folder, space.model))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
