"""Errors of models and of the packages and machines that run them."""

from __future__ import annotations

from collections.abc import Sequence

from .advice import Advice, VecindexError


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
