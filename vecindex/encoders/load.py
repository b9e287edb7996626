"""Which encoder serves this model or space: the compiled one if it is at hand, else it is compiled now, once.

Compiling, in order: the reference encodes probe texts; it is exported into a folder of its own; the compiled encoder
encodes the same probes; only if they agree is the folder renamed to its place in the cache. Two processes that compile
at once both work; the second to finish finds the place taken and throws its own away. A process killed meanwhile
leaves a ``compiling-*`` folder that nobody reads and that the next compilation removes once it is a day old.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import MissingExtra, ModelNotFound, SpaceMismatch, UnsupportedModel
from .cache import cache_folder, compiled_folder, file_digest
from .encoder import Encoder
from .head import Head
from .resolve import ModelFiles, resolve
from .spec import Space, read_space

if TYPE_CHECKING:
    from .torch import TorchEncoder

log = logging.getLogger("vecindex")

Runtime = Literal["onnx", "torch"]

AGREEMENT = 0.99999
"""The least cosine between a probe's compiled and its reference vector."""

_COMPILER = 1  # raised when compiled folders of before must not be used any more
_RECORD = "encoder.json"
_COMPILING = "compiling-"
_STALE_SECONDS = 86_400
# Lengths from no word to over the maximum, several scripts: what a wrongly traced graph gets wrong first.
_PROBES = (
    "",
    "My name is Aun",
    "The quick brown fox jumps over the lazy dog, twice: 1,234.50!",
    "Der Zug nach Köln fährt um 7:45 Uhr ab. 🚆",
    "今日はとても良い天気ですね。",
    "Сегодня идёт дождь, и мы остаёмся дома.",
    "a long text " * 40,
    "a text that is longer than any model's limit " * 400,
)


def load_encoder(
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    runtime: Runtime = "onnx",
    offline: bool | None = None,
    threads: int | None = None,
) -> Encoder:
    """Loads an encoder, alone, without an index.

    Args:
        name_or_path: a folder or a hub name; None is sentence-transformers/all-MiniLM-L6-v2.
        runtime: "onnx" is the fast one, compiled from the reference once; "torch" is the reference itself.
        offline: True never contacts the hub; None asks VECINDEX_OFFLINE.
        threads: cores that one call may use; None takes all that this process may run on.

    Raises:
        ModelNotFound: its files are nowhere; says where was looked.
        UnsupportedModel: its files ask for something that this version does not do.
    """
    files = resolve(name_or_path, offline=offline)
    space = read_space(files.folder, files.name, file_digest)
    if runtime == "torch":
        return _reference(files, space, threads)
    return _load_compiled(space, threads) or _compile(files, space, threads)


def load_for_space(space: Space, *, offline: bool | None = None, threads: int | None = None) -> Encoder:
    """Loads the encoder of an index's space.

    The compiled encoder of this very fingerprint serves without a look at the model's own files, except where the
    model is a folder that is still there: files changed in it are a `SpaceMismatch`.
    """
    folder = Path(space.model)
    if not (folder.is_absolute() and os.path.isdir(folder)) and (encoder := _load_compiled(space, threads)):
        return encoder
    files = resolve(space.model, offline=offline)
    found = read_space(files.folder, files.name, file_digest)
    if found.fingerprint != space.fingerprint:
        raise SpaceMismatch(
            *(space.describe(), found.describe(), space.differences(found)),
            "The model's files have changed since: restore them, or add the texts to a new index with --index DIR.",
        )
    return _load_compiled(space, threads) or _compile(files, space, threads)


def _load_compiled(space: Space, threads: int | None) -> Encoder | None:
    """The compiled encoder of this space; None if there is none. A damaged one is taken away, to be made again."""
    from .onnx import OnnxEncoder

    folder = compiled_folder(space.fingerprint)
    if not os.path.isdir(folder):  # unlike Path.is_dir, this never raises
        return None
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in record["sizes"]}
        if record["compiler"] == _COMPILER:
            if sizes != record["sizes"]:
                raise ValueError("its files are not as long as they were")
            return OnnxEncoder(folder, space, record["padding_id"], Head.plain(space), threads)
    except Exception as error:  # whatever onnxruntime or tokenizers call it
        log.warning("The compiled model in %s cannot be used (%s); it is compiled again.", folder, error)
    aside = folder.with_name(f"{_COMPILING}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    return None


def _compile(files: ModelFiles, space: Space, threads: int | None) -> Encoder:
    log.info("Compiling %s for fast search; this happens once.", files.name)
    from .onnx import OnnxEncoder

    reference = _reference(files, space, None)
    with _scratch_folder() as folder:
        reference.compile(folder)
        compiled = OnnxEncoder(folder, space, reference.padding_id, reference.head, threads)
        agreement = _agreement(reference, compiled)
        if not agreement >= AGREEMENT:
            raise UnsupportedModel(
                files.name, f"compiled, its vectors agree with the reference to a cosine of only {agreement:.6f}"
            )
        record = {
            "compiler": _COMPILER,
            "padding_id": reference.padding_id,
            "agreement": agreement,
            "sizes": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            "space": asdict(space),
        }
        (folder / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        _publish(folder, compiled_folder(space.fingerprint))
        # Already in memory: whatever becomes of the folder, this process has its encoder.
        return compiled


def _reference(files: ModelFiles, space: Space, threads: int | None) -> TorchEncoder:
    try:
        from .torch import TorchEncoder
    except ImportError as error:
        # A machine that only searches can do without these gigabytes, as long as its models are compiled elsewhere.
        raise MissingExtra("compile", f"compiling {files.name} ({error})") from error
    return TorchEncoder(files.folder, space, threads)


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder to compile in, in the cache if that can be written to; removed at the end unless it was renamed."""
    parent = cache_folder() / "compiled"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(parent)
        folder = parent / f"{_COMPILING}{secrets.token_hex(8)}"
        folder.mkdir()
    except OSError as error:
        log.warning("The cache %s cannot be written to (%s); the model is compiled every time.", parent, error)
        folder = Path(tempfile.mkdtemp(prefix="vecindex-compiling-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, place: Path) -> None:
    """Renames a compiled folder to its place; if another process came first, its folder stays and is as good."""
    try:
        folder.rename(place)
    except OSError as error:
        log.debug("%s was not published: %s", place, error)


def _agreement(reference: Encoder, compiled: Encoder) -> float:
    """The least cosine over the probes, alone and batched; NaN counts as disagreement."""
    probes = [probe for probe, tokens in zip(_PROBES, reference.tokenize(_PROBES), strict=True) if tokens.ids]
    expected = reference.encode(probes)
    batched = compiled.encode(probes)
    alone = np.concatenate([compiled.encode([probe]) for probe in probes])
    return float(np.minimum((expected * batched).sum(axis=1), (expected * alone).sum(axis=1)).min())


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{_COMPILING}*"):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ModelAtHand:
    """A model that needs no download: a ``compiled`` one is ready for search, another is compiled when first used.

    ``folder`` holds its files, ``bytes`` in all.
    """

    model: str
    compiled: bool
    folder: str
    bytes: int
    dimension: int
    fingerprint: str


def models_at_hand() -> list[ModelAtHand]:
    """The default model if its files are here, and every compiled model in the cache; contacts nobody."""
    found = []
    for record_file in sorted((cache_folder() / "compiled").glob(f"*/{_RECORD}")):
        try:
            space = Space(**json.loads(record_file.read_text(encoding="utf-8"))["space"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if record_file.parent.name == space.fingerprint:
            found.append(_at_hand(space, record_file.parent, compiled=True))
    with contextlib.suppress(ModelNotFound):
        files = resolve(offline=True)
        space = read_space(files.folder, files.name, file_digest)
        if all(model.fingerprint != space.fingerprint for model in found):
            found.insert(0, _at_hand(space, files.folder, compiled=False))
    return found


def _at_hand(space: Space, folder: Path, compiled: bool) -> ModelAtHand:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ModelAtHand(space.model, compiled, str(folder), size, space.dimension, space.fingerprint)
