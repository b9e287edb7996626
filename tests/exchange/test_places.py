"""Exports say where records are from, and imports restore sources and documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vecindex import AddReport, SourceError
from vecindex.store.text_cache import text_digest

from ..support.exchange_files import FORMATS, in_every_format, stored, write_lines
from ..support.extent import slow
from ..support.helpers import opened, sql, state_of
from ..support.sourced import SHARED, SOURCES, Row, also_by_hand, read, sourced_index, states, where_from
from ..support.toy import ToyEncoder


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def documents(folder: Path) -> list[Any]:
    return sql(folder, "select kind, key, title, digest, metadata, language from documents order by key")


@in_every_format
def test_sources_and_documents_are_restored(tmp_path: Path, format: str) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index, opened(tmp_path / "r") as copy:
        index.export(tmp_path / "e", format)
        report = copy.import_(tmp_path / "e")
        assert report == AddReport(added=len(index))
        assert copy.import_(tmp_path / "e") == AddReport(unchanged=len(index))
        assert (where_from(copy), stored(copy)) == (where_from(index), stored(index))
        assert also_by_hand(copy) == also_by_hand(index) == {"b", "cut"}
        assert documents(tmp_path / "r") == documents(tmp_path / "i")
        assert copy.verify().ok
        assert {each.digest for each in states(copy).values()} == {None}
        assert copy.encoder.encoded == 0  # type: ignore[attr-defined]
        assert read(copy, SOURCES) == AddReport(unchanged=len(index))
        assert where_from(copy) == where_from(index)
        assert copy.encoder.encoded == 0  # type: ignore[attr-defined]


def test_a_line_says_where_its_text_is_from(tmp_path: Path) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index:
        index.export(tmp_path / "e.jsonl")
    lines = {line["key"]: line.get("from") for line in lines_of(tmp_path / "e.jsonl")}
    assert lines["mine"] is None
    assert lines["shared"] == {"source": "rows.txt", "reader": "txt", "line": 3, "position": 2, "span": [0, 18]}
    assert lines["b"] == {
        "source": "rows.txt",
        "reader": "txt",
        "line": 2,
        "position": 1,
        "span": [0, 3],
        "given": True,
    }
    assert lines["notes.md#2"] == {
        "source": "notes.md",
        "reader": "txt",
        "line": 1,
        "position": 1,
        "span": [16, 32],
        "document": {
            "key": "notes.md",
            "kind": "file",
            "title": "about notes.md",
            "language": "en",
            "digest": text_digest("First sentence. Second sentence.").hex(),
        },
    }


def test_parts_come_in_any_order_and_others_stay(tmp_path: Path) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index:
        index.export(tmp_path / "e.jsonl")
        expected = where_from(index)
    lines = (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    first, *rest = lines
    with opened(tmp_path / "r") as copy:
        for line in (first, *reversed(rest)):
            fields = json.loads(line) | {"space": json.loads(first)["space"]}
            copy.import_(write_lines(tmp_path / "one.jsonl", fields))
            assert copy.verify().ok
        assert where_from(copy) == expected
        assert also_by_hand(copy) == {"b", "cut"}


def test_parts_of_another_text_take_the_place_of_those_with_their_keys(tmp_path: Path) -> None:
    text = " ".join(f"w{n}" for n in range(80))
    with opened(tmp_path / "i") as index:
        index.add([text], keys=["a"], on_long="split")
        index.export(tmp_path / "e.jsonl", where="position = 1")
        index.add([f"other {text} {text} {text}"], keys=["a"], on_long="split")
        before = state_of(index)
        assert index.import_(tmp_path / "e.jsonl").updated == 1
        assert state_of(index).keys() == before.keys()
        assert index.verify().ok
        index.add([text], keys=["a"], on_long="split")
        assert len(index) == 3


def test_an_import_into_the_same_index_has_its_sources_read_again(tmp_path: Path) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index:
        index.export(tmp_path / "e.jsonl", where="source = 'notes.md'")
        read(index, {"notes.md": [Row("It is another.")]})
        index.import_(tmp_path / "e.jsonl")
        assert [name for name, state in states(index).items() if state.digest is None] == ["notes.md"]
        read(index, {"notes.md": [Row("It is another.")]})
        assert {text for text, source, *_ in where_from(index).values() if source == "notes.md"} == {"It is another."}


def test_a_row_of_two_sources_stays_with_the_one_that_has_it(tmp_path: Path) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index, opened(tmp_path / "r") as copy:
        index.export(tmp_path / "e.jsonl")
        read(copy, {"more.txt": [SHARED]})
        copy.import_(tmp_path / "e.jsonl")
        assert where_from(copy)["shared"][1] == "more.txt"
        read(copy, SOURCES)
        with copy._writer() as writer:
            writer.remove_sources([states(copy)["more.txt"].id])
        assert where_from(copy)["shared"][1] == "rows.txt"


OURS = ("from", "source", "span", "document", "position", "line", "reader")
VALUES = ("x", 1, {"source": "x"}, {"source": "x", "span": [0, 1], "position": 0})


@pytest.mark.parametrize(
    ("format", "name", "value"),
    # By default each two of a format, a name and a value are together once.
    [
        (format, name, VALUES[v]) if (f + n + v) % len(VALUES) == 0 else slow(format, name, VALUES[v])
        for f, format in enumerate(FORMATS)
        for n, name in enumerate(OURS)
        for v in range(len(VALUES))
    ],
)
def test_metadata_with_names_of_ours_is_metadata(tmp_path: Path, format: str, name: str, value: Any) -> None:
    with opened(tmp_path / "i") as index, opened(tmp_path / "r") as copy:
        index.add(["one"], keys=["a"], metadata=[{name: value}])
        read(index, {"b": [Row("two")]})
        index.export(tmp_path / "e", format)
        copy.import_(tmp_path / "e")
        assert state_of(copy)["a"] == ("one", {name: value})
        assert where_from(copy) == where_from(index)


def test_a_field_called_from_of_another_program_is_metadata(tmp_path: Path) -> None:
    vector = ToyEncoder().encode(["one"])[0].tolist()
    for value in ("Aun", {"source": "x"}, None):
        path = write_lines(tmp_path / "e.jsonl", {"key": "a", "text": "one", "vector": vector, "from": value})
        with opened(tmp_path / "r", model=None) as copy:
            copy.import_(path, space="theirs")
            assert state_of(copy)["a"] == ("one", {"from": value})


WHOLE = {"source": "a.txt", "position": 0, "span": [0, 3]}
PART = WHOLE | {"document": {"key": "k", "kind": "row"}}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (WHOLE | {"source": ""}, "its source has no name"),
        (WHOLE | {"source": "a\0b"}, "its source has no name"),
        (WHOLE | {"source": 5}, "must be a string"),
        (WHOLE | {"kind": "folder"}, "an unknown kind, 'folder'"),
        (WHOLE | {"kind": []}, "an unknown kind"),
        (WHOLE | {"line": 1, "page": 2}, "several places: line, page"),
        (WHOLE | {"line": -1}, "not a number"),
        (WHOLE | {"line": True}, "not a number"),
        (WHOLE | {"position": 2**63}, "not a number"),
        (WHOLE | {"position": 1.5}, "not a number"),
        (WHOLE | {"given": 1}, "not true or false"),
        (WHOLE | {"span": [3, 0]}, "not a pair"),
        (WHOLE | {"span": "0-3"}, "not a pair"),
        (PART | {"position": 1}, "its key is 'k#1', but as part 1 of its document it is 'k#2'"),
        (PART | {"span": [0, 4]}, "has 3 characters, but its span is 0 to 4"),
        (PART | {"document": "k"}, "not an object with key and kind"),
        (PART | {"document": {"key": "k", "kind": "page"}}, "an unknown kind, 'page'"),
        (PART | {"document": {"key": "k", "kind": ["row"]}}, "an unknown kind"),
        (PART | {"document": {"key": 5, "kind": "row"}}, "a key must be a string"),
        (PART | {"document": {"key": "k", "kind": "row", "digest": "xyz"}}, "not hexadecimal"),
        (PART | {"document": {"key": "k", "kind": "row", "metadata": []}}, "metadata must be a JSON object"),
        (PART | {"document": {"key": "k", "kind": "row", "more": 1}}, "not an object with key and kind"),
    ],
)
def test_nonsense_in_from_is_a_named_error(tmp_path: Path, said: dict[str, Any], reason: str) -> None:
    vector = ToyEncoder().encode(["one"])[0].tolist()
    path = write_lines(tmp_path / "e.jsonl", {"key": "k#1", "text": "one", "vector": vector, "from": said})
    with opened(tmp_path / "r", model=None) as copy, pytest.raises(SourceError, match=reason) as caught:
        copy.import_(path, space="theirs")
    assert caught.value.line == 1


def test_texts_without_vectors_are_plain_records(tmp_path: Path) -> None:
    sourced_index(tmp_path / "i")
    with opened(tmp_path / "i") as index:
        index.export(tmp_path / "e.jsonl", vectors=False)
        expected = {key: text for key, (text, _) in state_of(index).items()}
    lines = lines_of(tmp_path / "e.jsonl")
    assert {line["key"]: line["text"] for line in lines} == expected
    assert all([*line][:3] == ["key", "text", "metadata"] and "vector" not in line for line in lines)
