"""What a search sees of an index, and what is kept for it between searches: loaded codes, and the background."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import Advice, CorruptIndex, OutOfMemory
from ..filters.tree import Filter, Path
from ..store.derived import CodesFiles
from ..store.generation import Allowed
from ..store.manifest import Manifest
from ..store.origins import Whence
from ..store.snapshot import Snapshot
from ..store.sql.groups import Groups
from ..store.stored import Stored
from ..store.vectors import Rows, Vectors
from .background import Background, background, sampled
from .dense.codes import Codes, load
from .dense.settings import CodeSettings, variants
from .paging.cursor import State, derived_digest, index_digest

_log = logging.getLogger("vecindex")
_TAIL_KEPT = 16_384
"""Loaded codes are kept until newer ones cover this many more rows: loading costs more than scanning a shorter tail."""


class View(Protocol):
    """One generation of an index, as a search sees it.

    `check` and `check_range` raise CorruptIndex; what was found sound once need not be read again.
    """

    @property
    def vectors(self) -> Vectors:
        """(rows, D), usually mapped."""

    @property
    def codes(self) -> Codes | None:
        """The codes of the first ``coded`` rows; may load them now, and gives None if they cannot be used."""

    def refuse(self, codes: Codes, error: CorruptIndex | ValueError) -> None:
        """Gives ``codes`` up: they could not be used when one of their variants was first needed."""

    @property
    def coded(self) -> int: ...
    @property
    def settings(self) -> CodeSettings | None: ...
    def allowed(self, where: Filter | None) -> Allowed: ...
    def check(self, rows: Rows) -> None: ...
    def check_range(self, start: int, stop: int) -> None: ...


class RecordView(View, Protocol):
    """A view that also has the records of its rows."""

    @property
    def background(self) -> Background | None:
        """How near random records are to each other; None if there are not two."""

    def fetch(self, rows: list[int]) -> list[Stored]: ...
    def metadata(self, record: Stored) -> dict[str, Any]: ...
    def origins(self, records: Sequence[Stored], context: int = 0) -> list[Whence | None]: ...
    def groups(self, field: Path, rows: list[int] | None = None) -> Groups: ...
    def with_vectors(self, allowed: Allowed) -> Allowed: ...
    def lack_vectors(self, rows: Rows) -> npt.NDArray[np.bool_]: ...


class Accelerator:
    """The codes of one open index, for any number of threads."""

    def __init__(self) -> None:
        self._held: tuple[Manifest, CodesFiles, Codes] | None = None
        self._refused: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()
        self._background: tuple[tuple[int, str], Rows, Background | None] | None = None

    def view(self, snapshot: Snapshot) -> SnapshotView:
        return SnapshotView(snapshot, self)

    def refuse(self, snapshot: Snapshot, codes: Codes, error: CorruptIndex | ValueError) -> None:
        """Remembers that the loaded ``codes`` cannot be used."""
        held = self._held
        if held is not None and held[2] is codes:
            self._refuse(held[1], error if isinstance(error, CorruptIndex) else damage(snapshot, held[1], error))
            self._held = None

    def refuse_files(self, snapshot: Snapshot, files: CodesFiles, error: ValueError) -> None:
        """Remembers that these codes cannot be loaded."""
        if not self.is_damaged(files):
            self._refuse(files, damage(snapshot, files, error))

    def is_damaged(self, files: CodesFiles) -> bool:
        """Whether these files were found to differ from what was published."""
        return files.names in self._refused

    def held(self, manifest: Manifest) -> tuple[CodesFiles, Codes] | None:
        """The loaded codes, if they serve this manifest."""
        files, held = manifest.codes, self._held
        if files is None or held is None:
            return None
        before, old, codes = held
        if old.names == files.names:
            return old, codes
        same_file = (before.vectors, before.created) == (manifest.vectors, manifest.created)
        if same_file and old.settings == files.settings and old.rows <= files.rows <= old.rows + _TAIL_KEPT:
            return old, codes
        return None

    def forget(self) -> None:
        """Drops the codes; they are loaded again when they are needed."""
        self._held = None
        self._refused.clear()

    def _refuse(self, files: CodesFiles, error: CorruptIndex) -> None:
        # Codes only propose; without them a search takes longer. The next change makes them again.
        again = Advice("index.repair() makes it again.", typed="`vecindex verify --repair` makes it again.")
        _log.warning("%s; searching without it. %s", error.message, again)
        self._refused.add(files.names)

    def codes(self, snapshot: Snapshot) -> Codes | None:
        """The codes for this snapshot, loaded when first needed; None if there are none, or they are damaged."""
        manifest = snapshot.manifest
        files = manifest.codes
        if files is None or self.is_damaged(files):
            return None
        if found := self.held(manifest):
            return found[1]
        with self._lock:
            if found := self.held(manifest):
                return found[1]
            try:
                codes = load_codes(snapshot, files)
            except OutOfMemory:
                return None  # exact search needs less
            except CorruptIndex as error:
                if os.path.lexists(error.path):
                    self._refuse(files, error)
                return None  # files that are gone: a newer snapshot has newer ones, or the next change makes them again
            self._held = manifest, files, codes
            return codes

    def background(self, snapshot: Snapshot) -> Background | None:
        """The stored background; or one that is made now, and kept while its records stay the same."""
        manifest = snapshot.manifest
        if (stored := stored_background(manifest.background)) is not None:
            return stored
        rows = sampled(near(snapshot).rows())
        numbered, held = (manifest.vectors, manifest.created), self._background
        if held is None or held[0] != numbered or not np.array_equal(held[1], rows):
            self._background = held = numbered, rows, background_of(snapshot, rows)
        return held[2]


def near(snapshot: Snapshot) -> Allowed:
    """The rows of a snapshot's records that have a vector."""
    return snapshot.with_vectors(snapshot.allowed(None))


def background_of(snapshot: Snapshot, rows: Rows) -> Background | None:
    """The background of a snapshot, whose `sampled` rows these are; raises CorruptIndex."""
    snapshot.check(rows)
    return background(near(snapshot).count, np.asarray(snapshot.vectors)[rows])


@lru_cache(8)
def stored_background(text: str | None) -> Background | None:
    """The background that a manifest has; None if it has none, or one of another version."""
    try:
        return None if text is None else Background.from_json(text)
    except ValueError:
        return None


def load_codes(snapshot: Snapshot, files: CodesFiles) -> Codes:
    """The codes of ``snapshot``. Raises CorruptIndex; a variant that is loaded later raises that or ValueError."""
    try:
        settings = CodeSettings.from_json(files.settings)
        loaders = {name: snapshot.codes_file(number) for number, name in enumerate(variants(settings))}
        return load(loaders, settings, snapshot.manifest.dimension, files.rows)
    except (ValueError, IndexError) as error:
        raise damage(snapshot, files, error) from None


def damage(snapshot: Snapshot, files: CodesFiles, reason: object) -> CorruptIndex:
    """The error for codes that cannot be used; it names the first file where the reason lies in no single one."""
    return CorruptIndex(str(snapshot.folder / files.names[0]), str(reason))


class SnapshotView:
    """The `View` of a snapshot of the store."""

    def __init__(self, snapshot: Snapshot, accelerator: Accelerator) -> None:
        self._snapshot = snapshot
        self._accelerator = accelerator
        # A snapshot does the rest itself; `unmatched` is not part of a `View`.
        self.vectors: Vectors = snapshot.vectors
        self.space = snapshot.manifest.space
        self.allowed, self.unmatched = snapshot.allowed, snapshot.unmatched
        self.check, self.check_range, self.checksum = snapshot.check_once, snapshot.check_range, snapshot.checksum
        self.fetch, self.metadata = snapshot.fetch, snapshot.metadata
        self.origins, self.groups, self.unknown = snapshot.origins, snapshot.groups, snapshot.unknown
        self.with_vectors, self.lack_vectors = snapshot.with_vectors, snapshot.lack_vectors

    @property
    def background(self) -> Background | None:
        return self._accelerator.background(self._snapshot)

    @property
    def coded(self) -> int:
        """How many rows the codes cover; known without loading them."""
        files = self._files()
        return 0 if files is None else files.rows

    @property
    def state(self) -> State:
        """What is searched, for cursors."""
        manifest, files = self._snapshot.manifest, self._files()
        words, tokens = manifest.lexical, manifest.tokens
        derived = derived_digest(
            () if files is None else files.names,
            None if words is None else words.settings,
            () if tokens is None else tokens.names,
            manifest.background,
        )
        anchor = self._snapshot.checksum(manifest.rows - 1)
        numbers = (manifest.vectors, manifest.generation, manifest.rows, anchor)
        return State(index_digest(manifest.created), *numbers, derived)

    def _files(self) -> CodesFiles | None:
        """The codes that are loaded, or would be; None if there are none, or they are damaged."""
        files = self._snapshot.codes
        if files is None or self._accelerator.is_damaged(files):
            return None
        held = self._accelerator.held(self._snapshot.manifest)
        return held[0] if held else files

    @property
    def settings(self) -> CodeSettings | None:
        files = self._snapshot.codes
        try:
            return CodeSettings.from_json(files.settings) if files else None
        except ValueError as error:
            assert files is not None
            self._accelerator.refuse_files(self._snapshot, files, error)
            return None

    @property
    def codes(self) -> Codes | None:
        return self._accelerator.codes(self._snapshot)

    def refuse(self, codes: Codes, error: CorruptIndex | ValueError) -> None:
        self._accelerator.refuse(self._snapshot, codes, error)
