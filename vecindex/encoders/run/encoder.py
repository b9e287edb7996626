"""Turns texts into unit-length vectors, one for each text, whichever library runs the transformer.

A runtime is a subclass of `Encoder`: it brings a tokenizer and implements one method, `forward`. Batching, pooling,
normalising and all checks are here, once, so that every runtime does the same and `explain` shows what search uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput, TextWithoutToken
from ...machine.batching import windows
from ...machine.threads import in_thread
from ...values.arguments import entrance
from ...values.records import UNKNOWN
from ...values.space import Role, Space
from .batches import in_batches, tokens_a_batch
from .checks import OnLong, check_directions, checked_texts, is_zero, no_token, on_long_check, role_check
from .head import Head
from .pooling import FloatArray, unit_length
from .tokenized import IntArray, Keep, Span, Tell, Tokenizer, Tokens, tell_nobody, telling
from .unknown_texts import Surroundings, surroundings

TEXTS_A_WINDOW = 4096
"""The most texts that are tokenized and sorted by length at a time, which bounds memory."""

Forward = Callable[[IntArray, IntArray], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The vectors of n texts: ``vectors`` (n, D) float32 of unit length, ``lost`` (n,) int64 tokens not read.

    ``unknown`` (n,) marks the texts of which the model knows no token.
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
        """What a record stores of how much of its text the vector does not cover, (n,); see `records.UNKNOWN`."""
        return self.lost + UNKNOWN * self.unknown


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One text's ``tokens``, their ``strings``, and their last hidden states, ``vectors`` (T, D), not normalised."""

    tokens: Tokens
    strings: Sequence[str]
    vectors: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Distinct texts whose vectors are being computed, and the ``places`` of all the window's texts among them."""

    texts: Sequence[str]
    places: IntArray
    lost: IntArray
    unknown: npt.NDArray[np.bool_]
    vectors: Callable[[], FloatArray]


class Encoder(ABC):
    """Turns texts into vectors of one embedding space, ``space``; safe to call from several threads."""

    space: Space
    tokenizer: Tokenizer
    padding_id: int = 0
    """The token id that fills a padded row."""
    runtime: str = "unnamed"
    """The library that runs the transformer, for people to read."""
    workers: int = 1
    """How many batches `forward_beside` is given at once, each in a thread of its own."""

    @abstractmethod
    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        """The last hidden states (B, T, D) of padded token ids (B, T)."""

    def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> FloatArray:
        """Like `forward`, while up to `workers` threads do the same."""
        return self.forward(input_ids, attention_mask)

    @cached_property
    def head(self) -> Head:
        """Turns last hidden states into sentence vectors."""
        return Head.plain(self.space)

    @property
    def sharing(self) -> int:
        """How many cores work on one batch together."""
        return 1

    @property
    def tokens_a_batch(self) -> int:
        """The most tokens in a batch, padding included; a longer text is a batch of its own."""
        return tokens_a_batch(self.sharing)

    @property
    def texts_at_once(self) -> int:
        """The number of texts in a call beyond which encoding gets no faster."""
        return TEXTS_A_WINDOW

    def environment(self) -> dict[str, str]:
        """The software and hardware that may change a vector's last digits; stored beside the vectors."""
        return {}

    @entrance(role=role_check, on_long=on_long_check)
    def encode(self, texts: Sequence[str], role: Role = "document") -> FloatArray:
        """One unit-length vector for each text, in the order of the texts.

        Args:
            texts: a sequence of strings; a single string is an error, since its letters are not texts.
            role: selects the prompt that the model wants before each text, if it has prompts.

        Returns:
            (n, dimension) float32; a vector does not depend on the other texts in the call (to 1e-5).

        Raises:
            InvalidInput: an item of ``texts`` is not a string, or contains a lone surrogate.
            TextWithoutToken: the model finds nothing in a text.
            EncodingFailed: the model's output is not finite.
        """
        return self.encode_all(texts, role).vectors

    @entrance(role=role_check, on_long=on_long_check)
    def encode_all(self, texts: Sequence[str], role: Role = "document", on_long: OnLong = "truncate") -> Encoded:
        """Like `encode`, and counts each text's lost tokens; ``on_long`` says what to do with long texts."""
        return self._encode(texts, role, on_long, None)

    @entrance(role=role_check, on_long=on_long_check)
    def encode_keeping(
        self, texts: Sequence[str], keep: Keep, role: Role = "document", on_long: OnLong = "truncate"
    ) -> Encoded:
        """Like `encode_all`; ``keep`` gets the vectors of the tokens of each text, in any thread."""
        return self._encode(texts, role, on_long, keep)

    def _encode(self, texts: Sequence[str], role: Role, on_long: OnLong, keep: Keep | None) -> Encoded:
        texts = checked_texts(texts)
        vectors = np.empty((len(texts), self.space.dimension), dtype=np.float32)
        lost, unknown = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.bool_)
        skipped = self.pooled_from(role)
        surrounding = None if self.tokenizer.unknown is None else self.surroundings[role]
        start = 0

        def finish(window: _Window) -> None:
            nonlocal start
            found = window.vectors()
            if on_long == "mean":
                for i in np.flatnonzero(window.lost).tolist():
                    found[i], window.unknown[i] = self._mean_of_parts(window.texts[i], role)
                    window.lost[i] = 0
            check_directions(found, window.texts, self.space, skipped)
            end = start + len(window.places)
            vectors[start:end], lost[start:end] = found[window.places], window.lost[window.places]
            unknown[start:end] = window.unknown[window.places]
            start = end

        # One thread for each core. A window begins before the last one ends, so that no core is idle in between.
        with ThreadPoolExecutor(self.workers, "vecindex-encode") as pool:
            try:
                last: _Window | None = None
                for unique, places, tokens in self._tokenized(texts, role, pool):
                    cut = np.array([t.lost for t in tokens], dtype=np.int64)
                    if on_long == "error" and cut.any():
                        self._refuse_long(unique[int(cut.argmax())], int(cut.max()))
                    hidden = np.array([bool(surrounding and surrounding.hide(t.ids)) for t in tokens], np.bool_)
                    begun = self._begin(tokens, skipped, pool, telling(keep, unique, tokens))
                    window = _Window(unique, places, cut, hidden, begun)
                    if last:
                        finish(last)
                    last = window
                if last:
                    finish(last)
            finally:
                pool.shutdown(cancel_futures=True)
        return Encoded(vectors, lost, unknown)

    @entrance(role=role_check, on_long=on_long_check)
    def encode_tokens(self, texts: Sequence[str], role: Role = "document") -> list[TokenVectors]:
        """Each text's tokens with their own vectors, before pooling: shapes (T_i, dimension), ragged."""
        tokens = self._prompted(checked_texts(texts), role)
        states = self.states(tokens)
        return [TokenVectors(t, self.tokenizer.strings(t.ids), own) for t, own in zip(tokens, states, strict=True)]

    @entrance(role=role_check, on_long=on_long_check)
    def count_tokens(self, texts: Sequence[str], role: Role = "document") -> list[int]:
        """How many tokens each text has, with its prompt and special tokens, whether they are read or not."""
        texts = checked_texts(texts)
        return [t.total for window in windows(texts, TEXTS_A_WINDOW, str) for t in self.tokens(window, role)]

    @entrance(role=role_check, on_long=on_long_check)
    def without_token(self, texts: Sequence[str], role: Role = "document") -> list[str]:
        """Some of the texts that cannot be encoded; empty only if all texts can.

        These are the texts in which the tokenizer finds nothing to pool, or, if there are none, those whose vector is
        zero.
        """
        texts, skipped = checked_texts(texts), self.pooled_from(role)
        tokens = (t for window in windows(texts, TEXTS_A_WINDOW, str) for t in self.tokens(window, role))
        if bare := [text for text, found in zip(texts, tokens, strict=True) if len(found.ids) <= skipped]:
            return bare
        with ThreadPoolExecutor(self.workers, "vecindex-encode") as pool:
            return [
                unique[i]
                for unique, _, tokens in self._tokenized(texts, role, pool)
                for i in np.flatnonzero(is_zero(self._begin(tokens, skipped, pool)())).tolist()
            ]

    @entrance()
    def token_spans(self, text: str) -> list[Span]:
        """The characters of each token of a text, in order, special tokens and prompts not counted.

        Several tokens may be of the same character, such as an emoji's bytes.
        """
        return self.tokenizer.offsets(text)

    @entrance(role=role_check, on_long=on_long_check)
    def parts(self, text: str, role: Role = "document") -> list[Span]:
        """Splits a text into parts that the model can read whole; a text that is not too long is one part."""
        (tokens,) = self.tokens([text], role)
        if not tokens.lost:
            return [(0, len(text))]
        (empty,) = self.tokenizer.tokenize([self.space.prompt(role)])
        room = self.space.max_tokens - empty.total
        while True:
            spans = self.tokenizer.spans(text, room)
            # A part on its own may have one token more than it had within the text.
            if room <= 1 or not any(t.lost for t in self.tokens([text[a:b] for a, b in spans], role)):
                return spans
            room -= 1 + room // 16

    @entrance(role=role_check, on_long=on_long_check)
    def pooled_from(self, role: Role) -> int:
        """The position of the first token that is pooled: 0, or the first one after a prompt that is not pooled."""
        prompt = self.space.prompt(role)
        if self.space.prompt_pooled or not prompt:
            return 0
        (alone,), (empty,) = self.tokenizer.tokenize([prompt]), self.tokenizer.tokenize([""])
        ends = len(empty.ids) and empty.ids[-1] == alone.ids[-1]  # a special token that ends every text
        return len(alone.ids) - int(ends)

    def padded(self, tokens: Sequence[Tokens]) -> tuple[IntArray, IntArray]:
        """The arguments of `forward` for tokenized texts: their ids and their mask, (B, T) each."""
        width = max(len(t.ids) for t in tokens)
        ids = np.full((len(tokens), width), self.padding_id, dtype=np.int64)
        mask = np.zeros((len(tokens), width), dtype=np.int64)
        for row, t in enumerate(tokens):
            ids[row, : len(t.ids)] = t.ids
            mask[row, : len(t.ids)] = 1
        return ids, mask

    def tokens(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        """The texts' tokens, prompts included."""
        prompt = self.space.prompt(role)
        return self.tokenizer.tokenize([prompt + text for text in texts] if prompt else texts) if texts else []

    def states(self, tokens: Sequence[Tokens]) -> list[FloatArray]:
        """The last hidden states (T_i, D) of tokenized texts, ragged."""
        found = [np.empty((0, 0), np.float32)] * len(tokens)

        def keep(rows: list[int], states: FloatArray, mask: IntArray) -> None:
            for row, own in zip(rows, states, strict=True):
                found[row] = own[: len(tokens[row].ids)]

        with ThreadPoolExecutor(self.workers, "vecindex-encode") as pool:
            try:
                self._in_batches(tokens, keep, pool)()
            finally:
                pool.shutdown(cancel_futures=True)
        return found

    @cached_property
    def surroundings(self) -> dict[Role, Surroundings]:
        """What stands before and after the own tokens of a text of each role."""
        return surroundings(self.tokenizer, self.space)

    def _tokenized(
        self, texts: Sequence[str], role: Role, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[list[str], IntArray, list[Tokens]]]:
        """For each window: its distinct texts, the place of each text among them, and their tokens.

        The next window is tokenized while the caller encodes this one.
        """

        def tokenized(window: list[str]) -> tuple[list[str], IntArray, list[Tokens]]:
            unique = {text: place for place, text in enumerate(dict.fromkeys(window))}
            places = np.array([unique[text] for text in window], dtype=np.int64)
            return list(unique), places, self._prompted(list(unique), role)

        each = windows(texts, self.texts_at_once, str)
        current = tokenized(next(each)) if texts else None
        for window in each:
            ahead = in_thread(pool, tokenized, window)
            if current:
                yield current
            current = ahead.result()
        if current:
            yield current

    def _begin(
        self, tokens: Sequence[Tokens], skipped: int, pool: ThreadPoolExecutor, tell: Tell = tell_nobody
    ) -> Callable[[], FloatArray]:
        """Starts to encode tokenized texts; the function that it returns waits for their vectors, (n, dimension)."""
        vectors = np.empty((len(tokens), self.space.dimension), dtype=np.float32)

        def pool_states(rows: list[int], states: FloatArray, mask: IntArray) -> None:
            tell(rows, states)
            mask[:, :skipped] = 0
            vectors[rows] = self.head(states, mask)

        wait = self._in_batches(tokens, pool_states, pool)

        def finished() -> FloatArray:
            wait()
            return vectors

        return finished

    def _in_batches(
        self,
        tokens: Sequence[Tokens],
        use: Callable[[list[int], FloatArray, IntArray], None],
        pool: ThreadPoolExecutor,
    ) -> Callable[[], None]:
        """Starts to run tokenized texts through the model; the function that it returns waits for the end.

        ``use`` gets the positions of the texts of each batch, their last hidden states, and their mask.
        """

        def run(forward: Forward, rows: list[int]) -> None:
            ids, mask = self.padded([tokens[row] for row in rows])
            use(rows, forward(ids, mask), mask)

        alone, beside = partial(run, self.forward), partial(run, self.forward_beside)
        return in_batches([len(t.ids) for t in tokens], self.tokens_a_batch, pool, self.workers, alone, beside)

    def _mean_of_parts(self, text: str, role: Role) -> tuple[FloatArray, bool]:
        """The vector of a text that is read in parts, and whether the model knows none of its tokens."""
        parts = [text[start:end] for start, end in self.parts(text, role)]
        try:
            encoded = self.encode_all(parts, role)
        except TextWithoutToken:  # a part without a token adds nothing to the mean of the others
            nothing = set(self.without_token(parts, role))
            if not (parts := [part for part in parts if part not in nothing]):
                raise
            encoded = self.encode_all(parts, role)
        weights = np.array(self.count_tokens(parts, role), dtype=np.float32)
        return unit_length((weights @ encoded.vectors)[None])[0], bool(encoded.unknown.all())

    def _refuse_long(self, text: str, lost: int) -> None:
        """Raises InvalidInput for a text with ``lost`` tokens more than the model reads."""
        limit = self.space.max_tokens
        raise InvalidInput(
            f"the text {text[:40]!r}... has {limit + lost} tokens, and {self.space.model} reads {limit}",
            "Shorten it, or choose on_long='split', 'mean' or 'truncate'.",
        )

    def _prompted(self, texts: Sequence[str], role: Role) -> list[Tokens]:
        """The texts' tokens, prompts included; raises TextWithoutToken if there is nothing to pool.

        An empty text has no token if the model adds none of its own. If the prompt is not pooled, neither has a text
        so short that the prompt's last token took it in.
        """
        tokens = self.tokens(texts, role)
        skipped = self.pooled_from(role)
        for text, found in zip(texts, tokens, strict=True):
            if len(found.ids) <= skipped:
                raise no_token(text, skipped)
        return tokens
