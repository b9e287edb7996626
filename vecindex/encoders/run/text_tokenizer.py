"""Tokenizes texts: turns them into token ids, counts what is truncated, and splits long texts into parts.

Memory is bounded whatever a text's length: of a text longer than `HUGE` characters, only the tokens that the model
reads are kept, and the rest are counted slice by slice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Literal

import tokenizers

from ...errors import EncodingFailed
from .tokenized import Span, Tokens

TOKENIZER_FILE = "tokenizer.json"
HUGE = 100_000
"""A text with more characters than this is tokenized in slices."""
CHARACTERS_A_TOKEN = 32
"""More than any text has on average."""
_SLICES_AT_ONCE = 16


class TruncatingTokenizer:
    """What a tokenizer that truncates at the model's maximum has, whether of texts or of pairs."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._cut = tokenizer

    def save(self, path: Path) -> None:
        """Writes the file that `from_file` reads."""
        self._cut.save(str(path))

    @cached_property
    def _whole(self) -> tokenizers.Tokenizer:
        """A copy that never truncates, for long texts; truncation is a state that all threads share."""
        whole = tokenizers.Tokenizer.from_str(self._cut.to_str())
        whole.no_truncation()
        return whole


class TextTokenizer(TruncatingTokenizer):
    """A model's tokenizer, which truncates at the model's maximum; safe to use from several threads."""

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        max_tokens: int,
        truncation: Literal["right", "left"] = "right",
        special: bool = True,
    ) -> None:
        """``max_tokens`` 0 means no limit; ``special`` puts the model's special tokens around each text."""
        tokenizer.no_padding()
        if max_tokens:
            tokenizer.enable_truncation(max_tokens, direction=truncation)
        else:
            tokenizer.no_truncation()
        super().__init__(tokenizer)
        self.special = tokenizer.num_special_tokens_to_add(is_pair=False) if special else 0
        self._add_special = special
        self.max_tokens = max_tokens
        self.reads_the_end = truncation == "left"
        self._huge = max(HUGE, CHARACTERS_A_TOKEN * max_tokens)

    @classmethod
    def like(
        cls,
        tokenizer: tokenizers.Tokenizer,
        max_tokens: int,
        truncation: Literal["right", "left"] = "right",
        special: bool = True,
    ) -> TextTokenizer:
        """A copy of ``tokenizer``, so that changes to the original's truncation and padding do not matter here."""
        return cls(tokenizers.Tokenizer.from_str(tokenizer.to_str()), max_tokens, truncation, special)

    @classmethod
    def from_file(
        cls, path: Path, max_tokens: int, truncation: Literal["right", "left"] = "right", special: bool = True
    ) -> TextTokenizer:
        return cls(tokenizers.Tokenizer.from_file(str(path)), max_tokens, truncation, special)

    @cached_property
    def unknown(self) -> frozenset[int]:
        """The ids that stand for what the vocabulary lacks, and the id of a bare word-start mark."""
        named = getattr(self._cut.model, "unk_token", None)
        names = [named] if named else ["<unk>", "[UNK]"]  # the library does not tell it for unigram models
        found = (self._cut.token_to_id(name) for name in (*names, "\u2581"))
        return frozenset(id_ for id_ in found if id_ is not None)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The texts' tokens, truncated at the maximum."""
        if any(len(text) > self._huge for text in texts):
            return [self._tokenize_huge(t) if len(t) > self._huge else self.tokenize([t])[0] for t in texts]
        encodings = encoded(self._cut, texts, add_special_tokens=self._add_special)
        return [self._tokens(encoding) for encoding in encodings]

    def strings(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's string for each token."""
        return [self._cut.id_to_token(id_) or f"#{id_}" for id_ in ids]

    def count(self, text: str) -> int:
        """How many tokens a text has, special ones included."""
        slices = _slices(text, self._huge)
        return self.special + sum(map(len, self._plain(slices)))

    def offsets(self, text: str) -> list[Span]:
        """The characters of each token in order, special ones not counted; several may be of one character."""
        return list(self._offsets(text))

    def _offsets(self, text: str) -> Iterator[Span]:
        for first, piece in zip(_starts(text, self._huge), _slices(text, self._huge), strict=True):
            for encoding in encoded(self._whole, [piece], add_special_tokens=False, offsets=True):
                yield from ((first + start, first + end) for start, end in encoding.offsets if end > start)

    def spans(self, text: str, room: int) -> list[Span]:
        """Splits a text into parts of at most ``room`` tokens each, special tokens not counted.

        The parts leave out nothing but whitespace between them. They end between words, unless one word has too many
        tokens. A text of whitespace only is one part.
        """
        starts = [start for start, _ in self._offsets(text)]  # not all spans at once, of a long line
        parts: list[Span] = []
        begin = 0  # a position in ``starts``
        while begin < len(starts):
            end = begin + max(1, room)
            if end < len(starts):
                # Several tokens of one character (such as an emoji's bytes) start at the same place and stay together.
                fits = [at for at in range(end, begin, -1) if starts[at] != starts[at - 1]]
                end = next((at for at in fits if _between_words(text, starts[at])), fits[0] if fits else end)
            while end < len(starts) and starts[end] == starts[end - 1]:
                end += 1
            stop = starts[end] if end < len(starts) else len(text)
            # Characters before the first token, which the tokenizer ignores, belong to the first part.
            parts.append(_stripped(text, starts[begin] if begin else 0, stop))
            begin = end
        # Some tokenizers have tokens for whitespace.
        return [(start, stop) for start, stop in parts if start < stop] or [(0, len(text))]

    def _tokens(self, encoding: tokenizers.Encoding) -> Tokens:
        # Each overflowing encoding repeats the special tokens.
        lost = sum(len(piece) - self.special for piece in encoding.overflowing)
        return Tokens(encoding.ids, len(encoding.ids) + lost)

    def _plain(self, slices: Iterator[str]) -> Iterator[list[int]]:
        """The slices' ids without special tokens, computed a few slices at a time."""
        batch: list[str] = []
        for piece in slices:
            batch.append(piece)
            if len(batch) == _SLICES_AT_ONCE:
                yield from (e.ids for e in encoded(self._whole, batch, add_special_tokens=False))
                batch = []
        yield from (e.ids for e in encoded(self._whole, batch, add_special_tokens=False))

    def _tokenize_huge(self, text: str) -> Tokens:
        if not self.max_tokens:
            ids = [id_ for piece in self._plain(_slices(text, self._huge)) for id_ in piece]
            return Tokens(ids, len(ids))
        size = self._huge
        while True:  # until there are more tokens than the model reads, nearly always the first time
            end = text[-size:] if self.reads_the_end else text[:size]
            (encoding,) = encoded(self._cut, [end], add_special_tokens=self._add_special)
            if size >= len(text):
                return self._tokens(encoding)
            if encoding.overflowing:
                return Tokens(encoding.ids, max(self.count(text), len(encoding.ids)))
            size *= 8


def within_table(tokenizer: tokenizers.Tokenizer, rows: int) -> tokenizers.Tokenizer:
    """The tokenizer without the added tokens whose ids do not fit into a table of ``rows`` vectors.

    Some tokens are added to a vocabulary and get no vector, such as image marks in a model that reads text; they are
    treated as text again. Raises ValueError if a token of the vocabulary itself, or a special token, has no vector.
    """
    beyond = {token: number for token, number in tokenizer.get_vocab(with_added_tokens=True).items() if number >= rows}
    if beyond:
        definition = json.loads(tokenizer.to_str())
        added = {token.get("content") for token in definition["added_tokens"]}
        for token in sorted(beyond.keys() - added):
            raise ValueError(_no_row(token, beyond[token], rows))
        definition["added_tokens"] = [t for t in definition["added_tokens"] if t.get("content") not in beyond]
        try:
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(definition))
        except Exception as error:  # the token is named elsewhere, for example as a special token
            raise ValueError(f"{_no_row(*max(beyond.items(), key=itemgetter(1)), rows)} ({error})") from None
    for number in tokenizer.encode("").ids:
        if number >= rows:
            raise ValueError(_no_row(tokenizer.id_to_token(number) or "", number, rows))
    return tokenizer


def check_room(tokenizer: TextTokenizer, prompts: Iterable[str]) -> None:
    """Raises ValueError if special tokens and a prompt fill the maximum, so that all texts would get the same vector.

    A model that reads the end of a text truncates the prompt instead.
    """
    for prompt in dict.fromkeys(prompts):
        if prompt and tokenizer.reads_the_end:
            continue
        if tokenizer.max_tokens and (taken := tokenizer.count(prompt)) >= tokenizer.max_tokens:
            what = f"the prompt {prompt[:40]!r} has" if prompt else "its special tokens are"
            raise ValueError(f"it reads {tokenizer.max_tokens} tokens of a text, and {what} {taken}")


def _no_row(token: str, number: int, rows: int) -> str:
    return f"its tokenizer gives the token {token[:40]!r} the id {number}, and its table of vectors has {rows} rows"


def encoded(
    tokenizer: tokenizers.Tokenizer,
    texts: Sequence[str | tuple[str, str]],
    add_special_tokens: bool = True,
    offsets: bool = False,
) -> list[tokenizers.Encoding]:
    """Tokenizes texts, or pairs of texts, in this thread alone if the system refuses the library threads of its own.

    The tokens' places in the text are known only with ``offsets``.
    """
    for last in (False, True):
        encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
        try:
            return encode(list(texts), add_special_tokens=add_special_tokens)
        except BaseException as error:  # a panic in Rust is not an Exception
            if type(error).__name__ != "PanicException":
                raise
            if last:
                first = next(iter(str(error).strip().splitlines()), "a panic")
                raise EncodingFailed(
                    f"the tokenizers library failed ({first})",
                    "Raise the limits of this process (ulimit -u, ulimit -v) or end other processes, then try again.",
                ) from error
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
    raise AssertionError("the second attempt returns or raises")


def _between_words(text: str, at: int) -> bool:
    return text[at].isspace() or at == 0 or text[at - 1].isspace()


def _stripped(text: str, start: int, stop: int) -> Span:
    part = text[start:stop]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _starts(text: str, size: int) -> Iterator[int]:
    """Where slices of at most ``size`` characters start: after whitespace if there is any."""
    start = 0
    while start < len(text) or start == 0:
        yield start
        end = start + size
        if end < len(text):
            cut = max((text.rfind(space, start + size // 2, end) for space in " \n\t"), default=-1)
            end = cut if cut > start else end
        start = end


def _slices(text: str, size: int) -> Iterator[str]:
    starts = list(_starts(text, size))
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end]
