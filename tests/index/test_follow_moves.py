"""Files that come, go and change their names: each kind, and random histories of a folder."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from vecindex.index.follow import Action, Plan, plan
from vecindex.values.sources import SourceState

from ..support.followed_files import Files, files, planned, state_of, stored, told


def test_new_and_gone_files_are_told() -> None:
    here = files(a="one", b="other")
    here.delete("b")
    here.write("c", "a third")
    assert told(planned(here)) == ["unchanged a", "new c", "gone b"]
    assert here.read == []  # no size fits


def test_only_what_was_asked_for_can_be_gone() -> None:
    here = files(docs_a="one", notes_b="other")
    here.contents.clear()
    assert told(planned(here, beneath="docs/")) == ["gone docs/a"]


def test_a_file_that_is_left_out_but_is_there_is_not_gone() -> None:
    here = files(a="one", b="other")
    assert told(planned(here, only=["a"])) == ["unchanged a"]


def test_a_moved_file_keeps_its_source() -> None:
    here = files(a="one", b="other")
    here.move("a", "deep/c")
    made = planned(here)
    assert told(made) == ["unchanged b", "moved a -> deep/c"]
    assert made.steps[1].state == here.states[0]
    assert here.read == ["deep/c"]


def test_a_file_moved_here_from_a_folder_that_was_not_asked_for_keeps_its_source() -> None:
    here = files(a="one", other_b="two")
    here.move("other/b", "c")
    assert told(planned(here, beneath="nothing")) == ["unchanged a", "moved other/b -> c"]


def test_a_moved_and_edited_file_is_new() -> None:
    here = files(a="one")
    here.delete("a")
    here.write("b", "ONE")
    assert told(planned(here)) == ["new b", "gone a"]


def test_a_copy_is_not_a_move() -> None:
    here = files(a="one")
    here.write("b", "one")
    assert told(planned(here)) == ["unchanged a", "new b"]
    assert here.read == []


def test_a_copy_of_a_file_that_was_then_edited_is_not_a_move() -> None:
    here = files(a="one")
    here.write("b", "one")
    here.write("a", "more than one")
    assert told(planned(here)) == ["changed a (its content has changed)", "new b"]


def test_two_files_that_swapped_their_names_are_moved() -> None:
    here = files(a="one", b="two")
    here.swap("a", "b")
    assert told(planned(here)) == ["moved b -> a", "moved a -> b"]


def test_a_chain_of_moves_is_followed() -> None:
    here = files(a="one", b="other", c="the third")
    here.move("c", "d")
    here.move("b", "c")
    here.move("a", "b")
    assert told(planned(here)) == ["moved a -> b", "moved b -> c", "moved c -> d"]


def test_a_ring_of_moves_is_followed() -> None:
    here = files(a="one", b="two", c="three")
    here.swap("a", "b")
    here.swap("b", "c")
    assert told(planned(here)) == ["moved b -> a", "moved c -> b", "moved a -> c"]


def test_a_file_that_was_overwritten_by_another_has_changed() -> None:
    here = files(a="one", b="other")
    here.move("a", "b")
    assert told(planned(here)) == ["changed b (its content has changed)", "gone a"]


def test_a_chain_that_ends_on_a_file_that_was_overwritten_is_no_move_from_there_on() -> None:
    here = files(a="one", b="other", c="the third")
    here.move("b", "c")
    here.move("a", "b")
    assert told(planned(here)) == [
        "changed b (its content has changed)",
        "changed c (its content has changed)",
        "gone a",
    ]


def test_files_with_equal_bytes_are_told_apart_by_their_names() -> None:
    here = files(old_a="same", old_b="same", old_c="same")
    for name, target in (("old/a", "new/z"), ("old/b", "new/b"), ("old/c", "new/c")):
        here.move(name, target)
    assert told(planned(here)) == ["moved old/b -> new/b", "moved old/c -> new/c", "moved old/a -> new/z"]


def test_more_new_files_than_gone_ones_with_equal_bytes_are_new() -> None:
    here = files(a="same")
    here.move("a", "b")
    here.write("c", "same")
    assert told(planned(here)) == ["moved a -> b", "new c"]


def test_more_gone_files_than_new_ones_with_equal_bytes_are_gone() -> None:
    here = files(a="same", b="same")
    here.move("a", "c")
    here.delete("b")
    assert told(planned(here)) == ["moved a -> c", "gone b"]


def test_a_free_place_is_preferred_to_one_that_was_overwritten() -> None:
    here = files(a="same", b="something else")
    here.write("b", "same")
    here.move("a", "c")
    assert told(planned(here)) == ["changed b (its content has changed)", "moved a -> c"]


def test_a_file_that_is_gone_is_preferred_to_one_that_was_edited() -> None:
    here = files(b="same", z="same")
    here.write("b", "edited")
    here.move("z", "c")
    assert told(planned(here)) == ["changed b (its content has changed)", "moved z -> c"]


def test_what_was_read_otherwise_or_incompletely_is_not_moved() -> None:
    here = files(a="one")
    here.move("a", "b")
    for change in ({"options": "{}{}"}, {"reader": "md"}, {"digest": None}, {"query": "q"}, {"kind": "member"}):
        assert told(planned(here, [replace(here.states[0], **change)])) == ["new b", "gone a"], change
    stale = [replace(here.states[0], stale=1)]
    assert told(planned(here, stale)) == ["moved a -> b"]
    assert told(planned(here, stale, prune=True)) == ["new b", "gone a"]


def test_whether_a_file_is_gone_is_asked_of_those_alone_that_may_have_moved() -> None:
    here = files(a="one", b="four", c="three")
    here.move("a", "d")
    asked = []

    def is_gone(state: SourceState) -> bool:
        asked.append(state.location)
        return state.location not in here.contents

    plan([here.found("d")], here.states, covers=lambda _: False, is_gone=is_gone, digest=here.digest)
    assert asked == ["a"]


def test_a_long_chain_that_is_broken_takes_little_time() -> None:
    names = [f"{number:05}" for number in range(20_000)]
    here = Files()
    for name in names:
        here.write(name, f"content {name}")
    states = stored(here)
    for name, target in zip(reversed(names), ["99999", *reversed(names)], strict=False):
        here.move(name, target)
    here.write("00000", "a new beginning")
    counts = planned(here, states).counts()
    assert counts == {Action.CHANGED: 20_000, Action.NEW: 1}


# --- any history


NAMES = ["a", "b", "c", "x/a", "x/b"]
CONTENTS = ["", "one", "two", "six", "three"]
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(CONTENTS)),
    st.tuples(st.just("touch"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("copy"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("swap"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
)


def perform(files: Files, operation: str, name: str, other: str) -> None:
    if operation == "write":
        files.write(name, other)
    elif name in files.contents:
        if operation == "touch":
            files.times[name] = next(files.clock)
        elif operation == "delete":
            files.delete(name)
        elif operation == "move" and name != other:
            files.move(name, other)
        elif operation == "copy":
            files.write(other, files.contents[name])
        elif operation == "swap" and other in files.contents:
            files.swap(name, other)


def carried_out(made: Plan, states: list[SourceState], files: Files, ids: count[int]) -> list[SourceState]:
    """The states after everything in the plan was done, with what is gone removed."""
    after = {state.id: state for state in states}
    for step in made.steps:
        if step.found is None:
            assert step.state is not None
            del after[step.state.id]
        else:
            id = next(ids) if step.state is None else step.state.id
            kept = step.action in (Action.UNCHANGED, Action.TOUCHED, Action.MOVED)
            now = state_of(step.found, id, files)
            if kept:
                assert step.state is not None
                assert step.state.digest == now.digest  # so its records are right without a reading
            after[id] = now
    return list(after.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(OPERATIONS, max_size=6), min_size=1, max_size=5))
def test_whatever_happens_to_files_the_plan_brings_the_index_up_to_date(
    history: list[list[tuple[str, str, str]]],
) -> None:
    here, states, ids = Files(), list[SourceState](), count(1)
    for operations in history:
        for operation in operations:
            perform(here, *operation)
        here.read.clear()
        made = planned(here, states)
        assert len(here.read) == len(set(here.read))
        assert [step.found.location for step in made.steps if step.found] == sorted(here.contents)
        used = [step.state.id for step in made.steps if step.state]
        assert sorted(used) == sorted(state.id for state in states)  # each once; none is forgotten
        states = carried_out(made, states, here, ids)
        assert sorted(state.location for state in states) == sorted(here.contents)
        here.read.clear()
        again = planned(here, states)
        assert set(again.counts()) <= {Action.UNCHANGED}
        assert here.read == []


@settings(max_examples=200, deadline=None)
@given(st.permutations([*NAMES, "d", "y/a"]))
def test_any_renaming_of_different_files_is_seen_as_moves(names: list[str]) -> None:
    here = Files()
    for name in NAMES:
        here.write(name, f"what was in {name}")
    states = stored(here)
    renamed = dict(zip(NAMES, names, strict=False))
    contents, times = dict(here.contents), dict(here.times)
    here.contents = {renamed[name]: content for name, content in contents.items()}
    here.times = {renamed[name]: time for name, time in times.items()}
    made = planned(here, states)
    assert {(s.state.location, s.found.location) for s in made.steps if s.state and s.found} == set(renamed.items())
    assert set(made.counts()) <= {Action.UNCHANGED, Action.MOVED}
