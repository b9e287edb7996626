"""What ``Index.add_files`` takes from files and folders, and how it follows them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecindex.index.adding.reading
import vecindex.sources.reading
import vecindex.store.sql.documents
from vecindex import Index, ModelNotFound, SourceError

from ..support.helpers import opened, state_of
from ..support.written_files import age, write


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.chdir(tmp_path)
    with opened(tmp_path / "index") as index:
        yield index


def texts(index: Index) -> list[str]:
    return [text for text, _ in state_of(index).values()]


def test_a_folder_is_read_and_then_only_what_changed(index: Index) -> None:
    for path in (write("d/a.md", "# One\n\nFirst. Second.\n"), write("d/b.txt", "a line\nanother\n")):
        age(path)
    report = index.add_files("d")
    assert (report.added, report.read, report.skipped) == (5, 2, 0)
    report = index.add_files("d")
    assert (report.added, report.unchanged, report.read, report.skipped) == (0, 5, 0, 2)
    write("d/a.md", "# One\n\nFirst. A new one. Second.\n")
    report = index.add_files("d")
    assert (report.added, report.updated, report.unchanged, report.removed, report.read) == (1, 0, 5, 0, 1)
    assert [key for key, (text, _) in state_of(index).items() if text == "Second."] == ["d/a.md#4"]
    assert index.verify().ok


def test_moved_files_keep_their_vectors_and_gone_ones_wait_for_prune(index: Index) -> None:
    for name in "abc":
        age(write(f"d/{name}.md", f"Text {name} is here. More is {name} here.\n"))
    index.add_files("d")
    encoded = index.encoder.encoded  # type: ignore[attr-defined]
    Path("d/a.md").rename("d/moved.md")
    Path("d/b.md").unlink()
    report = index.add_files("d")
    assert (report.moved, report.gone, report.removed, report.added) == (1, ("d/b.md",), 0, 0)
    assert {key for key in state_of(index) if key.startswith("d/moved")} == {"d/moved.md#1", "d/moved.md#2"}
    report = index.add_files("d", prune=True)
    assert (report.gone, report.removed, len(index)) == (("d/b.md",), 2, 4)
    assert index.encoder.encoded == encoded  # type: ignore[attr-defined]
    assert index.verify().ok


def test_a_model_that_cannot_be_loaded_leaves_no_source_behind(index: Index, tmp_path: Path) -> None:
    age(write("a.txt", "one\n"))
    index.add_files("a.txt")
    write("b.txt", "two\n")
    with vecindex.open(tmp_path / "index") as without_model:
        with pytest.raises(ModelNotFound):
            without_model.add_files(["a.txt", "b.txt"])
        assert [(source.location, source.state) for source in index.sources()] == [("a.txt", "current")]
        assert without_model.add_files("a.txt").skipped == 1  # nothing has changed, so no model is needed


def test_rows_that_are_gone_from_a_file_wait_for_prune(index: Index) -> None:
    write("t.csv", "key,text\na,one\nb,two\n")
    index.add_files("t.csv")
    write("t.csv", "key,text\na,one\n")
    assert index.add_files("t.csv").stale == 1
    report = index.add_files("t.csv", prune=True)
    assert (report.removed, report.stale, set(state_of(index))) == (1, 0, {"a"})


def test_rows_that_are_gone_are_found_among_very_many(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vecindex.store.sql.documents, "ROWS_AT_ONCE", 2)
    write("d/a.txt", "one\ntwo\nthree\nfour\nfive\n")
    index.add_files("d")
    write("d/a.txt", "two\nfive\n")
    assert index.add_files("d", prune=True).removed == 3
    assert texts(index) == ["two", "five"]
    Path("d/a.txt").unlink()
    assert index.add_files("d", prune=True).removed == 2


def test_a_row_of_two_files_stays_until_both_have_dropped_it(index: Index) -> None:
    write("d/a.txt", "shared\nonly a\n")
    write("d/b.txt", "shared\nonly b\n")
    assert index.add_files("d").added == 3
    Path("d/a.txt").unlink()
    index.add_files("d", prune=True)
    assert sorted(texts(index)) == ["only b", "shared"]
    Path("d/b.txt").unlink()
    index.add_files("d", prune=True)
    assert (len(index), index.sources()) == (0, [])
    assert index.verify().ok


def test_settings_and_other_tables_of_a_folder_are_skipped_but_not_where_they_are_named(index: Index) -> None:
    write("d/package.json", '{"name": "x"}')
    write("d/numbers.csv", "a,b\n1,2\n")
    write("d/notes.txt", "a note\n")
    assert (index.add_files("d").added, texts(index)) == (1, ["a note"])
    with pytest.raises(SourceError, match="no column 'text'"):
        index.add_files("d/numbers.csv")


def test_a_bad_row_in_a_folder_stops_before_anything_is_added(index: Index) -> None:
    write("d/a.txt", "a note\n")
    write("d/b.jsonl", '{"text": "fine"}\nnothing\n')
    with pytest.raises(SourceError) as caught:
        index.add_files("d")
    assert (caught.value.path, caught.value.line, len(index)) == ("d/b.jsonl", 2, 0)
    bad: list[str] = []
    report = index.add_files("d", on_bad=lambda error: bad.append(error.message))
    assert (report.added, report.bad, len(bad)) == (2, 1, 1)


def test_a_database_is_read_again_when_only_its_log_has_changed(index: Index) -> None:
    sql = "select id as key, text from notes"
    db = sqlite3.connect("notes.db")
    db.execute("pragma journal_mode = wal")
    db.execute("create table notes (id integer, text text)")
    db.execute("insert into notes values (1, 'one')")
    db.commit()
    assert index.add_files("notes.db", sql=sql).added == 1
    db.execute("insert into notes values (2, 'two')")
    db.commit()
    report = index.add_files("notes.db", sql=sql)
    assert (report.added, texts(index)) == (1, ["one", "two"])
    db.close()


def test_rows_that_a_file_gains_while_it_is_added_come_with_the_next_add(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "one\n")
    write("b.txt", "three\n")
    contents = vecindex.sources.reading.contents
    calls = 0

    def growing(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:  # the second reading of a.txt
            write("a.txt", "one\ntwo\n")
        return contents(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(vecindex.index.adding.reading, "contents", growing)
    index.add_files(["a.txt", "b.txt"])
    assert texts(index) == ["one", "three"]
    assert [source.state for source in index.sources()] == ["incomplete", "current"]
    index.add_files(["a.txt", "b.txt"])
    assert sorted(texts(index)) == ["one", "three", "two"]


def test_a_deleted_record_comes_back_with_the_next_add_of_its_file(index: Index) -> None:
    age(write("a.md", "First. Second.\n"))
    index.add_files("a.md")
    index.delete(["a.md#1"])
    assert index.add_files("a.md").added == 1
    assert sorted(texts(index)) == ["First.", "Second."]


def test_metadata_and_columns_are_as_asked_for(index: Index) -> None:
    write("t.json", json.dumps({"data": {"items": [{"id": 7, "title": "A", "body": "B", "n": 1}]}}))
    index.add_files(
        "t.json", json_path="data.items", text_column=["title", "body"], key_column="id", metadata={"lang": "en"}
    )
    assert state_of(index) == {"7": ("A\n\nB", {"lang": "en", "n": 1})}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("sentence", ["One.", "Two.", "Three."]),
        ("none", ["One. Two.\n\nThree."]),
        ("paragraph", ["One. Two.", "Three."]),
        ("line", ["One. Two.", "Three."]),
    ],
)
def test_texts_are_split_as_asked_for(index: Index, split: str, expected: list[str]) -> None:
    write("a.txt", "One. Two.\n\nThree.\n")
    index.add_files("a.txt", split=split)
    assert texts(index) == expected


def test_lines_of_a_text_file_know_their_characters_and_their_neighbours(index: Index) -> None:
    content = "\ufefffirst line\r\n\nsecond: naïve 🦊\rthird line\n"
    Path("a.txt").write_text(content, encoding="utf-8", newline="")
    index.add_files("a.txt")
    hits = {hit.text: hit for hit in index.search("line", k=3, context=1)}
    text = content.removeprefix("\ufeff")
    for hit in hits.values():
        start, end = hit.span or (0, 0)
        assert text[start:end] == hit.text
    assert (hits["third line"].place, hits["third line"].before) == (("line", 4), ("second: naïve 🦊",))
    assert hits["second: naïve 🦊"].after == ("third line",)


def test_a_table_that_was_added_by_its_columns_stays_when_its_folder_is_added(index: Index) -> None:
    age(write("d/a.txt", "one\n"))
    table = write("d/plants.csv", "id,about\n1,Basil likes sun.\n")
    index.add_files(table, text_column="about", key_column="id")
    for content in (table.read_text(encoding="utf-8"), "id,about\n1,Mint likes shade.\n"):
        write("d/plants.csv", content)
        report = index.add_files("d", prune=True)
        assert (report.removed, report.gone, report.bad) == (0, (), 0)
        assert sorted(texts(index)) == ["Basil likes sun.", "one"]
    assert index.add_files(table, text_column="about", key_column="id").updated == 1
    write("d/plants.csv", "id,plant\n1,Mint\n")
    with pytest.raises(SourceError, match="no column 'about'"):
        index.add_files("d", text_column="about", key_column="id", exclude="*.txt")
