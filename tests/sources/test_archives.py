"""Zip archives: each member is a source of its own, and what cannot be trusted is refused by name."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources import Format, read, source
from vecindex.sources.opening import archives, compression
from vecindex.sources.walk import Reason, Skips, sources_in

from ..support.extent import examples

pytestmark = pytest.mark.usefixtures("here")


def archive(name: str, members: Mapping[Any, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(name, "w", method) as packed:
        for member, content in members.items():
            packed.writestr(member, content)


def found(*paths: str, **options: Any) -> tuple[list[str], dict[str, Reason]]:
    skips = Skips(keep=True)
    names = [each.path for each in sources_in(paths, on_skip=skips, **options)]
    return names, {skip.path: skip.reason for skip in skips.listed}


def refused(*paths: str) -> tuple[list[str], dict[str, str]]:
    """What is found all the same, and why the rest is refused."""
    bad: list[SourceError] = []
    names = [each.path for each in sources_in(paths, on_bad=bad.append)]
    return names, {error.path: error.reason for error in bad}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_each_member_is_a_source_that_is_read_as_its_name_and_content_say(method: int) -> None:
    members: dict[str, str | bytes] = {
        "z.txt": "My name is Aun\nIt rains.\n",
        "inner/films.csv": "key,text\nm1,A shark terrorises a beach.\n",
        "inner/wide.txt": "L'été\n".encode("utf-16"),
        "inner/packed.jsonl.gz": gzip.compress(b'{"text": "packed"}\n'),
        "a b/é.md": "# Title\n",
    }
    archive("docs.zip", members, method)
    given = list(sources_in(["docs.zip"]))
    names = ["a b/é.md", "inner/films.csv", "inner/packed.jsonl.gz", "inner/wide.txt", "z.txt"]
    assert [each.path for each in given] == [f"docs.zip/{name}" for name in names]
    assert {each.kind for each in given} == {"member"}
    texts = {each.path: [record.text for record in read(each)] for each in given[1:]}
    assert list(texts.values()) == [
        *(["A shark terrorises a beach."], ["packed"], ["L'été"], ["My name is Aun", "It rains."]),
    ]
    assert next(record.origin for record in read(given[4])) == ("docs.zip/z.txt", 1, "line")
    assert [record.text for record in read(given[4])] == texts["docs.zip/z.txt"]  # again


def test_a_bad_row_in_a_member_is_named_with_its_line() -> None:
    archive("docs.zip", {"in/a.jsonl": '{"text": "one"}\n{"text": 2'})
    (given,) = sources_in(["docs.zip"])
    with pytest.raises(SourceError, match=r"^docs\.zip/in/a\.jsonl:2: not valid JSON"):
        list(read(given))


def test_the_state_of_a_member_is_its_size_and_the_archives_time() -> None:
    archive("docs.zip", {"a.txt": "one\n"})
    os.utime("docs.zip", ns=(5, 5_000_000_000))
    (given,) = sources_in(["docs.zip"])
    assert given.state is not None
    assert (given.state.size, given.state.mtime_ns) == (4, 5_000_000_000)
    Path("a.txt").write_text("one\n")
    assert given.digest() == source("a.txt").digest()


def test_archives_in_folders_are_walked_and_patterns_count_for_their_members() -> None:
    Path("d").mkdir()
    archive("d/docs.zip", {"a.md": "x\n", "old/b.md": "x\n", "c.txt": "x\n", "d.xyz": "1 2\n", ".e.txt": "x\n"})
    Path("d/b.txt").write_text("x\n")
    names, skipped = found("d", include=["*.md"], exclude=["old/"])
    assert names == ["d/docs.zip/a.md"]
    assert found("d", exclude=["*.zip"]) == (["d/b.txt"], {"d/docs.zip": Reason.EXCLUDED})
    assert [each.format for each in sources_in(["d/docs.zip"], format=Format.TXT)] == [Format.TXT] * 4
    assert skipped["d/docs.zip/c.txt"] == skipped["d/docs.zip/old/b.md"] == Reason.EXCLUDED
    assert found("d")[1] == {"d/docs.zip/d.xyz": Reason.UNKNOWN, "d/docs.zip/.e.txt": Reason.HIDDEN}


def test_what_is_skipped_in_a_folder_is_skipped_in_an_archive() -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("a.txt", "x\n")
    archive(
        "docs.zip",
        {
            "__MACOSX/._a.txt": "x\n",
            ".git/config.txt": "x\n",
            "a.png": b"\x89PNG\r\n\x1a\n\0\0",
            "empty.txt": "",
            "folder/": "",
            "more.zip": inner.getvalue(),
        },
    )
    assert found("docs.zip") == (
        [],
        {
            "docs.zip/.git/config.txt": Reason.HIDDEN,
            "docs.zip/__MACOSX/._a.txt": Reason.HIDDEN,
            "docs.zip/a.png": Reason.BINARY,
            "docs.zip/empty.txt": Reason.EMPTY,
            "docs.zip/more.zip": Reason.NESTED,
        },
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x.txt", "has a path that leads out of the archive"),
        ("a/../../x.txt", "has a path that leads out of the archive"),
        ("a\\..\\x.txt", "has a path that leads out of the archive"),
        ("/etc/x.txt", "has an absolute path in the archive"),
        ("\\\\host\\x.txt", "has an absolute path in the archive"),
        ("C:/x.txt", "has an absolute path in the archive"),
        ("a\n.txt", "has a control character in its name"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(name: str, reason: str) -> None:
    archive("docs.zip", {"good.txt": "x\n", name: "x\n"})
    shown = name.replace("\n", "?")
    assert refused("docs.zip") == (["docs.zip/good.txt"], {f"docs.zip/{shown}": reason})
    with pytest.raises(SourceError, match=reason):
        found("docs.zip")


def test_links_encrypted_and_repeated_members_are_refused(recwarn: pytest.WarningsRecorder) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive(
        "docs.zip", {link: "/etc/passwd", "secret.txt": "x\n", "twice.txt": "x\n", zipfile.ZipInfo("twice.txt"): "y\n"}
    )
    recwarn.clear()
    raw = Path("docs.zip").read_bytes()
    place = raw.rindex(b"PK\x01\x02", 0, raw.index(b"secret.txt", raw.index(b"PK\x01\x02")))
    flagged = bytearray(raw)
    flagged[place + 8] |= 1  # the flag of encryption, in the directory
    Path("docs.zip").write_bytes(flagged)
    names, reasons = refused("docs.zip")
    assert names == ["docs.zip/twice.txt"]
    assert reasons == {
        "docs.zip/link.txt": "is a symbolic link, which an archive cannot be trusted with",
        "docs.zip/secret.txt": "is encrypted",
        "docs.zip/twice.txt": "is in the archive twice",
    }


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    archive("docs.zip", {"bomb.txt": "one\n" * 500_000, "good.txt": "x\n"})
    monkeypatch.setattr(compression, "RATIO_FROM", 10**6)
    given = list(sources_in(["docs.zip"]))
    with pytest.raises(SourceError, match=r"^docs\.zip/bomb\.txt: the member unpacks to more than 200 times its size"):
        list(read(given[0]))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(SourceError, match=r"^docs\.zip: the zip archive has 2 members, more than 1"):
        found("docs.zip")


def test_a_damaged_archive_or_member_is_an_error() -> None:
    archive("docs.zip", {"a.txt": "one\n" * 100, "b.txt": "two\n"}, zipfile.ZIP_STORED)
    raw = Path("docs.zip").read_bytes()
    Path("cut.zip").write_bytes(raw[:-30])
    with pytest.raises(SourceError, match=r"^cut\.zip: the zip archive cannot be unpacked: File is not a zip file"):
        found("cut.zip")
    Path("bad.zip").write_bytes(raw.replace(b"one\none\n", b"one\nonX\n", 1))
    names, reasons = refused("bad.zip")
    assert (names, list(reasons)) == (["bad.zip/b.txt"], ["bad.zip/a.txt"])
    assert reasons["bad.zip/a.txt"].startswith("the member cannot be unpacked: Bad CRC-32")


def test_an_archive_that_changes_after_it_was_walked_is_read_anew_or_refused() -> None:
    archive("docs.zip", {"a.txt": "one\n", "b.txt": "two\n"})
    given = list(sources_in(["docs.zip"]))
    archive("new.zip", {"a.txt": "changed\n"})
    Path("new.zip").replace("docs.zip")
    assert [record.text for record in read(given[0])] == ["changed"]
    with pytest.raises(SourceError, match=r"^docs\.zip/b\.txt: is not in the archive any more"):
        list(read(given[1]))
    Path("docs.zip").unlink()
    with pytest.raises(SourceError, match=r"^docs\.zip: cannot be read: No such file"):
        list(read(given[0]))


def test_members_of_several_archives_can_be_read_in_any_order() -> None:
    for name in ("a", "b"):
        archive(f"{name}.zip", {f"{n}.txt": f"{name}{n}\n" * 50_000 for n in range(3)})
    given = list(sources_in(["a.zip", "b.zip"]))
    readers = [read(each) for each in given]
    assert [[next(each).text for each in readers] for _ in range(2)] == [["a0", "a1", "a2", "b0", "b1", "b2"]] * 2
    assert [sum(1 for _ in each) for each in readers] == [49_998] * 6


def test_documents_that_are_zip_archives_are_not_taken_apart() -> None:
    part = {"[Content_Types].xml": "<Types/>", "word/document.xml": "<document/>"}
    for name in ("letter.docx", "letter.bin", "letter"):
        archive(name, part)
        assert [(each.path, each.format) for each in sources_in([name])] == [(name, Format.DOCX)]
    archive("words.zip", {"password/a.txt": "x\n"})  # a name that looks like a part of a document
    assert found("words.zip")[0] == ["words.zip/password/a.txt"]
    archive("book.epub", {"mimetype": "application/epub+zip"}, zipfile.ZIP_STORED)
    with pytest.raises(SourceError, match="looks like an EPUB book"):
        found("book.epub")


def test_a_single_source_is_no_archive() -> None:
    archive("docs.zip", {"a.txt": "x\n"})
    with pytest.raises(SourceError, match=r"^docs\.zip: looks like a zip archive"):
        source("docs.zip")


@examples(300)
@given(st.data())
def test_a_garbled_archive_is_read_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        for name in ("a.txt", "b/é.csv"):
            archive.writestr(name, "text,n\nMy name is Aun,1\n" * 3)
    content = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "docs.zip")
        path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
        bad: list[SourceError] = []
        with contextlib.suppress(SourceError):
            for given_ in sources_in([path], on_bad=bad.append):
                with contextlib.suppress(SourceError):
                    list(read(given_, on_bad=bad.append))
        assert [str(error) for error in bad if "\n" in str(error)] == []
