"""A list of hits is a list, a table in a notebook, and a DataFrame; a hit as JSON has what is known of it."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

from vecindex import Hit, Hits, MissingExtra
from vecindex.values.hits import where
from vecindex.values.records import hit_of

from ..support.helpers import opened

PLAIN = Hit(1, "k", 0.5, "a text", {"lang": "en"})
FROM_PAGE = Hit(
    *(2, "report.pdf#3", 0.25, "<b>bold</b>", {}),
    source="report.pdf",
    place=("page", 3),
    span=(10, 21),
    document="report.pdf",
    position=2,
)
FROM_LINE = Hit(3, "k3", -0.5, "third", {}, source="notes.md", place=("line", 12), before=("first", "second"))
HITS = Hits([PLAIN, FROM_PAGE, FROM_LINE])


def test_hits_are_a_list() -> None:
    assert HITS == [PLAIN, FROM_PAGE, FROM_LINE]
    assert (HITS[0], HITS[-1], len(HITS), list(HITS)) == (PLAIN, FROM_LINE, 3, [PLAIN, FROM_PAGE, FROM_LINE])
    assert HITS[1:] == [FROM_PAGE, FROM_LINE]
    assert type(HITS[1:]) is Hits
    assert repr(HITS[:1]) == f"[{PLAIN!r}]"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_hits_can_be_pickled_and_copied(protocol: int) -> None:
    for again in (pickle.loads(pickle.dumps(HITS, protocol)), copy.deepcopy(HITS), copy.copy(HITS)):
        assert again == HITS
        assert type(again) is Hits


def test_every_search_returns_hits(tmp_path: Path) -> None:
    with opened(tmp_path / "i") as index:
        index.add(["one", "two"], keys=["a", "b"])
        several = index.search_many(["one", "two"])
        found = [index.search("one"), index.explain_search("one")[0], index.similar("a"), *several]
        assert [(type(hits), len(hits)) for hits in found] == [(Hits, n) for n in (2, 2, 1, 2, 2)]
        assert index.search("one")[0].source is None


def test_the_repr_of_a_hit_has_only_what_is_known_of_its_source() -> None:
    assert repr(PLAIN) == (
        "Hit(rank=1, key='k', score=0.5, text='a text', metadata={'lang': 'en'}, lost=0, unknown=False)"
    )
    assert repr(FROM_PAGE).endswith(
        "unknown=False, source='report.pdf', place=('page', 3), span=(10, 21), document='report.pdf', position=2)"
    )


def test_a_hit_as_json_has_only_what_is_known() -> None:
    assert PLAIN.to_dict() == {"rank": 1, "key": "k", "score": 0.5, "text": "a text", "metadata": {"lang": "en"}}
    assert list(FROM_PAGE.to_dict().items())[5:] == [
        *(("source", "report.pdf"), ("page", 3), ("span", [10, 21])),
        *(("document", "report.pdf"), ("position", 2)),
    ]
    assert list(FROM_LINE.to_dict().items())[5:] == [
        *(("source", "notes.md"), ("line", 12)),
        *(("before", ["first", "second"]), ("after", [])),
    ]
    odd = Hit(1, "k", 0.5, "t", {}, 7, True)
    assert list(odd.to_dict().items())[5:] == [("tokens_lost", 7), ("unknown", True)]


def test_where_a_hit_is_from_is_said_as_in_errors() -> None:
    assert [where(hit) for hit in HITS] == ["", "report.pdf, page 3", "notes.md:12"]
    assert where(Hit(1, "k", 0.5, "t", {}, source="notes.md")) == "notes.md"


# --- pandas


def test_a_dataframe_has_a_row_for_each_hit() -> None:
    pandas = pytest.importorskip("pandas")
    frame = HITS.to_pandas()
    plain = frame.astype(object).where(frame.notna(), None)
    assert list(plain.itertuples(index=False, name=None)) == [
        (1, "k", 0.5, "a text", {"lang": "en"}, None, None, None, None, None, None),
        (2, "report.pdf#3", 0.25, "<b>bold</b>", {}, "report.pdf", 3, None, 10, 21, None),
        (3, "k3", -0.5, "third", {}, "notes.md", None, 12, None, None, ["first", "second"]),
    ]
    assert list(frame) == [
        *("rank", "key", "score", "text", "metadata"),
        *("source", "page", "line", "start", "end", "before"),
    ]
    assert str(frame["line"].dtype) == "Int64"
    assert list(pandas.json_normalize(HITS[:1].to_pandas()["metadata"])["lang"]) == ["en"]


def test_a_dataframe_of_hits_without_sources_has_five_columns() -> None:
    pytest.importorskip("pandas")
    for hits in (HITS[:1], Hits()):
        frame = hits.to_pandas()
        assert list(frame) == ["rank", "key", "score", "text", "metadata"]
        assert len(frame) == len(hits)


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra) as caught:
        HITS.to_pandas()
    assert str(caught.value) == "to_pandas() needs the extra 'pandas'. Run: pip install 'vecindex[pandas]'"


# --- notebooks


def table(hits: Hits) -> list[list[str]]:
    """The cells of the HTML, row by row, the head first."""
    text = hits._repr_html_()
    assert text.startswith("<table><thead><tr><th>")
    assert text.endswith("</td></tr></tbody></table>")
    rows = text.replace("th>", "td>").split("<tr><td>")[1:]
    return [row.partition("</td></tr>")[0].split("</td><td>") for row in rows]


def test_a_notebook_shows_a_table() -> None:
    assert table(HITS) == [
        ["rank", "score", "text", "source", "key", "metadata"],
        ["1", "0.5000", "a text", "", "k", "{&quot;lang&quot;: &quot;en&quot;}"],
        ["2", "0.2500", "&lt;b&gt;bold&lt;/b&gt;", "report.pdf, page 3", "report.pdf#3", ""],
        ["3", "-0.5000", "first second <b>third</b>", "notes.md:12", "k3", ""],
    ]


def test_a_notebooks_table_leaves_empty_columns_out() -> None:
    assert table(Hits([Hit(1, "k", 0.5, "t", {})])) == [["rank", "score", "text", "key"], ["1", "0.5000", "t", "k"]]
    assert Hits()._repr_html_().endswith("<tbody></tbody></table>")


@pytest.mark.parametrize("field", ["key", "text", "metadata", "source", "before"])
def test_no_stored_text_becomes_html(field: str) -> None:
    evil = "<script>alert('x')</script>"
    values: dict[str, Any] = {"key": "k", "text": "t", "metadata": {}, "source": None, "before": ()}
    values[field] = {"metadata": {evil: evil}, "before": (evil,)}.get(field, evil)
    shown = Hits([Hit(rank=1, score=0.5, **values)])._repr_html_()
    assert "script&gt;" in shown
    assert "<script" not in shown


def test_a_notebooks_cells_are_short() -> None:
    long = Hits([Hit(1, "k" * 1000, 0.5, "t" * 1000, {"a": "m" * 1000})])
    assert max(len(cell) for cell in table(long)[1]) <= 330


@pytest.mark.parametrize("hit", [PLAIN, FROM_PAGE, FROM_LINE])
def test_a_hit_of_all_values_is_a_hit_like_any_other(hit: Hit) -> None:
    made = hit_of(*(getattr(hit, each.name) for each in fields(hit)))
    assert type(made) is Hit
    assert made == hit == pickle.loads(pickle.dumps(made)) == copy.deepcopy(made)
    assert repr(made) == repr(hit)
    assert replace(made, rank=9).rank == 9
    with pytest.raises(FrozenInstanceError):
        made.rank = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        hit_of(1, "k")
