"""Formats found by name and content: a known suffix says it for texts, and the content for all else."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from vecindex.errors import SourceError
from vecindex.sources import Format, source
from vecindex.sources.opening.detect import START, format_of, suffix_of
from vecindex.sources.prose.languages import LANGUAGES, language_by_name

HTML = "<!DOCTYPE html>\n<html><head><title>A</title></head><body><p>One.</p></body></html>\n"
CONTENTS: list[tuple[str, Format]] = [
    (HTML, Format.HTML),
    (f'<?xml version="1.0"?>\n<!-- a page -->\n{HTML}', Format.HTML),
    ('{"text": "one"}\n{"text": "two"}\n', Format.JSONL),
    ('{"text": "one", "n": [1,\n2]}\n', Format.JSON),
    ('[{"text": "one"},\n {"text": "two"}]\n', Format.JSON),
    ("[]", Format.JSON),
    ("text,lang\nMy name is Aun,en\nIt rains.,en\n", Format.CSV),
    ('text,lang\n"My name, it is Aun",en\n', Format.CSV),
    ("text\tlang\nMy name is Aun\ten\n", Format.TSV),
    ("WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n", Format.SUBTITLES),
    ("1\n00:00:00,000 --> 00:00:02,000\nHello\n", Format.SUBTITLES),
    ("From: a@example.org\nTo: b@example.org\nMessage-ID: <1@example.org>\n\nHello\n", Format.EML),
    ("From a@example.org Mon Jan  1 00:00:00 2024\nFrom: a@example.org\nMessage-ID: <1>\n\nHello\n", Format.MBOX),
    ("#!/usr/bin/env python3\nprint()\n", Format.CODE),
    ("#!/bin/sh\necho\n", Format.CODE),
]
TEXTS = [
    "My name is Aun\nIt rains.\n",
    "Dear all,\nthis is a letter, as you see,\nwith commas.\n",
    "one, two\n",  # one row is no table
    "Yes, it rains, and I, too, am wet today, as are the others, to my regret and theirs.\nNo, it, x, y, z, u, v.\n",
    "[1] A footnote.\n",
    "[x] done\n[ ] to do\n",
    "{braces} in a text\n",
    "From here on it rains.\nSubject to change.\n",
    "Note: one header is no message.\n\nx\n",
    "#!important\n",
    "\u4eca\u5929\u4e0b\u96e8\u4e86\u3002" * 20,
    "\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49\u0e1d\u0e19\u0e15\u0e01" * 9,
    "2024-03-01 10:14:02 INFO the server listens on port 8080\n",
    "",
]
UNCLEAR = [
    "1 2 3\n4 5 6\n",
    "<p>a fragment</p>\n",
    '<?xml version="1.0"?>\n<items><item>one</item></items>\n',
    "-----BEGIN CERTIFICATE-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n" * 20,
    "5eb63bbbe01eeed093cb22bb8f5acdc3  dist/a-1.0.tar.gz\n" * 20,
    "TVqQAAMAAAAEAAAA" * 50,
    "a text with \x02 in it\n",
]


@pytest.mark.parametrize(("content", "format"), CONTENTS)
@pytest.mark.parametrize("name", ["data", "data.xyz", "data.xyz.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_without_a_known_suffix_is_what_it_unmistakably_looks_like(
    name: str, content: str, format: Format, encoding: str
) -> None:
    assert format_of(name, name, content.encode(encoding)) is format
    assert format_of(name, name, content.replace("\n", "\r\n").encode(encoding)) is format


@pytest.mark.parametrize("content", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_in_words_is_read_as_text_whatever_its_name(content: str, encoding: str) -> None:
    for name in ("data", "data.xyz", "data.xyz.gz"):
        assert format_of(name, name, content.encode(encoding)) is Format.TXT


def test_a_character_may_be_cut_at_the_end_of_the_beginning() -> None:
    assert format_of("data", "data", "Les caf\xe9s".encode()[:-2]) is Format.TXT


@pytest.mark.parametrize("content", UNCLEAR)
def test_what_could_be_anything_is_an_error_that_says_what_to_do(content: str) -> None:
    for name, found in (("data", "the name has no suffix"), ("data.xyz", "the suffix '.xyz' is unknown")):
        with pytest.raises(SourceError) as caught:
            format_of(name, name, content.encode())
        assert str(caught.value) == (
            f"{name}: {found}, and the content does not look like text. "
            "If it is, pass format='txt'; `vecindex guide sources` lists the formats."
        )


def test_bytes_that_are_no_unicode_are_only_text_by_a_well_known_name() -> None:
    latin = "Les caf\xe9s sont ouverts.\n".encode("latin-1")
    assert format_of("docs/LICENSE-MIT", "LICENSE-MIT", latin) is Format.TXT
    with pytest.raises(SourceError, match="does not look like text"):
        format_of("data", "data", latin)


def test_binary_data_is_an_error_whatever_its_name() -> None:
    for name in ("README", "data", "data.xyz"):
        with pytest.raises(SourceError, match=rf"^{name}: holds binary data of an unknown kind\. Write its texts"):
            format_of(name, name, b"\x7fELF\x02\x01\x01\0\0\n")


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("Makefile", "make"),
        ("docker/Dockerfile", "docker"),
        ("Dockerfile.dev", "docker"),
        ("CMakeLists.txt", "cmake"),
        ("setup.cfg", "ini"),
        ("compose.yaml", "yaml"),
    ],
)
def test_code_is_known_by_its_file_name(name: str, language: str) -> None:
    assert format_of(name, name, b"a b c\n") is Format.CODE
    assert (LANGUAGES.get(suffix_of(name)) or language_by_name(name)) == language


def test_a_suffix_says_more_than_the_rest_of_a_name() -> None:
    assert format_of("README.md", "README.md", b"x\n") is Format.MARKDOWN
    assert format_of("Makefile.md", "Makefile.md", b"x\n") is Format.MARKDOWN
    assert format_of("LICENSE.html", "LICENSE.html", b"x\n") is Format.HTML


def test_a_large_file_is_known_by_its_beginning() -> None:
    row = '{"text": "' + "x" * 70 + '"}\n'
    assert format_of("data", "data", (row * 1000).encode()[:START]) is Format.JSONL
    table = "text,lang\n" + ("x" * 70 + ",en\n") * 1000
    assert format_of("data", "data", table.encode()[:START]) is Format.CSV


@pytest.mark.parametrize("suffix", [".txt", ".md", ".csv", ".jsonl", ".py"])
def test_a_known_suffix_says_the_format_of_a_text_whatever_it_looks_like(suffix: str) -> None:
    expected = format_of(f"a{suffix}", "a", b"My name is Aun\n")
    assert {format_of(f"a{suffix}", "a", content.encode()) for content, _ in CONTENTS} == {expected}


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.md", "a", "a.xyz"])
def test_what_is_not_a_text_is_what_its_content_says(name: str) -> None:
    assert format_of(name, name, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n") is Format.PDF
    with pytest.raises(SourceError, match=f"^{name}: looks like a PNG image, not text"):
        format_of(name, name, b"\x89PNG\r\n\x1a\n\0\0")


def test_a_format_that_is_given_is_believed_unless_it_is_for_text_and_the_content_is_not() -> None:
    assert format_of("a.md", "a.md", b"x", Format.TXT) is Format.TXT
    assert format_of("a.bin", "a.bin", b"\x89PNG\r\n\x1a\n\0\0", Format.PDF) is Format.PDF
    with pytest.raises(SourceError, match="looks like a PDF document, not text"):
        format_of("a.pdf", "a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", Format.TXT)


def test_suffixes_are_read_through_those_of_compression() -> None:
    names = ["a.txt", "a.TXT", "a.b.csv.gz", "a.jsonl.ZST", "a.md.zstd", "a.gz", "a", ".txt", "d.txt/a"]
    assert [suffix_of(name) for name in names] == [".txt", ".txt", ".csv", ".jsonl", ".md", "", "", "", ""]


@pytest.mark.usefixtures("here")
def test_a_mark_of_another_encoding_is_no_binary_content() -> None:
    Path("a.txt").write_bytes(codecs.BOM_UTF16_BE + "one\n".encode("utf-16-be"))
    assert source("a.txt").format is Format.TXT
