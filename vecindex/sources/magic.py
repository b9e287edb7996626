"""What is this file, if it is not text: told by its first bytes, so that an error can call it what it is."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from ..errors import Advice

START = 512
"""Bytes of a file that are enough to tell."""

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
    """What a file is: ``name`` with its article, and what to do to ``add`` what is in it.

    ``advice`` may hold the places {path}, the file's name as a shell takes it, and {format}, an option or nothing.
    """

    name: str
    advice: str = _WRITE


def _packed(name: str, command: str) -> Kind:
    typed = f"Unpack it: {command} {{path}} | vecindex add -{{format}}"
    return Kind(f"{name} file", Advice(f"Unpack it: {command} {{path}} > NEW", typed=typed))


# Zip comes with what is packed first, since other programs' documents are such archives.
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", Kind("a Parquet file", _IMPORT)),
    (b"\x93NUMPY", Kind("a NumPy array (npy)", _FOLDER)),
    (b"IxF", Kind("a FAISS index", _FOLDER)),
    (b"IxP", Kind("a FAISS index", _FOLDER)),
    (b"Iw", Kind("a FAISS index", _FOLDER)),
    (b"IHN", Kind("a FAISS index", _FOLDER)),
    (b"ARROW1\0\0", Kind("an Arrow (Feather) file")),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file")),
    (b"\x1f\x8b", _packed("a gzip", "gunzip -c")),
    (b"\x28\xb5\x2f\xfd", _packed("a Zstandard", "zstd -dc")),
    (b"BZh", _packed("a bzip2", "bunzip2 -c")),
    (b"\xfd7zXZ\0", _packed("an xz", "xz -dc")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", "Unpack it, and add the files in it.")),
    (b"PK\x03\x04", Kind("a zip archive", "Unpack it, and add the files in it.")),
    (
        b"SQLite format 3\0",
        Kind("an SQLite database", "Write its rows as csv: sqlite3 -header -csv {path} 'select ...'"),
    ),
    (b"%PDF-", Kind("a PDF document")),
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
    (b"word/", Kind("a Word document")),
    (b"xl/", Kind("an Excel workbook", "Save it as csv, and add that.")),
    (b"ppt/", Kind("a PowerPoint document")),
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


def kind_of(start: bytes) -> Kind | None:
    """What a file that begins with these bytes is; None for text, and for what is not known.

    ``start`` is the file's first `START` bytes, or all of them.
    """
    if _is_text(start):
        return None
    kind = next((kind for magic, kind in _STARTS if start.startswith(magic)), None)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return Kind("a WebP image")
    if start.startswith(b"PK\x03\x04"):
        return next((within for name, within in _IN_ZIP if name in start), kind)
    return kind


def kind_by_suffix(suffix: str) -> Kind | None:
    """What a file with this suffix, its dot included, must be taken for where no format is said."""
    return _SUFFIXES.get(suffix.lower())


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # a character that is cut at the end is no fault
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 or 13 < byte < 27 for byte in start)
