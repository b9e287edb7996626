"""Makes a compiled folder in the cache and gives it its final name, whole or not at all.

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
from collections.abc import Iterator
from pathlib import Path

from ..locate.ownership import make_folder, seal, tell
from ..locate.vecindex_cache import cache_folder, compiled_folder, distrusted, remember_digests, sha256
from .compiled_models import COMPILING, Record, write_record

log = logging.getLogger("vecindex")

_STALE_SECONDS = 86_400


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
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


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder."""
    return {file.name: sha256(file) for file in sorted(folder.iterdir())}


def publish(folder: Path, record: Record) -> bool:
    """Renames a scratch folder to its final name; returns False if it is outside the cache, where it stays.

    If another process came first, its folder stays: it is just as good.
    """
    place = compiled_folder(record.defined.fingerprint)
    if folder.parent != place.parent:
        return False
    seal(folder)
    write_record(folder, record)
    try:
        folder.rename(place)
        remember_digests((place / name, digest) for name, digest in record.files.items())
    except OSError as error:
        log.debug("%s was not published: %s", place, error)
    return True


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{COMPILING}*"):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
