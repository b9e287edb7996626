"""The formats that can be read: how a file of each is recognised, and which reader reads it.

A reader is a module with the function ``read(source, stream)``, imported when it is needed. It yields what it finds in
the bytes of the stream, in order and in bounded memory: a `Record` for each row, a `Document` for each longer text. A
bad row is yielded as a SourceError, so that reading can go on; a source that is of no use raises one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ..values.records import Unit
from .prose.languages import LANGUAGES
from .split.method import Split


class Format(str, Enum):
    """A format of sources; ``description`` is for people."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Format:  # with one argument, a lookup: Format("csv")
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    TXT = "txt", "one sentence a line"
    JSONL = "jsonl", "one JSON object a line, with the field text"
    JSON = "json", "one array of objects with the field text, or an object with such an array in it"
    CSV = "csv", "a header row, then fields between commas, quoted where needed (RFC 4180)"
    TSV = "tsv", "a header row, then fields between tabs, on one line, quotes kept (IANA text/tab-separated-values)"
    PROSE = "prose", "a text in paragraphs, whose lines may be wrapped"
    MARKDOWN = "markdown", "Markdown, with YAML or TOML front matter"
    RST = "rst", "reStructuredText"
    HTML = "html", "a web page, of which the main text is read"
    NOTEBOOK = "notebook", "a Jupyter notebook, without outputs"
    SUBTITLES = "subtitles", "SubRip or WebVTT, whose cues are joined to sentences"
    PARQUET = "parquet", "a Parquet file with a column text"
    ARROW = "arrow", "an Arrow or Feather file with a column text"
    SQLITE = "sqlite", "an SQLite database, from which a query selects"
    CODE = "code", "source code"
    PDF = "pdf", "PDF"
    DOCX = "docx", "a Word document"
    PPTX = "pptx", "a PowerPoint presentation"
    XLSX = "xlsx", "an Excel workbook, with a header row in each sheet"
    EML = "eml", "one message of mail (RFC 5322)"
    MBOX = "mbox", "a mailbox: messages of mail, each after a line that begins with From"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a format is read.

    ``reader`` is the module, below `sources`. ``suffixes`` recognise a file. ``kind`` says whether each row is a text
    of its own, or whether longer texts are split. ``unit`` is what places in the source are called, if it has any.
    ``cut`` is the way to split, if it is another one than for the kind: rows stay whole, and prose is cut into
    sentences. ``is_text`` says that the bytes are text, so the file may be in any encoding and compressed. ``slow``
    says that reading takes so long that it is not done twice. ``only_unicode`` says that the format allows no other
    encodings, so none is guessed. ``may_be_packed`` says that it may be compressed although it is not text.
    """

    reader: str
    suffixes: tuple[str, ...]
    kind: Literal["rows", "prose"]
    unit: Unit | None = "line"
    is_text: bool = True
    may_be_packed: bool = False
    slow: bool = False
    cut: Split | None = None
    only_unicode: bool = False

    @property
    def split(self) -> Split:
        """How the texts are split unless the user says otherwise."""
        return self.cut or Split("none" if self.kind == "rows" else "sentence")


LAYOUTS: dict[Format, Layout] = {
    Format.TXT: Layout("rows.txt", (".txt",), "rows"),
    Format.JSONL: Layout("rows.jsonl", (".jsonl", ".ndjson"), "rows", only_unicode=True),
    Format.JSON: Layout("rows.json_array", (".json",), "rows", unit="item", only_unicode=True),
    Format.CSV: Layout("rows.delimited", (".csv",), "rows"),
    Format.TSV: Layout("rows.delimited", (".tsv",), "rows"),
    Format.PARQUET: Layout("rows.arrow", (".parquet",), "rows", "row", is_text=False),
    Format.ARROW: Layout("rows.arrow", (".arrow", ".feather", ".ipc"), "rows", "row", is_text=False),
    Format.SQLITE: Layout("rows.sqlite", (".db", ".sqlite", ".sqlite3"), "rows", "row", is_text=False),
    Format.PROSE: Layout("prose.txt", (), "prose"),
    Format.MARKDOWN: Layout("prose.markdown", (".md", ".markdown", ".mdx"), "prose"),
    Format.RST: Layout("prose.rst", (".rst",), "prose"),
    Format.HTML: Layout("html.page", (".html", ".htm", ".xhtml"), "prose", unit=None),
    Format.NOTEBOOK: Layout("prose.notebook", (".ipynb",), "prose", unit="cell", only_unicode=True),
    Format.SUBTITLES: Layout("prose.subtitles", (".srt", ".vtt"), "prose", unit=None),
    Format.CODE: Layout("prose.code", tuple(LANGUAGES), "prose", cut=Split("paragraph")),
    Format.PDF: Layout("office.pdf", (".pdf",), "prose", "page", is_text=False, slow=True),
    Format.DOCX: Layout("office.docx", (".docx", ".docm"), "prose", None, is_text=False, slow=True),
    Format.PPTX: Layout("office.pptx", (".pptx", ".pptm", ".ppsx"), "prose", "slide", is_text=False, slow=True),
    Format.XLSX: Layout("office.xlsx", (".xlsx", ".xlsm"), "rows", "row", is_text=False, slow=True),
    Format.EML: Layout("prose.mail", (".eml",), "prose", None, is_text=False, may_be_packed=True, slow=True),
    Format.MBOX: Layout("prose.mail", (".mbox",), "prose", "message", is_text=False, may_be_packed=True, slow=True),
}
SUFFIXES = {suffix: format for format, layout in LAYOUTS.items() for suffix in layout.suffixes}
