"""Keeps compiled models in the cache: finds, loads, checks and removes them, and remembers failed exports."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ...machine.lacks import lack, said
from ...values.space import Space
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
    from ..run.onnx import OnnxEncoder

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


def write_record(folder: Path, compiled: Compiled) -> None:
    """Writes `RECORD`; raises OSError."""
    write_json(folder / RECORD, {"compiler": _COMPILER, **asdict(compiled), "files": dict(compiled.files)})


def read_record(folder: Path) -> Compiled:
    """Raises OSError, ValueError, KeyError or TypeError if there is no record of this version."""
    record = read_json(folder / RECORD)
    if record.pop("compiler") != _COMPILER:
        raise _OtherCompiler("it was compiled by another version of vecindex")
    sample = record.pop("sample")
    made = {"space": Space(**record["space"]), "sample": None if sample is None else Agreement(**sample)}
    return Compiled(**{**record, **made, "unread": tuple(record["unread"])})


class _OtherCompiler(ValueError):
    """The record is of another version; nothing is wrong with it."""


UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What `read_record` raises."""


def load_compiled(space: Space, threads: int | None) -> OnnxEncoder | None:
    """The compiled encoder of this space; None if there is none. A damaged one is removed, to be compiled again."""
    folder = compiled_folder(space.fingerprint)
    if not os.path.isdir(folder):  # unlike Path.is_dir, it never raises
        return None
    if reason := distrust_any(folder, cache_folder()):
        tell(reason)
        return None
    try:
        record = read_record(folder)
        if damaged := next(faults(folder, record), None):
            raise ValueError(damaged)
        return open_folder(folder, space, record.padding_id, threads, record.made_with)
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


def faults(folder: Path, record: Compiled, reread: bool = False) -> Iterator[str]:
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
    for record_file in sorted((cache_folder() / "compiled").glob(f"*/{RECORD}")):
        with contextlib.suppress(*UNREADABLE):
            if distrust_any(record_file.parent, cache_folder()):
                continue
            record = read_record(record_file.parent)
            if record_file.parent.name == record.space.fingerprint:
                yield record_file.parent, record


# --- what cannot be exported


def refuse(space: Space, reason: str) -> None:
    """Remembers that the export of this model failed, until another version of a library is installed."""
    with contextlib.suppress(OSError):
        refused = {"reason": reason, "said": _SAID, **_versions(), "space": asdict(space)}
        write_json(refusal_file(space.fingerprint), refused)


def refusal(space: Space) -> str | None:
    """Why the export failed; None if it was not tried with the installed versions."""
    try:
        found = read_trusted(refusal_file(space.fingerprint))
        versions = {name: found[name] for name in _versions()}
        return str(found["reason"]) if versions == _versions() and found["said"] == _SAID else None
    except UNREADABLE:
        return None


def forget_refusal(space: Space) -> None:
    """Lets the export be tried again."""
    with contextlib.suppress(OSError):
        refusal_file(space.fingerprint).unlink()


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


def runtime_of(space: Space) -> str:
    """The runtime of this space's encoder on this machine, as far as it is known without loading anything."""
    if space.is_static:
        return "numpy"
    with contextlib.suppress(*UNREADABLE):
        if not distrust_any(folder := compiled_folder(space.fingerprint), cache_folder()):
            read_record(folder)
            return "onnxruntime"
    reason = refusal(space)
    return "not compiled yet" if reason is None else f"torch (its export failed: {reason})"
