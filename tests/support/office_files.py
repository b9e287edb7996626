"""Writes Office files, PDFs and mail for tests, and zip archives in which a part is not what it should be.

The functions ``write_...`` write a corpus: the same sentences, or rows, in each format.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from textwrap import wrap
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

WIDTH, HEIGHT = 595, 842
"""Of a page, in points."""
_SIZE = 11
_LEADING = 13.5
_TOP = 780
_LEFT = 72
LINES_A_PAGE = 48


# --- PDF


def pdf(
    pages: Iterable[Sequence[str | tuple[float, float, float, str]]],
    info: Mapping[str, str] | None = None,
    locked: bool = False,
    images: Iterable[int] = (),
) -> bytes:
    """A PDF with these lines on its pages, one below the other; "" leaves a gap between two paragraphs.

    A line may also be its left side, its height above the bottom, its size and its text. The pages numbered in
    ``images`` show an image.
    """
    shown = set(images)
    contents = [_content(lines, number in shown) for number, lines in enumerate(pages, start=1)]
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    objects.append(
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>"
        b"\nstream\n\x80\nendstream"
    )
    kids = []
    for content in contents:
        packed = zlib.compress(content)
        kids.append(b"%d 0 R" % (len(objects) + 1))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R"
            b" /Resources << /Font << /F 3 0 R >> /XObject << /I 4 0 R >> >> >>" % (WIDTH, HEIGHT, len(objects) + 2)
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream")
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    trailer = b""
    if info:
        members = b" ".join(b"/%s (%s)" % (name.encode(), _escaped(value)) for name, value in info.items())
        objects.append(b"<< %s >>" % members)
        trailer += b" /Info %d 0 R" % len(objects)
    if locked:
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32))
        trailer += b" /Encrypt %d 0 R /ID [<00> <00>]" % len(objects)
    return pdf_of(objects, trailer)


def pdf_of(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects, of which the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    starts = []
    for number, each in enumerate(objects, start=1):
        starts.append(len(out))
        out += b"%d 0 obj\n" % number + each + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % start for start in starts)
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, table)
    return bytes(out)


def _content(lines: Sequence[str | tuple[float, float, float, str]], has_image: bool) -> bytes:
    drawn = [b"q 100 0 0 100 72 72 cm /I Do Q"] if has_image else []
    y = float(_TOP)
    for line in lines:
        if isinstance(line, str):
            left, height, size, text = float(_LEFT), y, float(_SIZE), line
            y -= _LEADING
        else:
            left, height, size, text = line
        if text:
            drawn.append(b"BT /F %g Tf %g %g Td (%s) Tj ET" % (size, left, height, _escaped(text)))
    return b"\n".join(drawn)


def _escaped(text: str) -> bytes:
    raw = text.encode("cp1252", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


# --- Office


def docx(write: Callable[[Any], object]) -> bytes:
    """A Word document into which ``write`` has written, with python-docx."""
    import docx as library

    document = library.Document()
    write(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def pptx(write: Callable[[Any], object]) -> bytes:
    """A presentation into which ``write`` has written, with python-pptx."""
    import pptx as library

    presentation = library.Presentation()
    write(presentation)
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def xlsx(
    sheets: Mapping[str, Iterable[Sequence[Any]]], finish: Callable[[Any], object] = lambda workbook: None
) -> bytes:
    """A workbook with these rows, by the names of their sheets, written with openpyxl."""
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    finish(workbook)
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def with_parts(raw: bytes, parts: Mapping[str, bytes | Callable[[bytes], bytes] | None]) -> bytes:
    """An archive with some parts replaced, by bytes or by what a function makes of them, added, or left out (None)."""
    out = io.BytesIO()
    with ZipFile(io.BytesIO(raw)) as old, ZipFile(out, "w", ZIP_DEFLATED) as new:
        for name in dict.fromkeys([*old.namelist(), *parts]):
            change = parts.get(name, old.read(name) if name in old.namelist() else None)
            content = change(old.read(name)) if callable(change) else change
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


# --- mail


def message(subject: str, text: str = "", **headers: str) -> EmailMessage:
    """A message; ``message_id`` is the header Message-ID, and so on."""
    made = EmailMessage()
    made["Subject"] = subject
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    if text:
        made.set_content(text)
    return made


def mbox(messages: Iterable[EmailMessage | bytes]) -> bytes:
    """A mailbox with these messages."""
    out = bytearray()
    for each in messages:
        raw = each if isinstance(each, bytes) else each.as_bytes()
        lines = [b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in raw.splitlines()]
        out += b"From someone Fri Nov 27 15:20:00 2026\n" + b"\n".join(lines) + b"\n\n"
    return bytes(out)


# --- a corpus in each format

SENTENCES_A_PARAGRAPH = 5
_CHARACTERS_A_LINE = 80
_PARAGRAPHS_A_SLIDE = 2
_PARAGRAPHS_A_MESSAGE = 4


def _paragraphs(sentences: Sequence[str]) -> list[str]:
    starts = range(0, len(sentences), SENTENCES_A_PARAGRAPH)
    return [" ".join(sentences[start : start + SENTENCES_A_PARAGRAPH]) for start in starts]


def write_pdf(path: Path, sentences: Sequence[str]) -> None:
    """Lines are wrapped, and sentences go on from page to page; each of several pages has a header and its number."""
    lines = [
        line
        for each in _paragraphs(sentences)
        for line in (*wrap(each, _CHARACTERS_A_LINE, break_on_hyphens=False), "")
    ]
    pages: list[list[str | tuple[float, float, float, str]]] = []
    for number, start in enumerate(range(0, len(lines), LINES_A_PAGE), start=1):
        header, footer = (72.0, 815.0, 9.0, "A corpus of sentences"), (290.0, 30.0, 9.0, f"{number}")
        page = lines[start : start + LINES_A_PAGE]
        pages.append([header, *page, footer] if len(lines) > 2 * LINES_A_PAGE else list(page))
    path.write_bytes(pdf(pages))


def write_docx(path: Path, sentences: Sequence[str]) -> None:
    path.write_bytes(docx(lambda document: [document.add_paragraph(each) for each in _paragraphs(sentences)]))


def write_pptx(path: Path, sentences: Sequence[str]) -> None:
    """Two paragraphs a slide, without titles."""
    paragraphs = _paragraphs(sentences)

    def write(presentation: Any) -> None:
        for start in range(0, len(paragraphs), _PARAGRAPHS_A_SLIDE):
            slide = presentation.slides.add_slide(presentation.slide_layouts[6])
            box = slide.shapes.add_textbox(0, 0, 1_000, 1_000)
            box.text_frame.text = "\n".join(paragraphs[start : start + _PARAGRAPHS_A_SLIDE])

    path.write_bytes(pptx(write))


def write_eml(path: Path, sentences: Sequence[str]) -> None:
    path.write_bytes(message("A corpus", "\n\n".join(_paragraphs(sentences))).as_bytes())


def write_mbox(path: Path, sentences: Sequence[str]) -> None:
    """Four paragraphs a message."""
    paragraphs = _paragraphs(sentences)
    texts = [
        "\n\n".join(paragraphs[start : start + _PARAGRAPHS_A_MESSAGE])
        for start in range(0, len(paragraphs), _PARAGRAPHS_A_MESSAGE)
    ]
    path.write_bytes(mbox(message("A corpus", text, Message_ID=f"<{n}@x>") for n, text in enumerate(texts)))


def write_xlsx(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One sheet, whose columns are the names in the first row."""
    names = list(rows[0])
    path.write_bytes(xlsx({"Sheet": [names, *([row.get(name) for name in names] for row in rows)]}))
