"""Writes one corpus in every format that is read: the same rows in each table, the same sentences in each text."""

from __future__ import annotations

import contextlib
import csv
import gzip
import html
import io
import json
import random
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from . import office_files

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Row = Mapping[str, Any]

_WORDS = (  # noqa: SIM905
    "river mountain harbour window letter garden engine captain winter market orchestra village library teacher bridge "
    "copper island journey kitchen lantern meadow needle office painter quarry railway shadow thunder umbrella valley"
).split()
_VERBS = ("crosses", "follows", "remembers", "paints", "measures", "carries", "finds", "repairs", "hears", "leaves")
_SENTENCES_A_PARAGRAPH = 5


def sentences(count: int, seed: int = 1) -> list[str]:
    """Different plain sentences, without anything that a format would have to escape."""
    draw = random.Random(seed)
    return [
        f"The {draw.choice(_WORDS)} {draw.choice(_VERBS)} the {draw.choice(_WORDS)} and {draw.choice(_VERBS)} "
        f"{draw.choice(_WORDS)} number {number}."
        for number in range(count)
    ]


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows with a key and metadata: a text, whole numbers and others."""
    return [
        {"key": f"r{number}", "text": text, "topic": text.split()[1], "n": number, "share": number + 0.5}
        for number, text in enumerate(sentences(count, seed))
    ]


def paragraphs(texts: Sequence[str]) -> list[str]:
    """The same sentences, five in a paragraph."""
    starts = range(0, len(texts), _SENTENCES_A_PARAGRAPH)
    return [" ".join(texts[start : start + _SENTENCES_A_PARAGRAPH]) for start in starts]


# --- rows


def _jsonl(table: Sequence[Row]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in table)


def _delimited(delimiter: str) -> Callable[[Sequence[Row]], str]:
    def write(table: Sequence[Row]) -> str:
        out = io.StringIO()
        writer = csv.DictWriter(out, list(table[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
        return out.getvalue()

    return write


def _arrow_table(table: Sequence[Row]) -> Any:
    import pyarrow

    return pyarrow.Table.from_pylist([dict(row) for row in table])


def _write_parquet(path: Path, table: Sequence[Row]) -> None:
    from pyarrow import parquet

    parquet.write_table(_arrow_table(table), path)


def _write_arrow(path: Path, table: Sequence[Row]) -> None:
    from pyarrow import feather

    feather.write_feather(_arrow_table(table), str(path))


def write_sqlite(path: Path, table: Sequence[Row]) -> None:
    """A database with the table ``rows``."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table rows (key, text, topic, n, share)")
        database.executemany("insert into rows values (:key, :text, :topic, :n, :share)", table)
        database.commit()


# --- texts


def _markdown(texts: Sequence[str]) -> str:
    return "---\ntitle: A corpus\n---\n\n" + "\n\n".join(paragraphs(texts)) + "\n"


def _rst(texts: Sequence[str]) -> str:
    return "\n\n".join(paragraphs(texts)) + "\n"


def _prose(texts: Sequence[str]) -> str:
    return "\n\n".join(paragraphs(texts)) + "\n"


def _html(texts: Sequence[str]) -> str:
    body = "\n".join(f"<p>{html.escape(each)}</p>" for each in paragraphs(texts))
    return f"<!doctype html><html><head><title>A corpus</title></head><body><main>{body}</main></body></html>"


def _notebook(texts: Sequence[str]) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [each]} for each in paragraphs(texts)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def _clock(second: int, mark: str) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{mark}000"


def _srt(texts: Sequence[str]) -> str:
    cues = (f"{n + 1}\n{_clock(n, ',')} --> {_clock(n + 1, ',')}\n{text}\n" for n, text in enumerate(texts))
    return "\n".join(cues)


def _vtt(texts: Sequence[str]) -> str:
    cues = (f"{_clock(n, '.')} --> {_clock(n + 1, '.')}\n{text}\n" for n, text in enumerate(texts))
    return "WEBVTT\n\n" + "\n".join(cues)


def _code(texts: Sequence[str]) -> str:
    """A comment for each sentence, so what is read of each is with the mark of a comment."""
    return "\n\n".join(f"# {text}" for text in texts) + "\n"


def wrapped(texts: Sequence[str]) -> str:
    """Prose in lines of 72 characters."""
    return "\n\n".join(fill(each, 72) for each in paragraphs(texts)) + "\n"


# --- all


def _text_file(make: Callable[[Sequence[Any]], str]) -> Callable[[Path, Sequence[Any]], None]:
    def write(path: Path, content: Sequence[Any]) -> None:
        path.write_bytes(make(content).encode())

    return write


ROW_WRITERS: dict[str, Callable[[Path, Sequence[Row]], None]] = {
    "csv": _text_file(_delimited(",")),
    "tsv": _text_file(_delimited("\t")),
    "jsonl": _text_file(_jsonl),
    "json": _text_file(lambda table: json.dumps(list(table))),
    "parquet": _write_parquet,
    "arrow": _write_arrow,
    "xlsx": office_files.write_xlsx,
}
"""For each suffix, what writes rows to a file. A database, which needs a query, is apart: `write_sqlite`."""

TEXT_WRITERS: dict[str, Callable[[Path, Sequence[str]], None]] = {
    "md": _text_file(_markdown),
    "rst": _text_file(_rst),
    "html": _text_file(_html),
    "ipynb": _text_file(_notebook),
    "srt": _text_file(_srt),
    "vtt": _text_file(_vtt),
    "py": _text_file(_code),
    "pdf": office_files.write_pdf,
    "docx": office_files.write_docx,
    "pptx": office_files.write_pptx,
    "eml": office_files.write_eml,
    "mbox": office_files.write_mbox,
}
"""For each suffix, what writes sentences to a file. Plain text has two forms: `write_lines` and `write_prose`."""

write_lines: Callable[[Path, Sequence[str]], None] = _text_file(lambda texts: "\n".join(texts) + "\n")
write_prose: Callable[[Path, Sequence[str]], None] = _text_file(_prose)

TEXT_ROWS = ("csv", "tsv", "jsonl", "json")
"""The tables that are text, and so may be compressed."""
TEXTS_OF_TEXT = ("md", "rst", "html", "ipynb", "srt", "vtt", "py")
"""The others that are."""

PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstd.compress}


def pack(path: Path, how: str) -> Path:
    """Compresses a file, whose name gets another suffix."""
    packed = path.with_name(f"{path.name}.{how}")
    packed.write_bytes(PACK[how](path.read_bytes()))
    path.unlink()
    return packed


def zipped(archive: Path, paths: Sequence[Path]) -> Path:
    """An archive of these files, without their folders."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as out:
        for path in paths:
            out.write(path, path.name)
    return archive
