"""What is an encoder: texts in, one unit-length vector each out, whatever runs the transformer.

A runtime supplies a tokenizer and one step, `forward`; batching, pooling and normalising are here, once, so that what
`explain` shows is what search uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput, TextWithoutToken
from ...machine.batching import windows
from ...machine.threads import in_thread
from ...values.arguments import entrance
from ...values.records import UNKNOWN
from ...values.space import Role, Space
from .checks import OnLong, check_directions, checked_texts, is_zero, no_token, on_long_check, role_check
from .head import Head
from .pooling import FloatArray, unit_length
from .unknown_texts import Surroundings

IntArray = npt.NDArray[np.int64]

TOKENS_A_BATCH = 448
"""Padded tokens in a forward pass on one core; measured best from 256 to 640: what is larger leaves its cache."""
TOKENS_A_SHARE = 512
"""Padded tokens for each of the cores that share a forward pass, which wait for each other; measured best with two."""
MOST_TOKENS_A_BATCH = 4096
"""However many cores share it: memory is bounded."""
TEXTS_A_WINDOW = 4096
"""Texts tokenized and sorted by length at a time at most: memory is bounded."""

Forward = Callable[[IntArray, IntArray], npt.NDArray[np.float32]]
Span = tuple[int, int]
"""From the first character to behind the last."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized text: ``ids``, special ones included, at most the model's maximum; ``total`` counts all of them."""

    ids: Sequence[int]
    total: int

    @property
    def lost(self) -> int:
        """How many tokens the model does not read."""
        return self.total - len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of n texts: ``vectors`` (n, D) float32 of unit length, ``lost`` (n,) int64 tokens not read.

    ``unknown`` (n,) says of which texts the model knows no token.
    """

    vectors: FloatArray
    lost: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.bool_]

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """Which texts were truncated, (n,)."""
        return self.lost > 0

    @property
    def uncovered(self) -> npt.NDArray[np.int64]:
        """What a record keeps of how much of its text its vector does not cover, (n,); see `records.UNKNOWN`."""
        return self.lost + UNKNOWN * self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One text's ``tokens``, their ``strings``, and their last hidden states, ``vectors`` (T, D), not normalised."""

    tokens: Tokens
    strings: Sequence[str]
    vectors: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """Different texts that are being encoded, the ``places`` of all texts among them, and the tokens that each lost.

    ``unknown`` says of which texts the model knows no token.
    """

    texts: Sequence[str]
    places: IntArray
    lost: IntArray
    unknown: npt.NDArray[np.bool_]
    vectors: Callable[[], FloatArray]


class Encoder(ABC):
    """Turns texts into vectors of one embedding space, ``space``; safe to call from several threads."""

    space: Space

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The texts' tokens, special tokens included, cut at ``space.max_tokens``."""

    @abstractmethod
    def strings(self, ids: Sequence[int]) -> list[str]:
        """What stands for each token in the vocabulary."""

    @abstractmethod
    def spans(self, text: str, room: int) -> list[Span]:
        """Where to part a text so that each part has at most ``room`` tokens, special ones not counted."""

    @abstractmethod
    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        """The last hidden states (B, T, D) of padded token ids (B, T)."""

    def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        """As `forward`, while other threads do the same; `workers` of them in all."""
        return self.forward(input_ids, attention_mask)

    @property
    @abstractmethod
    def padding_id(self) -> int:
        """The token id that fills a padded row."""

    @cached_property
    def head(self) -> Head:
        """What makes sentence vectors of the last hidden states."""
        return Head.plain(self.space)

    @property
    def workers(self) -> int:
        """How many batches `forward_beside` is given at once, each by a thread of its own."""
        return 1

    @property
    def sharing(self) -> int:
        """How many cores work on one batch together."""
        return 1

    @property
    def texts_at_once(self) -> int:
        """How many texts a call should have, where there are many: more are no faster."""
        return TEXTS_A_WINDOW

    @property
    def runtime(self) -> str:
        """What runs the transformer, for people."""
        return type(self).__name__

    def environment(self) -> dict[str, str]:
        """What of this machine and its software may change a vector's last digits; stored with what is written."""
        return {}

    @entrance(role=role_check, on_long=on_long_check)
    def encode(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """One unit-length vector a text, in the texts' order.

        Args:
            texts: a sequence of strings; one string alone is an error, since its letters are not texts.
            role: which of the model's prompts is put before each text, where it has prompts.

        Returns:
            (n, dimension) float32; a vector does not depend on the other texts in the call (to 1e-5).

        Raises:
            InvalidInput: something in ``texts`` is no string, or holds a lone surrogate.
            TextWithoutToken: the model finds nothing in a text.
            EncodingFailed: what the model computes is not finite.
        """
        return self.encode_all(texts, role).vectors

    @entrance(role=role_check, on_long=on_long_check)
    def encode_all(self, texts: Sequence[str], role: Role = "document", on_long: OnLong = "truncate") -> Encoded:
        """As `encode`, and how many tokens of each text were lost; ``on_long`` says what becomes of long ones."""
        texts = checked_texts(texts)
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        lost, unknown = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.bool_)
        skipped, surroundings = self.pooled_from(role), self._surrounding(role)
        start = 0

        def finish(begun: _Begun) -> None:
            nonlocal start
            found, cut = begun.vectors(), begun.lost
            if on_long == "mean":
                for i in np.flatnonzero(cut).tolist():
                    found[i], begun.unknown[i] = self._mean_of_parts(begun.texts[i], role)
                    cut[i] = 0
            check_directions(found, begun.texts, self.space, skipped)
            end = start + len(begun.places)
            vectors[start:end], lost[start:end] = found[begun.places], cut[begun.places]
            unknown[start:end] = begun.unknown[begun.places]
            start = end

        # One thread a core. A window is begun before the last is finished, so that no core waits for another's batch.
        with ThreadPoolExecutor(self.workers, "vecindex-encode") as pool:
            try:
                last: _Begun | None = None
                for unique, places, tokens in self._tokenized(texts, role, pool):
                    cut = np.array([t.lost for t in tokens], dtype=np.int64)
                    if on_long == "error" and cut.any():
                        self.refuse_long(unique[int(cut.argmax())], int(cut.max()))
                    hidden = np.array([bool(surroundings and surroundings.hide(t.ids)) for t in tokens], np.bool_)
                    begun = _Begun(unique, places, cut, hidden, self._begin(tokens, skipped, pool))
                    if last:
                        finish(last)
                    last = begun
                if last:
                    finish(last)
            finally:
                pool.shutdown(cancel_futures=True)
        return Encoded(vectors, lost, unknown)

    @entrance(role=role_check, on_long=on_long_check)
    def encode_tokens(self, texts: Sequence[str], role: Role = "document") -> list[TokenVectors]:
        """Each text's tokens with their own vectors, before pooling: shapes (T_i, dimension), ragged."""
        texts = checked_texts(texts)
        encoded = []
        for tokens in self._prompted(texts, role):
            ids, mask = self.padded([tokens])
            encoded.append(TokenVectors(tokens, self.strings(tokens.ids), self.forward(ids, mask)[0]))
        return encoded

    @entrance(role=role_check, on_long=on_long_check)
    def count_tokens(self, texts: Sequence[str], role: Role = "document") -> list[int]:
        """How many tokens each text has with its prompt and the model's special ones, read or not."""
        texts = checked_texts(texts)
        return [t.total for window in windows(texts, TEXTS_A_WINDOW, str) for t in self._with_prompt(window, role)]

    @entrance(role=role_check, on_long=on_long_check)
    def without_token(self, texts: Sequence[str], role: Role = "document") -> list[str]:
        """Some of the texts that cannot be encoded, none only if all can.

        Those in which the tokenizer finds nothing that would be pooled; without such those whose vector is zero.
        """
        texts, skipped = checked_texts(texts), self.pooled_from(role)
        tokens = (t for window in windows(texts, TEXTS_A_WINDOW, str) for t in self._with_prompt(window, role))
        if bare := [text for text, found in zip(texts, tokens, strict=True) if len(found.ids) <= skipped]:
            return bare
        with ThreadPoolExecutor(self.workers, "vecindex-encode") as pool:
            return [
                unique[i]
                for unique, _, tokens in self._tokenized(texts, role, pool)
                for i in np.flatnonzero(is_zero(self._begin(tokens, skipped, pool)())).tolist()
            ]

    @entrance(role=role_check, on_long=on_long_check)
    def parts(self, text: str, role: Role = "document") -> list[Span]:
        """The parts in which the model can read all of a text: one where it is not too long."""
        (tokens,) = self._with_prompt([text], role)
        if not tokens.lost:
            return [(0, len(text))]
        (empty,) = self.tokenize([self.space.prompt(role)])
        room = self.space.max_tokens - empty.total
        while True:
            spans = self.spans(text, room)
            # Alone, a part may have a token more than it had in the text.
            if room <= 1 or not any(t.lost for t in self._with_prompt([text[a:b] for a, b in spans], role)):
                return spans
            room -= 1 + room // 16

    def _surrounding(self, role: Role) -> Surroundings | None:
        """What tells the texts of which the model knows nothing; None where that cannot be told."""
        return None

    @entrance(role=role_check, on_long=on_long_check)
    def pooled_from(self, role: Role) -> int:
        """The position of the first token that is pooled: 0, or the first behind the prompt if that is left out."""
        prompt = self.space.prompt(role)
        if self.space.prompt_pooled or not prompt:
            return 0
        (alone,), (empty,) = self.tokenize([prompt]), self.tokenize([""])
        ends = len(empty.ids) and empty.ids[-1] == alone.ids[-1]  # a special token that ends every text
        return len(alone.ids) - int(ends)

    def _tokenized(
        self, texts: Sequence[str], role: Role, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[list[str], IntArray, list[Tokens]]]:
        """For each window: its different texts, the place of each text among them, and their tokens.

        The next window is tokenized while the caller encodes this one.
        """

        def tokenized(window: list[str]) -> tuple[list[str], IntArray, list[Tokens]]:
            unique = {text: place for place, text in enumerate(dict.fromkeys(window))}
            places = np.array([unique[text] for text in window], dtype=np.int64)
            return list(unique), places, self._prompted(list(unique), role)

        each = windows(texts, TEXTS_A_WINDOW, str)
        current = tokenized(next(each)) if texts else None
        for window in each:
            ahead = in_thread(pool, tokenized, window)
            if current:
                yield current
            current = ahead.result()
        if current:
            yield current

    def _begin(self, tokens: Sequence[Tokens], skipped: int, pool: ThreadPoolExecutor) -> Callable[[], FloatArray]:
        """Has the tokenized texts encoded; what is given waits for their vectors, (n, dimension)."""
        vectors = np.empty((len(tokens), self.space.dimension), dtype=np.float32)

        def encode(rows: list[int], forward: Forward) -> None:
            ids, mask = self.padded([tokens[row] for row in rows])
            states = forward(ids, mask)
            mask[:, :skipped] = 0
            vectors[rows] = self.head(states, mask)

        batches = list(_batches(tokens, self.sharing))
        alone = len(batches) == 1 or self.workers == 1
        running = [] if alone else [in_thread(pool, encode, rows, self.forward_beside) for rows in batches]

        def finished() -> FloatArray:
            for rows in batches if alone else ():
                encode(rows, self.forward)
            for future in running:
                future.result()
            return vectors

        return finished

    def _mean_of_parts(self, text: str, role: Role) -> tuple[FloatArray, bool]:
        """The vector of a text that is read in parts, and whether the model knows no token of any."""
        parts = [text[start:end] for start, end in self.parts(text, role)]
        try:
            encoded = self.encode_all(parts, role)
        except TextWithoutToken:  # of one of its parts, on which the others' mean does not depend
            nothing = set(self.without_token(parts, role))
            if not (parts := [part for part in parts if part not in nothing]):
                raise
            encoded = self.encode_all(parts, role)
        weights = np.array(self.count_tokens(parts, role), dtype=np.float32)
        return unit_length((weights @ encoded.vectors)[None])[0], bool(encoded.unknown.all())

    def refuse_long(self, text: str, lost: int) -> None:
        """Raises InvalidInput for a text of which ``lost`` tokens would not be read."""
        limit = self.space.max_tokens
        raise InvalidInput(
            f"the text {text[:40]!r}... has {limit + lost} tokens, and {self.space.model} reads {limit}",
            "Shorten it, or choose on_long='split', 'mean' or 'truncate'.",
        )

    def _prompted(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        tokens = self._with_prompt(texts, role)
        # What is pooled must be something: of a model that adds no token of its own, an empty text has none, and of
        # one that leaves the prompt out, a text so short that the prompt's last token took it in has none either.
        skipped = self.pooled_from(role)
        for text, found in zip(texts, tokens, strict=True):
            if len(found.ids) <= skipped:
                raise no_token(text, skipped)
        return tokens

    def _with_prompt(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        prompt = self.space.prompt(role)
        return self.tokenize([prompt + text for text in texts] if prompt else texts) if texts else []

    def padded(self, tokens: Sequence[Tokens]) -> tuple[IntArray, IntArray]:
        """What `forward` takes for tokenized texts: their ids and their mask, (B, T) each."""
        width = max(len(t.ids) for t in tokens)
        ids = np.full((len(tokens), width), self.padding_id, dtype=np.int64)
        mask = np.zeros((len(tokens), width), dtype=np.int64)
        for row, t in enumerate(tokens):
            ids[row, : len(t.ids)] = t.ids
            mask[row, : len(t.ids)] = 1
        return ids, mask


def _batches(tokens: Sequence[Tokens], sharing: int) -> Iterator[list[int]]:
    """Positions in batches of alike lengths, longest first, each padded, for so many cores ``sharing`` one."""
    budget = TOKENS_A_BATCH if sharing == 1 else min(sharing * TOKENS_A_SHARE, MOST_TOKENS_A_BATCH)
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i].ids))
    start = 0
    while start < len(order):
        size = max(1, budget // len(tokens[order[start]].ids))
        yield order[start : start + size]
        start += size
