"""Office files of strangers: bombs, entities, locked and damaged archives are refused, and nothing else is opened."""

from __future__ import annotations

import io
from functools import partial
from zipfile import ZIP_STORED, ZipFile

import pytest

from vecindex.errors import SourceError
from vecindex.sources.office import ooxml

from ...support.office_files import docx, pptx, with_parts
from ...support.prose import document, found, texts

MAIN = "word/document.xml"
BODY = b"<w:body>"


def word() -> bytes:
    return docx(lambda document: document.add_paragraph("It rains."))


def refused(raw: bytes, name: str = "a.docx") -> str:
    with pytest.raises(SourceError) as caught:
        found(name, raw)
    assert (caught.value.path, caught.value.line) == (name, None)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_entities_are_refused_before_they_are_read() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE w:document [<!ENTITY l0 "lol">{laughs}]>'.encode()
    outside = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    for head in (bomb, outside, b'<!DOCTYPE d SYSTEM "http://example.org/d.dtd">'):
        raw = with_parts(word(), {MAIN: partial(_with_head, head)})
        assert refused(raw) == "its XML declares a document type, which Office files never have"


def _with_head(head: bytes, old: bytes) -> bytes:
    return head + old[old.index(b"<w:document") :]


def test_parts_that_shrink_too_well_are_refused() -> None:
    raw = with_parts(word(), {MAIN: lambda old: old.replace(BODY, BODY + b" " * 2**25)})
    assert len(raw) < 100_000
    assert refused(raw).startswith("its part 'word/document.xml' grows from ")
    assert "at most 200 times are unpacked" in refused(raw)


def test_large_archives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ooxml, "MAX_PART", 2_000)
        assert "bytes; at most 2,000 are unpacked" in refused(word())
    with monkeypatch.context() as patched:
        patched.setattr(ooxml, "MAX_UNPACKED", 5_000)
        assert "bytes together; at most 5,000 are unpacked" in refused(word())
    with monkeypatch.context() as patched:
        patched.setattr(ooxml, "MAX_PARTS", 5)
        assert refused(word()).endswith("parts; at most 5 are read")
    with monkeypatch.context() as patched:
        patched.setattr(ooxml, "MAX_TOKEN", 100_000)
        raw = with_parts(word(), {MAIN: lambda old: old.replace(BODY, b"<!--" + b"ab " * 100_000 + b"-->" + BODY)})
        assert refused(raw) == "its XML has one tag or text of more than 100,000 bytes"


def test_a_part_cannot_be_longer_than_its_archive_says() -> None:
    raw = with_parts(word(), {MAIN: lambda old: old.replace(BODY, BODY + b" " * 2**20)})
    with ZipFile(io.BytesIO(raw)) as archive:
        size = archive.getinfo(MAIN).file_size
    assert "damaged or cut off" in refused(raw.replace(size.to_bytes(4, "little"), (5_000).to_bytes(4, "little")))


def test_deeply_nested_xml_is_refused() -> None:
    raw = with_parts(word(), {MAIN: lambda old: old.replace(BODY, BODY + b"<w:x>" * 5_000)})
    assert refused(raw) == "its XML is nested more than 1,000 deep"


def test_a_locked_or_old_document_is_refused() -> None:
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504
    assert refused(old).startswith("is not a Word document, but an old one (Office 97-2003), or one that is locked")
    locked = bytearray(word())
    start = locked.index(b"PK\x01\x02")
    locked[start + 8] |= 1
    assert refused(bytes(locked)) == "it is locked with a password"


def test_other_files_and_damaged_ones_are_refused() -> None:
    assert refused(b"%PDF-1.7") == "is not a Word document: those are zip archives"
    assert refused(b"") == "is not a Word document: those are zip archives"
    assert refused(word()[:3_000]).startswith("cannot be read as a Word document, it is damaged or cut off")
    assert refused(pptx(lambda presentation: None)[:3_000], "a.pptx").startswith("cannot be read as a PowerPoint")
    assert "it has no main document" in refused(with_parts(word(), {"_rels/.rels": None}))
    assert refused(with_parts(word(), {MAIN: b"<w:document"})).startswith("cannot be read as a Word document")
    assert "unknown" in refused(with_parts(word(), {MAIN: b"<?xml version='1.0' encoding='nonsense'?><d/>"}))


def test_a_presentation_that_is_called_a_document_holds_nothing() -> None:
    def write(presentation: object) -> None:
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])  # type: ignore[attr-defined]
        slide.shapes.title.text = "Rain"

    assert found("a.docx", pptx(write)) == []


def test_relations_never_lead_out_of_the_archive() -> None:
    relation = (
        b'<Relationship Id="a" Type="x/officeDocument" Target="../../../../etc/passwd"/>'
        b'<Relationship Id="b" Type="x/officeDocument" TargetMode="External" Target="file:///etc/passwd"/>'
    )
    raw = with_parts(word(), {"_rels/.rels": b"<Relationships>" + relation + b"</Relationships>"})
    assert refused(raw) == "it has no main document"


def test_names_of_parts_ignore_case() -> None:
    raw = word()
    out = io.BytesIO()
    with ZipFile(io.BytesIO(raw)) as old, ZipFile(out, "w", ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name.replace("word/document", "Word/Document"), old.read(name))
    assert texts(document("a.docx", out.getvalue())) == ["It rains."]


def test_a_stream_that_cannot_go_back_is_copied() -> None:
    class OneWay(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with ooxml.seekable(OneWay(b"abc")) as file:
        assert (file.read(), file.seek(1), file.read()) == (b"abc", 1, b"bc")
