"""Is every text that is longer than the model reads dealt with as was asked, and is what is lost of it told?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import AddReport, Index, InvalidInput, Record, TextTooLong
from vecindex.index.adding import encode_ahead
from vecindex.index.adding.long_texts import OnLong

from ..support.extent import examples
from ..support.helpers import opened, sql, state_of
from ..support.migrating import Other
from ..support.toy import ToyEncoder

WORDS = [f"w{n}" for n in range(80)]
LONG = " ".join(WORDS)  # the toy reads 32 words


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i") as index:
        yield index


def rows(index: Index) -> dict[str, int]:
    return dict(sql(index.path, "select key, row from records order by row"))


# --- truncate --------------------------------------------------------------------------------------------------------


def test_truncate_is_the_default_and_counts_what_is_lost(index: Index) -> None:
    assert index.add([LONG, "w0"], keys=["a", "b"]) == AddReport(added=2, truncated=1, tokens_lost=48)
    assert (index.info().truncated, index.info().tokens_lost) == (1, 48)
    assert [(hit.key, hit.lost) for hit in index.search("w1", k=2)] == [("a", 48), ("b", 0)]
    assert index.add([LONG], keys=["a"], metadata=[{"n": 1}]) == AddReport(updated=1)
    assert index.search("w1", k=1)[0].lost == 48


# --- error -----------------------------------------------------------------------------------------------------------


def test_error_names_the_record_and_stores_nothing_of_its_commit(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 2)
    with pytest.raises(TextTooLong) as caught:
        index.add(["one", "two", "three", LONG], keys=list("abcd"), on_long="error")
    assert (caught.value.item, caught.value.key, caught.value.tokens, caught.value.limit) == (3, "d", 80, 32)
    assert set(state_of(index)) == {"a", "b"}


def test_error_refuses_what_was_truncated_before_too(index: Index) -> None:
    index.add([LONG], keys=["a"])
    for key in ("a", "b"):  # unchanged, and in the cache
        with pytest.raises(TextTooLong):
            index.add([LONG], keys=[key], on_long="error")
    assert index.add(["one"], keys=["a"], on_long="error") == AddReport(updated=1)


def test_error_refuses_what_turns_out_to_be_needed_only_when_it_is_committed(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 4)
    index.add([LONG], keys=["k"], on_long="mean")
    with pytest.raises(TextTooLong) as caught:  # unchanged, until the commit before it changes k
        index.add(["short", "a", "b", "c", "d", LONG], keys=list("k1234k"), on_long="error", on_duplicate="last")
    assert (caught.value.item, caught.value.key, caught.value.tokens) == (5, "k", 80)
    assert state_of(index) == {"k": ("short", {}), "1": ("a", {}), "2": ("b", {}), "3": ("c", {})}
    assert index.info().truncated == 0


# --- mean ------------------------------------------------------------------------------------------------------------


def test_mean_is_the_mean_of_the_parts_and_loses_nothing(index: Index) -> None:
    assert index.add([LONG, "one"], keys=["a", "b"], on_long="mean") == AddReport(added=2)
    expected = ToyEncoder().encode_all([LONG], on_long="mean").vectors[0]
    assert index.get("a").vector == pytest.approx(expected, abs=1e-6)
    assert (index.info().truncated, index.info().cached_texts) == (0, 1)  # how LONG was encoded, the cache cannot say
    assert index.add([LONG], keys=["a"], on_long="mean") == AddReport(unchanged=1)
    assert index.add([LONG], keys=["c"]) == AddReport(added=1, truncated=1, tokens_lost=48)
    assert index.add([LONG], keys=["a"]) == AddReport(unchanged=1)


def test_what_was_truncated_is_encoded_again_for_the_mean(index: Index) -> None:
    index.add([LONG, "one"], keys=["a", "b"])
    assert index.add([LONG, "one"], keys=["a", "b"], on_long="mean") == AddReport(updated=1, unchanged=1)
    assert index.info().truncated == 0
    expected = ToyEncoder().encode_all([LONG], on_long="mean").vectors[0]
    assert index.get("a").vector == pytest.approx(expected, abs=1e-6)


def test_a_mean_that_was_damaged_is_repaired_as_a_mean(index: Index) -> None:
    index.add([LONG, "one"], keys=["a", "b"], on_long="mean")
    before = index.get("a").vector
    with (index.path / "vectors-1.f32").open("r+b") as file:
        file.write(b"\xff" * 8)
    assert index.repair().ok
    assert before is not None
    assert index.get("a").vector == pytest.approx(np.array(before), abs=1e-6)


# --- split -----------------------------------------------------------------------------------------------------------


def stored_parts(index: Index) -> dict[str, tuple[str, int, int, int]]:
    """By key of each part: the key of its text, its position, and the characters it has of that."""
    select = 'select r.key, d.key, position, start, "end" from records r join documents d on d.id = document'
    return {key: (owner, *numbers) for key, owner, *numbers in sql(index.path, select)}


def test_split_stores_parts_with_whose_they_are_and_where_they_were(index: Index) -> None:
    report = index.add([LONG, "one"], keys=["a", "b"], metadata=[{"n": 1}, {"n": 2}], on_long="split")
    parts = ToyEncoder().parts(LONG)
    assert report == AddReport(added=len(parts) + 1)
    assert state_of(index) == {
        **{f"a#{number}": (LONG[start:end], {"n": 1}) for number, (start, end) in enumerate(parts, 1)},
        "b": ("one", {"n": 2}),
    }
    assert stored_parts(index) == {
        f"a#{position + 1}": ("a", position, start, end) for position, (start, end) in enumerate(parts)
    }
    assert " ".join(text for key, (text, _) in state_of(index).items() if key != "b") == LONG
    assert index.info().truncated == 0
    assert len(index.search("w1", k=9, where="document = 'a'")) == len(parts)
    assert index.verify().ok


def test_adding_a_split_text_again_changes_nothing(index: Index) -> None:
    index.add([LONG, "one"], keys=["a", "b"], on_long="split")
    before, generation = rows(index), index.info().generation
    count = len(before)
    assert index.add([LONG, "one"], keys=["a", "b"], on_long="split") == AddReport(unchanged=count)
    assert (rows(index), index.info().generation) == (before, generation)


def test_parts_that_are_the_same_stay_and_those_that_are_no_more_go(index: Index) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    before = rows(index)
    shorter = LONG[: LONG.index(" w62")] + " other"
    report = index.add([shorter], keys=["a"], on_long="split")
    parts = ToyEncoder().parts(shorter)
    assert report.removed == len(before) - len(parts)
    assert rows(index)["a#1"] == before["a#1"]
    assert [text for text, _ in state_of(index).values()] == [shorter[a:b] for a, b in parts]


def test_a_text_that_fits_now_takes_the_place_of_its_parts_and_back(index: Index) -> None:
    index.add([LONG, "stays"], keys=["a", "aa#1"], metadata=[{"n": 1}, {}], on_long="split")
    parts = len(index) - 1
    assert index.add(["short"], keys=["a"], on_long="split") == AddReport(added=1, removed=parts)
    assert state_of(index) == {"aa#1": ("stays", {}), "a": ("short", {"n": 1})}
    assert index.add([LONG], keys=["a"], on_long="split") == AddReport(added=parts, removed=1)
    assert len(index) == parts + 1
    assert all(metadata["n"] == 1 for key, (_, metadata) in state_of(index).items() if key != "aa#1")
    assert index.verify().ok


def test_a_text_that_was_stored_whole_before_is_split_now(index: Index) -> None:
    index.add([LONG], keys=["a"], metadata=[{"n": 1}])
    report = index.add([LONG], keys=["a"], on_long="split")
    assert (report.removed, report.truncated, "a" in rows(index)) == (1, 0, False)
    assert {metadata["n"] for _, metadata in state_of(index).values()} == {1}
    assert index.info().truncated == 0


def test_a_commit_ends_only_where_a_key_comes_with_something_else(index: Index) -> None:
    parts = len(ToyEncoder().parts(LONG))

    def commits(*records: Record) -> list[AddReport]:
        reports: list[AddReport] = []
        index.add(records, on_long="split", on_duplicate="last", progress=reports.append)
        return reports

    once = [Record("one", "a"), Record(LONG, "b"), Record("two", "c")]
    assert commits(*once, *once, Record("one", "a")) == [AddReport(added=parts + 2, duplicates=parts + 3)]
    said = Record("one", "a", {"n": 1})
    assert len(commits(Record("one", "a"), said, said, Record("one", "a"))) == 1
    x, y, long = Record("x", "a"), Record("y", "a"), Record(LONG, "a")
    assert len(commits(x, y, y, long, long, y)) == 4
    assert state_of(index)["a"] == ("y", {"n": 1})


def test_one_key_several_times_in_one_add_ends_as_the_last_one_says(index: Index) -> None:
    report = index.add([LONG, "short", LONG, "x"], keys=["a", "a", "a", "a"], on_long="split", on_duplicate="last")
    assert state_of(index) == {"a": ("x", {})}
    parts = len(ToyEncoder().parts(LONG))
    assert report == AddReport(added=2 * parts + 2, removed=2 * parts + 1)


def test_a_whole_text_becomes_the_first_part_of_a_longer_one_in_the_same_add(index: Index) -> None:
    short, longer = " ".join(WORDS[:31]), " ".join(WORDS[:33])
    index.add(["none", short, longer], keys=["a", "a", "a"], on_long="split", on_duplicate="last")
    assert state_of(index) == {"a#1": (short, {}), "a#2": ("w31 w32", {})}
    assert index.verify().ok


@pytest.mark.parametrize("at_once", [1, 16])
@pytest.mark.parametrize("then", [LONG + " more", "short"])
@pytest.mark.parametrize("first", [LONG, "one"])
def test_metadata_that_an_add_says_once_stays_with_the_key(
    index: Index, monkeypatch: pytest.MonkeyPatch, first: str, then: str, at_once: int
) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", at_once)
    monkeypatch.setattr(encode_ahead, "TEXTS_TO_BEGIN_WITH", 1)
    index.add([Record(first, "k", {"n": 1}), Record(then, "k")], on_long="split", on_duplicate="last")
    assert {metadata["n"] for _, metadata in state_of(index).values()} == {1}
    assert "".join(text + " " for text, _ in state_of(index).values()) == then + " "


def test_what_only_looks_like_a_part_is_left_alone_and_never_overwritten(index: Index) -> None:
    index.add(["mine", "mine too"], keys=["a#9", "a#x"], metadata=[{"part_of": "b"}, {"part_of": "a"}])
    index.add([LONG], keys=["a"], on_long="split")
    index.add(["short"], keys=["a"], on_long="split")
    assert set(state_of(index)) == {"a#9", "a#x", "a"}
    index.add(["mine"], keys=["a#2"])
    with pytest.raises(InvalidInput, match="one would get the key 'a#2', which is another record's key"):
        index.add([LONG], keys=["a"], on_long="split")
    assert set(state_of(index)) == {"a#9", "a#x", "a", "a#2"}


TAKEN = "the key 'a#1' is the key of a part of 'a', whose text is stored in parts. Give it another key, or delete"
WOULD_TAKE = "the text of 'a' is stored in parts, and one would get the key 'a#1', which is another record's key"


@pytest.mark.parametrize("metadata", [None, {}, {"n": 1}])
@pytest.mark.parametrize("on_long", get_args(OnLong))
def test_a_part_is_never_overwritten_by_another_record(
    index: Index, on_long: OnLong, metadata: dict[str, Any] | None
) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    before = state_of(index)
    for text in ("mine", before["a#1"][0] if metadata else "mine too"):
        with pytest.raises(InvalidInput, match=TAKEN):
            index.add([text], keys=["a#1"], metadata=[metadata], on_long=on_long)
    if on_long not in ("error", "split"):
        with pytest.raises(InvalidInput, match=TAKEN):
            index.add([LONG + " anchor"], keys=["a#1"], metadata=[metadata], on_long=on_long)
    assert state_of(index) == before
    assert index.verify().ok


def test_the_key_of_a_part_can_be_that_of_another_text_in_parts(index: Index) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    index.add([LONG], keys=["a#1"], on_long="split")
    parts = len(ToyEncoder().parts(LONG))
    assert set(state_of(index)) == {f"a#{n + 1}" for n in range(parts)} | {f"a#1#{n + 1}" for n in range(parts)}
    assert index.add(["short"], keys=["a"], on_long="split") == AddReport(added=1, removed=parts)
    assert set(state_of(index)) == {"a"} | {f"a#1#{n + 1}" for n in range(parts)}
    assert index.verify().ok


def test_a_part_is_never_overwritten_by_a_vector_that_was_made_elsewhere(index: Index) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    before = state_of(index)
    with pytest.raises(InvalidInput, match=TAKEN):
        index.add(["mine"], keys=["a#1"], vectors=np.eye(1, 16), space=index.encoder.space)
    assert state_of(index) == before


def test_a_part_and_a_record_of_one_key_are_refused_together(index: Index) -> None:
    other = "mine"
    for texts, keys in (([LONG, other], ["a", "a#1"]), ([other, LONG], ["a#1", "a"])):
        with pytest.raises(InvalidInput, match=f"{WOULD_TAKE}|{TAKEN}"):
            index.add(texts, keys=keys, on_long="split")
        assert len(index) == 0
    index.add([other], keys=["a#1"], on_long="split")
    before = state_of(index)
    with pytest.raises(InvalidInput, match=WOULD_TAKE):
        index.add([LONG], keys=["a"], on_long="split")
    assert state_of(index) == before
    assert index.verify().ok


@pytest.mark.parametrize("on_long", get_args(OnLong))
def test_adding_a_part_again_as_it_is_changes_nothing(index: Index, on_long: OnLong) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    before = state_of(index)
    parts = [Record(text, key, metadata) for key, (text, metadata) in before.items()]
    unsaid = [Record(part.text, part.key) for part in parts]
    for records in (unsaid, parts) if on_long != "split" else (unsaid, [*unsaid, Record(LONG, "a")]):
        assert index.add(records, on_long=on_long).unchanged >= len(parts)
        assert state_of(index) == before


def test_parts_that_were_exported_take_the_place_of_the_parts_there(index: Index, tmp_path: Path) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    expected = state_of(index)
    index.export(tmp_path / "e.jsonl")
    assert index.import_(tmp_path / "e.jsonl") == AddReport(unchanged=len(expected))
    index.add(["other " + LONG], keys=["a"], on_long="split")
    assert index.import_(tmp_path / "e.jsonl").updated == len(expected)
    assert state_of(index) == expected


def test_a_part_that_is_deleted_leaves_its_key_to_others(index: Index) -> None:
    index.add([LONG], keys=["a"], on_long="split")
    index.delete(["a#1"])
    assert index.add(["mine"], keys=["a#1"]) == AddReport(added=1)
    assert state_of(index)["a#1"] == ("mine", {})
    with pytest.raises(InvalidInput, match=WOULD_TAKE):
        index.add([LONG], keys=["a"], on_long="split")
    index.add(["short"], keys=["a"], on_long="split")
    assert state_of(index) == {"a#1": ("mine", {}), "a": ("short", {})}


def test_a_model_is_migrated_back_to_though_parts_have_other_texts_now(index: Index) -> None:
    index.add([LONG, LONG], keys=["a", "b"], on_long="split")
    index.migrate(Other())
    with opened(index.path, model=Other()) as other:
        other.add(["other " + LONG], keys=["a"], on_long="split")
        other.delete(["b#1"])
        other.add(["mine"], keys=["b#1"])
        before = state_of(other)
        other.migrate(ToyEncoder())
    with opened(index.path) as back:
        assert {key: text for key, (text, _) in state_of(back).items()} == {k: text for k, (text, _) in before.items()}
        assert state_of(back)["b#1"] == ("mine", {})
        assert back.verify().ok


def test_only_texts_of_which_nothing_is_known_are_tokenized_to_be_split(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    with opened(tmp_path / "i", model=encoder) as index:
        index.add(["one", "two"], keys=["a", "b"])
        encoder.encoded = 0
        index.add(["one", "two"], keys=["c", "d"], on_long="split")
        assert encoder.encoded == 0


TEXTS = st.integers(0, 100).map(lambda count: " ".join(WORDS[:count] or ["none"]))


@examples(30)
@given(st.lists(st.tuples(st.sampled_from("ab"), TEXTS), max_size=6), st.integers(1, 4))
def test_split_leaves_the_parts_of_each_keys_last_text_alone(adds: list[tuple[str, str]], at_once: int) -> None:
    with tempfile.TemporaryDirectory() as home, opened(Path(home) / "i") as index:
        for start in range(0, len(adds), at_once):
            some = adds[start : start + at_once]
            index.add([text for _, text in some], keys=[key for key, _ in some], on_long="split", on_duplicate="last")
        expected: dict[str, Any] = {}
        for key, text in dict(adds).items():
            parts = ToyEncoder().parts(text)
            if len(parts) == 1:
                expected[key] = (text, {})
            else:
                for number, (start, end) in enumerate(parts, 1):
                    expected[f"{key}#{number}"] = (text[start:end], {})
        assert state_of(index) == expected
        assert index.verify().ok


# --- a model without a limit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_long", get_args(OnLong))
def test_no_text_is_long_for_a_model_without_a_limit(tmp_path: Path, on_long: OnLong) -> None:
    with opened(tmp_path / "i", model=ToyEncoder(max_tokens=0)) as index:
        assert index.add([LONG, "one"], keys=["a", "b"], on_long=on_long) == AddReport(added=2)
        assert state_of(index) == {"a": (LONG, {}), "b": ("one", {})}
        assert index.info().cached_texts == 2


# --- and what cannot be asked for ------------------------------------------------------------------------------------


def test_on_long_is_one_of_four_and_for_texts_that_are_encoded(index: Index) -> None:
    with pytest.raises(InvalidInput, match=r"on_long is 'drop'\. Use one of: truncate, error, split, mean"):
        index.add(["one"], on_long="drop")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="on_long= says how texts are encoded, but vectors were given"):
        index.add(["one"], vectors=np.eye(1, 16), space="theirs", on_long="mean")
