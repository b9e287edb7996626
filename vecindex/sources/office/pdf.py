"""Reads PDF documents: a block for each paragraph, with the number of its page.

pypdfium2 (Apache-2.0 or BSD) takes out the text with PDFium, the library of a browser: it marks words that are divided
at line ends, and takes a fifth of the time of pypdf. It runs in a process of its own, within limits; see `pdf_pages`.
"""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import groupby
from shutil import copyfileobj
from typing import IO, Any, cast

from ...errors import InvalidInput, MissingExtra, SourceError
from ...errors.warnings import PagesWithoutText, warn
from ...values.records import Origin
from ..documents import Document
from ..opening.files import unreadable
from ..origin import Source
from ..prose.passages import MAX_TEXT, Passages, too_much_text
from . import pdf_pages
from .pdf_layout import Line, Paragraph, across_pages, paragraphs, undivided

_START = 1_024
"""Bytes in which the mark of a PDF has to be."""
_LONGEST_ANSWER = 2**28
_PASSWORD, _SECURITY = 4, 5  # PDFium's numbers of errors
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_OCR = "Recognise their text first, for example with ocrmypdf IN.pdf OUT.pdf."
_SAVE_AGAIN = "Open it in another program and save it again, or leave it out."


def read(source: Source, stream: IO[bytes]) -> Iterator[Document | SourceError]:
    """One document; a page that cannot be read is a bad row. Warns of pages that hold images only."""
    pages: list[list[Paragraph]] = []
    images: list[int] = []
    length = 0
    try:
        answers = _answers(source, stream)
        about = next(answers)
        _check(about)
        for number, answer in enumerate(answers, start=1):
            if answer["lines"] is None:
                yield Origin(source.name, number, "page").error("the page cannot be read", _SAVE_AGAIN)
                continue
            lines = [Line(*line) for line in answer["lines"]]
            pages.append(paragraphs(lines, number))
            if answer["images"]:
                images.append(number)
            length += sum(len(line.text) for line in lines)
            if length > MAX_TEXT:
                raise too_much_text()
        passages = _passages(pages)
        if images and not passages.blocks:
            hold = "holds" if len(images) == 1 else "hold"
            raise InvalidInput(f"{_ranges(images)} {hold} images only, and no page has text", _OCR)
    except InvalidInput as error:
        raise SourceError(source.name, None, error.message, error.advice) from None
    if images:
        warn(PagesWithoutText(source.name, _ranges(images)))
    if passages.blocks:
        yield _document(source, about, passages)


def _document(source: Source, about: dict[str, Any], passages: Passages) -> Document:
    metadata = {"author": _line(about.get("Author")), "date": _iso(about.get("CreationDate"))}
    return Document(
        passages.text(),
        Origin(source.name, unit="page"),
        metadata={name: value for name, value in metadata.items() if value} or None,
        title=_line(about.get("Title")) or None,
        blocks=passages.blocks,
    )


def _passages(pages: list[list[Paragraph]]) -> Passages:
    found = across_pages(pages)
    passages = Passages()
    for paragraph, text in zip(found, undivided([each.text for each in found]), strict=True):
        passages.add(text, {"page": paragraph.page}, paragraph.page)
    return passages


def _line(value: object) -> str:
    return " ".join(str(value or "").split())[:1_000]


def _iso(written: object) -> str:
    found = _DATE.match(str(written or ""))
    return "-".join(part for part in found.groups() if part) if found else ""


def _ranges(numbers: list[int]) -> str:
    """Such as "pages 1-3 and 7"."""
    runs = [list(run) for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    named = [str(run[0][1]) if len(run) == 1 else f"{run[0][1]}-{run[-1][1]}" for run in runs]
    shown = named if len(named) <= 20 else [*named[:20], f"{len(named) - 20} more"]
    listed = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"page {listed}" if len(numbers) == 1 else f"pages {listed}"


def _check(about: dict[str, Any]) -> None:
    """Raises InvalidInput if the document was refused, or has too many pages."""
    if "refused" in about:
        if about["refused"] in (_PASSWORD, _SECURITY):
            raise InvalidInput("is locked with a password", "Save it without one, for example with qpdf --decrypt.")
        raise InvalidInput("cannot be read as a PDF, it is damaged or cut off", _SAVE_AGAIN)
    if about["pages"] > pdf_pages.MAX_PAGES:
        raise InvalidInput(
            f"has {about['pages']:,} pages; at most {pdf_pages.MAX_PAGES:,} are read", "Divide it into several files."
        )


def _answers(source: Source, stream: IO[bytes]) -> Generator[dict[str, Any], None, None]:
    """What `pdf_pages` says; raises InvalidInput if it was ended, and MissingExtra."""
    if find_spec("pypdfium2") is None:
        raise MissingExtra("docs", "reading PDF files")
    with _as_file(source, stream) as file:
        if b"%PDF-" not in file.read(_START):
            raise InvalidInput("is not a PDF: it does not begin with %PDF-", "Check that its suffix is right.")
        file.seek(0)
        with subprocess.Popen(
            [sys.executable, "-I", "-S", pdf_pages.__file__, str(pdf_pages.MEMORY), str(pdf_pages.SECONDS), *sys.path],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            try:
                pages = 0
                while answer := process.stdout.readline(_LONGEST_ANSWER):
                    yield json.loads(answer)
                    pages += 1
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise _ended(process.returncode, pages)


def _ended(status: int, page: int) -> InvalidInput:
    where = f"page {page}" if page else "it"
    if status == -signal.SIGPROF:
        return InvalidInput(
            f"{where} takes more than {pdf_pages.SECONDS} seconds of processor time to read", _SAVE_AGAIN
        )
    return InvalidInput(
        f"{where} cannot be read: PDFium crashed, or needed more than {pdf_pages.MEMORY >> 20:,} MiB of memory",
        _SAVE_AGAIN,
    )


@contextmanager
def _as_file(source: Source, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """A file that another process can read, at its start: ``stream`` itself or a copy."""
    if type(stream) is io.BufferedReader and type(stream.raw) is io.FileIO and stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        try:
            copyfileobj(stream, copy)
        except OSError as error:
            raise unreadable(source.name, None, error) from error
        copy.seek(0)
        yield cast("IO[bytes]", copy)
