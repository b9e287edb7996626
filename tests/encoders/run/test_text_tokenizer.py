"""How do texts of any length become tokens: the same ones as uncut, counted, and parted without a gap."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import load_encoder
from vecindex.encoders.run.text_tokenizer import HUGE, TextTokenizer

from ...support.children import environment
from ...support.extent import every, examples, slow
from ...support.models.families import FAMILIES, PROMPTS, sentence_model, transformer_folder

KINDS = {"word pieces": "bert", "bytes": "roberta", "bytes alone": "qwen2", "pieces": "xlm-roberta"}
MAX = 12
SENTENCE = "the quick brown fox jumps over a lazy dog while it rains in the old town by the sea, 1 2 3. "
HUGE_TEXTS = {
    "words": SENTENCE * 3000,
    "lines": SENTENCE.replace(" ", "\n") * 3000,
    "no spaces": "今日は良い天気ですね" * 20_000,
    "emoji": "🚆👩‍👩‍👧‍👦" * 20_000,
    "one word": "a" * 200_000,
    "whitespace": " \n\t" * 60_000,
    "a word behind whitespace": " " * 200_000 + "fox",
}


def backend(kind: str) -> Any:
    return FAMILIES[KINDS[kind]].tokenizer().backend_tokenizer


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest) -> Any:
    """The library's own tokenizer, which cuts nothing."""
    return backend(request.param)


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("text", ["", "fox", SENTENCE, SENTENCE * 9, "今日は", "🚆", " ", "a" * 99])
def test_tokens_are_the_librarys_truncated_at_the_maximum(whole: Any, text: str, side: Any) -> None:
    (tokens,) = TextTokenizer.like(whole, MAX, side).tokenize([text])
    assert tokens.total == len(whole.encode(text).ids)
    whole.enable_truncation(MAX, direction=side)
    assert list(tokens.ids) == whole.encode(text).ids
    whole.no_truncation()


def test_without_a_maximum_and_special_tokens_nothing_is_truncated_or_added(whole: Any) -> None:
    bare = TextTokenizer.like(whole, 0, special=False)
    (tokens,) = bare.tokenize([SENTENCE * 9])
    assert list(tokens.ids) == whole.encode(SENTENCE * 9, add_special_tokens=False).ids
    assert (tokens.total, tokens.lost) == (len(tokens.ids), 0)


@pytest.mark.parametrize("side", ["right", slow("left")])
@pytest.mark.parametrize("name", every(3, HUGE_TEXTS))
def test_a_huge_text_keeps_the_same_tokens_and_counts_the_rest(whole: Any, name: str, side: Any) -> None:
    text = HUGE_TEXTS[name]
    assert len(text) > HUGE
    tokenizer = TextTokenizer.like(whole, MAX, side)
    tokens, short = tokenizer.tokenize([text, "fox"])
    whole.enable_truncation(MAX, direction=side)
    kept = whole.encode(text).ids
    whole.no_truncation()
    assert list(tokens.ids) == kept
    assert list(short.ids) == whole.encode("fox").ids
    total = len(whole.encode(text).ids)
    # Where a text is sliced within a word, a token may become two.
    assert tokens.total == (total if total <= MAX else pytest.approx(total, rel=1e-4, abs=len(text) / HUGE + 1))


@pytest.mark.parametrize("name", ["words", slow("lines")])
def test_a_huge_text_without_a_maximum_has_the_same_tokens_in_slices(whole: Any, name: str) -> None:
    (tokens,) = TextTokenizer.like(whole, 0, special=False).tokenize([HUGE_TEXTS[name]])
    assert list(tokens.ids) == whole.encode(HUGE_TEXTS[name], add_special_tokens=False).ids


def test_strings_come_from_the_vocabulary(whole: Any) -> None:
    tokenizer = TextTokenizer.like(whole, MAX)
    encoding = whole.encode("the fox")
    assert tokenizer.strings(encoding.ids) == encoding.tokens
    assert tokenizer.strings([10**6]) == ["#1000000"]


# --- spans -----------------------------------------------------------------------------------------------------------


def check_spans(tokenizer: TextTokenizer, text: str, room: int) -> list[str]:
    spans = tokenizer.spans(text, room)
    assert all(start < end for start, end in spans) or not text.strip()
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    parts = [text[start:end] for start, end in spans]
    # Nothing but whitespace is between the parts, before the first and behind the last.
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)
    return parts


PARTED = {
    **{"a word": "fox", "a sentence": SENTENCE, "sentences": SENTENCE * 9, "no spaces": "今日は良い天気ですね。" * 9},
    **{"emoji": "🚆👩‍👩‍👧‍👦" * 9, "one word": "a" * 300},
}


@pytest.mark.parametrize("room", [1, 2, 5, 10, 1000])
@pytest.mark.parametrize("name", PARTED)
def test_parts_are_in_order_and_fit_the_room(whole: Any, name: str, room: int) -> None:
    tokenizer, text = TextTokenizer.like(whole, 0, special=False), PARTED[name]
    check_spans(tokenizer, text, room)
    starts = [start for start, end in whole.encode(text, add_special_tokens=False).offsets if end > start]
    for start, end in tokenizer.spans(text, room):
        within = [at for at in starts if start <= at < end]
        # Several tokens that begin at one character are never parted.
        assert len(within) <= room or len(set(within)) == 1


def test_parts_end_between_words_if_possible(whole: Any) -> None:
    tokenizer = TextTokenizer.like(whole, 0, special=False)
    words = set(SENTENCE.split())
    assert {word for part in check_spans(tokenizer, SENTENCE * 9, 20) for word in part.split()} == words


@pytest.mark.parametrize("name", [*PARTED, "huge"])
def test_offsets_are_those_of_all_tokens_but_special_ones(whole: Any, name: str) -> None:
    text = HUGE_TEXTS["words"] if name == "huge" else PARTED[name]
    expected = [span for span in whole.encode(text, add_special_tokens=False).offsets if span[1] > span[0]]
    assert TextTokenizer.like(whole, MAX).offsets(text) == expected


@pytest.mark.parametrize("text", ["", " ", "\n\t  \n"])
def test_whitespace_alone_is_one_part(whole: Any, text: str) -> None:
    assert TextTokenizer.like(whole, MAX).spans(text, 5) == [(0, len(text))]


@pytest.mark.parametrize("name", ["words", slow("no spaces"), slow("one word"), "whitespace"])
def test_a_huge_text_is_split_too(whole: Any, name: str) -> None:
    check_spans(TextTokenizer.like(whole, MAX), HUGE_TEXTS[name], 500)


@examples(60)
@given(text=st.text(max_size=60), room=st.integers(1, 9), kind=st.sampled_from(sorted(KINDS)))
def test_any_text_is_split_without_a_gap(text: str, room: int, kind: str) -> None:
    check_spans(TextTokenizer.like(backend(kind), MAX), text, room)


@pytest.mark.parametrize("kind", every(2, KINDS))
@pytest.mark.parametrize("prompts", [None, PROMPTS], ids=["no prompts", "prompts"])
def test_no_part_is_truncated(kind: str, prompts: dict[str, str] | None, tmp_path: Path) -> None:
    base = transformer_folder(tmp_path / "base", FAMILIES[KINDS[kind]])
    encoder = load_encoder(sentence_model(tmp_path / "model", base, ["mean"], prompts=prompts), runtime="torch")
    for text in (SENTENCE.replace(" ", ""), *PARTED.values()):
        parts = [text[start:end] for start, end in encoder.parts(text)]
        assert not encoder.encode_all(parts).truncated.any()
        assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)
        assert encoder.encode_all([text], on_long="mean").lost.tolist() == [0]


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from Linux's /proc")
def test_a_line_of_ten_megabytes_takes_little_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = transformer_folder(tmp_path_factory.mktemp("tokens") / "base", FAMILIES["bert"])
    code = (
        "from pathlib import Path\n"
        "from vecindex.encoders.run.text_tokenizer import TextTokenizer\n"
        # Of this process alone; what the resource module says begins with the parent's.
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        f"tokenizer = TextTokenizer.from_file(Path({str(folder / 'tokenizer.json')!r}), 256)\n"
        f"line = {SENTENCE!r} * {10_000_000 // len(SENTENCE)}\n"
        "tokenizer.tokenize(['fox'])\n"
        "before = peak()\n"
        "print(len(tokenizer.tokenize([line])[0].ids), len(tokenizer.spans(line, 254)) > 1000, peak() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    read, parted, kilobytes = ran.stdout.split()
    assert (read, parted) == ("256", "True")
    assert int(kilobytes) < 300_000
