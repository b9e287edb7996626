"""Texts in encodings other than UTF-8: detected or named, with bad bytes refused by line or replaced and counted."""

from __future__ import annotations

import codecs
import io
import os
import tracemalloc
from pathlib import Path
from typing import IO, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources import Format, Source, read, read_options, source
from vecindex.sources.opening.decoding import Decoding, Utf8
from vecindex.sources.options import ReadOptions
from vecindex.sources.texts import whole_text

from ..support.extent import examples
from ..support.source_files import records, refused, with_bad_rows

MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
WIDE = [encoding for encoding in MARKS if encoding != "utf-8"]
SENTENCES = {
    "cp1252": "Le café est très agréable l'été.\nÜber den Wolken muß die Freiheit sein.\nEl niño comió piñas.\n",
    "cp1250": "Zażółć gęślą jaźń.\nWszyscy ludzie rodzą się wolni i równi.\n",
    "cp1251": "Привет мир.\nВсе люди рождаются свободными.\n",
    "koi8-u": "Привет мир.\nВсе люди рождаются свободными.\n",
    "cp1253": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι.\n",
    "cp1254": "Bütün insanlar hür ve eşit doğarlar.\nİğne iplik aldım.\n",
    "cp1255": "כל בני האדם נולדו בני חורין.\n",
    "cp1256": "يولد جميع الناس أحراراً متساوين.\n",
    "cp932": "私の名前は太郎です。\nすべての人間は自由である。\n",
    "euc_jp": "私の名前は太郎です。\nすべての人間は自由である。\n",
    "gb18030": "我的名字是小明。\n人人生而自由。\n",
    "big5hkscs": "我的名字是小明。\n人人生而自由。\n",
    "cp949": "제 이름은 철수입니다.\n모든 인간은 자유롭다.\n",
}


def utf8(content: bytes, **options: Any) -> tuple[bytes, Decoding]:
    decoding = Decoding()
    return Utf8(io.BytesIO(content), decoding, **options).read(), decoding


def texts(name: str, content: bytes, **options: Any) -> list[str]:
    return [record.text for record in records(name, content, **options)]


# --- Unicode


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
@pytest.mark.parametrize("with_mark", [True, False])
def test_utf16_and_utf32_are_read_with_and_without_a_mark(name: str, encoding: str, with_mark: bool) -> None:
    rows = {
        "a.txt": "My name is Aun 🙂\r\nÉtude\r\n",
        "a.jsonl": '{"text": "My name is Aun 🙂"}\n{"text": "Étude"}\n',
    }.get(name, "text\nMy name is Aun 🙂\nÉtude\n")
    content = (MARKS[encoding] if with_mark else b"") + rows.encode(encoding)
    assert texts(name, content) == ["My name is Aun 🙂", "Étude"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Привет, мир\n", "我的 名字\n" * 3, "a b"])
def test_utf16_without_a_mark_is_told_by_its_spaces_and_line_ends(encoding: str, text: str) -> None:
    assert utf8(text.encode(encoding)) == (text.encode(), Decoding(encoding, detected=True))


@pytest.mark.parametrize("content", [b"a\nb\0c\n", b"ab\0", b"abc\0", b"a b\0 c\n", b"\0", b"\0\0\0\0", b"GIF8\0\0"])
def test_a_text_with_a_few_nuls_is_not_utf16(content: bytes) -> None:
    assert utf8(content) == (content, Decoding())


@pytest.mark.usefixtures("here")
def test_a_wide_text_that_is_cut_off_has_a_bad_last_line() -> None:
    content = codecs.BOM_UTF16_LE + "one\ntwo\n".encode("utf-16-le") + b"x"
    reason = "the byte 0x78 in the line is no text in the encoding of the file"
    assert with_bad_rows("a.txt", content) == (["one", "two"], [(3, reason)])
    lone = codecs.BOM_UTF16_LE + "one\n".encode("utf-16-le") + b"\x00\xd8a\x00\n\x00" + "three\n".encode("utf-16-le")
    assert with_bad_rows("a.txt", lone)[1] == [(2, "the byte 0x00 in the line is no text in the encoding of the file")]


# --- other encodings


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", SENTENCES)
@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_the_common_encodings_are_detected(name: str, encoding: str) -> None:
    header = "text\n" if name == "a.csv" else ""
    Path(name).write_bytes((header + SENTENCES[encoding]).encode(encoding))
    notes = source(name)
    assert [record.text for record in read(notes)] == SENTENCES[encoding].splitlines()
    assert notes.decoding == Decoding(encoding, detected=True)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("encoding", SENTENCES)
def test_a_named_encoding_is_used_however_little_there_is(encoding: str) -> None:
    text = SENTENCES[encoding].partition("\n")[0]
    Path("a.txt").write_bytes(text.encode(encoding))
    notes = source("a.txt", read_options(encoding=encoding))
    assert [record.text for record in read(notes)] == [text]
    assert (notes.decoding.detected, notes.decoding.replaced) == (False, 0)
    with notes.opened() as stream:
        assert whole_text(notes, stream) == text


def test_accents_that_come_late_are_detected_where_they_begin() -> None:
    plain = b"The quick brown fox jumps over the lazy dog.\n" * 10_000
    late = "Un café près de l'été.\n".encode("cp1252")
    assert utf8(plain + late) == (plain + late.decode("cp1252").encode(), Decoding("cp1252", detected=True))


@pytest.mark.parametrize(
    "head",
    [
        b'<html><head><meta charset="windows-1251">',
        b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">',
        b'<?xml version="1.0" encoding="windows-1251"?>\n',
        b"#!/usr/bin/python\n# -*- coding: cp1251 -*-\n",
    ],
)
def test_an_encoding_that_the_text_declares_is_believed_unless_it_is_utf8(head: bytes) -> None:
    assert utf8(head + "да".encode("cp1251")) == (head + "да".encode(), Decoding("cp1251", detected=True))
    assert utf8(head + "да".encode()) == (head + "да".encode(), Decoding())


@pytest.mark.parametrize(
    "content",
    [
        "é\n".encode() * 20 + b"\xe9t\xe9 \xe0 la carte\n",  # the rest is UTF-8
        b"good\n" * 1000 + b"caf\xe9\n",  # too few to tell
        b"one\n\xff\nthree\n",
        b"ab\xed\xa0\x80",
        b"ab\xc0\xaf",
        b"ab\xf4\x90\x80\x80",
        "été\n".encode() + "été à la carte, où l'été\n".encode("cp1252"),
        bytes(range(1, 256)) * 3,
    ],
)
def test_a_utf8_text_with_bad_bytes_stays_one(content: bytes) -> None:
    assert utf8(content) == (content, Decoding())


def test_json_is_unicode_by_its_standard_so_no_other_encoding_is_guessed() -> None:
    content = '{"text": "Un café près de l\'été."}\n'.encode("cp1252")
    assert utf8(content, only_unicode=True) == (content, Decoding())
    assert utf8(content)[1] == Decoding("cp1252", detected=True)


@pytest.mark.usefixtures("here")
def test_json_lines_in_latin_1_are_read_if_that_is_named() -> None:
    content = '{"text": "Un café près de l\'été."}\n'.encode("latin-1")
    assert refused("a.jsonl", content)[1].endswith("is not UTF-8")
    assert texts("a.jsonl", content, encoding="latin-1") == ["Un café près de l'été."]


# --- bad bytes


@pytest.mark.usefixtures("here")
def test_a_byte_that_the_named_encoding_does_not_have_is_a_bad_row() -> None:
    content = "été\n".encode("cp1252") + b"a\x81b\nlast\n"
    reason = "the byte 0x81 in the line is no text in the encoding of the file"
    assert with_bad_rows("a.txt", content, encoding="cp1252") == (["été", "last"], [(2, reason)])
    notes = Source("a.txt", Format.TXT, ReadOptions(encoding="cp1252"))
    with notes.opened() as stream, pytest.raises(SourceError, match=r"^a\.txt:2: the byte 0x81 is no text") as caught:
        whole_text(notes, stream)
    assert "--errors replace" in caught.value.command_advice


@pytest.mark.usefixtures("here")
def test_bad_bytes_are_replaced_and_counted_if_that_is_asked_for() -> None:
    Path("a.txt").write_bytes("été\n".encode() + b"caf\xe9 \xff\xfe\nlast\n")
    notes = source("a.txt", read_options(errors="replace"))
    for _ in range(2):  # each reading counts from 0
        assert [record.text for record in read(notes)] == ["été", "caf\ufffd \ufffd\ufffd", "last"]
        assert notes.decoding.replaced == 3
    assert texts("a.txt", b"a\x81b\n", encoding="cp1252", errors="replace") == ["a\ufffdb"]


@pytest.mark.usefixtures("here")
def test_replacing_does_not_make_text_of_nul() -> None:
    assert refused("a.txt", b"ab\0cd\n", errors="replace") == (
        1,
        "byte 3 of the line is NUL, so this is not UTF-8 text",
    )


# --- the stream


def test_memory_does_not_grow_with_a_text_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("Un café près de l'été. " * 10 + "\n").encode("cp1252") * 40_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(source(path))) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20  # the sample, for a moment as text
    finally:
        tracemalloc.stop()


@examples(200)
@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["utf-8", "utf-16", "utf-16-be", "utf-32", "gb18030", "utf-7"]),
    st.integers(1, 9),
)
def test_any_text_in_a_named_encoding_comes_back_in_reads_of_any_size(text: str, encoding: str, size: int) -> None:
    stream = Utf8(io.BytesIO(text.encode(encoding)), Decoding(), encoding=encoding)
    parts = list(iter(lambda: stream.read(size), b""))
    assert b"".join(parts).decode() == text
    assert all(len(part) == size for part in parts[:-1])


@examples(200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_what_can_be_read_or_refused(content: bytes, only_unicode: bool) -> None:
    found, decoding = utf8(content, only_unicode=only_unicode)
    if decoding == Decoding():
        assert found == content
    replaced, decoding = utf8(content, only_unicode=only_unicode, replace=True)
    assert replaced.decode().count("\ufffd") >= decoding.replaced


def test_lines_of_the_stream_are_read_as_from_any_other() -> None:
    content = "été\nà la carte\nœuf\n"
    stream = Utf8(io.BytesIO(content.encode("cp1252")), Decoding(), encoding="cp1252")
    assert [line.decode() for line in stream] == content.splitlines(keepends=True)
    stream = Utf8(io.BytesIO(content.encode("cp1252")), Decoding(), encoding="cp1252")
    assert io.TextIOWrapper(cast(IO[bytes], stream), "utf-8").read() == content


def test_an_error_in_the_stream_comes_after_what_was_read_before() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(2)
            if not found:
                raise OSError(5, os.strerror(5))
            return found

    for content in (b"abcd", "éé".encode(), "éàü".encode("cp1252")):
        stream = Utf8(Failing(content), Decoding())
        assert stream.read1()
        with pytest.raises(OSError, match="Input/output error"):
            stream.read(100)
        with pytest.raises(OSError, match="Input/output error"):
            Utf8(Failing(content), Decoding()).read(100)
