"""A row that several sources have is stored once, is removed with the last of them, and says where it is in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vecindex import Index, InvalidInput, Record
from vecindex.store.changes import sources
from vecindex.store.sql import documents
from vecindex.store.sql.reads import Catalog
from vecindex.store.stored import Stored

from ..support.helpers import opened
from ..support.sourced import Content, Prose, Row, read, shared_rows, states, where_from

ROW, CUT = Row("a row", "k"), Prose(("It rains.", "It pours."), "k")
BOTH = pytest.mark.parametrize("shared", [ROW, CUT], ids=["whole", "in sentences"])
AT_ONCE = pytest.mark.parametrize("at_once", [True, False], ids=["in one add", "in two"])


def read_both(index: Index, contents: dict[str, Content], at_once: bool) -> None:
    for some in [contents] if at_once else [{name: content} for name, content in contents.items()]:
        read(index, some)


def sources_of(index: Index) -> set[str | None]:
    return {source for _, source, _, _ in where_from(index).values()}


@BOTH
@AT_ONCE
@pytest.mark.parametrize("first", ["a", "b"])
def test_it_stays_until_the_last_source_is_removed(
    tmp_path: Path, shared: Row | Prose, at_once: bool, first: str
) -> None:
    with opened(tmp_path / "i") as index:
        read_both(index, {"a": [shared], "b": [Row("other"), shared]}, at_once)
        assert index.verify().ok
        assert {key for key, _ in shared_rows(index)} == {"k"}
        texts = {text for text, *_ in where_from(index).values()} - {"other"}
        with index._writer() as writer:
            writer.remove_sources([states(index)[first].id])
        (left,) = {"a", "b"} - {first}
        assert {text for text, *_ in where_from(index).values()} - {"other"} == texts
        assert sources_of(index) == {left}
        assert (shared_rows(index), index.verify().ok) == (set(), True)
        with index._writer() as writer:
            writer.remove_sources([states(index)[left].id])
        assert len(index) == 0


@BOTH
@AT_ONCE
@pytest.mark.parametrize("prune", [True, False])
def test_a_source_that_drops_it_leaves_it_to_the_other(
    tmp_path: Path, shared: Row | Prose, at_once: bool, prune: bool
) -> None:
    with opened(tmp_path / "i") as index:
        read_both(index, {"a": [shared, Row("own")], "b": [shared]}, at_once)
        for name in ("a", "b"):
            read(index, {name: [Row("own")]}, prune=prune)
            read(index, {each: [shared] for each in "ab" if each > name}, prune=prune)
            assert index.verify().ok
        assert states(index)["a"].stale == 0
        assert len(index) == 1 + (0 if prune else states(index)["b"].stale)


@pytest.mark.parametrize("way", ["removed", "read again", "read again with prune"])
def test_it_stays_where_a_source_of_very_many_rows_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(sources, "ROWS_AT_ONCE", 2)
    many: Content = [*(Row(f"row {n}") for n in range(7)), *(Prose((f"{n}.", f"Of {n}."), f"p{n}") for n in range(3))]
    shared: Content = [*many[1:6], many[8]]
    with opened(tmp_path / "i") as index:
        read(index, {"a": many, "b": shared})
        if way == "removed":
            with index._writer() as writer:
                removed = writer.remove_sources([states(index)["a"].id])
        else:
            removed = read(index, {"a": []}, prune=way == "read again with prune").removed
        left = {text for text, source, _, _ in where_from(index).values() if source == "a"}
        own = {"row 0", "row 6", "0.", "Of 0.", "2.", "Of 2."}
        assert (removed, left) == ((0, own) if way == "read again" else (len(own), set()))
        others = {text for text, source, _, _ in where_from(index).values() if source == "b"}
        assert others == {"row 1", "row 2", "row 3", "row 4", "row 5", "1.", "Of 1."}
        assert (shared_rows(index), index.verify().ok) == (set(), True)


def test_very_many_shared_rows_are_looked_at_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "ROWS_AT_ONCE", 2)
    repeated_by, lengths = Catalog.repeated_by, []

    def noted(catalog: Catalog, source: int) -> Iterator[list[str]]:
        for keys in repeated_by(catalog, source):
            lengths.append(len(keys))
            yield keys

    monkeypatch.setattr(Catalog, "repeated_by", noted)
    many = [Row(f"row {n}", f"k{n}") for n in range(7)]
    with opened(tmp_path / "i") as index:
        read(index, {"a": many, "b": many})
        assert lengths == [2, 2, 2, 1]
        read(index, {"b": many[::2]})
        assert shared_rows(index) == {(f"k{n}", "b") for n in (0, 2, 4, 6)}
        with index._writer() as writer:
            writer.remove_sources([states(index)["a"].id])
        assert {key for key, (_, source, *_) in where_from(index).items() if source == "b"} == {"k0", "k2", "k4", "k6"}
        assert (len(index), index.verify().ok) == (4, True)


def test_files_of_many_texts_swap_their_names_a_text_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = {name: tuple(f"{name} {n}." for n in range(3 if name == "a" else 5)) for name in "abc"}
    with opened(tmp_path / "i") as index, index._writer() as writer:
        read(index, {name: [Prose(sentences[name]), Prose(("Own.", f"Of {name}."), f"k{name}")] for name in "abc"})
        pieces_of, numbers = Catalog.pieces_of, []

        def noted(catalog: Catalog, ids: Iterable[int]) -> list[Stored]:
            found = list(ids)
            numbers.append(len(found))
            return pieces_of(catalog, found)

        monkeypatch.setattr(Catalog, "pieces_of", noted)
        known = states(index)
        moves = [(known[a], replace(known[a], location=b)) for a, b in (("a", "b"), ("b", "c"), ("c", "a"))]
        writer.move_sources(moves)
        assert set(numbers) == {1}
        found = where_from(index)
        for before, after in ("ab", "bc", "ca"):
            for number, text in enumerate(sentences[before], 1):
                assert found[f"{after}#{number}"][:3] == (text, after, after)
            assert found[f"k{before}#2"][:3] == (f"Of {before}.", after, f"k{before}")
        assert (len(found), index.verify().ok) == (19, True)


def test_a_row_that_nobody_had_is_taken_by_the_first_of_two(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add([Record("a row", "k")])
        read(index, {"a": [Row("x"), ROW], "b": [ROW]})
        assert where_from(index)["k"] == ("a row", "a", None, (1, 0, 5, 2))
        assert shared_rows(index) == {("k", "b")}
        with index._writer() as writer:
            writer.remove_sources([state.id for state in states(index).values()])
        assert where_from(index) == {"k": ("a row", None, None, ())}
        assert index.verify().ok


@pytest.mark.parametrize("text", ["It pours.", "another"])
def test_a_row_with_the_key_of_a_sentence_takes_it_from_no_text(tmp_path: Path, text: str) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Prose(("It rains.", "It pours."), "cut"), Prose(("One.", "Two."))]})
        before = where_from(index)
        for key in ("cut#2", "a#2"):
            with pytest.raises(InvalidInput, match=f"the key '{key}' is the key of a part of"):
                read(index, {"b": [Row("Two." if key == "a#2" and text != "another" else text, key)]})
        assert where_from(index) == before
        index.add(["It pours."], keys=["cut#2"])
        assert where_from(index) == before
        with index._writer() as writer:
            writer.remove_sources([states(index)["b"].id])
        assert (where_from(index), index.verify().ok) == (before, True)


def test_a_source_whose_row_another_changes_is_read_again(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Row("one", "k")]})
        read(index, {"b": [Row("two", "k")]})
        assert where_from(index)["k"][:2] == ("two", "b")
        assert [name for name, state in states(index).items() if state.digest is None] == ["a"]


def test_the_last_of_two_different_rows_in_one_add_wins_and_the_other_source_is_read_again(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Row("one", "k")], "b": [Row("two", "k")]})
        assert where_from(index)["k"][:2] == ("two", "b")
        assert [name for name, state in states(index).items() if state.digest is None] == ["a"]
        assert index.verify().ok


def test_a_file_is_registered_once_though_two_processes_do_it(tmp_path: Path) -> None:
    from ..support.sourced import begun

    with opened(tmp_path / "i") as index, index._writer() as writer:
        (one,), (other,) = writer.register([begun("a")]), writer.register([begun("a")])
        assert one == other


def test_another_vector_of_a_row_leaves_it_to_its_source(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        read(index, {"a": [Row("w " * 40, "k")]})
        index.add(["w " * 40], keys=["k"], on_long="mean")
        assert where_from(index)["k"][1] == "a"


def test_a_file_does_not_move_to_where_another_was_added_meanwhile(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, index._writer() as writer:
        read(index, {"a": [Row("one")], "b": [Row("two")], "c": [Row("three")]})
        known = states(index)
        moves = [(known["a"], "b"), (known["c"], "a")]
        writer.move_sources([(state, replace(state, location=to)) for state, to in moves])
        assert states(index) == known
        assert index.verify().ok


def test_a_file_does_not_move_over_a_record_of_the_user(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index, index._writer() as writer:
        read(index, {"a": [Prose(("It rains.", "It pours."))]})
        index.add(["mine"], keys=["b#2"])
        before, known = where_from(index), states(index)
        with pytest.raises(InvalidInput, match="the key 'b#2', which is another record's key"):
            writer.move_sources([(known["a"], replace(known["a"], location="b"))])
        assert (where_from(index), states(index), index.verify().ok) == (before, known, True)
