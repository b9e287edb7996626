"""Reads and splits the same sentences in each format, and prints MB/s: python tests/bench/sources.py [FORMAT ...].

The last column is the time for reading and splitting as a share of the time that encoding the sentences takes, at 400
sentences a second, as all-MiniLM-L6-v2 does on two cores. MB are millions of bytes of the file.
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from vecindex.sources import source
from vecindex.sources.documents import Document
from vecindex.sources.formats import LAYOUTS
from vecindex.sources.reading import contents
from vecindex.sources.split.pieces import pieces

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support import office_files  # noqa: E402

ENCODED_A_SECOND = 400
PARAGRAPH, SECTION = 4, 12
"""Sentences of a paragraph, and paragraphs of a section."""

DATA = ROOT / "data" / "sentences.jsonl"


def sentences(count: int) -> list[str]:
    known = [json.loads(line)["text"] for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [known[n % len(known)] for n in range(count)]


def sections(texts: Sequence[str]) -> Iterator[list[str]]:
    """Lists of paragraphs."""
    paragraphs = (" ".join(texts[at : at + PARAGRAPH]) for at in range(0, len(texts), PARAGRAPH))
    while section := list(islice(paragraphs, SECTION)):
        yield section


def _prose(texts: Sequence[str]) -> str:
    return "\n\n".join("\n\n".join(section) for section in sections(texts))


def _markdown(texts: Sequence[str]) -> str:
    parts = []
    for n, (first, *others) in enumerate(sections(texts)):
        items = "\n".join(f"- {item}" for item in others[:4])
        parts.append(f"## Section {n}\n\n{first}\n\n{items}\n\n```python\nx = {n}\n```\n\n" + "\n\n".join(others[4:]))
    return "---\ntitle: A page\n---\n\n# A page\n\n" + "\n\n".join(parts)


def _rst(texts: Sequence[str]) -> str:
    parts = []
    for n, (first, *others) in enumerate(sections(texts)):
        title = f"Section {n}"
        items = "\n".join(f"- {item}" for item in others[:4])
        code = f".. code-block:: python\n\n   x = {n}"
        parts.append("\n\n".join([f"{title}\n{'-' * len(title)}", first, items, code, *others[4:]]))
    return "A page\n======\n\n" + "\n\n".join(parts)


def _html(texts: Sequence[str]) -> str:
    links = "".join(f'<li class="nav-item"><a href="/page/{n}">Page number {n}</a></li>\n' for n in range(40))
    parts = []
    for n, section in enumerate(sections(texts)):
        paragraphs = "".join(f'<p class="text">{html.escape(each)} <a href="/{n}">More</a></p>\n' for each in section)
        parts.append(f'<section id="s{n}"><h2>Section {n}</h2>\n{paragraphs}</section>\n')
    body = f"<nav><ul>{links}</ul></nav><main><h1>A page</h1>{''.join(parts)}</main><footer><ul>{links}</ul></footer>"
    return f'<!doctype html><html lang="en"><head><title>A page</title></head><body>{body}</body></html>'


def _code(texts: Sequence[str]) -> str:
    return "\n\n".join(f"def f{n}(x):\n    # {text}\n    return x + {n}" for n, text in enumerate(texts))


def _notebook(texts: Sequence[str]) -> str:
    cells: list[dict[str, object]] = []
    for n, section in enumerate(sections(texts)):
        text = f"## Section {n}\n\n" + "\n\n".join(section)
        cells.append({"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)})
        output = {"output_type": "stream", "name": "stdout", "text": ["1\n"] * 20}
        cells.append({"cell_type": "code", "metadata": {}, "source": [f"x = {n}"], "outputs": [output]})
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _subtitles(texts: Sequence[str]) -> str:
    cues = []
    for n, text in enumerate(texts):
        words = text.split()
        for part, line in enumerate((words[: len(words) // 2], words[len(words) // 2 :])):
            at = 2 * n + part
            clock = f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}"
            cues.append(f"{2 * n + part + 1}\n{clock},000 --> {clock},900\n{' '.join(line)}\n")
    return "\n".join(cues)


def _table(delimiter: str) -> Callable[[Sequence[str]], str]:
    def write(texts: Sequence[str]) -> str:
        out = io.StringIO()
        rows = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        rows.writerow(["id", "text", "year", "topic"])
        rows.writerows([n, text, 1900 + n % 120, "one"] for n, text in enumerate(texts))
        return out.getvalue()

    return write


def _objects(texts: Sequence[str]) -> list[str]:
    return [json.dumps({"text": text, "n": n, "topic": "one"}) for n, text in enumerate(texts)]


def _written(write: Callable[[Path, Sequence[str]], None]) -> Callable[[Sequence[str]], bytes]:
    def made(texts: Sequence[str]) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a")
            write(path, texts)
            return path.read_bytes()

    return made


def _workbook(path: Path, texts: Sequence[str]) -> None:
    office_files.write_xlsx(
        path, [{"id": n, "text": text, "year": 1900 + n % 120, "topic": "one"} for n, text in enumerate(texts)]
    )


MAKERS: dict[str, tuple[str, Callable[[Sequence[str]], str | bytes]]] = {
    "txt": ("txt", "\n".join),
    "csv": ("csv", _table(",")),
    "tsv": ("tsv", _table("\t")),
    "jsonl": ("jsonl", lambda texts: "\n".join(_objects(texts))),
    "json": ("json", lambda texts: f"[{','.join(_objects(texts))}]"),
    "prose": ("prose", _prose),
    "markdown": ("md", _markdown),
    "rst": ("rst", _rst),
    "html": ("html", _html),
    "code": ("py", _code),
    "notebook": ("ipynb", _notebook),
    "subtitles": ("srt", _subtitles),
    "pdf": ("pdf", _written(office_files.write_pdf)),
    "docx": ("docx", _written(office_files.write_docx)),
    "pptx": ("pptx", _written(office_files.write_pptx)),
    "xlsx": ("xlsx", _written(_workbook)),
    "eml": ("eml", _written(office_files.write_eml)),
    "mbox": ("mbox", _written(office_files.write_mbox)),
}
"""For each format, the suffix of its files, and what writes sentences to one."""


def measured(name: str, texts: Sequence[str], folder: Path) -> str:
    suffix, write = MAKERS[name]
    made = write(texts)
    raw = made.encode() if isinstance(made, str) else made
    path = folder / f"a.{suffix}"
    path.write_bytes(raw)
    format = next(each for each in LAYOUTS if each.value == name)
    with source(path, format=format) as given:
        began = time.perf_counter()
        found = list(contents(given))
        read = time.perf_counter() - began
        cut = LAYOUTS[format].split
        count = sum(
            sum(1 for _ in pieces(each, cut)) if isinstance(each, Document) and cut.method != "none" else 1
            for each in found
        )
        both = time.perf_counter() - began
    megabytes = len(raw) / 1e6
    share = both / (count / ENCODED_A_SECOND)
    return f"{name:<10}{megabytes:>7.2f} {megabytes / read:>13.1f} {megabytes / both:>13.1f} {count:>9,} {share:>9.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", help=f"from {', '.join(MAKERS)}")
    parser.add_argument("--sentences", type=int, default=20_000)
    options = parser.parse_args()
    texts = sentences(options.sentences)
    print(f"{'':<10}{'MB':>7} {'read, MB/s':>13} {'and cut, MB/s':>13} {'pieces':>9} {'of encode':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.formats or MAKERS:
            measured(name, texts[:200], Path(folder))  # loads what is imported late
            print(measured(name, texts, Path(folder)))


if __name__ == "__main__":
    main()
