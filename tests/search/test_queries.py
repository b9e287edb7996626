"""Blank queries are refused; queries longer than the model reads give a warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecindex
from vecindex import Index, InvalidInput, QueryTruncated, VecindexWarning, explain
from vecindex.encoders.run.encoder import Encoder
from vecindex.search.options import Mode

from ..support.commands import failed, run
from ..support.helpers import opened
from ..support.toy import MAX_TOKENS, ToyEncoder

BLANK = [
    "",
    " ",
    "\t\r\n",
    "\0\x1f\x7f",
    "\u00a0\u3000",
    "\u200b\u200d\ufeff\u2060",
    "\u3164\ufe0f\U000e0100",
    "\u202e\u2800",
]
SHOWN = ["a", " . ", "é", "\u200b今", "🚆\ufe0f", "\u0301", "\x7f-"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with opened(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(["one", "two"])
        yield index


@pytest.mark.parametrize("query", BLANK)
def test_a_blank_query_is_refused_everywhere(index: Index, query: str, tmp_path: Path) -> None:
    with opened(tmp_path / "empty", model=ToyEncoder()) as empty:
        for ask in (
            lambda: index.search(query),
            lambda: index.search_many(["one", query]),
            lambda: index.explain_search(query),
            lambda: index.tune(queries=[query]),
            lambda: index.migrate(ToyEncoder(weights="v" * 64), queries=["one", query]),
            lambda: explain("one", against=query, encoder=ToyEncoder()),
            lambda: empty.search(query),
        ):
            with pytest.raises(InvalidInput, match="the query is blank"):
                ask()


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_of_several_queries_the_blank_one_is_named(index: Index, mode: Mode) -> None:
    with pytest.raises(InvalidInput, match="item 1: the query is blank"):
        index.search_many(["one", " "], mode=mode)
    with pytest.raises(InvalidInput, match=r"^the query is blank"):
        index.search_many([" "], mode=mode)


@pytest.mark.parametrize("query", SHOWN)
def test_a_query_with_a_visible_character_is_searched(index: Index, query: str) -> None:
    assert len(index.search(query)) == 2


def test_a_blank_query_is_refused_on_the_command_line(index: Index) -> None:
    for command in (
        *(["search", " ", "--mode", mode] for mode in ("dense", "lexical", "hybrid")),
        ["search", "\u200b", "--explain"],
        ["explain", "one", "--against", " "],
    ):
        assert run(*command, "--index", index.path) == failed("the query is blank", "Pass at least one word.")


LONG = "one " * (MAX_TOKENS + 4) + "one"


def test_a_long_query_gives_a_warning_at_the_callers_line(index: Index) -> None:
    with pytest.warns(QueryTruncated) as caught:
        index.search(LONG)
    (warned,) = caught
    assert warned.filename == __file__
    assert str(warned.message) == (
        f"the query has {MAX_TOKENS + 5} tokens, and toy reads only {MAX_TOKENS} of them. "
        "Shorten it, or split it into several queries."
    )
    with pytest.warns(QueryTruncated) as caught:
        index.search_many(["one", LONG, "two", LONG + " one"])
    found = [each.message for each in caught]
    assert [(w.query, w.tokens, w.limit, w.model) for w in found if isinstance(w, QueryTruncated)] == [
        (1, MAX_TOKENS + 5, MAX_TOKENS, "toy"),
        (3, MAX_TOKENS + 6, MAX_TOKENS, "toy"),
    ]
    assert str(found[1]).startswith("query 3 has ")


def test_warnings_can_be_silenced_or_turned_into_errors(index: Index) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VecindexWarning)
        assert [hit.text for hit in index.search(LONG)] == ["one", "two"]
        warnings.simplefilter("error", VecindexWarning)
        with pytest.raises(QueryTruncated):
            index.search(LONG)
    assert issubclass(VecindexWarning, UserWarning)


def test_the_command_line_prints_the_warning_in_one_line(here: Path, encoder: Encoder) -> None:
    with vecindex.open("i", model=encoder) as index:
        index.add(["hello"])
    for _ in range(2):
        code, out, err = run("search", "hello " * 300, "--index", "i")
        assert (code, out.startswith("1  0."), err) == (
            0,
            True,
            "Warning: the query has 302 tokens, and sentence-transformers/all-MiniLM-L6-v2 reads only 256 of them. "
            "Shorten it, or split it into several queries.\n",
        )


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("group_by", [None, "colour"])
def test_many_queries_find_what_each_finds_alone(tmp_path: Path, mode: Mode, group_by: str | None) -> None:
    words = ["ant", "bee", "cat", "dog", "eel", "fox"]
    texts = [f"{one} {other} {third}" for one in words for other in words for third in words]
    queries = [f"{one} {other}" for one in words for other in words] * 4
    with opened(tmp_path / "i", model=ToyEncoder()) as index:
        index.add(texts, metadata=[{"colour": number % 7} for number in range(len(texts))])
        together = index.search_many(queries, k=6, mode=mode, group_by=group_by)
        assert together == [index.search(query, k=6, mode=mode, group_by=group_by) for query in queries]
        assert index.search_many([], k=6, mode=mode, group_by=group_by) == []
