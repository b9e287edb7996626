"""Locations of sources: one for each file, however it is named, and relative to the folder that holds the index."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources.locations import Locations, is_within
from vecindex.values.sources import SourceKind, SourceState


def state(location: str, kind: SourceKind = "file", query: str = "") -> SourceState:
    return SourceState(1, kind, location, query, "txt", "{}", "00", 1, 1, "2026-01-01T00:00:00+00:00", 0, "line")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an index and files, which is the current directory."""
    project = tmp_path.resolve() / "project"
    (project / ".vecindex").mkdir(parents=True)
    (project / "docs" / "deep").mkdir(parents=True)
    (project / "docs" / "a.md").write_text("One.")
    (project / "docs" / "deep" / "b.md").write_text("Two.")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.md").write_text("Three.")
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize(
    "path",
    [
        *("docs/a.md", "./docs/a.md", "docs//a.md", "docs/deep/../a.md", "../project/docs/a.md"),
        *("docs/./a.md", "{project}/docs/a.md", "{project}/../project/docs/a.md"),
    ],
)
def test_a_file_beneath_the_folder_of_the_index_has_one_relative_location(project: Path, path: str) -> None:
    assert Locations(".vecindex").of(path.format(project=project)) == "docs/a.md"


def test_a_file_elsewhere_has_an_absolute_location(project: Path) -> None:
    located = Locations(".vecindex").of("../elsewhere/c.md")
    assert located == str(project.parent / "elsewhere" / "c.md")
    # A folder whose name only begins with that of the index's folder is elsewhere, too.
    assert Locations(".vecindex").of("../project-2/a.md") == f"{project}-2/a.md"


def test_a_location_is_the_same_from_any_current_directory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "docs" / "deep")
    locations = Locations("../../.vecindex")
    assert (locations.of("b.md"), locations.of("../a.md")) == ("docs/deep/b.md", "docs/a.md")


def test_a_location_and_its_path_lead_to_each_other(project: Path) -> None:
    locations = Locations(".vecindex")
    for path in (project / "docs" / "a.md", project, project.parent / "elsewhere" / "c.md", project / "gone" / "x.md"):
        assert locations.path(locations.of(path)) == str(path)
    assert locations.of(project) == "."


def test_locations_stay_when_the_folder_is_moved(project: Path) -> None:
    before = Locations(".vecindex").of("docs/a.md")
    moved = project.rename(project.with_name("moved"))
    assert Locations(moved / ".vecindex").path(before) == str(moved / "docs" / "a.md")
    assert Locations(moved / ".vecindex").of(moved / "docs" / "a.md") == before


def test_an_index_behind_a_link_is_where_its_directory_really_is(project: Path, tmp_path: Path) -> None:
    link = tmp_path / "shortcut"
    link.symlink_to(project / ".vecindex")
    assert Locations(link).of("docs/a.md") == "docs/a.md"


def test_a_file_has_the_same_location_through_a_link_to_a_folder(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project / "docs" / "deep")
    (project / "near").symlink_to(project / "docs")
    (project / "far").symlink_to(tmp_path / "elsewhere")
    locations = Locations(".vecindex")
    assert locations.of(tmp_path / "link" / "b.md") == "docs/deep/b.md"
    assert locations.of(tmp_path / "link" / ".." / "a.md") == "docs/a.md"  # as open() follows it
    assert locations.of("near/a.md") == "docs/a.md"
    assert locations.of("far/c.md") == str(tmp_path.resolve() / "elsewhere" / "c.md")
    assert locations.of("near") == locations.of("near/") == "docs"


def test_a_link_to_a_file_keeps_its_own_name(project: Path, tmp_path: Path) -> None:
    (project / "docs" / "link.md").symlink_to(tmp_path / "elsewhere" / "c.md")
    assert Locations(".vecindex").of("docs/link.md") == "docs/link.md"


def test_files_that_are_gone_have_locations_too(project: Path) -> None:
    assert Locations(".vecindex").of("docs/gone/../old.md") == "docs/old.md"
    assert Locations(".vecindex").of("gone/deep/x.md") == "gone/deep/x.md"


def test_names_that_mean_something_to_a_shell_are_names(project: Path) -> None:
    for name in ("~", "~root", "-", "a b", "*.md", "new\nline", "é", "$HOME"):
        assert Locations(".vecindex").of(f"docs/{name}") == f"docs/{name}"
    assert Locations(".vecindex").of("~") == "~"


def test_a_name_that_is_not_unicode_is_refused(project: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (project / name).write_text("One.")
    with pytest.raises(SourceError, match="not valid UTF-8") as refused:
        Locations(".vecindex").of(name)
    assert "Rename" in str(refused.value)


SOURCES = [
    state("docs/a.md"),
    state("docs/deep/b.md"),
    state("docs-2/a.md"),
    state("docs.zip/docs/a.md", "member"),
    state("films.db", "database", "select title from films"),
    state("films.db", "database", "select plot from films"),
    state("https://example.org/docs/a.md", "url"),
    state("<stdin>", "stdin"),
]


@pytest.mark.parametrize(
    ("typed", "folder", "expected"),
    [
        ("docs/a.md", ".", [0]),
        ("docs", ".", [0, 1]),
        ("docs/", ".", [0, 1]),
        ("./docs/deep/..", ".", [0, 1]),
        ("a.md", "docs", [0]),
        ("../docs-2", "docs", [2]),
        ("..", "docs", [0, 1, 2, 3, 4, 5]),
        (".", ".", [0, 1, 2, 3, 4, 5]),
        ("{project}", "docs", [0, 1, 2, 3, 4, 5]),
        ("/", "docs", [0, 1, 2, 3, 4, 5]),
        ("docs.zip", ".", [3]),
        ("docs.zip/docs", ".", [3]),
        ("films.db", ".", [4, 5]),
        ("https://example.org/docs/a.md", ".", [6]),
        ("https://example.org/docs", ".", []),
        ("<stdin>", "docs", [7]),
        # As a listing shows it, where nothing is at that path from the current directory.
        ("docs/a.md", "docs/deep", [0]),
        ("docs/", "docs/deep", [0, 1]),
        ("doc", ".", []),
        ("", ".", []),
    ],
)
def test_what_is_typed_selects_a_source_or_all_beneath(
    project: Path, monkeypatch: pytest.MonkeyPatch, typed: str, folder: str, expected: list[int]
) -> None:
    monkeypatch.chdir(folder)
    found = Locations(project / ".vecindex").selected(typed.format(project=project), SOURCES)
    assert [SOURCES.index(each) for each in found] == expected


def test_what_is_typed_may_begin_at_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    assert [each.location for each in Locations(".vecindex").selected("~/docs/a.md", SOURCES)] == ["docs/a.md"]


def test_names_decide_what_is_within_a_folder() -> None:
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")
    assert not is_within("/a", "/a/b")
