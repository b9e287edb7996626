"""How does a text become token ids, what of it is cut off, and where can it be parted: both runtimes' tokenizer.

A text of any length is tokenized in bounded memory: of one longer than `HUGE` characters only as much as the model
reads is kept, and the rest is counted slice by slice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Literal, get_args

import tokenizers

from ...errors import EncodingFailed
from ...values.space import Role
from .encoder import Encoder, Span, Tokens
from .unknown_texts import Surroundings

TOKENIZER_FILE = "tokenizer.json"
HUGE = 100_000
"""Characters above which a text is tokenized in slices; a token of more than 32 on average would be very long."""
_CHARACTERS_A_TOKEN = 32
_SLICES_AT_ONCE = 16


class TextTokenizer:
    """A model's tokenizer, with the model's maximum; safe to use from several threads."""

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        max_tokens: int,
        truncation: Literal["right", "left"] = "right",
        special: bool = True,
    ) -> None:
        """``max_tokens`` 0 is no limit; ``special`` adds the model's own tokens around each text."""
        tokenizer.no_padding()
        if max_tokens:
            tokenizer.enable_truncation(max_tokens, direction=truncation)
        else:
            tokenizer.no_truncation()
        self._cut = tokenizer
        self.special = tokenizer.num_special_tokens_to_add(is_pair=False) if special else 0
        self._add_special = special
        self.max_tokens = max_tokens
        self.reads_the_end = truncation == "left"
        self._huge = max(HUGE, _CHARACTERS_A_TOKEN * max_tokens)

    @classmethod
    def like(
        cls,
        tokenizer: tokenizers.Tokenizer,
        max_tokens: int,
        truncation: Literal["right", "left"] = "right",
        special: bool = True,
    ) -> TextTokenizer:
        """One that does as ``tokenizer``, whose own cutting and padding others may go on to set."""
        return cls(tokenizers.Tokenizer.from_str(tokenizer.to_str()), max_tokens, truncation, special)

    @classmethod
    def from_file(
        cls, path: Path, max_tokens: int, truncation: Literal["right", "left"] = "right", special: bool = True
    ) -> TextTokenizer:
        return cls(tokenizers.Tokenizer.from_file(str(path)), max_tokens, truncation, special)

    @classmethod
    def from_json(cls, text: str) -> TextTokenizer:
        """The tokenizer of which `to_json` wrote ``text``."""
        definition, *settings = json.loads(text)
        return cls(tokenizers.Tokenizer.from_str(definition), *settings)

    def to_json(self) -> str:
        """All of it, to be made again in another process."""
        truncation = "left" if self.reads_the_end else "right"
        return json.dumps([self._cut.to_str(), self.max_tokens, truncation, self._add_special])

    def save(self, path: Path) -> None:
        """Writes what `from_file` reads."""
        self._cut.save(str(path))

    @cached_property
    def _whole(self) -> tokenizers.Tokenizer:
        """Another that cuts nothing, since cutting is a state that all threads share; for long texts only."""
        whole = tokenizers.Tokenizer.from_str(self._cut.to_str())
        whole.no_truncation()
        return whole

    @cached_property
    def unknown(self) -> frozenset[int]:
        """The ids that stand for what the vocabulary lacks, and the one of nothing but the beginning of a word."""
        named = getattr(self._cut.model, "unk_token", None)
        names = [named] if named else ["<unk>", "[UNK]"]  # of unigrams the library does not say it
        found = (self._cut.token_to_id(name) for name in (*names, "\u2581"))
        return frozenset(id_ for id_ in found if id_ is not None)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The texts' tokens, cut at the maximum."""
        if any(len(text) > self._huge for text in texts):
            return [self._tokenize_huge(t) if len(t) > self._huge else self.tokenize([t])[0] for t in texts]
        encodings = _encoded(self._cut, list(texts), add_special_tokens=self._add_special)
        return [self._tokens(encoding) for encoding in encodings]

    def strings(self, ids: Sequence[int]) -> list[str]:
        """What stands for each token in the vocabulary."""
        return [self._cut.id_to_token(id_) or f"#{id_}" for id_ in ids]

    def count(self, text: str) -> int:
        """How many tokens a text has, special ones included."""
        slices = _slices(text, self._huge)
        return self.special + sum(map(len, self._plain(slices)))

    def spans(self, text: str, room: int) -> list[Span]:
        """Where to part a text so that each part has at most ``room`` tokens, special ones not counted.

        The parts follow each other without a gap, whitespace around them aside; they end between words, unless one
        word alone has more tokens. A text of whitespace alone is one part.
        """
        starts: list[int] = []
        for first, piece in zip(_starts(text, self._huge), _slices(text, self._huge), strict=True):
            for encoding in self._whole.encode_batch([piece], add_special_tokens=False):
                starts.extend(first + start for start, end in encoding.offsets if end > start)
        parts: list[Span] = []
        begin = 0  # a position in ``starts``
        while begin < len(starts):
            end = begin + max(1, room)
            if end < len(starts):
                # Tokens of one character (an emoji's bytes, say) start at one place, and are not parted.
                fits = [at for at in range(end, begin, -1) if starts[at] != starts[at - 1]]
                end = next((at for at in fits if _between_words(text, starts[at])), fits[0] if fits else end)
            while end < len(starts) and starts[end] == starts[end - 1]:
                end += 1
            stop = starts[end] if end < len(starts) else len(text)
            # What is before the first token belongs to it too: characters that the tokenizer leaves out.
            parts.append(_stripped(text, starts[begin] if begin else 0, stop))
            begin = end
        # Some tokenizers have tokens for whitespace.
        return [(start, stop) for start, stop in parts if start < stop] or [(0, len(text))]

    def _tokens(self, encoding: tokenizers.Encoding) -> Tokens:
        # Each overflowing piece repeats the special tokens.
        lost = sum(len(piece) - self.special for piece in encoding.overflowing)
        return Tokens(encoding.ids, len(encoding.ids) + lost)

    def _plain(self, slices: Iterator[str]) -> Iterator[list[int]]:
        """The slices' ids without special ones, a few slices at a time."""
        batch: list[str] = []
        for piece in slices:
            batch.append(piece)
            if len(batch) == _SLICES_AT_ONCE:
                yield from (e.ids for e in _encoded(self._whole, batch, add_special_tokens=False))
                batch = []
        yield from (e.ids for e in _encoded(self._whole, batch, add_special_tokens=False))

    def _tokenize_huge(self, text: str) -> Tokens:
        if not self.max_tokens:
            ids = [id_ for piece in self._plain(_slices(text, self._huge)) for id_ in piece]
            return Tokens(ids, len(ids))
        size = self._huge
        while True:  # until there is more than the model reads: nearly always at once
            end = text[-size:] if self.reads_the_end else text[:size]
            (encoding,) = _encoded(self._cut, [end], add_special_tokens=self._add_special)
            if size >= len(text):
                return self._tokens(encoding)
            if encoding.overflowing:
                return Tokens(encoding.ids, max(self.count(text), len(encoding.ids)))
            size *= 8


def within_table(tokenizer: tokenizers.Tokenizer, rows: int) -> tokenizers.Tokenizer:
    """The tokenizer, of whose tokens none has a number beyond a table of so many ``rows``.

    What was added to a vocabulary and got no row, as the marks of images in a model that reads text, becomes text
    again. Raises ValueError where a token of the vocabulary itself, or one that is put around each text, has no row.
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
        except Exception as error:  # it is named elsewhere, around each text say
            raise ValueError(f"{_no_row(*max(beyond.items(), key=itemgetter(1)), rows)} ({error})") from None
    for number in tokenizer.encode("").ids:
        if number >= rows:
            raise ValueError(_no_row(tokenizer.id_to_token(number) or "", number, rows))
    return tokenizer


def check_room(tokenizer: TextTokenizer, prompts: Iterable[str]) -> None:
    """Raises ValueError where the maximum leaves no room for a text beside the model's own tokens and a prompt.

    The vectors of all texts would be the same. Where the end of a text is what is read, it is the prompt that is cut.
    """
    for prompt in dict.fromkeys(prompts):
        if prompt and tokenizer.reads_the_end:
            continue
        if tokenizer.max_tokens and (taken := tokenizer.count(prompt)) >= tokenizer.max_tokens:
            what = f"the prompt {prompt[:40]!r} has" if prompt else "the tokens that it puts around each are"
            raise ValueError(f"it reads {tokenizer.max_tokens} tokens of a text, and {what} {taken}")


def _no_row(token: str, number: int, rows: int) -> str:
    return f"its tokenizer gives the token {token[:40]!r} the number {number}, and its table of vectors has {rows} rows"


def _encoded(tokenizer: tokenizers.Tokenizer, texts: list[str], add_special_tokens: bool) -> list[tokenizers.Encoding]:
    """The texts tokenized, in this thread alone where the system gives the library no threads of its own."""
    for last in (False, True):
        try:
            return tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        except BaseException as error:  # a panic of a library in Rust is no Exception
            if type(error).__name__ != "PanicException":
                raise
            if last:
                first = next(iter(str(error).strip().splitlines()), "a panic")
                raise EncodingFailed(
                    f"the library that tokenizes gave up ({first})",
                    "Raise the limits of this process (ulimit -u, ulimit -v), or end other processes, and try again.",
                ) from error
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
    raise AssertionError("the second time returns or raises")


def _between_words(text: str, at: int) -> bool:
    return text[at].isspace() or at == 0 or text[at - 1].isspace()


def _stripped(text: str, start: int, stop: int) -> Span:
    part = text[start:stop]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _starts(text: str, size: int) -> Iterator[int]:
    """Where slices of at most ``size`` characters start: behind whitespace where there is some."""
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


class TokenizingEncoder(Encoder):
    """An encoder whose tokens are those of ``text_tokenizer``."""

    text_tokenizer: TextTokenizer

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return self.text_tokenizer.tokenize(texts)

    def strings(self, ids: Sequence[int]) -> list[str]:
        return self.text_tokenizer.strings(ids)

    def spans(self, text: str, room: int) -> list[Span]:
        return self.text_tokenizer.spans(text, room)

    def _surrounding(self, role: Role) -> Surroundings:
        return self._surroundings[role]

    @cached_property
    def _surroundings(self) -> dict[Role, Surroundings]:
        # Some tokenizers give the space behind a prompt a token of its own, where no text follows.
        empty, *prompts = self.tokenize(["", *(self.space.prompt(role).rstrip() for role in get_args(Role))])
        silent = self.text_tokenizer.unknown.union(empty.ids)
        found: dict[Role, Surroundings] = {}
        for role, prompt in zip(get_args(Role), prompts, strict=True):
            ends = bool(empty.ids) and empty.ids[-1] == prompt.ids[-1]  # a special token that ends every text
            found[role] = Surroundings(len(prompt.ids) - ends if self.space.prompt(role) else 0, silent)
        return found
