"""How the list of sources reads, as text and as JSON."""

from __future__ import annotations

import json

from vecindex.cli.render.sources import sources_as
from vecindex.values.sources import SourceInfo

AT = "2026-01-01T00:00:00+00:00"
SOURCES = [
    SourceInfo("docs/a.md", "file", "", "md", "current", 12, 0, 300, AT),
    SourceInfo("films.csv", "file", "", "csv", "changed", 1234, 1, 9000, AT),
    SourceInfo("films.db", "database", "select title from films", "sqlite", "gone", 5, 0, 4096, AT),
    SourceInfo("evil\x1b[2J\n.txt", "file", "", "txt", "incomplete", 0, 0, 3, None),
]


def test_the_list_has_a_line_for_each_source() -> None:
    assert sources_as("text", SOURCES) == (
        "state       records  format  source\n"
        "current          12  md      docs/a.md\n"
        "changed        1234  csv     films.csv (1 record no longer in it)\n"
        "gone              5  sqlite  films.db: select title from films\n"
        "incomplete        0  txt     evil\\x1b[2J\\n.txt\n"
    )
    assert sources_as("text", []) == ""


def test_the_list_as_json_has_every_field() -> None:
    found = json.loads(sources_as("json", SOURCES))
    assert found[1] == {
        "location": "films.csv",
        "kind": "file",
        "query": "",
        "reader": "csv",
        "state": "changed",
        "records": 1234,
        "stale": 1,
        "size": 9000,
        "added": AT,
    }
    assert [each["added"] for each in found] == [AT, AT, AT, None]
    assert sources_as("json", []) == "[]\n"
