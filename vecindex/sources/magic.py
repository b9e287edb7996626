"""Recognises files that are not text by their first bytes, so that an error can name the format."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from ..errors import Advice

START = 512
"""The number of bytes needed to recognise a file."""

_IMPORT = Advice(
    "To add texts together with their vectors: index.import_(path).",
    typed="To add texts together with their vectors: vecindex import {path}",
)
_FOLDER = Advice(
    "It holds no texts. To add an export with its vectors, name its folder: index.import_(folder).",
    typed="It holds no texts. To add an export with its vectors, name its folder: vecindex import DIR",
)
_WRITE = "Write its texts to a .txt, .csv or .jsonl file."


@dataclass(frozen=True, slots=True)
class Kind:
    """A file format: its ``name`` with an article, and ``advice`` on how to add such a file.

    ``advice`` may contain the fields {path}, the quoted file name, and {format}, an option or nothing. ``format`` is
    the value of the `Format` that reads it, where there is a reader.
    """

    name: str
    advice: str = _WRITE
    format: str = ""


def _packed(name: str, command: str) -> Kind:
    typed = f"Unpack it: {command} {{path}} | vecindex add -{{format}}"
    return Kind(f"{name} file", Advice(f"Unpack it: {command} {{path}} > NEW", typed=typed))


# Many document formats are zip archives, so `kind_of` looks into those.
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", Kind("a Parquet file", _IMPORT, "parquet")),
    (b"\x93NUMPY", Kind("a NumPy array (npy)", _FOLDER)),
    (b"IxF", Kind("a FAISS index", _FOLDER)),
    (b"IxP", Kind("a FAISS index", _FOLDER)),
    (b"Iw", Kind("a FAISS index", _FOLDER)),
    (b"IHN", Kind("a FAISS index", _FOLDER)),
    (b"ARROW1\0\0", Kind("an Arrow (Feather) file", format="arrow")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file")),
    (b"\x1f\x8b", _packed("a gzip", "gunzip -c")),
    (b"\x28\xb5\x2f\xfd", _packed("a Zstandard", "zstd -dc")),
    (b"BZh", _packed("a bzip2", "bunzip2 -c")),
    (b"\xfd7zXZ\0", _packed("an xz", "xz -dc")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", "Unpack it and add its files.")),
    (b"PK\x03\x04", Kind("a zip archive", "Unpack it and add its files.", "zip")),
    (
        b"SQLite format 3\0",
        Kind("an SQLite database", "Write its rows as csv: sqlite3 -header -csv {path} 'select ...'", "sqlite"),
    ),
    (b"%PDF-", Kind("a PDF document", format="pdf")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Word, Excel or PowerPoint document")),
    (b"{\\rtf", Kind("an RTF document")),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG image")),
    (b"\xff\xd8\xff", Kind("a JPEG image")),
    (b"GIF8", Kind("a GIF image")),
    (b"\x80\x02", Kind("a Python pickle")),
    (b"\x80\x03", Kind("a Python pickle")),
    (b"\x80\x04", Kind("a Python pickle")),
    (b"\x80\x05", Kind("a Python pickle")),
)
_IN_ZIP: tuple[tuple[bytes, Kind], ...] = (
    (b"word/", Kind("a Word document", format="docx")),
    (b"xl/", Kind("an Excel workbook", "Save it as csv and add that.", "xlsx")),
    (b"ppt/", Kind("a PowerPoint document", format="pptx")),
    (b"[Content_Types].xml", Kind("a Word, Excel or PowerPoint document")),
    (b"mimetypeapplication/vnd.oasis", Kind("an OpenDocument file")),
    (b"mimetypeapplication/epub+zip", Kind("an EPUB book")),
    (b".npy", Kind("an archive of NumPy arrays (npz)", _FOLDER)),
    (b"archive/data.pkl", Kind("a PyTorch file (a zip archive with a pickle)")),
    (b"/data.pkl", Kind("a PyTorch file (a zip archive with a pickle)")),
)
_SUFFIXES = {
    ".parquet": Kind("a Parquet file", _IMPORT),
    ".npy": Kind("a NumPy array (npy)", _FOLDER),
    ".npz": Kind("an archive of NumPy arrays (npz)", _FOLDER),
    ".faiss": Kind("a FAISS index", _FOLDER),
}

_NOT_IN_TEXTS = bytes([*range(9), *range(14, 27)])
"""Control characters that texts do not hold."""


def kind_of(start: bytes) -> Kind | None:
    """The format of a file that starts with ``start``, its first `START` bytes; None for text and unknown formats."""
    if _is_text(start):
        return None
    kind = next((kind for magic, kind in _STARTS if start.startswith(magic)), None)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return Kind("a WebP image")
    if start.startswith(b"PK\x03\x04"):
        return next((within for name, within in _IN_ZIP if name in start), kind)
    return kind


def kind_by_suffix(suffix: str) -> Kind | None:
    """The format of files with this suffix (with its dot), for when no format is given."""
    return _SUFFIXES.get(suffix.lower())


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # a character may be cut at the end
    except UnicodeDecodeError:
        return False
    return len(start.translate(None, _NOT_IN_TEXTS)) == len(start)
