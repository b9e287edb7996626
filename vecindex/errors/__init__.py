"""What can go wrong: the one exception tree, each error with its fields, a one-line message and advice.

::

    VecindexError
    ├── IndexNotFound(path)
    ├── RecordNotFound(key)
    ├── InvalidInput(message, advice)          also a ValueError
    │   ├── TextTooLong(item, key, text, tokens, limit, model)
    │   └── TextWithoutToken(text, prompted, item, key)
    ├── InvalidFilter(reason, expression, position)   also a ValueError
    ├── SourceError(path, line, reason, advice)
    ├── ModelNotFound(model, tried)
    ├── UnsupportedModel(model, reason)
    ├── SpaceMismatch(expected, found, differs)
    ├── MissingExtra(extra, needed_for)
    ├── IndexLocked(path, pid, host, waited, age)
    ├── IncompatibleFormat(path, found, supported)
    ├── CorruptIndex(path, reason)
    ├── StorageError(path, reason)
    ├── OutOfMemory(doing)                     also a MemoryError
    └── EncodingFailed(reason, advice)
"""

from __future__ import annotations

from collections.abc import Sequence

from .advice import Advice as Advice
from .advice import VecindexError as VecindexError


class IndexNotFound(VecindexError):
    """There is no index at ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def _what(self) -> str:
        return f"there is no index at {self.path}"

    @property
    def advice(self) -> str:
        return Advice(
            "Make one with create=True, or name another directory.",
            typed="Make one with `vecindex add FILE`, or name another with --index DIR or VECINDEX_INDEX.",
        )


class RecordNotFound(VecindexError, LookupError):
    """The index holds no record with this ``key``."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def _what(self) -> str:
        return f"no record has the key {self.key!r}"

    @property
    def advice(self) -> str:
        return Advice(
            "index.keys() lists the keys; nothing was changed.",
            typed="Keys are shown by `vecindex search QUERY --format json`; nothing was changed.",
        )


class InvalidInput(VecindexError, ValueError):
    """An argument that cannot be used as it is."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self._reason = message
        self._advice = advice

    def _what(self) -> str:
        return self._reason

    @property
    def advice(self) -> str:
        return self._advice


class TextTooLong(InvalidInput):
    """A text is longer than the model reads, and was to be refused then.

    ``item`` is its position in what was added, from 0, ``text`` how it begins; it has ``tokens``, and ``model`` reads
    ``limit`` of them.
    """

    def __init__(self, item: int, key: str, text: str, tokens: int, limit: int, model: str) -> None:
        VecindexError.__init__(self, item, key, text, tokens, limit, model)
        self.item, self.key, self.text = item, key, text
        self.tokens, self.limit, self.model = tokens, limit, model

    @property
    def reason(self) -> str:
        """What is wrong, without where."""
        return f"the text {self.text!r}... has {self.tokens} tokens, and {self.model} reads {self.limit}"

    def _what(self) -> str:
        return f"item {self.item}, {self.key!r}: {self.reason}"

    @property
    def advice(self) -> str:
        return Advice(
            'Shorten it, or choose another on_long=: "split", "mean" or "truncate".',
            typed="Shorten it, or choose another --on-long: split, mean or truncate.",
        )


class TextWithoutToken(InvalidInput):
    """A model finds no token in a text, and adds none that is pooled, so that there is no vector for it.

    ``text`` is how it begins, ``prompted`` says that its prompt has tokens, which are not pooled, and ``item`` is its
    position in what was added, from 0; that and ``key`` are None where it was encoded alone.
    """

    def __init__(self, text: str, prompted: bool, item: int | None = None, key: str | None = None) -> None:
        VecindexError.__init__(self, text, prompted, item, key)
        self.text, self.prompted, self.item, self.key = text, prompted, item, key

    @property
    def reason(self) -> str:
        """What is wrong, without where."""
        return f"the text {self.text!r} has no token{' behind the prompt' if self.prompted else ''}"

    def _what(self) -> str:
        return self.reason if self.item is None else f"item {self.item}, {self.key!r}: {self.reason}"

    @property
    def advice(self) -> str:
        return Advice(
            "Leave it out, as on_bad= does; this model adds no token of its own.",
            typed="Leave it out, as --skip-bad does; this model adds no token of its own.",
        )


class InvalidFilter(VecindexError, ValueError):
    """A filter that cannot be understood; ``position`` counts characters of ``expression`` from 0."""

    def __init__(self, reason: str, expression: str, position: int) -> None:
        super().__init__(reason, expression, position)
        self.reason = reason
        self.expression = expression
        self.position = position

    def _what(self) -> str:
        return f"invalid filter {self.expression!r}, at position {self.position}: {self.reason}"

    @property
    def advice(self) -> str:
        return Advice(
            "Write it like \"lang = 'en' and year >= 2020\", or {'lang': 'en', 'year': {'$gte': 2020}}.",
            typed="Write it like \"lang = 'en' and year >= 2020\".",
        )


class SourceError(VecindexError):
    """A row of an input cannot be used; ``line`` counts from 1 and is None where the whole input is meant."""

    def __init__(self, path: str, line: int | None, reason: str, advice: str | None = None) -> None:
        super().__init__(path, line, reason, advice)
        self.path = path
        self.line = line
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.reason}"

    @property
    def advice(self) -> str:
        return self._advice or Advice(
            "Correct it, or leave it out.", typed="Correct it, or leave bad rows out with --skip-bad."
        )


class ModelNotFound(VecindexError):
    """The files of ``model`` were found in none of the places in ``tried``."""

    def __init__(self, model: str, tried: Sequence[str], advice: str | None = None) -> None:
        super().__init__(model, tuple(tried), advice)
        self.model = model
        self.tried = tuple(tried)
        self._advice = advice

    def _what(self) -> str:
        return f"the model {self.model} was not found; tried: {'; '.join(self.tried)}"

    @property
    def advice(self) -> str:
        return self._advice or Advice(
            "Check the name; model= takes any local folder.",
            typed="Check the name; --model DIR takes any local folder.",
        )


class UnsupportedModel(VecindexError):
    """The files of ``model`` ask for something that this version does not do, and will not approximate."""

    def __init__(self, model: str, reason: str, advice: str | None = None) -> None:
        super().__init__(model, reason, advice)
        self.model = model
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        return f"the model {self.model} is not supported: {self.reason}"

    @property
    def advice(self) -> str:
        return self._advice or Advice(
            "Choose another model.",
            typed="Choose another model with --model; `vecindex models` lists what is at hand.",
        )


class SpaceMismatch(VecindexError):
    """Vectors of one embedding space were offered where another is stored; both are named."""

    def __init__(self, expected: str, found: str, differs: str = "", advice: str | None = None) -> None:
        super().__init__(expected, found, differs, advice)
        self.expected = expected
        self.found = found
        self.differs = differs
        self._advice = advice

    def _what(self) -> str:
        what = f" ({self.differs})" if self.differs else ""
        return f"the index holds vectors of {self.expected}, not of {self.found}{what}"

    @property
    def advice(self) -> str:
        return self._advice or Advice(
            "Leave model= out to use the index's own model, or add to another index.",
            typed="Leave --model out to use the index's own model, or add to another index with --index DIR.",
        )


class MissingExtra(VecindexError):
    """A package is missing; ``extra`` names the set of packages that brings it, empty where vecindex itself does."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(extra, needed_for)
        self.extra = extra
        self.needed_for = needed_for

    def _what(self) -> str:
        what = f"the extra {self.extra!r}" if self.extra else "packages that are not installed"
        return f"{self.needed_for} needs {what}"

    @property
    def advice(self) -> str:
        return f"Run: pip install 'vecindex[{self.extra}]'" if self.extra else "Run: pip install vecindex"


class IndexLocked(VecindexError):
    """Another writer holds the index, for ``age`` seconds now; ``waited`` is how many were waited for it in vain.

    ``pid``, ``host`` and ``age`` are None where the writer left no note of itself; ``doing`` is what it does.
    """

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
        since = "" if self.age is None else f" since {self.age:.0f} s"
        return f"{self.path} is being {self.doing} by {holder}{since}; waited {self.waited:.1f} s"

    @property
    def advice(self) -> str:
        return "Try again when it has finished; reading is possible meanwhile."


class IncompatibleFormat(VecindexError):
    """The index was written in a format that this version does not read, or only once it may write."""

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(path, found, supported)
        self.path = path
        self.found = found
        self.supported = supported

    def _what(self) -> str:
        return f"{self.path} has format {self.found}; this version reads format {self.supported}"

    @property
    def advice(self) -> str:
        if self.found < self.supported:
            return Advice(
                "Open it once without readonly=True: that brings it up to date.",
                typed="Open it once for writing, with `vecindex compact` for example: that brings it up to date.",
            )
        return "Run: pip install --upgrade vecindex"


class CorruptIndex(VecindexError):
    """A file of the index is not what the index says it is."""

    def __init__(self, path: str, reason: str, advice: str | None = None) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        return f"{self.path} is damaged: {self.reason}"

    @property
    def advice(self) -> str:
        return self._advice or Advice(
            "Restore it from a backup, or add the texts again to a new index; index.verify() lists every fault.",
            typed="Restore it from a backup, or add the texts again to a new index; "
            "`vecindex verify` lists every fault.",
        )


class StorageError(VecindexError):
    """The file system or SQLite refused an operation on ``path``; what was committed before stands."""

    def __init__(self, path: str, reason: str, advice: str | None = None) -> None:
        super().__init__(path, reason, advice)
        self.path = path
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        return f"{self.path} cannot be used: {self.reason}"

    @property
    def advice(self) -> str:
        return self._advice or "Check the disk's free space and the permissions; what was committed before is unharmed."


class OutOfMemory(VecindexError, MemoryError):
    """The system gave no more memory; ``doing`` says when, as in "memory ran out while the index was verified"."""

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.doing = doing

    def _what(self) -> str:
        return f"memory ran out while {self.doing}"

    @property
    def advice(self) -> str:
        return (
            "Raise the limit that this process has (ulimit -v, or its container's), or end other processes; "
            "what was committed before is unharmed."
        )


class EncodingFailed(VecindexError):
    """This machine could not compute vectors: a process that helps has ended, or a device has too little memory."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason = reason
        self._advice = advice

    def _what(self) -> str:
        return f"the texts could not be encoded: {self.reason}"

    @property
    def advice(self) -> str:
        return self._advice
