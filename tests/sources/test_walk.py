"""Folders and what is skipped in them: by pattern, by .gitignore, by kind; each with its reason, in a fixed order."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import InvalidInput, SourceError
from vecindex.sources import Format, read
from vecindex.sources.fingerprint import state_of
from vecindex.sources.options import read_options
from vecindex.sources.walk import Reason, Skips, sources_in

pytestmark = pytest.mark.usefixtures("here")


def make(files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def found(*paths: str, **options: Any) -> tuple[list[str], dict[str, Reason]]:
    """The paths of the sources, and what was skipped."""
    skips = Skips(keep=True)
    names = [source.path for source in sources_in(paths, on_skip=skips, **options)]
    return names, {skip.path: skip.reason for skip in skips.listed}


# --- what is found


def test_a_folder_stands_for_its_files_in_the_order_of_their_paths() -> None:
    names = ["d/Z.txt", "d/a-b.txt", "d/a.txt", "d/a/b.md", "d/a/c/d.csv", "d/a0.jsonl", "d/b.html", "d/é.txt"]
    make(dict.fromkeys(reversed(names), "text\n"))
    assert found("d") == found("d/") == ([n.replace("d/", "d/") for n in names], {})
    given = list(sources_in(["d"]))
    assert [each.format for each in given if each.path in ("d/a/b.md", "d/a0.jsonl")] == [
        *(Format.MARKDOWN, Format.JSONL),
    ]
    assert [each.kind for each in given] == ["file"] * len(names)
    assert [each.state for each in given] == [state_of(each.path) for each in given]
    assert found(".")[0] == [f"./{name}" for name in names]


def test_sources_hold_no_file_open_and_are_found_one_by_one() -> None:
    make({f"d/{n:04}.txt": f"{n}\n" for n in range(300)})
    before = len(os.listdir("/dev/fd")) if os.path.exists("/dev/fd") else 0
    search = sources_in(["d"])
    assert next(search).path == "d/0000.txt"
    Path("d/0200.txt").unlink()
    rest = list(search)
    assert len(rest) == 298  # one was deleted while the folder was walked
    if before:
        assert len(os.listdir("/dev/fd")) == before
    assert [record.text for source in rest[:2] for record in read(source)] == ["1", "2"]


def test_a_file_is_found_once_however_often_it_is_named() -> None:
    make({"d/a.txt": "one\n", "d/b.txt": "two\n"})
    assert found("d/b.txt", "d", "./d/a.txt") == (["d/b.txt", "d/a.txt"], {})


def test_options_are_for_all_sources() -> None:
    make({"d/a.csv": "body,text\none,x\n", "d/b.csv": "body\ntwo\n", "d/c.txt": "three\n"})
    given = sources_in(["d"], read_options(text_column="body"))
    assert [record.text for source in given for record in read(source)] == ["one", "two", "three"]


def test_a_found_file_that_holds_nothing_is_no_error() -> None:
    make({"d/a.txt": "\n\n", "d/b.txt": "two\n"})
    assert [record.text for source in sources_in(["d"]) for record in read(source)] == ["two"]
    with pytest.raises(SourceError, match="holds no sentences"):
        list(read(next(iter(sources_in(["d/a.txt"])))))


# --- what is skipped


def test_what_is_no_text_of_a_known_format_is_skipped_with_a_reason() -> None:
    make(
        {
            "d/.hidden.txt": "x\n",
            "d/.git/config": "x\n",
            "d/a.txt": "x\n",
            "d/empty.txt": "",
            "d/model.onnx": b"\x08\x07\x12\x07pytorch\0\0\x1a",
            "d/numbers.txt": b"\x7fELF\x02\x01\x01\0\0\n",
            "d/picture.png": b"\x89PNG\r\n\x1a\n\0\0",
            "d/numbers.xyz": "1 2 3\n",
            "d/id_rsa": "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQ+xKcwggSjAgEAAoIB/Q1\n" * 9,
            "d/server.log": "It was started at noon.\n",
            "d/server.log.1": "It was started at noon.\n",
            "d/poetry.lock": "# Made by a program, for a program.\n",
            "d/wide.txt": "wide\n".encode("utf-16"),
            "d/packed.csv.gz": gzip.compress(b"text\nx\n"),
        }
    )
    os.mkfifo("d/pipe.txt")
    names, skipped = found("d")
    assert names == ["d/a.txt", "d/packed.csv.gz", "d/wide.txt"]
    assert skipped == {
        "d/.git/": Reason.HIDDEN,
        "d/.hidden.txt": Reason.HIDDEN,
        "d/empty.txt": Reason.EMPTY,
        "d/model.onnx": Reason.BINARY,
        "d/numbers.txt": Reason.BINARY,
        "d/picture.png": Reason.BINARY,
        "d/numbers.xyz": Reason.UNKNOWN,
        "d/id_rsa": Reason.UNKNOWN,
        "d/server.log": Reason.LOG,
        "d/server.log.1": Reason.LOG,
        "d/poetry.lock": Reason.LOG,
        "d/pipe.txt": Reason.SPECIAL,
    }
    skips = Skips()
    list(sources_in(["d"], on_skip=skips))
    assert str(skips) == (
        "2 hidden, 1 empty, 2 of unknown format, 3 binary, 3 logs or lock files, 1 device, pipe or socket"
    )
    assert skips.listed == []


def test_texts_are_read_also_where_their_names_do_not_say_what_they_are() -> None:
    make(
        {
            "d/LICENSE": "Do what you like.\n",
            "d/Makefile": "all:\n\tcc a.c\n",
            "d/docker/Dockerfile.dev": "FROM debian\n",
            "d/notes.xyz": "My notes.\n",
            "d/README": "Les caf\xe9s sont ouverts.\n".encode("latin-1"),
            "d/settings.toml": 'name = "a"\n',
        }
    )
    assert found("d")[1] == {}
    formats = {each.path: each.format for each in sources_in(["d"])}
    assert formats == {
        **dict.fromkeys(("d/LICENSE", "d/README", "d/notes.xyz"), Format.TXT),
        **dict.fromkeys(("d/Makefile", "d/docker/Dockerfile.dev", "d/settings.toml"), Format.CODE),
    }


def test_a_log_is_read_if_it_is_named() -> None:
    make({"d/server.log": "It was started at noon.\n"})
    assert found("d/server.log") == (["d/server.log"], {})
    assert found("d", format=Format.TXT) == (["d/server.log"], {})


def test_a_file_that_is_named_is_never_skipped() -> None:
    make({".hidden.txt": "one\n", "d/.gitignore": "a.txt\n", "d/.git/x": "", "d/a.txt": "two\n", "empty.txt": ""})
    assert found(".hidden.txt", "d/a.txt", "empty.txt", exclude=["*.txt"])[0] == [".hidden.txt", "d/a.txt", "empty.txt"]
    make({"picture.png": b"\x89PNG\r\n\x1a\n\0\0", "notes.xyz": "1 2\n"})
    for name in ("picture.png", "notes.xyz", "missing"):
        with pytest.raises(SourceError, match=f"^{name}: "):
            found(name)


def test_with_a_format_files_of_unknown_format_are_read_as_that() -> None:
    make({"d/a.log": "one\n", "d/b.png": b"\x89PNG\r\n\x1a\n\0\0", "d/c.md": "two\n"})
    assert found("d", format=Format.TXT) == (["d/a.log", "d/c.md"], {"d/b.png": Reason.BINARY})
    assert {each.format for each in sources_in(["d"], format=Format.TXT)} == {Format.TXT}


def test_compressed_documents_of_a_folder_are_skipped_if_they_are_only_read_as_they_are() -> None:
    make({"d/a.txt.gz": gzip.compress(b"a\n"), "d/b.pdf.gz": gzip.compress(b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n")})
    assert found("d") == (["d/a.txt.gz"], {"d/b.pdf.gz": Reason.BINARY})


def test_an_index_is_skipped_wherever_it_is() -> None:
    make({"d/notes/vecindex.db": "x", "d/notes/a.txt": "x\n", "d/mine/a.txt": "x\n", "d/b.txt": "x\n"})
    names, skipped = found("d", index="d/mine")
    assert (names, skipped) == (["d/b.txt"], {"d/mine/": Reason.INDEX, "d/notes/": Reason.INDEX})


def test_links_to_files_are_read_and_links_to_folders_are_not_followed() -> None:
    make({"d/a.txt": "one\n", "elsewhere/b.txt": "two\n"})
    for name, target in {
        **{"file.txt": "../elsewhere/b.txt", "folder": "../elsewhere", "up": "..", "self": "self"},
        **{"gone.txt": "nowhere.txt", "here": "."},
    }.items():
        Path("d", name).symlink_to(target)
    names, skipped = found("d")
    assert names == ["d/a.txt", "d/file.txt"]
    assert skipped == {
        **dict.fromkeys(("d/folder/", "d/here/", "d/up/"), Reason.LINK),
        **dict.fromkeys(("d/self", "d/gone.txt"), Reason.BROKEN),
    }
    assert found("d/folder")[0] == ["d/folder/b.txt"]  # a link that is named is followed
    with pytest.raises(SourceError, match=r"^d/self: is a link to a file that does not exist, or to itself"):
        found("d/self")


def test_a_folder_of_any_depth_is_walked() -> None:
    place = Path("d")
    place.mkdir()
    folder = os.open("d", os.O_RDONLY)
    depth = 300
    try:
        for _ in range(depth):
            os.mkdir("e", dir_fd=folder)
            inner = os.open("e", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with open("a.txt", "w", opener=lambda name, flags: os.open(name, flags, dir_fd=folder)) as stream:
            stream.write("deep\n")
    finally:
        os.close(folder)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        names = [source.path for source in sources_in(["d"])]
    finally:
        sys.setrecursionlimit(limit)
    assert names == ["d/" + "e/" * depth + "a.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_or_file_without_permission_is_an_error_and_not_a_skip() -> None:
    make({"d/a/x.txt": "x\n", "d/b.txt": "x\n", "d/c.txt": "x\n"})
    Path("d/a").chmod(0)
    Path("d/b.txt").chmod(0)
    try:
        with pytest.raises(SourceError, match=r"^d/a: cannot be read: Permission denied"):
            found("d")
        bad: list[SourceError] = []
        assert found("d", on_bad=bad.append)[0] == ["d/c.txt"]
        assert [error.path for error in bad] == ["d/a", "d/b.txt"]
    finally:
        Path("d/a").chmod(0o700)


def test_an_unreadable_folder_is_an_error_and_the_rest_is_found_if_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make({"d/a/x.txt": "x\n", "d/b.txt": "x\n"})
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path == "d/a":
            raise PermissionError(13, os.strerror(13))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(SourceError, match=r"^d/a: cannot be read: Permission denied"):
        found("d")
    bad: list[SourceError] = []
    assert found("d", on_bad=bad.append)[0] == ["d/b.txt"]
    assert [error.path for error in bad] == ["d/a"]


# --- patterns


TREE = ["a.md", "a.txt", "docs/b.md", "docs/old/c.md", "docs/old/d.txt", "src/e.py", "src/docs/f.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.md"], [], ["a.md", "docs/b.md", "docs/old/c.md", "src/docs/f.md"]),
        (["docs/"], [], ["docs/b.md", "docs/old/c.md", "docs/old/d.txt", "src/docs/f.md"]),
        (["/docs/**"], [], ["docs/b.md", "docs/old/c.md", "docs/old/d.txt"]),
        (["/docs/*.md"], [], ["docs/b.md"]),
        (["*.md", "!/docs/old/*"], [], ["a.md", "docs/b.md", "src/docs/f.md"]),
        ([], ["docs/"], ["a.md", "a.txt", "src/e.py"]),
        ([], ["*.md", "src"], ["a.txt", "docs/old/d.txt"]),
        (["*.md"], ["old/"], ["a.md", "docs/b.md", "src/docs/f.md"]),
        (["**/[c-f].*"], ["*.py"], ["docs/old/c.md", "docs/old/d.txt", "src/docs/f.md"]),
    ],
)
def test_patterns_narrow_what_is_read(include: list[str], exclude: list[str], expected: list[str]) -> None:
    make({f"d/{name}": "text\n" for name in TREE})
    names, skipped = found("d", include=include, exclude=exclude)
    assert names == [f"d/{name}" for name in expected]
    assert set(skipped.values()) == {Reason.EXCLUDED}


def test_a_pattern_does_not_bring_back_what_is_ignored_or_hidden() -> None:
    make({"d/.git/x": "", "d/.gitignore": "*.md\n", "d/a.md": "x\n", "d/.b.md": "x\n"})
    assert found("d", include=["*.md"])[0] == []


@pytest.mark.parametrize("pattern", ["", "  ", "# a comment", 3])
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(InvalidInput, match="include holds"):
        found(".", include=[pattern])


def test_gitignore_files_count_at_every_level_up_to_the_root_of_the_repository() -> None:
    make(
        {
            ".gitignore": "kept-out-of-it.txt\n",  # above the repository
            "r/.git/HEAD": "x\n",
            "r/.git/info/exclude": "private.txt\n",
            "r/.gitignore": "*.log.txt\nbuild/\n/top.txt\n!docs/important.log.txt\n",
            "r/docs/.gitignore": "draft-*\n!draft-final.txt\n",
            **dict.fromkeys(
                [
                    *("r/a.log.txt", "r/build/x.txt", "r/top.txt", "r/private.txt", "r/kept-out-of-it.txt"),
                    *("r/docs/important.log.txt", "r/docs/draft-1.txt", "r/docs/draft-final.txt", "r/docs/top.txt"),
                    *("r/docs/build/y.txt", "r/docs/z.txt"),
                ],
                "x\n",
            ),
        }
    )
    expected = ["r/docs/draft-final.txt", "r/docs/important.log.txt", "r/docs/top.txt", "r/docs/z.txt"]
    names, skipped = found("r")
    assert names == [*expected, "r/kept-out-of-it.txt"]
    assert skipped["r/docs/build/"] == skipped["r/docs/draft-1.txt"] == Reason.IGNORED
    assert found("r/docs")[0] == expected
    assert found("r/build")[0] == ["r/build/x.txt"]  # a folder that is named is read


def test_what_is_ignored_agrees_with_git() -> None:
    lines = [
        "*.tmp.txt",
        "!keep.tmp.txt",
        "/a/*",
        "!/a/b",
        "c/**/d",
        "**/e",
        "f/",
        "g*h.txt",
        "[xy].txt",
        r"\!i.txt",
        "j ",
    ]
    names = ["u.tmp.txt", "keep.tmp.txt", "a/k.txt", "a/b/l.txt", "c/d/m.txt", "c/n/d/o.txt", "p/e/q.txt", "f/r.txt"]
    names += ["s/f/t.txt", "gh.txt", "g1h.txt", "x.txt", "z.txt", "!i.txt", "j/v.txt", "w.txt"]
    make({"r/.gitignore": "\n".join(lines) + "\n", **{f"r/{name}": "x\n" for name in names}})
    try:
        subprocess.run(["git", "init", "-q", "r"], check=True)
        command = ["git", "-C", "r", "ls-files", "-o", "--exclude-standard", "*.txt"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("git is not here")
    assert found("r")[0] == [f"r/{name}" for name in sorted(listed.stdout.splitlines())]


def test_a_gitignore_that_is_damaged_ignores_what_can_be_understood() -> None:
    make({"d/.gitignore": b"\xff\xfe!!\n!\n[\na.txt\n", "d/a.txt": "x\n", "d/b.txt": "x\n"})
    assert found("d")[0] == ["d/b.txt"]
