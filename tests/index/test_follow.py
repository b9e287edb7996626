"""What has become of a source in its place, and how much of it is read to find out."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NoReturn

import pytest

from vecindex.errors import SourceError
from vecindex.index.follow import Action, Found, listed, plan
from vecindex.sources.fingerprint import FileState
from vecindex.values.sources import Condition, SourceInfo, SourceState

from ..support.followed_files import digest_of, files, planned, stored, told


def test_an_unchanged_file_is_not_read() -> None:
    here = files(a="one", b="two")
    assert told(planned(here)) == ["unchanged a", "unchanged b"]
    assert here.read == []


def test_a_file_with_another_time_is_read_to_compare_its_digest() -> None:
    here = files(a="one", b="two")
    states = stored(here)
    here.write("a", "one")
    here.write("b", "TWO")
    assert told(planned(here, states)) == ["touched a", "changed b (its content has changed)"]
    assert here.read == ["a", "b"]


def test_a_file_with_another_size_has_changed_and_its_digest_is_not_needed() -> None:
    here = files(a="one")
    states = stored(here)
    here.write("a", "one and more")
    assert told(planned(here, states)) == ["changed a (its content has changed)"]
    assert here.read == []


def test_a_file_whose_time_was_not_settled_is_compared_by_its_digest() -> None:
    here = files(a="one", b="two")
    states = [replace(state, modified=None) for state in stored(here)]
    here.contents["b"] = "TWO"  # within one tick of the clock
    assert told(planned(here, states)) == ["touched a", "changed b (its content has changed)"]


def test_a_change_that_keeps_size_and_time_is_not_seen() -> None:
    here = files(a="one")
    states = stored(here)
    here.contents["a"] = "ONE"
    assert told(planned(here, states)) == ["unchanged a"]


def test_a_file_that_is_read_in_another_way_is_read_again() -> None:
    here = files(a="one")
    assert told(planned(here, options='{"split":"line"}')) == ["changed a (it is read differently now)"]
    other = [replace(state, reader="md") for state in stored(here)]
    assert told(planned(here, other)) == ["changed a (it is read differently now)"]
    assert here.read == []


def test_a_file_that_was_not_read_to_its_end_is_read_again() -> None:
    here = files(a="one")
    states = [replace(state, digest=None) for state in stored(here)]
    assert told(planned(here, states)) == ["changed a (it was not read to the end)"]


def test_a_file_with_records_to_remove_is_read_again_with_prune_only() -> None:
    here = files(a="one")
    states = [replace(state, stale=2) for state in stored(here)]
    assert told(planned(here, states)) == ["unchanged a"]
    assert told(planned(here, states, prune=True)) == ["changed a (it has records to remove)"]


def test_a_file_that_cannot_be_read_is_left_to_the_reading_that_says_why() -> None:
    here = files(a="one")
    states = stored(here)
    here.times["a"] = 99
    found = [here.found("a"), Found("b", "txt", "{}", 3, 1)]
    states.append(replace(states[0], id=2, location="c"))
    made = plan(found, states, covers=lambda _: True, is_gone=lambda _: True, digest=lambda _: None)
    assert told(made) == ["changed a (its content has changed)", "new b", "gone c"]


def test_a_source_without_size_and_time_is_compared_by_its_digest() -> None:
    piped = Found("<stdin>", "txt", "{}", None, None, "stdin")
    state = SourceState(1, "stdin", "<stdin>", "", "txt", "{}", digest_of("one"), None, None, "", 0, "line")
    for digest, expected in (
        (state.digest, "unchanged <stdin>"),
        (digest_of("two"), "changed <stdin> (its content has changed)"),
    ):
        made = plan([piped], [state], covers=lambda _: True, is_gone=lambda _: False, digest={piped: digest}.get)
        assert told(made) == [expected]


def test_queries_of_one_database_are_sources_of_their_own() -> None:
    one = Found("films.db", "sqlite", "{}", 3, 1, "database", "select 1")
    two = replace(one, query="select 2")
    state = SourceState(1, "database", "films.db", "select 1", "sqlite", "{}", "00", 3, 1, "", 0, "row")
    made = plan([one, two], [state], covers=lambda _: True, is_gone=lambda _: False, digest=lambda _: "00")
    assert told(made) == ["unchanged films.db", "new films.db"]


def test_a_source_that_is_named_twice_has_one_step() -> None:
    here = files(a="one")
    assert told(planned(here, [], only=["a", "a"])) == ["new a"]


def test_a_plan_can_be_printed() -> None:
    here = files(docs_a="one", docs_b="other")
    states = stored(here)
    here.move("docs/a", "docs/c")
    made = planned(here, states)
    assert str(made) == "unchanged docs/b\nmoved     docs/a -> docs/c"
    assert made.counts() == {Action.UNCHANGED: 1, Action.MOVED: 1}
    assert made.having(Action.MOVED, Action.GONE) == [made.steps[1]]


# --- the list of sources


STATE = SourceState(1, "file", "docs/a.txt", "", "txt", "{}", "00", 3, 7, "2026-01-01T00:00:00+00:00", 2, "line")


def refuse(_: SourceState) -> NoReturn:
    raise SourceError("docs/a.txt", None, "cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("state", "now", "digest", "expected"),
    [
        (STATE, FileState(3, 7), None, "current"),
        (STATE, FileState(3, 8), "00", "current"),
        (STATE, FileState(3, 8), "01", "changed"),
        (STATE, FileState(4, 7), None, "changed"),
        (STATE, None, None, "gone"),
        (replace(STATE, modified=None), FileState(3, 7), "00", "current"),
        (replace(STATE, digest=None), FileState(3, 7), None, "incomplete"),
        (replace(STATE, digest=None), None, None, "gone"),
        (replace(STATE, digest=None), "refused", None, "incomplete"),
        (STATE, "refused", None, "unchecked"),
        (STATE, FileState(3, 8), "refused", "unchecked"),
    ],
)
def test_the_list_says_what_has_become_of_a_source(
    state: SourceState, now: FileState | Literal["refused"] | None, digest: str | None, expected: Condition
) -> None:
    """Where the digest is None, it is not asked for."""
    found = listed(
        [(state, 5)],
        refuse if now == "refused" else lambda _: now,
        refuse if digest in ("refused", None) else lambda _: digest or "",
    )
    assert [each.state for each in found] == [expected]


def test_the_list_has_what_people_want_to_know() -> None:
    (found,) = listed([(replace(STATE, added=""), 5)], lambda _: FileState(3, 7), refuse)
    assert found == SourceInfo("docs/a.txt", "file", "", "txt", "current", 5, 2, 3, None)
