"""Facets count the values of a field among the records that a filter selects, as a brute-force oracle does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex import Facet, Facets, FilterWarning, GroupWarning, Index, InvalidInput

from ...support.commands import run
from ...support.extent import examples
from ...support.helpers import opened

VALUES = st.one_of(
    st.sampled_from(["a", "b", "a\0x", "", 1, 1.0, True, "1", "true", None, 0, False, 2.5, 2**53, 2**53 + 1, 2.0**53]),
    st.sampled_from([[], [1], {"b": 1}, {"b": 2}, ["a"]]),
)
METADATA = st.lists(
    st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"g": VALUES, "in": st.fixed_dictionaries({"g": VALUES})}),
    max_size=30,
)


def filled(path: Path, metadata: list[Any]) -> Index:
    index = opened(path)
    texts = [f"t{n}" for n in range(len(metadata))]
    index.add(texts, keys=[f"k{n}" for n in range(len(metadata))], metadata=metadata)
    return index


def value_at(metadata: Any, path: list[str]) -> Any:
    for name in path:
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata


def told_apart(value: Any) -> Any:
    """Equal for equal values of one JSON type."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return ("number", value) if is_number else json.dumps(value)


def expected(records: list[Any], field: str, top: int) -> Facets:
    values = [value_at(metadata, field.split(".")) for metadata in records]
    known = [value for value in values if value is not None]
    counts = Counter(map(told_apart, known))  # most_common keeps the order in which they were first seen
    first = {told_apart(value): value for value in reversed(known)}
    common = tuple(Facet(first[name], count) for name, count in counts.most_common()[:top])
    return Facets(field, common, len(counts), len(values) - len(known), len(values))


@examples(100)
@given(METADATA, st.sampled_from(["g", "in.g"]), st.integers(1, 9), st.sampled_from([None, 1]), st.integers(0, 3))
@pytest.mark.filterwarnings("ignore::vecindex.VecindexWarning")
def test_facets_equal_the_oracle(
    tmp_path_factory: pytest.TempPathFactory, metadata: list[Any], field: str, top: int, n: int | None, dead: int
) -> None:
    with filled(tmp_path_factory.mktemp("i") / "i", metadata) as index:
        index.delete([f"k{number}" for number in range(min(dead, len(metadata)))])
        left = [record for record in metadata[dead:] if n is None or record["n"] == n]
        found = index.facets(field, None if n is None else {"n": n}, top=top)
        assert found == expected(left, field, top)
        assert [type(each.value) for each in found.values] == [
            type(each.value) for each in expected(left, field, top).values
        ]


def test_sources_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "b.txt").write_text("four\n")
    with opened(tmp_path / "i") as index:
        index.add_files(["b.txt", "a.txt"], split="line")
        index.add(["by hand"])
        found = index.facets("source")
        assert [(Path(each.value).name, each.count) for each in found.values] == [("a.txt", 3), ("b.txt", 1)]
        assert (found.distinct, found.missing, found.records) == (2, 1, 5)
        assert index.facets("source", top=1).distinct == 2


def test_counts_follow_changes(tmp_path: Path) -> None:
    with filled(tmp_path / "i", [{"g": "x"}, {"g": "y"}, {"g": "y"}]) as index:
        assert index.facets("g").values == (Facet("y", 2), Facet("x", 1))
        index.delete(["k2"])
        index.add(["new"], keys=["k1"], metadata=[{"g": "x"}])
        assert index.facets("g").values == (Facet("x", 2),)
        index.compact()
        assert index.facets("g").values == (Facet("x", 2),)


def test_a_field_that_no_record_has_is_a_warning_and_a_wrong_name_an_error(tmp_path: Path) -> None:
    with filled(tmp_path / "i", [{"g": "x"}]) as index:
        with pytest.warns(GroupWarning):
            assert index.facets("h") == Facets("h", (), 0, 1, 1)
        with pytest.warns(FilterWarning), pytest.warns(GroupWarning):
            index.facets("h", "z = 1")
        with pytest.raises(InvalidInput, match="is not a field name"):
            index.facets("a..b")
        with pytest.raises(InvalidInput, match="top is 0"):
            index.facets("g", top=0)
    with opened(tmp_path / "empty") as index:
        assert index.facets("g") == Facets("g", (), 0, 0, 0)


def test_the_command_prints_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metadata = [*([{"g": "x"}] * 10), {"g": "1"}, {"g": 1}, {"g": "=1+1"}, {"g": "a\x1b[2J\nb"}, {}, {"g": None}]
    filled(tmp_path / ".vecindex", metadata).close()
    assert run("facets", "g", "--top", "5") == (
        *(0, '10  x\n 1  "1"\n 1  1\n 1  =1+1\n 1  a\\x1b[2J b\n'),
        "2 records of 16 do not have g.\n",
    )
    assert run("facets", "g", "--top", "1")[2] == "4 more values not shown; 2 records of 16 do not have g.\n"
    assert run("facets", "g", "--where", "g = '=1+1'", "--format", "csv", "--csv-safe") == (
        *(0, "value,count\n'=1+1,1\n"),
        "",
    )
    assert json.loads(run("facets", "g", "--top", "1", "--format", "json")[1]) == {
        **{"field": "g", "values": [{"value": "x", "count": 10}], "distinct": 5},
        **{"missing": 2, "records": 16},
    }
