"""The exceptions of this package: one tree, in which each error has fields, a one-line message and advice.

::

    VecindexError
    ├── IndexNotFound(path)
    ├── RecordNotFound(key)                    also a LookupError
    ├── InvalidInput(message, advice)          also a ValueError
    │   ├── TextTooLong(item, key, text, tokens, limit, model, origin)
    │   └── TextWithoutToken(text, prompted, item, key, origin)
    ├── InvalidFilter(reason, expression, position)   also a ValueError
    ├── CursorExpired(made, now, reason)
    ├── SourceError(path, line, reason, advice, unit)
    ├── ModelNotFound(model, tried, advice)
    ├── UnsupportedModel(model, reason, advice)
    ├── SpaceMismatch(expected, found, differs, advice)
    ├── MissingExtra(extra, needed_for)
    ├── IndexLocked(path, pid, host, waited, age, doing)
    ├── IncompatibleFormat(path, found, supported)
    ├── CorruptIndex(path, reason, advice)
    ├── StorageError(path, reason, advice)
    ├── OutOfMemory(doing)                     also a MemoryError
    └── EncodingFailed(reason, advice)

Where ``advice`` is an argument that may be left out, the class has a general one.
"""

from __future__ import annotations

from collections.abc import Sequence

from .advice import Advice as Advice
from .advice import Row as Row
from .advice import VecindexError as VecindexError

_Origin = tuple[str, int | None, str]
"""See `values.records.Origin`."""


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


class InvalidInput(VecindexError, ValueError):
    """An argument cannot be used."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self._reason = message
        self._advice = advice

    def _what(self) -> str:
        return self._reason


class TextTooLong(InvalidInput):
    """A text is longer than the model reads, and ``on_long="error"`` was given.

    ``item`` is its position in the input, from 0, ``origin`` says where it was read, if it was, and
    ``text`` is how it begins. It has ``tokens`` tokens, of which ``model`` reads ``limit``.
    """

    _advice = Advice(
        'Shorten it, or pass another on_long=: "split", "mean" or "truncate".',
        typed="Shorten it, or use another --on-long: split, mean or truncate.",
    )

    def __init__(
        self,
        item: int,
        key: str,
        text: str,
        tokens: int,
        limit: int,
        model: str,
        origin: _Origin | None = None,
    ) -> None:
        VecindexError.__init__(self, item, key, text, tokens, limit, model, origin)
        self.item, self.key, self.text, self.origin = item, key, text, origin
        self.tokens, self.limit, self.model = tokens, limit, model

    @property
    def reason(self) -> str:
        """The message without the item."""
        return f"the text {self.text!r}... has {self.tokens} tokens, and {self.model} reads only {self.limit}"

    def _what(self) -> str:
        return f"{_where(self.item, self.key, self.origin)}: {self.reason}"


class TextWithoutToken(InvalidInput):
    """A text has no tokens for the model, which adds none of its own, so there is nothing to make a vector of.

    ``text`` is how it begins. ``prompted`` says that a prompt precedes it, whose tokens do not count. ``item`` and
    ``origin`` are as in `TextTooLong`; ``item`` and ``key`` are None if the text was encoded without an index.
    """

    _advice = Advice(
        "This model adds no tokens of its own: leave the text out, or pass on_bad= to skip such texts.",
        typed="This model adds no tokens of its own: leave the text out, or skip such texts with --skip-bad.",
    )

    def __init__(
        self,
        text: str,
        prompted: bool,
        item: int | None = None,
        key: str | None = None,
        origin: _Origin | None = None,
    ) -> None:
        VecindexError.__init__(self, text, prompted, item, key, origin)
        self.text, self.prompted, self.item, self.key, self.origin = text, prompted, item, key, origin

    @property
    def reason(self) -> str:
        """The message without the item."""
        return f"the text {self.text!r} has no tokens{' after the prompt' if self.prompted else ''}"

    def _what(self) -> str:
        return self.reason if self.item is None else f"{_where(self.item, self.key, self.origin)}: {self.reason}"


def _where(item: int, key: str | None, origin: _Origin | None) -> str:
    return f"item {item}, {key!r}" if origin is None else located(*origin)


class InvalidFilter(VecindexError, ValueError):
    """A filter cannot be parsed; ``position`` counts the characters of ``expression`` from 0."""

    _advice = Advice(
        "Write it like \"lang = 'en' and year >= 2020\", or {'lang': 'en', 'year': {'$gte': 2020}}.",
        typed="Write it like \"lang = 'en' and year >= 2020\".",
    )

    def __init__(self, reason: str, expression: str, position: int) -> None:
        super().__init__(reason, expression, position)
        self.reason = reason
        self.expression = expression
        self.position = position

    def _what(self) -> str:
        return f"invalid filter {self.expression!r}, at position {self.position}: {self.reason}"


class CursorExpired(VecindexError):
    """The index was changed so that the order of hits, in which a cursor marks a place, is gone.

    The cursor was ``made`` at one commit, and the index is ``now`` at another; both may be the same if only what is
    derived from the records has changed.
    """

    _advice = Advice(
        "Start again from the first page: search without cursor=.",
        typed="Start again from the first page: search without --cursor.",
    )

    def __init__(self, made: int, now: int, reason: str) -> None:
        super().__init__(made, now, reason)
        self.made, self.now, self.reason = made, now, reason

    def _what(self) -> str:
        return f"the cursor of commit {self.made} has expired at commit {self.now}: {self.reason}"


class SourceError(VecindexError):
    """Something in an input cannot be used.

    ``line`` counts from 1, and is None if the whole input is meant. Where ``unit`` is not "line", it is the number of a
    page, a row or whatever ``unit`` says.
    """

    _advice: str = Advice("Fix it, or leave it out.", typed="Fix it, or skip bad rows with --skip-bad.")

    def __init__(self, path: str, line: int | None, reason: str, advice: str | None = None, unit: str = "line") -> None:
        super().__init__(path, line, reason, advice, unit)
        self.path = path
        self.line = line
        self.reason = reason
        self.unit = unit
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"{located(self.path, self.line, self.unit)}: {self.reason}"


def located(path: str, place: int | None, unit: str = "line") -> str:
    """Names a place in a source, like ``notes.txt:3`` or ``report.pdf, page 3``."""
    if place is None:
        return path
    return f"{path}:{place}" if unit == "line" else f"{path}, {unit} {place}"


class ModelNotFound(VecindexError):
    """The files of ``model`` are in none of the places ``tried``."""

    _advice: str = Advice(
        "Check the name, or pass a local folder as model=.",
        typed="Check the name, or pass a local folder with --model DIR.",
    )

    def __init__(self, model: str, tried: Sequence[str], advice: str | None = None) -> None:
        super().__init__(model, tuple(tried), advice)
        self.model = model
        self.tried = tuple(tried)
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"the model {self.model} was not found; tried: {'; '.join(self.tried)}"


class UnsupportedModel(VecindexError):
    """The files of ``model`` require something that this version does not implement and will not approximate."""

    _advice: str = Advice(
        "Use another model.",
        typed="Use another model with --model; `vecindex models` lists those on this machine.",
    )

    def __init__(self, model: str, reason: str, advice: str | None = None) -> None:
        super().__init__(model, reason, advice)
        self.model = model
        self.reason = reason
        self._advice = advice or self._advice

    def _what(self) -> str:
        return f"the model {self.model} is not supported: {self.reason}"


class SpaceMismatch(VecindexError):
    """Vectors of the embedding space ``found`` cannot be used in an index of the space ``expected``."""

    _advice: str = Advice(
        "Leave model= out to use the index's own model, or add to another index.",
        typed="Leave --model out to use the index's own model, or add to another index with --index DIR.",
    )

    def __init__(self, expected: str, found: str, differs: str = "", advice: str | None = None) -> None:
        super().__init__(expected, found, differs, advice)
        self.expected = expected
        self.found = found
        self.differs = differs
        self._advice = advice or self._advice

    def _what(self) -> str:
        differs = f" ({self.differs})" if self.differs else ""
        return f"the index holds vectors of {self.expected}, not of {self.found}{differs}"


class MissingExtra(VecindexError):
    """A package is not installed; ``extra`` is the extra that contains it, or empty if vecindex itself requires it."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(extra, needed_for)
        self.extra = extra
        self.needed_for = needed_for
        self._advice = f"Run: pip install 'vecindex[{extra}]'" if extra else "Run: pip install vecindex"

    def _what(self) -> str:
        what = f"the extra {self.extra!r}" if self.extra else "packages that are not installed"
        return f"{self.needed_for} needs {what}"


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


class OutOfMemory(VecindexError, MemoryError):
    """The system granted no more memory; ``doing`` says when, such as "the index was verified"."""

    _advice = (
        "Raise the memory limit of this process (ulimit -v) or of its container, or stop other processes; "
        "earlier commits are safe."
    )

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.doing = doing

    def _what(self) -> str:
        return f"memory ran out while {self.doing}"


class EncodingFailed(VecindexError):
    """This machine could not compute vectors: a worker process died, or a device has too little memory."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        return f"the texts could not be encoded: {self.reason}"
