"""Keeps compiled models in the cache: finds, loads, checks and removes them, and remembers failed exports."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from ...machine.cores import available_cores
from ...machine.lacks import lack, said
from ...values.space import Space
from ..config.cross_model import CrossModel
from ..config.small_files import read_json
from ..locate.ownership import distrust_any, tell
from ..locate.vecindex_cache import (
    cache_folder,
    compiled_folder,
    file_digest,
    read_trusted,
    refusal_file,
    sha256,
    write_json,
)
from ..run.agreement import Agreement
from ..run.head import Head

if TYPE_CHECKING:
    from ..cross.onnx import OnnxCrossEncoder
    from ..run.onnx import OnnxEncoder

Defined = Space | CrossModel
"""What is compiled: all that its files define, with a fingerprint."""
Opened = TypeVar("Opened")

log = logging.getLogger("vecindex")

RECORD = "encoder.json"
COMPILING = "compiling-"
"""The prefix of folders that are being written or removed."""

_COMPILER = 4  # raised when older compiled folders must not be used: version 3 made up weights that were missing
_GRAPH = 2  # raised when graphs change but older ones stay correct: version 2 folds biases and changes the layout
_SAID = 2  # version 1 also remembered a lack of memory or disk space, so its refusals are ignored
_VERSIONS = ("onnxruntime", "torch", "transformers", "sentence-transformers")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The contents of a compiled encoder's `RECORD`.

    ``origin`` says where the model's files came from, and ``files`` has the SHA-256 of each compiled file.
    ``agreement`` is the lowest cosine to the reference over the probes, and ``sample`` the agreement of int8 with fp32;
    each is None if it was not measured. ``made_with`` is what `made_with` returned when the graph was made, and
    ``unread`` names the arrays in the model's files that nothing reads.
    """

    space: Space
    padding_id: int
    origin: str
    files: Mapping[str, str]
    agreement: float | None = None
    sample: Agreement | None = None
    made_with: str = ""
    unread: tuple[str, ...] = ()

    @property
    def defined(self) -> Space:
        """What was compiled."""
        return self.space


@dataclass(frozen=True, slots=True)
class CompiledCross:
    """The contents of a compiled cross-encoder's `RECORD`; see `Compiled`.

    ``difference`` is the largest between a score of the probes and the reference's.
    """

    cross: CrossModel
    padding_id: int
    origin: str
    files: Mapping[str, str]
    difference: float
    made_with: str = ""
    unread: tuple[str, ...] = ()

    @property
    def defined(self) -> CrossModel:
        """What was compiled."""
        return self.cross


Record = Compiled | CompiledCross
AnyRecord = TypeVar("AnyRecord", Compiled, CompiledCross)


def write_record(folder: Path, record: Record) -> None:
    """Writes `RECORD`; raises OSError."""
    write_json(folder / RECORD, {"compiler": _COMPILER, **asdict(record), "files": dict(record.files)})


def read_record(folder: Path) -> Compiled:
    """The record of an encoder; raises OSError, ValueError, KeyError or TypeError if there is none of this version."""
    record = _record(folder)
    sample = record.pop("sample")
    made = {"space": Space(**record["space"]), "sample": None if sample is None else Agreement(**sample)}
    return Compiled(**{**record, **made, "unread": tuple(record["unread"])})


def read_cross_record(folder: Path) -> CompiledCross:
    """The record of a cross-encoder; raises what `read_record` does."""
    record = _record(folder)
    return CompiledCross(**{**record, "cross": CrossModel(**record["cross"]), "unread": tuple(record["unread"])})


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(folder / RECORD)
    if record.pop("compiler") != _COMPILER:
        raise _OtherCompiler("it was compiled by another version of vecindex")
    return record


class _OtherCompiler(ValueError):
    """The record is of another version; nothing is wrong with it."""


UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What `read_record` raises."""


_in_use: WeakValueDictionary[Hashable, OnnxEncoder] = WeakValueDictionary()
"""The encoders that this process has loaded and still uses: several indexes of one model share its encoder."""


def load_compiled(space: Space, threads: int | None) -> OnnxEncoder | None:
    """The compiled encoder of this space; None if there is none. A damaged one is removed, to be compiled again.

    One that is in use already is given again, once its files are found to be as they were.
    """

    def opened(folder: Path, record: Compiled) -> OnnxEncoder:
        # A fork has none of its parent's threads, so a session that it inherits would never answer.
        way = (os.getpid(), threads, available_cores())
        key = (folder, space, record.padding_id, record.made_with, tuple(sorted(record.files.items())), way)
        if (encoder := _in_use.get(key)) is None:
            encoder = _in_use[key] = open_folder(folder, space, record.padding_id, threads, record.made_with)
        return encoder

    return _load(space, read_record, opened)


def load_compiled_cross(cross: CrossModel, threads: int | None) -> OnnxCrossEncoder | None:
    """As `load_compiled`, of a cross-encoder."""

    def opened(folder: Path, record: CompiledCross) -> OnnxCrossEncoder:
        return open_cross_folder(folder, cross, record.padding_id, threads)

    return _load(cross, read_cross_record, opened)


def _load(
    defined: Defined, read: Callable[[Path], AnyRecord], opened: Callable[[Path, AnyRecord], Opened]
) -> Opened | None:
    folder = compiled_folder(defined.fingerprint)
    if not os.path.isdir(folder):  # unlike Path.is_dir, it never raises
        return None
    if reason := distrust_any(folder, cache_folder()):
        tell(reason)
        return None
    try:
        record = read(folder)
        if damaged := next(faults(folder, record), None):
            raise ValueError(damaged)
        return opened(folder, record)
    except _OtherCompiler as error:
        log.debug("%s: %s", folder, error)
    except Exception as error:  # onnxruntime and tokenizers raise many classes
        if reason := lack(error):
            raise said(error, f"the compiled model in {folder} was loaded", reason) from error
        log.warning("The compiled model in %s cannot be used (%s), so it is compiled again.", folder, error)
    take_away(folder)
    return None


def open_folder(folder: Path, space: Space, padding_id: int, threads: int | None, made_with: str) -> OnnxEncoder:
    """The encoder that was compiled into ``folder``."""
    from ..run.onnx import OnnxEncoder

    return OnnxEncoder(folder, space, padding_id, Head.load(folder, space), threads, made_with)


def open_cross_folder(folder: Path, cross: CrossModel, padding_id: int, threads: int | None) -> OnnxCrossEncoder:
    """The cross-encoder that was compiled into ``folder``."""
    from ..cross.onnx import OnnxCrossEncoder

    return OnnxCrossEncoder(folder, cross, padding_id, threads)


def faults(folder: Path, record: Record, reread: bool = False) -> Iterator[str]:
    """What is wrong with the files; ``reread`` also reads those that seem unchanged."""
    for name, expected in record.files.items():
        try:
            found = (sha256 if reread else file_digest)(folder / name)
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if found != expected:
            yield f"{name} is not what was written: its SHA-256 is {found[:12]}, not {expected[:12]}"


def take_away(folder: Path) -> None:
    """Removes a compiled folder; renames it first, so that nobody sees half of one."""
    aside = folder.with_name(f"{COMPILING}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def every_compiled() -> Iterator[tuple[Path, Compiled]]:
    """The folders and records of all compiled encoders in the cache."""
    return _every(read_record)


def every_compiled_cross() -> Iterator[tuple[Path, CompiledCross]]:
    """The folders and records of all compiled cross-encoders in the cache."""
    return _every(read_cross_record)


def _every(read: Callable[[Path], AnyRecord]) -> Iterator[tuple[Path, AnyRecord]]:
    for record_file in sorted((cache_folder() / "compiled").glob(f"*/{RECORD}")):
        with contextlib.suppress(*UNREADABLE):
            if distrust_any(record_file.parent, cache_folder()):
                continue
            record = read(record_file.parent)
            if record_file.parent.name == record.defined.fingerprint:
                yield record_file.parent, record


# --- what cannot be exported


def refuse(defined: Defined, reason: str) -> None:
    """Remembers that the export of this model failed, until another version of a library is installed."""
    with contextlib.suppress(OSError):
        refused = {"reason": reason, "said": _SAID, **_versions(), "space": asdict(defined)}
        write_json(refusal_file(defined.fingerprint), refused)


def refusal(defined: Defined) -> str | None:
    """Why the export failed; None if it was not tried with the installed versions."""
    try:
        found = read_trusted(refusal_file(defined.fingerprint))
        versions = {name: found[name] for name in _versions()}
        return str(found["reason"]) if versions == _versions() and found["said"] == _SAID else None
    except UNREADABLE:
        return None


def forget_refusal(defined: Defined) -> None:
    """Lets the export be tried again."""
    with contextlib.suppress(OSError):
        refusal_file(defined.fingerprint).unlink()


def made_with() -> str:
    """The versions that would make a graph now."""
    return ", ".join(f"{name} {version}" for name, version in {**_versions(), "graph": str(_GRAPH)}.items())


def _versions() -> dict[str, str]:
    """The versions on which an export depends, found without importing any of the libraries."""
    versions = {"compiler": str(_COMPILER)}
    for name in _VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def runtime_of(defined: Defined) -> str:
    """The runtime of a model on this machine, as far as it is known without loading anything."""
    if isinstance(defined, Space) and defined.is_static:
        return "numpy"
    with contextlib.suppress(*UNREADABLE):
        if not distrust_any(folder := compiled_folder(defined.fingerprint), cache_folder()):
            _record(folder)
            return "onnxruntime"
    reason = refusal(defined)
    return "not compiled yet" if reason is None else f"torch (its export failed: {reason})"
