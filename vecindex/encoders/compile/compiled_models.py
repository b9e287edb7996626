"""Is a compiled encoder of this space at hand, and sound: its folder, what stands beside it, and why there is none."""

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
"""How the names of folders begin that are being written, or being removed."""

_COMPILER = 4  # raised when compiled folders of before must not be used any more: 3 made up weights that were missing
_GRAPH = 2  # raised when graphs are made in another way, and those of before are as right: 2 folds and lays out
_SAID = 2  # versions before kept a lack of memory or disk space in mind too: what they refused is tried once more
_VERSIONS = ("onnxruntime", "torch", "transformers", "sentence-transformers")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What `RECORD` says of a compiled encoder.

    ``origin`` is the door that the model came through, ``files`` has the SHA-256 of each, ``agreement`` is the least
    cosine to the reference over the probes, and ``sample`` what fewer bits cost; each where it was measured.
    ``made_with`` is `made_with` of when its graph was made, and ``unread`` are the arrays in the model's files that
    nothing reads.
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
    """Raises OSError, ValueError, KeyError or TypeError where there is none of this version."""
    record = read_json(folder / RECORD)
    if record.pop("compiler") != _COMPILER:
        raise _OtherCompiler("it was compiled by another version of vecindex")
    sample = record.pop("sample")
    made = {"space": Space(**record["space"]), "sample": None if sample is None else Agreement(**sample)}
    return Compiled(**{**record, **made, "unread": tuple(record["unread"])})


class _OtherCompiler(ValueError):
    """Of another version: nothing is wrong with it."""


UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What `read_record` raises."""


def load_compiled(space: Space, threads: int | None) -> OnnxEncoder | None:
    """The compiled encoder of this space; None if there is none. A damaged one is taken away, to be made again."""
    folder = compiled_folder(space.fingerprint)
    if not os.path.isdir(folder):  # unlike Path.is_dir, this never raises
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
    except Exception as error:  # whatever onnxruntime or tokenizers call it
        if reason := lack(error):
            raise said(error, f"the compiled model in {folder} was loaded", reason) from error
        log.warning("The compiled model in %s cannot be used (%s); it is compiled again.", folder, error)
    take_away(folder)
    return None


def open_folder(folder: Path, space: Space, padding_id: int, threads: int | None, made_with: str) -> OnnxEncoder:
    """The encoder that was compiled into ``folder``."""
    from ..run.onnx import OnnxEncoder

    return OnnxEncoder(folder, space, padding_id, Head.load(folder, space), threads, made_with)


def faults(folder: Path, record: Compiled, anew: bool = False) -> Iterator[str]:
    """What is wrong with the files; ``anew`` reads them all, though nothing says that they changed."""
    for name, expected in record.files.items():
        try:
            found = (sha256 if anew else file_digest)(folder / name)
        except OSError as error:
            yield f"{name} cannot be read: {error.strerror}"
            continue
        if found != expected:
            yield f"{name} is not what was written: its SHA-256 is {found[:12]}, and was {expected[:12]}"


def take_away(folder: Path) -> None:
    """Removes a compiled folder: out of sight first, so that nobody sees half of one."""
    aside = folder.with_name(f"{COMPILING}{secrets.token_hex(8)}")
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def every_compiled() -> Iterator[tuple[Path, Compiled]]:
    """All compiled encoders in the cache, with their folders."""
    for record_file in sorted((cache_folder() / "compiled").glob(f"*/{RECORD}")):
        with contextlib.suppress(*UNREADABLE):
            if distrust_any(record_file.parent, cache_folder()):
                continue
            record = read_record(record_file.parent)
            if record_file.parent.name == record.space.fingerprint:
                yield record_file.parent, record


# --- what cannot be exported


def refuse(space: Space, reason: str) -> None:
    """Keeps in mind that the export of this model failed, until another version of a library is installed."""
    with contextlib.suppress(OSError):
        refused = {"reason": reason, "said": _SAID, **_versions(), "space": asdict(space)}
        write_json(refusal_file(space.fingerprint), refused)


def refusal(space: Space) -> str | None:
    """Why the export failed; None if it was not tried, or not with what is installed."""
    try:
        found = read_trusted(refusal_file(space.fingerprint))
        versions = {name: found[name] for name in _versions()}
        return str(found["reason"]) if versions == _versions() and found["said"] == _SAID else None
    except UNREADABLE:
        return None


def forget_refusal(space: Space) -> None:
    """The export is tried again."""
    with contextlib.suppress(OSError):
        refusal_file(space.fingerprint).unlink()


def made_with() -> str:
    """What would make a graph now: the versions on which it depends."""
    return ", ".join(f"{name} {version}" for name, version in {**_versions(), "graph": str(_GRAPH)}.items())


def _versions() -> dict[str, str]:
    """The versions on which an export depends, asked without importing any of them."""
    versions = {"compiler": str(_COMPILER)}
    for name in _VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def runtime_of(space: Space) -> str:
    """What runs this space's encoder on this machine, as far as can be told without loading anything."""
    if space.is_static:
        return "numpy"
    with contextlib.suppress(*UNREADABLE):
        if not distrust_any(folder := compiled_folder(space.fingerprint), cache_folder()):
            read_record(folder)
            return "onnxruntime"
    reason = refusal(space)
    return "not compiled yet" if reason is None else f"torch (its export failed: {reason})"
