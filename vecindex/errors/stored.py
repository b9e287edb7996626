"""Errors of an index on disk: it is not there, locked, damaged, or of another format."""

from __future__ import annotations

from .advice import Advice, VecindexError


class IndexNotFound(VecindexError):
    """There is no index at ``path``."""

    _advice = Advice(
        "Create one with create=True, or name another directory.",
        typed="Create one with `vecindex add FILE`, or name another directory with --index DIR or VECINDEX_INDEX.",
    )

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def _what(self) -> str:
        return f"there is no index at {self.path}"


class RecordNotFound(VecindexError, LookupError):
    """The index has no record with this ``key``."""

    _advice = Advice(
        "Use index.keys() to list the keys. Nothing was changed.",
        typed="Use `vecindex list` to see the keys. Nothing was changed.",
    )

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def _what(self) -> str:
        return f"no record has the key {self.key!r}"


class IndexLocked(VecindexError):
    """Another writer has held the index for ``age`` seconds; this one gave up after waiting ``waited`` seconds.

    ``pid``, ``host`` and ``age`` are None if the writer left no note about itself; ``doing`` says what it does.
    """

    _advice = "Try again when it has finished. Readers are not blocked."

    def __init__(
        self,
        path: str,
        pid: int | None,
        host: str | None,
        waited: float,
        age: float | None = None,
        doing: str = "written",
    ) -> None:
        super().__init__(path, pid, host, waited, age, doing)
        self.doing = doing
        self.path = path
        self.pid = pid
        self.host = host
        self.waited = waited
        self.age = age

    def _what(self) -> str:
        holder = "another process" if self.pid is None else f"process {self.pid} on {self.host}"
        age = "" if self.age is None else f" (for {self.age:.0f} s so far)"
        return f"{self.path} is being {self.doing} by {holder}{age}; waited {self.waited:.1f} s"


class IncompatibleFormat(VecindexError):
    """The index has a format that this version does not read, or that must be upgraded first, which takes a writer."""

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(path, found, supported)
        self.path = path
        self.found = found
        self.supported = supported
        self._advice = _UPGRADE if found < supported else "Run: pip install --upgrade vecindex"

    def _what(self) -> str:
        return f"{self.path} has format {self.found}; this version reads format {self.supported}"


_UPGRADE = Advice(
    "Open it once without readonly=True to upgrade it.",
    typed="Upgrade it with a command that writes, such as `vecindex compact`.",
)


class CorruptIndex(VecindexError):
    """A file of the index does not hold what the index wrote."""

    _advice: str = Advice(
        "Restore it from a backup, or add the texts again to a new index; index.verify() lists every fault.",
        typed="Restore it from a backup, or add the texts again to a new index; `vecindex verify` lists every fault.",
    )

    def __init__(self, path: str, reason: str, advice: str | None = None) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"{self.path} is damaged: {self.reason}"


class StorageError(VecindexError):
    """The file system or SQLite refused an operation on ``path``; earlier commits are safe."""

    _advice = "Check the free disk space and the permissions; earlier commits are safe."

    def __init__(self, path: str, reason: str, advice: str | None = None) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"{self.path} cannot be used: {self.reason}"
