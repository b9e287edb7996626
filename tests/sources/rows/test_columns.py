"""Which columns of a row become the text, the key and the metadata: the same for each format of rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vecindex.errors import SourceError
from vecindex.sources import source
from vecindex.sources.reading import contents
from vecindex.values.records import Record

from ...support.source_files import records, refused

pytestmark = pytest.mark.usefixtures("here")

Row = dict[str, Any]


def as_jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: list[Row]) -> str:
    return "".join(",".join(map(str, line)) + "\n" for line in [list(rows[0]), *(row.values() for row in rows)])


FILES = {"a.jsonl": as_jsonl, "a.csv": as_csv}
each_format = pytest.mark.parametrize("name", FILES)
FILM: Row = {"id": "m1", "title": "Jaws", "plot": "A shark.", "year": 1975}


@each_format
def test_several_texts_are_joined_in_the_order_in_which_they_are_named(name: str) -> None:
    content = FILES[name]([FILM])
    assert records(name, content, text_column=["title", "plot"], key_column="id") == [
        Record("Jaws\n\nA shark.", "m1", {"year": 1975})
    ]
    assert records(name, content, text_column=["plot", "title"])[0].text == "A shark.\n\nJaws"


@each_format
def test_an_empty_one_of_several_texts_leaves_no_gap(name: str) -> None:
    rows = [{"title": "", "plot": "A shark."}, {"title": "Jaws", "plot": " "}]
    found = records(name, FILES[name](rows), text_column=["title", "plot"])
    assert [record.text for record in found] == ["A shark.", "Jaws"]


@each_format
def test_metadata_can_be_some_of_the_columns_or_none(name: str) -> None:
    content = FILES[name]([FILM])
    assert records(name, content, text_column="plot", metadata_columns=["year", "title"]) == [
        Record("A shark.", None, {"year": 1975, "title": "Jaws"})
    ]
    assert records(name, content, text_column="plot", metadata_columns=[]) == [Record("A shark.")]


@each_format
def test_a_column_may_be_text_and_metadata(name: str) -> None:
    found = records(name, FILES[name]([FILM]), text_column=["title", "plot"], metadata_columns=["title"])
    assert found == [Record("Jaws\n\nA shark.", None, {"title": "Jaws"})]


@each_format
@pytest.mark.parametrize(
    ("options", "wrong", "meant"),
    [
        ({"text_column": "plott"}, "plott", "plot"),
        ({"text_column": ["plot", "tittle"]}, "tittle", "title"),
        ({"text_column": "plot", "key_column": "idd"}, "idd", "id"),
        ({"text_column": "plot", "metadata_columns": ["years"]}, "years", "year"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(
    name: str, options: dict[str, Any], wrong: str, meant: str
) -> None:
    what = "field" if name == "a.jsonl" else "column"
    _, reason = refused(name, FILES[name]([FILM]), **options)
    assert reason == f"no {what} {wrong!r} (did you mean {meant!r}?); the {what}s are: 'id', 'title', 'plot', 'year'"


@each_format
def test_case_matters_only_between_several(name: str) -> None:
    assert records(name, FILES[name]([{"ID": "1", "Text": "a"}]), key_column="id") == [Record("a", "1")]
    assert refused(name, FILES[name]([{"TEXT": "a", "Text": "b"}]))[1].startswith("several ")


@each_format
def test_rows_without_a_text_are_passed_to_the_caller_and_are_not_bad(name: str) -> None:
    rows = [{"text": "a", "n": 1}, {"text": "", "n": 2}, {"text": " \t", "n": 3}, {"text": "b", "n": 4}]
    assert [record.text for record in records(name, FILES[name](rows))] == ["a", "b"]
    empty: list[int | None] = []
    list(contents(source(name), on_empty=lambda row: empty.append(row.origin.place)))
    assert empty == ([2, 3] if name == "a.jsonl" else [3, 4])
    with pytest.raises(SourceError, match="holds no sentences"):
        records(name, FILES[name](rows[1:3]))


# --- values of JSON


@pytest.mark.parametrize(
    ("value", "text"),
    [("5", "5"), ("12345678901234567890123", "12345678901234567890123"), ("-0.5", "-0.5"), ("true", "true")],
)
def test_numbers_and_booleans_are_texts_as_json_writes_them(value: str, text: str) -> None:
    assert records("a.jsonl", f'{{"text": {value}}}') == [Record(text)]


def test_null_is_an_empty_text_and_what_is_nested_is_none() -> None:
    assert records("a.jsonl", '{"text": null}\n{"text": "a"}') == [Record("a")]
    assert refused("a.jsonl", '{"text": {"de": "a"}}') == (1, "the field 'text' must be text, not an object")
    assert refused("a.jsonl", '{"text": ["a"]}') == (1, "the field 'text' must be text, not an array")


def test_a_field_that_only_some_objects_have_may_be_text_or_metadata() -> None:
    content = '{"title": "a"}\n{"body": "b", "n": 1}\n{"n": 2}\n'
    assert refused("a.jsonl", content, text_column=["title", "body"]) == (3, "no field 'title'; the fields are: 'n'")
    assert records("a.jsonl", content[:37], text_column=["title", "body"], metadata_columns=["n"]) == [
        Record("a"),
        Record("b", None, {"n": 1}),
    ]


def test_a_key_is_a_string_or_an_integer_and_may_be_null_where_it_was_not_asked_for() -> None:
    content = '{"text": "a", "key": null}'
    assert records("a.jsonl", content) == [Record("a")]
    assert refused("a.jsonl", content, key_column="key")[1].endswith("must be a string or an integer, not null")


# --- separators and quotes of tables


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_separator_is_found_in_the_header(separator: str, name: str) -> None:
    others = [each for each in ",;|" if each != separator]
    text = f"One{others[0]} two{others[1]} three"
    content = f"id{separator}text\n1{separator}{text}\n"
    assert records(name, content, key_column="id") == [Record(text, "1")]


def test_names_that_are_asked_for_tell_separators_apart() -> None:
    assert records("a.csv", "id;a, b\n1;x\n", text_column="a, b", key_column="id") == [Record("x", "1")]
    assert records("a.csv", "id;text,b\n1;x,2\n", text_column="id;text") == [Record("1;x", None, {"b": 2})]


def test_a_header_between_single_quotes_says_that_cells_are_quoted_so() -> None:
    assert records("a.csv", "'id';'text'\n'1';'It''s; \"raining\"'\n", key_column="id") == [
        Record('It\'s; "raining"', "1")
    ]
    assert records("a.csv", "id,text\n1,'quoted'\n", key_column="id") == [Record("'quoted'", "1")]


def test_a_header_may_have_line_ends_in_quotes() -> None:
    assert records("a.csv", '"id\nof it";text\n1;"a\nb"\n', key_column="id\nof it") == [Record("a\nb", "1")]


def test_rows_with_the_same_text_keep_their_own_metadata() -> None:
    content = 'text,year,place\nCollapsed,1931,"north, gate"\nCollapsed,1974,river\n'
    assert records("a.csv", content) == [
        Record("Collapsed", None, {"year": 1931, "place": "north, gate"}),
        Record("Collapsed", None, {"year": 1974, "place": "river"}),
    ]
