"""Loads a cross-encoder by its folder or its name on the hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace

from ...errors import Advice, UnsupportedModel
from ..compile.cross_compiler import compiled_or_torch
from ..config.cross_model import CrossModel
from ..config.read_cross import read_cross
from ..locate.resolve import CROSS, ModelFiles, resolve
from ..locate.vecindex_cache import file_digest
from .cross_encoder import CrossEncoder

_ADVICE = Advice(
    'Pass another cross-encoder as rerank=, or rerank="tokens", which needs none.',
    typed="Pass another cross-encoder with --rerank, or --rerank tokens, which needs none.",
)


def load_cross_encoder(
    name_or_path: str | os.PathLike[str], *, offline: bool | None = None, threads: int | None = None
) -> CrossEncoder:
    """Loads a cross-encoder, which is compiled when it is first used.

    Args:
        name_or_path: a folder or a hub name, ``NAME@REVISION`` for one revision of it; a name without an owner is one
            of cross-encoder.
        offline: True never contacts the hub; None asks the environment (VECINDEX_OFFLINE or HF_HUB_OFFLINE).
        threads: how many cores one call may use; None is all that this process may run on.

    Raises:
        ModelNotFound: its files were not found; lists the places that were tried.
        UnsupportedModel: it is not a cross-encoder, or asks for something that is not supported.
        MissingExtra.
    """
    with _advised():
        files = resolve(name_or_path, offline=offline, kind=CROSS)
        return compiled_or_torch(files, cross_of(files), threads)


def cross_of(files: ModelFiles) -> CrossModel:
    """The cross-encoder that a model's files define; raises UnsupportedModel."""
    with _advised():
        return replace(read_cross(files.folder, files.name, file_digest), revision=files.revision)


@contextlib.contextmanager
def _advised() -> Iterator[None]:
    """Says what to use instead of a cross-encoder that is not supported."""
    try:
        yield
    except UnsupportedModel as error:
        raise UnsupportedModel(error.model, error.reason, _ADVICE) from error
