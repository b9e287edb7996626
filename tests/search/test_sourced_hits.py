"""Hits say which source, place and characters they are, and give the sentences around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vecindex import CorruptIndex, Hits, Index, InvalidInput
from vecindex.store.sql.documents import source_crc
from vecindex.values.records import Origin

from ..support.commands import run
from ..support.helpers import opened, snapshots, sql
from ..support.source_rows import add_lines

DOCUMENT = ["alpha beta", "beta gamma", "gamma delta", "delta alpha", "omega psi"]
ROWS = ["alpha", "omega"]


@pytest.fixture
def index(here: Path) -> Iterator[Index]:
    """An index of a document, a file of rows, and a text by itself."""
    (here / "docs").mkdir()
    (here / "docs" / "a.md").write_text("\n".join(DOCUMENT), encoding="utf-8")
    (here / "rows.txt").write_text("\n".join(ROWS), encoding="utf-8")
    with opened(here / ".vecindex") as index:
        add_lines(index, here / "docs" / "a.md", [], is_document=True)
        add_lines(index, here / "rows.txt", ["r1", "r2"])
        index.add(["alpha alone"], keys=["alone"])
        yield index


def by_key(hits: Hits) -> dict[str, Any]:
    return {hit.key: hit for hit in hits}


def test_a_hit_says_where_it_is_from(index: Index) -> None:
    hits = by_key(index.search("alpha", k=10))
    sentence, row, alone = hits["docs/a.md#3"], hits["r2"], hits["alone"]
    assert (sentence.source, sentence.place, sentence.document) == ("docs/a.md", ("line", 3), "docs/a.md")
    assert sentence.position == 2
    start, end = sentence.span
    assert "\n".join(DOCUMENT)[start:end] == sentence.text == "gamma delta"
    assert (row.source, row.place, row.document, row.position) == ("rows.txt", ("line", 2), None, None)
    assert (alone.source, alone.place, alone.document, alone.before) == (None, None, None, ())
    assert by_key(index.search_many(["alpha"], k=10)[0]) == hits
    assert by_key(index.explain_search("alpha", k=10)[0]) == hits
    assert index.similar("alone", k=1)[0].source is not None


@pytest.mark.parametrize(
    ("key", "context", "before", "after"),
    [
        ("docs/a.md#3", 0, 0, 0),
        ("docs/a.md#3", 1, 1, 1),
        ("docs/a.md#3", 9, 2, 2),
        ("docs/a.md#1", 2, 0, 2),
        ("docs/a.md#5", 3, 3, 0),
        ("r1", 2, 0, 1),
        ("alone", 2, 0, 0),
    ],
)
def test_context_gives_the_sentences_around_a_hit(
    index: Index, key: str, context: int, before: int, after: int
) -> None:
    hit = by_key(index.search("alpha", k=10, context=context))[key]
    assert (len(hit.before), len(hit.after)) == (before, after)
    if hit.position is not None:
        assert hit.before == tuple(DOCUMENT[hit.position - before : hit.position])
        assert hit.after == tuple(DOCUMENT[hit.position + 1 : hit.position + 1 + after])


def test_context_ends_where_a_sentence_was_deleted(index: Index) -> None:
    index.delete(["docs/a.md#2"])
    hits = by_key(index.search("alpha", k=10, context=3))
    assert hits["docs/a.md#3"].before == ()
    assert hits["docs/a.md#3"].after == tuple(DOCUMENT[3:])
    assert hits["docs/a.md#1"].after == ()


def test_every_search_gives_context(index: Index) -> None:
    for hits in (
        index.search_many(["alpha"], k=10, context=1)[0],
        index.explain_search("alpha", k=10, context=1)[0],
        index.similar("alone", k=10, context=1),
        index.search("alpha", k=10, group_by="document", context=1),
    ):
        assert any(hit.before or hit.after for hit in hits)
    with pytest.raises(InvalidInput, match="context is -1"):
        index.search("alpha", context=-1)


def test_hits_are_grouped_by_source_and_document(index: Index) -> None:
    whole = index.search("alpha", k=10)
    for field, groups in (("source", 3), ("document", 4)):
        hits = index.search("alpha", k=10, group_by=field)
        first = {getattr(hit, field) or hit.key: hit.key for hit in reversed(whole)}
        assert [hit.key for hit in hits] == [hit.key for hit in whole if hit.key in first.values()]
        assert len(hits) == groups
    assert len(index.search("alpha", k=10, group_by="source", per_group=2)) == 5
    index.add(["beta"], keys=["own"], metadata=[{"source": "docs/a.md"}])  # filters know this source, too
    assert len(index.search("alpha", k=10, group_by="source")) == 3


def test_a_unit_from_elsewhere_names_no_member_of_json(index: Index) -> None:
    with snapshots(index).borrow() as catalog:
        (state,) = [each for each in catalog.sources() if each.location == "docs/a.md"]
    odd = replace(state, unit="score")
    sql(index.path, f"update sources set unit = 'score', crc = {source_crc(odd)} where id = {state.id}")
    with pytest.raises(CorruptIndex, match=r"the source 'docs/a.md' is not what was written"):
        index.search("alpha", k=10)


# --- records by key, and lists


def test_a_record_has_its_origin(index: Index) -> None:
    assert index.get("docs/a.md#2").origin == Origin("docs/a.md", 2, "line")
    assert index.get("alone").origin is None
    assert [str(record.origin) for record in index.list()] == [
        *(f"docs/a.md:{n}" for n in range(1, 6)),
        *("rows.txt:1", "rows.txt:2", "None"),
    ]


def test_records_of_a_source_are_listed(index: Index, here: Path) -> None:
    assert [record.text for record in index.list(source="docs")] == DOCUMENT
    assert [record.text for record in index.list(source=here / "rows.txt")] == ROWS
    assert [record.key for record in index.list(source="docs/a.md", limit=2)] == ["docs/a.md#1", "docs/a.md#2"]
    assert [record.text for record in index.list("position > 2", source="docs/a.md")] == DOCUMENT[3:]
    with pytest.raises(InvalidInput, match=r"nothing was added from 'nowhere'. See index.sources"):
        index.list(source="nowhere")


# --- the commands


@pytest.mark.usefixtures("index")
def test_the_commands_show_sources_and_context() -> None:
    near = run(
        "similar", "alone", "-k", "2", "--where", "document = 'docs/a.md' and position in (0, 1)", "--context", "1"
    )
    assert [line[11:] for line in near[1].splitlines()] == [
        "alpha beta  [docs/a.md:1]",
        "beta gamma  [docs/a.md:2]",
        "gamma delta",
    ]
    (hit,) = json.loads(
        run("similar", "r2", "-k", "1", "--where", "position = 4", "--context", "1", "--format", "json")[1]
    )
    assert {name: hit[name] for name in list(hit)[5:]} == {
        **{"source": "docs/a.md", "line": 5, "span": [46, 55], "document": "docs/a.md", "position": 4},
        **{"before": ["delta alpha"], "after": []},
    }
    keys = [hit["key"] for hit in json.loads(run("similar", "alone", "--group-by", "source", "--format", "json")[1])]
    assert len(keys) == 2
    assert run("get", "r2")[1] == "key       r2\ntext      omega\nmetadata  {}\nsource    rows.txt:2\n"
    assert json.loads(run("get", "r2", "--format", "json")[1])["line"] == 2
    assert run("list", "--source", "rows.txt")[1] == "alpha  [r1]\nomega  [r2]\n"
    assert run("list", "--source", "x")[2] == "Error: nothing was added from 'x'\nSee `vecindex sources`.\n"
    assert run("similar", "alone", "--context", "-1")[0] == 2
