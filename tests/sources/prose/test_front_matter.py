"""Front matter: YAML and TOML as metadata, typed without losing a character; nothing in it is run or expanded."""

from __future__ import annotations

from typing import Any

import pytest

from vecindex.sources.prose.front_matter import front_matter


def yaml(content: str) -> dict[str, Any]:
    text = f"---\n{content}\n---\nText."
    metadata, start = front_matter(text)
    assert text[start:] == "Text." if metadata else start == 0
    return metadata


def toml(content: str) -> dict[str, Any]:
    return front_matter(f"+++\n{content}\n+++\n")[0]


def test_values_have_the_types_that_they_are_written_with() -> None:
    written = "a: 1\nb: 1.5\nc: true\nd: text\ne: [1, x]\nf: {g: 2}\nh: '1'\ni: |\n  two\n  lines\n"
    assert yaml(written) == {
        **{"a": 1, "b": 1.5, "c": True, "d": "text", "e": [1, "x"], "f": {"g": 2}, "h": "1"},
        "i": "two\nlines\n",
    }


@pytest.mark.parametrize("value", ["1.10", "0123", "2024-05-01", "12:30:00", "yes", "off", ".inf", "1e5", "9" * 30])
def test_what_would_be_written_back_differently_stays_text(value: str) -> None:
    assert yaml(f"a: {value}") == {"a": value}


def test_empty_values_are_left_out() -> None:
    assert yaml("a:\nb: ~\nc: ''\nd: 0") == {"d": 0}


def test_toml_is_read_too() -> None:
    assert toml('title = "T"\ndate = 2024-05-01\nn = 1\nv = 1.10\n[a]\nb = [true]') == {
        **{"title": "T", "date": "2024-05-01", "n": 1, "v": "1.10"},
        "a": {"b": [True]},
    }
    assert toml("at = 2024-05-01T10:00:00Z\nt = 10:00:00") == {"at": "2024-05-01T10:00:00+00:00", "t": "10:00:00"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_it_may_end_with_dots_and_have_any_line_ends(end: str) -> None:
    text = "---\na: 1\n...\nText.".replace("\n", end)
    metadata, start = front_matter(text)
    assert (metadata, text[start:]) == ({"a": 1}, "Text.")
    toml_text = "+++\na = 1\n+++".replace("\n", end)
    assert front_matter(toml_text) == ({"a": 1}, len(toml_text))


@pytest.mark.parametrize(
    "text",
    ["", "---", "--- \n", "---\na: 1\n", "----\na: 1\n----\n", "\n---\na: 1\n---\n", "a: 1\n---\n", "--- a\n---\n"],
)
def test_only_what_begins_and_ends_with_a_rule_is_front_matter(text: str) -> None:
    assert front_matter(text) == ({}, 0)


def test_text_between_two_rules_is_text() -> None:
    assert front_matter("---\nOnly a sentence.\n---\n") == ({}, 0)
    assert front_matter("---\n- a\n- b\n---\n") == ({}, 0)
    assert front_matter("---\n\n---\ntext") == ({}, 9)


def test_what_is_malformed_is_read_line_by_line() -> None:
    assert yaml("title: Part 1: the start\n  indented: no\n@: x\ntags: [a, b") == {
        "title": "Part 1: the start",
        "tags": "[a, b",
    }
    assert toml("title = Part 1\n= x") == {"title": "Part 1"}
    assert yaml("a: &x [1]\nb: *y") == {"a": "&x [1]", "b": "*y"}


def test_tags_of_yaml_construct_nothing() -> None:
    assert yaml('a: !!python/object/apply:os.system ["exit 1"]\nb: !!binary aGk=') == {"a": ["exit 1"], "b": "aGk="}


def test_aliases_cannot_grow_without_bound() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert set(yaml("\n".join(rows)).values()) == {row.partition(": ")[2] for row in rows}
    assert yaml("a: &a\n  b: *a") == {"a": "&a"}
    assert yaml("a: &a [x]\nb: *a") == {"a": ["x"], "b": ["x"]}


def test_what_is_too_long_is_text() -> None:
    assert front_matter("---\n" + "a: 1\n" * 20_000 + "---\n") == ({}, 0)
