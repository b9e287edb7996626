"""Takes the lines of text out of a PDF on its standard input; run as a program of its own, by `pdf`.

PDFium is a large library in C++, and a PDF may come from anyone: here it can take only so much memory and time, and if
it crashes, only this program ends. For each page one line of JSON goes to standard output, after one about the
document. This file imports nothing of the package, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

MEMORY = 2 * 2**30
"""Bytes of address space."""
SECONDS = 60
"""Processor time for one page."""
MAX_PAGES = 50_000
MAX_CHARACTERS = 1_000_000
"""Of one page."""

_STDIN, _STDOUT = 0, 1
_REMOVED = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
_REMOVED.update(dict.fromkeys(range(0xD800, 0xE000), 0xFFFD))


def main() -> None:
    """Reads all pages; the arguments are the limits of memory and time, and then where to import from."""
    memory, seconds, *sys.path[:] = sys.argv[1:]
    for limit, most in (
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    for found in _pages(float(seconds)):
        _write(found)


def _write(found: dict[str, Any]) -> None:
    data = memoryview(json.dumps(found).encode() + b"\n")
    while data:
        data = data[os.write(_STDOUT, data) :]


def _pages(seconds: float) -> Iterator[dict[str, Any]]:
    import pypdfium2

    with open(_STDIN, "rb", closefd=False) as stream:
        _begin_page(seconds)
        try:
            document = pypdfium2.PdfDocument(stream)
        except pypdfium2.PdfiumError as error:
            yield {"refused": error.err_code}
            return
        count = len(document)
        yield {"pages": count, **document.get_metadata_dict()}
        for number in range(min(count, MAX_PAGES)):
            _begin_page(seconds)
            try:
                page = document[number]
            except pypdfium2.PdfiumError:
                yield {"lines": None}
                continue
            lines = _lines(page)
            images = not lines and next(page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]), None) is not None
            page.close()
            yield {"lines": lines, "images": images}


def _begin_page(seconds: float) -> None:
    """From here the process has so much time, and then the system ends it."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _lines(page: Any) -> list[tuple[str, float, float, float, float, float]] | None:
    """The lines of a page; None if it cannot be read.

    Each has its text, the heights of its first and last character above the bottom of the page, its left and right
    side, and the size of its letters, all in points.

    PDFium puts U+FFFE instead of a hyphen that divides a word at the end of a line, and of the end itself.
    """
    import ctypes

    import pypdfium2

    raw = pypdfium2.raw
    try:
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    count = text_page.count_chars()
    if count > MAX_CHARACTERS:
        return None
    text = text_page.get_text_range()
    if len(text) != count:  # it leaves characters out, such as NUL, but positions must be the same
        codes = [raw.FPDFText_GetUnicode(text_page, position) for position in range(count)]
        text = "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes)
    x, y, box = ctypes.c_double(), ctypes.c_double(), raw.FS_RECTF()
    lines = []
    start = 0
    for line in re.findall("[^\n\ufffe]*[\n\ufffe]?", text):
        core = line.strip().replace("\ufffe", "-")
        if core:
            first = start + len(line) - len(line.lstrip())
            last = first + len(core) - 1
            raw.FPDFText_GetLooseCharBox(text_page, first, box)
            left = box.left
            raw.FPDFText_GetLooseCharBox(text_page, last, box)
            right = box.right
            heights = []
            for position in (first, last):
                raw.FPDFText_GetCharOrigin(text_page, position, x, y)
                heights.append(y.value)
            size = raw.FPDFText_GetFontSize(text_page, (first + last) // 2)
            if core := core.translate(_REMOVED):
                lines.append((core, *heights, left, right, size))
        start += len(line)
    text_page.close()
    return lines


if __name__ == "__main__":
    main()
