"""An encoder that asks another program's embedder for vectors: any function that turns a list of texts into vectors.

The name that the user gives the embedder is its embedding space. Nothing else is known of it: not its tokens, and not
how much it reads of a long text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import EncodingFailed, InvalidInput
from ..machine.batching import windows
from ..values.arguments import entrance
from ..values.arrays import Numbers, numbers
from ..values.scalars import shown, string, whole
from ..values.space import EXTERNAL, Role, Space
from .run.checks import OnLong, checked_texts
from .run.encoder import TEXTS_A_WINDOW, Encoded, Encoder
from .run.pooling import FloatArray, unit_vectors
from .run.tokenized import IntArray, Keep, Span, Tokens

Embed = Callable[[list[str]], Any]
"""Turns n texts into n vectors of the same length: lists of numbers, or an array (n, D)."""

_PROBE = "one"
"""The text that is encoded to find the dimension."""
_ADVICE = "It must return one vector for each text, all of the same length: lists of numbers or an array (texts, D)."


def _named(name: str, value: object) -> str:
    given = string(value, "the name of an embedder")
    if not given.strip():
        raise InvalidInput("the name of an embedder is empty", "Name what makes the vectors.")
    return given


def _function(name: str, value: object) -> object:
    if not callable(value):
        raise InvalidInput(
            f"{name} is {shown(value)}, which is not callable",
            "Pass a function that turns a list of texts into vectors.",
        )
    return value


class ForeignEncoder(Encoder):
    """An encoder around any function that turns a list of texts into vectors; `open` takes it as ``model``.

    Its errors pass through. What needs the vectors of single tokens, such as `explain` and ``rerank="tokens"``, is an
    error, and no text counts as truncated, since it is not known how much of a text is read.

    Args:
        name: what makes the vectors, such as "text-embedding-3-small". The index stores it, and takes no vectors of
            another name, so give what makes other vectors another name.
        encode_documents: is called with a list of at most 4,096 different texts and returns a vector for each: lists of
            numbers, or an array (n, D) of numpy or torch. They are scaled to unit length. Threads that use the index
            at the same time call it at the same time.
        encode_queries: the same for queries, if they are encoded in another way.
        dimension: the length of a vector. If it is left out, a short text is encoded when it is first needed.

    Raises:
        InvalidInput.
        EncodingFailed: later, if what is returned is not one vector of that length for each text, or a vector is zero
            or not finite.
    """

    runtime = EXTERNAL

    @entrance(
        name=_named,
        encode_documents=_function,
        encode_queries=_function,
        dimension=whole(1, "Pass the length of a vector, 1 or more.", "the dimension is {value}"),
    )
    def __init__(
        self,
        name: str,
        encode_documents: Embed,
        encode_queries: Embed | None = None,
        *,
        dimension: int | None = None,
    ) -> None:
        self.name = name
        self.tokenizer = _NoTokens(name)
        self._embed: dict[Role, Embed] = {"document": encode_documents, "query": encode_queries or encode_documents}
        self._space = None if dimension is None else Space.external(name, dimension)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        known = f", {self._space.dimension} dimensions" if self._space else ""
        return f"<{type(self).__name__} {self.name!r}{known}>"

    @property
    def space(self) -> Space:  # type: ignore[override]
        """The space of this name; encodes a short text if the dimension is not known yet."""
        if self._space is None:
            self._embedded([_PROBE], "document")
        assert self._space is not None
        return self._space

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        raise _no_tokens(self.name)

    def _encode(self, texts: Sequence[str], role: Role, on_long: OnLong, keep: Keep | None) -> Encoded:
        """See `Encoder.encode_all`. What the embedder does with a long text is not known, and so no token is lost."""
        if keep is not None:
            raise _no_tokens(self.name)
        texts = checked_texts(texts)
        blocks = [self._distinct(window, role) for window in windows(texts, TEXTS_A_WINDOW, str)]
        vectors = np.concatenate(blocks) if blocks else np.empty((0, self.space.dimension), np.float32)
        return Encoded(vectors, np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_))

    def _distinct(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Unit vectors (n, D) of texts, of which those that are the same are encoded once."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        vectors = self._vectors(list(places), role)
        return vectors if len(places) == len(texts) else vectors[[places[text] for text in texts]]

    def _vectors(self, texts: list[str], role: Role) -> FloatArray:
        """What the embedder makes of different texts, (n, D), at unit length."""
        found = self._embedded(texts, role)
        for is_right, what in (
            (np.isfinite(found).all(axis=1), "with a number that is not finite"),
            (found.any(axis=1), "of zeros, which has no direction,"),
        ):
            if not is_right.all():
                raise self._wrong(f"returned a vector {what} for the text {texts[int(is_right.argmin())][:40]!r}")
        return unit_vectors(found)

    def _embedded(self, texts: list[str], role: Role) -> Numbers:
        """What the embedder returns, as an array (n, D); its own errors pass through."""
        returned = self._embed[role](list(texts))
        try:
            found = numbers(returned, f"the vectors of the embedder {self.name!r}")
        except InvalidInput as error:
            raise EncodingFailed(error.message, _ADVICE) from None
        if found.ndim != 2 or found.shape[1] == 0:
            raise self._wrong(f"returned an array of the shape {found.shape} for {len(texts)} texts")
        if len(found) != len(texts):
            raise self._wrong(f"returned {len(found)} vectors for {len(texts)} texts")
        with self._lock:
            space = self._space = self._space or Space.external(self.name, found.shape[1])
        if found.shape[1] != space.dimension:
            raise self._wrong(f"returned vectors of {found.shape[1]} dimensions, but has {space.dimension}")
        return found

    def _wrong(self, what: str) -> EncodingFailed:
        return EncodingFailed(f"the embedder {self.name!r} {what}", _ADVICE)


class _NoTokens:
    """Stands for the tokenizer of an embedder that has none to show; see `Tokenizer`."""

    unknown = None

    def __init__(self, name: str) -> None:
        self._name = name

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        raise _no_tokens(self._name)

    def strings(self, ids: Sequence[int]) -> list[str]:
        raise _no_tokens(self._name)

    def offsets(self, text: str) -> list[Span]:
        raise _no_tokens(self._name)

    def spans(self, text: str, room: int) -> list[Span]:
        raise _no_tokens(self._name)


def _no_tokens(name: str) -> InvalidInput:
    return InvalidInput(
        f"the embedder {name!r} gives a vector for a whole text, and none for its tokens",
        "What needs tokens works only with a model that vecindex runs itself, such as load_encoder's.",
    )
