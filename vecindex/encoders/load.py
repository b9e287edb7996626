"""Loads the encoder of a model or a space: the one place that chooses precision, device and runtime."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from ..errors import Advice, InvalidInput, ModelNotFound, SpaceMismatch, UnsupportedModel
from ..machine.extras import extra_errors
from ..values.arguments import entrance
from ..values.scalars import choice
from ..values.space import Precision, Space
from .compile.compiled_models import load_compiled
from .compile.compiler import compile_fewer_bits, compiled_or_torch, reference, static_reference
from .config.modules import is_size
from .config.read_space import read_space
from .locate.resolve import ModelFiles, at_hand, hub_name, resolve
from .locate.vecindex_cache import file_digest, known_folder, remember_folder
from .run.encoder import Encoder
from .run.environment import has_exact_int8

Runtime = Literal["onnx", "torch"]
Device = Literal["auto", "cpu", "cuda"]
"""Where an encoder computes. ``auto`` is the processor, since a GPU's vectors differ in the last digits."""

precision_check = choice(get_args(Precision), "precision")
_device = choice(get_args(Device), "device")

INT8: tuple[Precision, ...] = ("int8", "int8-7bit")
_ON_GPUS_ONLY: tuple[Precision, ...] = ("bf16", "fp16")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded; see `load_encoder`."""

    precision: Precision | None = None
    device: Device = "auto"
    dimensions: int | None = None
    threads: int | None = None
    offline: bool | None = None


@entrance(precision=precision_check, device=_device, runtime=choice(get_args(Runtime), "runtime"))
def load_encoder(
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    precision: Precision | None = None,
    device: Device = "auto",
    runtime: Runtime = "onnx",
    offline: bool | None = None,
    threads: int | None = None,
    dimensions: int | None = None,
) -> Encoder:
    """Loads an encoder without an index.

    Args:
        name_or_path: a folder or a hub name, ``NAME@REVISION`` for one revision of it; None is
            sentence-transformers/all-MiniLM-L6-v2.
        precision: None is "fp32". "int8" is about 2.5 times as fast, and its vectors compare only with each other.
            On a processor without VNNI it becomes "int8-7bit". "bf16" and "fp16" are for GPUs.
        device: "auto" and "cpu" are the processor, "cuda" is a GPU.
        runtime: "onnx" is the fast one, compiled once from the reference; "torch" is the reference itself.
        offline: True never contacts the hub; None asks the environment (VECINDEX_OFFLINE or HF_HUB_OFFLINE).
        threads: how many cores one call may use; None is all that this process may run on.
        dimensions: keep only the first so many numbers of each vector; None keeps all.

    Raises:
        ModelNotFound: its files were not found; lists the places that were tried.
        UnsupportedModel: its files ask for something that is not supported, or int8 changes its vectors too much.
        InvalidInput, MissingExtra.
    """
    options = LoadOptions(precision_here(precision), device, dimensions, threads, offline)
    if runtime == "torch":
        check_options(options)
        files = resolve(name_or_path, offline=offline)
        space = space_of(files, precision, dimensions)
        if space.precision != "fp32" or device == "cuda":
            raise InvalidInput(
                "runtime='torch' runs in fp32 on the processor only", "Leave precision= and device= out."
            )
        return static_reference(files, space) if space.is_static else reference(files, space, threads)
    return load_model(name_or_path, options)


def load_model(
    name_or_path: str | os.PathLike[str] | None, options: LoadOptions, expected: Space | None = None
) -> Encoder:
    """As `load_encoder`; raises SpaceMismatch, before anything is compiled, if its space is not the expected one.

    Without ``options.dimensions``, the model is cut to the expected dimension if that gives the expected space.
    """
    check_options(options)
    files = resolve(name_or_path, offline=options.offline)
    space = _space_as_asked(files, options, expected)
    if expected is not None and space.fingerprint != expected.fingerprint:
        raise SpaceMismatch(expected.describe(), space.describe(), expected.differences(space))
    return _load(files, space, options)


def load_for_space(space: Space, options: LoadOptions | None = None) -> Encoder:
    """Loads the encoder of an index's space; ``options`` apply to what the space does not fix.

    An index may come from a stranger, so nothing is downloaded, and a folder is opened only if the user gave it before
    for the same model. A compiled encoder with this fingerprint is used without reading the model's own files, unless
    they are in such a folder: files changed there raise `SpaceMismatch`.
    """
    options = options or LoadOptions()
    check_options(options)
    folder = None if hub_name(space.model) else known_folder(files_fingerprint(space))
    changeable = folder is not None and os.path.isdir(folder)
    if not changeable and options.device != "cuda" and (encoder := load_compiled(space, options.threads)):
        return encoder
    files = ModelFiles(str(folder), folder, "path") if folder is not None and changeable else _files_again(space)
    found = _space_again(files, space)
    if found.fingerprint != space.fingerprint:
        raise SpaceMismatch(
            *(space.describe(), found.describe(), space.differences(found)),
            Advice(
                "The model's files have changed. Restore them, or add the texts to a new index.",
                typed="The model's files have changed. Restore them, or add the texts to a new index with --index DIR.",
            ),
        )
    return _load(files, space, options)


def space_of(files: ModelFiles, precision: Precision | None = None, dimensions: int | None = None) -> Space:
    """The space that a model's files define, in this precision; remembers a folder that the user gave for it."""
    space = read_space(files.folder, files.name, file_digest, dimensions)
    if files.origin == "path":
        remember_folder(files_fingerprint(space), files.folder)
    return replace(space, revision=files.revision, precision=precision or "fp32")


def precision_here(precision: Precision | None) -> Precision | None:
    """The precision that this machine uses for the one that a user asks for."""
    return "int8-7bit" if precision == "int8" and not has_exact_int8() else precision


def check_options(options: LoadOptions) -> None:
    """Raises InvalidInput for an invalid option."""
    if options.precision is not None:
        precision_check("precision", options.precision)
    _device("device", options.device)
    if options.precision in _ON_GPUS_ONLY and options.device != "cuda":
        raise InvalidInput(
            f"{options.precision} needs a GPU",
            Advice('Add device="cuda".', typed="Add --device cuda."),
        )
    if options.threads is not None and not is_size(options.threads):
        raise InvalidInput(f"threads is {options.threads!r}", "Pass a whole number of cores, 1 or more.")


def _load(files: ModelFiles, space: Space, options: LoadOptions) -> Encoder:
    """Chooses the encoder by device, then by precision."""
    if options.device == "cuda":
        return _on_gpu(files, space)
    if space.is_static:
        return _static(files, space)
    if (encoder := load_compiled(space, options.threads)) is not None:
        return encoder
    if space.precision in INT8:
        return compile_fewer_bits(files, space, options.threads).encoder
    if space.precision in _ON_GPUS_ONLY:
        raise InvalidInput(
            f"the index holds vectors in {space.precision}, which needs a GPU",
            Advice('Add device="cuda".', typed="Add --device cuda."),
        )
    return compiled_or_torch(files, space, options.threads)


def _static(files: ModelFiles, space: Space) -> Encoder:
    from .run.static import StaticEncoder

    if space.precision != "fp32":
        raise UnsupportedModel(space.model, f"it has no transformer to run in {space.precision}", "Use it in fp32.")
    return StaticEncoder.from_folder(files.folder, space)


def _on_gpu(files: ModelFiles, space: Space) -> Encoder:
    if space.is_static:
        raise UnsupportedModel(space.model, "it has no transformer to run on a GPU", "Leave the device out.")
    with extra_errors(f"running {files.name} on a GPU"):
        from .run.cuda import CudaEncoder
    return CudaEncoder(files.folder, space)


def files_fingerprint(space: Space) -> str:
    """The fingerprint of a model's files alone, in any precision and dimension."""
    return replace(space, precision="fp32", dimension=1).fingerprint


def _files_again(space: Space) -> ModelFiles:
    """The files of a stored space: those of its revision, or others that define the same space."""
    if hub_name(space.model) is None:
        raise ModelNotFound(
            space.model,
            [f"the folder {space.model} (not opened: only the index names it)", "vecindex's own cache"],
            Advice(
                "Pass the model's folder once as model=; it is remembered.",
                typed="Pass the model's folder once with --model DIR; it is remembered.",
            ),
        )
    try:
        return at_hand(space.model, space.revision)
    except ModelNotFound:
        if space.revision:
            # Another revision with the same files may be cached, or the extra installed.
            with contextlib.suppress(ModelNotFound, UnsupportedModel):
                files = at_hand(space.model)
                if _space_again(files, space).fingerprint == space.fingerprint:
                    return files
        raise


def _space_as_asked(files: ModelFiles, options: LoadOptions, expected: Space | None) -> Space:
    """The space to load a model in, with the dimension of ``expected`` if none was asked for and the rest agrees."""
    if expected is not None and options.dimensions is None:
        with contextlib.suppress(InvalidInput):  # it has fewer dimensions: a different model
            space = space_of(files, options.precision, expected.dimension)
            if space.fingerprint == expected.fingerprint:
                return space
    return space_of(files, options.precision, options.dimensions)


def _space_again(files: ModelFiles, space: Space) -> Space:
    """The space that a model's files define now, in the precision and with the dimension of a stored space."""
    precision = cast("Precision", space.precision)
    try:
        return space_of(files, precision, space.dimension)
    except InvalidInput:  # it has fewer dimensions: a different model
        return space_of(files, precision)
