"""Segments: built, merged and renumbered to the same bytes; written and read; damage is found."""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.search.lexical import building
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexical.building import build, merge, renumbered
from vecindex.search.lexical.postings import Postings
from vecindex.search.lexical.query import parse_query
from vecindex.search.lexical.segment import Segment, dump, load
from vecindex.search.lexical.settings import LexicalSettings

from ...support.extent import examples

PLAIN = Analyzer(LexicalSettings(language=None))
TITLED = Analyzer(LexicalSettings(language=None, fields=(("title", 2.5), ("tag", 0.3))))

texts = st.text(st.sampled_from("ab c1-\u6771\u4eac"), max_size=30)
pairs = st.tuples(texts, texts, texts)


def segment(first: int, documents: Sequence[str | Sequence[str]], analyzer: Analyzer = PLAIN) -> Segment:
    rows = [(first + i, (each,) if isinstance(each, str) else each) for i, each in enumerate(documents)]
    return build(analyzer, first, first + len(documents), rows)


def data(made: Segment) -> bytes:
    return b"".join(dump(made))


def terms_of(made: Segment) -> list[tuple[list[int], list[float], list[float]]]:
    """Of each term the rows, how often they have it, and their lengths."""
    found = []
    for number in range(len(made.hashes)):
        rows, codes = made.postings(number)
        found.append((rows.tolist(), made.counts[codes].tolist(), made.lengths[codes].tolist()))
    return found


def test_a_segment_holds_rows_counts_and_lengths() -> None:
    made = build(PLAIN, 10, 15, [(10, ("a b a",)), (12, ("b",)), (13, ("",))])
    assert sorted(terms_of(made)) == [([0], [2.0], [3.0]), ([0, 2], [1.0, 1.0], [3.0, 1.0])]
    assert made.row_lengths.tolist() == [3, 0, 1, 0, 0]
    assert made.total == 4
    titled = build(TITLED, 0, 1, [(0, ("a", "a b", "a"))])
    assert sorted(terms_of(titled)) == [
        ([0], [2.5], [np.float32(6.3)]),
        ([0], [pytest.approx(3.8)], [np.float32(6.3)]),
    ]


def test_an_empty_segment_is_one_too() -> None:
    for made in (build(PLAIN, 3, 3, []), build(PLAIN, 0, 2, [(0, ("",))])):
        assert data(load(data(made))) == data(made)
        assert Postings([made]).top(parse_query("a", PLAIN), 5)[0].tolist() == []
    assert Postings([]).top(parse_query("a", PLAIN), 5)[0].tolist() == []


@pytest.mark.parametrize("rows", [[2], [-1], [0, 0], [1, 0]])
def test_rows_out_of_order_are_refused(rows: list[int]) -> None:
    with pytest.raises(ValueError, match="comes after row"):
        build(PLAIN, 0, 2, [(row, ("a",)) for row in rows])


def test_each_row_has_a_text_for_each_field() -> None:
    with pytest.raises(ValueError, match="1 texts for 3 fields"):
        build(TITLED, 0, 1, [(0, ("a",))])


@examples(600)
@given(documents=st.lists(pairs, max_size=12), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_merged_segments_are_the_same_as_one_built_at_once(
    documents: list[tuple[str, str, str]], cuts: list[int]
) -> None:
    edges = sorted({5, *(5 + min(cut, len(documents)) for cut in cuts), 5 + len(documents)})
    parts = [segment(first, documents[first - 5 : stop - 5], TITLED) for first, stop in pairwise(edges)]
    assert not parts or data(merge(parts)) == data(segment(5, documents, TITLED))


@examples(600)
@given(documents=st.lists(pairs, min_size=1, max_size=12), drawn=st.randoms(use_true_random=False))
def test_a_renumbered_segment_is_the_same_as_one_built_anew(
    documents: list[tuple[str, str, str]], drawn: random.Random
) -> None:
    new, row = [], 20
    for _ in documents:
        row += drawn.randrange(3)
        new.append(-1 if drawn.random() < 0.4 else row)
        row += new[-1] >= 0
    kept = [(row, texts) for row, texts in zip(new, documents, strict=True) if row >= 0]
    built = build(TITLED, 20, row + 1, kept)
    assert data(renumbered(segment(7, documents, TITLED), np.array(new), 20, row + 1)) == data(built)


@pytest.mark.parametrize("new", [[0], [0, 0], [1, 0], [0, 5], [-1, 1]])
def test_other_numbers_are_refused(new: list[int]) -> None:
    with pytest.raises(ValueError, match="new numbers"):
        renumbered(segment(0, ["a", "b"]), np.array(new), 0 if new != [-1, 1] else 2, 4)


def test_segments_that_are_not_adjacent_are_not_merged() -> None:
    one, other = segment(0, ["a"]), segment(2, ["a"])
    for parts in ([], [one, other], [other, one]):
        with pytest.raises(ValueError, match="adjacent"):
            merge(parts)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [" ".join(random.Random(i).choices("abcdefgh", k=i % 7)) for i in range(100)]
    whole = data(segment(3, documents))
    monkeypatch.setattr(building, "_UNITS_A_BLOCK", 20)
    monkeypatch.setattr(building, "_CHARACTERS_AT_ONCE", 10)
    assert data(segment(3, documents)) == whole
    monkeypatch.setattr(building, "_COMBINATIONS", 3)
    assert data(segment(3, documents)) == whole


def test_rows_of_all_kinds_are_the_same_added_one_by_one_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(5)
    documents = [
        tuple("".join(drawn.choices("ab c1-\u6771\u00e9", k=drawn.randrange(12))) for _ in "123") for _ in range(60)
    ]
    whole = data(segment(3, documents, TITLED))
    for characters in (1_000_000, 1, 40):
        monkeypatch.setattr(building, "_CHARACTERS_AT_ONCE", characters)
        builder = building.Builder(TITLED, 3)
        for start in range(0, len(documents), 25):
            some = documents[start : start + 25]
            builder.add(range(3 + start, 3 + start + len(some)), [text for texts in some for text in texts])
        assert data(builder.segment(3 + len(documents))) == whole


def test_terms_beyond_two_bytes_are_put_in_order() -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << 33, 1000)
    numbers[::3] = numbers[0]
    assert building._by_number(numbers, 1 << 33).tolist() == np.argsort(numbers, kind="stable").tolist()
    few = numbers % 5
    assert building._by_number(few, 5).tolist() == np.argsort(few, kind="stable").tolist()


def test_more_pairs_than_two_bytes_can_number() -> None:
    drawn = random.Random(1)
    documents = [" ".join(["a"] * drawn.randrange(1, 400) + ["b"] * drawn.randrange(400)) for _ in range(70_000 // 400)]
    base = segment(0, documents)
    made = merge([segment(0, documents), segment(len(documents), documents)])
    assert made.codes.dtype == np.uint16
    wide = Segment(
        **{**{name: getattr(base, name) for name in base.__dataclass_fields__}, "codes": base.codes.astype("<u4")}
    )
    again = load(data(wide))
    assert again.codes.dtype == np.uint32
    assert terms_of(again) == terms_of(base)


@examples(300)
@given(documents=st.lists(texts, max_size=12))
def test_a_segment_is_written_and_read(documents: list[str]) -> None:
    made = segment(4, documents)
    again = load(memoryview(data(made)))
    assert (again.first, again.stop) == (made.first, made.stop)
    assert terms_of(again) == terms_of(made)
    assert data(again) == data(made)
    again.check()


def test_a_file_is_laid_out_as_the_guide_says() -> None:
    content = data(segment(7, ["a b a", "", "b"]))
    magic, first, stop, terms, postings, pairs, width, _, total, _, _ = struct.unpack_from("<8s5Q2Id2I", content)
    assert (magic, first, stop, terms, postings, pairs, width, total) == (b"VXLEXIC1", 7, 10, 2, 3, 3, 2, 4.0)
    at = 72

    def take(kind: str, count: int) -> list[int]:
        nonlocal at
        array = np.frombuffer(content, kind, count, at)
        at += array.nbytes + -array.nbytes % 8
        found: list[int] = array.tolist()
        return found

    assert (take("<f8", pairs), take("<f8", pairs)) == ([1, 1, 2], [1, 3, 3])
    heads, _ = take("<u8", 1), take("<u4", 1)
    hashes, offsets = take("<u8", terms), take("<u8", terms + 1)
    hash_of_a, hash_of_b = (
        int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little") for word in (b"a", b"b")
    )
    assert hashes == sorted([hash_of_a, hash_of_b])
    assert heads == hashes[:1]
    a, b = hashes.index(hash_of_a), hashes.index(hash_of_b)
    largest, shortest, checksums = take("<f4", terms), take("<f4", terms), take("<u4", terms)
    assert (largest[a], shortest[a], largest[b], shortest[b]) == (2, 3, 1, 1)
    assert take("<f4", stop - first) == [3, 0, 1]
    rows, codes = take("<u4", postings), take("<u2", postings)
    assert rows[offsets[a] : offsets[a + 1]] == [0]
    assert codes[offsets[a] : offsets[a + 1]] == [2]
    assert rows[offsets[b] : offsets[b + 1]] == [0, 2]
    assert codes[offsets[b] : offsets[b + 1]] == [1, 0]
    assert checksums[b] == zlib.crc32(struct.pack("<2I2H", 0, 2, 1, 0))
    assert at == len(content)


# --- damage


SOUND = data(segment(4, ["a b a", "b c", "", "c c c c", "\u6771\u4eac E-1"]))


def use(found: bytes) -> None:
    """Reads everything and searches; raises ValueError if anything is damaged."""
    made = load(found)
    made.check()
    postings = Postings([made], np.full(2, 0b10111111, np.uint8))
    for text in ("a", "b c", "e-1 a b c"):
        query = parse_query(text, PLAIN)
        rows, _ = postings.top(query, 3)
        for row in rows.tolist():
            postings.contributions(query, row)
    merge([made])


def test_what_is_sound_is_used() -> None:
    use(SOUND)


@pytest.mark.parametrize("byte", range(len(SOUND)))
def test_every_changed_byte_is_found(byte: int) -> None:
    damaged = bytearray(SOUND)
    damaged[byte] ^= 0x41
    assert len(damaged) == len(SOUND)
    try:
        use(bytes(damaged))
    except ValueError:
        return
    assert SOUND[byte] == 0  # what only fills up to 8 bytes is not checked


def test_damage_in_a_large_directory_is_found_where_it_is_used() -> None:
    made = segment(0, [" ".join(f"w{i}" for i in range(first, first + 40)) for first in range(0, 2000, 30)])
    sound, drawn = data(made), random.Random(3)
    assert [load(sound).find(number) for number in made.hashes.tolist()] == list(range(len(made.hashes)))
    found = 0
    for _ in range(200):
        damaged = bytearray(sound)
        damaged[drawn.randrange(len(sound))] ^= 0x41
        with contextlib.suppress(ValueError):
            use(bytes(damaged))
            continue
        found += 1
    assert found >= 198


@examples(600)
@given(length=st.integers(0, len(SOUND)), more=st.binary(max_size=40))
def test_files_of_another_length_are_refused(length: int, more: bytes) -> None:
    if len(cut := SOUND[:length] + more) != len(SOUND):
        with pytest.raises(ValueError, match="file of postings"):
            load(cut)


@examples(1000)
@given(garbage=st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    for each in (garbage, SOUND[:8] + garbage):
        with pytest.raises(ValueError, match="file of postings"):
            load(each)


@examples(1000)
@given(drawn=st.randoms(use_true_random=False))
def test_forged_files_with_right_checksums_never_crash(drawn: random.Random) -> None:
    """Every array is changed before it is written, so that the checksums fit."""
    base = load(SOUND)
    fields = {name: getattr(base, name) for name in base.__dataclass_fields__}
    name = drawn.choice(
        ["counts", "lengths", "hashes", "offsets", "largest", "shortest", "row_lengths", "rows", "codes"]
    )
    array = fields[name].copy()
    for _ in range(drawn.randrange(1, 4)):
        raw = array.view(np.uint8)
        raw[drawn.randrange(len(raw))] = drawn.randrange(256)
    fields |= {name: array, "_checked": set(), "_known": {}}
    try:
        found = data(Segment(**fields))
    except (ValueError, IndexError, MemoryError, OverflowError):
        return  # no such file can be written
    with contextlib.suppress(ValueError):
        use(found)
