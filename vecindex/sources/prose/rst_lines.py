"""What lines of reStructuredText can be: adornments, markers of items, directives; and the words of a title."""

from __future__ import annotations

import re
from typing import NamedTuple

from .spans import LINE_END


class Line(NamedTuple):
    """A line from its first character that is not whitespace; ``column`` is where that is. Empty lines have -1."""

    start: int
    end: int
    column: int


def lines(text: str) -> list[Line]:
    """All lines, without the whitespace around them."""
    found = []
    start = 0
    for end, after in [*((each.start(), each.end()) for each in LINE_END.finditer(text)), (len(text), len(text))]:
        line = text[start:end]
        bare = line.strip()
        if bare:
            indent = len(line) - len(line.lstrip())
            column = len(line[:indent].expandtabs(8))
            found.append(Line(start + indent, start + indent + len(bare), column))
        else:
            found.append(Line(start, start, -1))
        start = after
    return found


ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}")
BULLET = re.compile(r"[-*+•‣\u2043][ \t]+")
NUMBER = re.compile(r"(?:\(?(?:\d{1,3}|[a-zA-Z])[.)]|#\.)[ \t]+")
FIELD = re.compile(r":(?![:\s])((?:\\.|[^:\\`\n]){1,100}):(?:[ \t]+|$)")
DIRECTIVE = re.compile(r"\.\.[ \t]+(\|[^|\n]{1,100}\|[ \t]+)?([\w:.+-]{1,100}?)::(?:[ \t]+|$)")
FOOTNOTE = re.compile(r"\.\.[ \t]+\[[^\]\n]{1,100}\][ \t]*")
GRID = re.compile(r"\+[-=+]{2,}\+?")
BORDER = re.compile(r"=+(?:[ \t]+=+)+")

CODE = frozenset(
    (
        *("code", "code-block", "sourcecode", "parsed-literal", "prompt", "testcode", "testoutput", "doctest"),
        *("ipython", "jupyter-execute", "command-output", "console", "literal"),
    )
)
NO_TEXT = frozenset(
    (
        *("raw", "include", "literalinclude", "image", "toctree", "contents", "math", "meta", "graphviz", "digraph"),
        *("graph", "plantuml", "mermaid", "highlight", "default-role", "role", "index", "module", "currentmodule"),
        *("py:module", "py:currentmodule", "sectnum", "header", "footer", "target-notes", "unicode", "replace", "date"),
        *("bibliography", "tabularcolumns", "testsetup", "testcleanup", "inheritance-diagram", "program", "plot"),
        *("restructuredtext-test-directive", "title", "class-file", "sphinx-argparse", "uml", "video", "youtube"),
    )
)
"""Directives whose content is not text, or would be read from elsewhere. Others are read as text."""
ARGUMENT_IS_NAME = frozenset(("figure", "list-table", "container", "class", "only", "ifconfig", "tab-set", "grid"))
"""Directives that hold text, but whose argument is none."""

_ROLE = re.compile(r":[\w:.+-]{1,60}:(?=`)")
_TARGET = re.compile(r"[ \t]*<[^<>`]{0,300}>(?=`)")
_MARKS = re.compile(r"`{1,2}_{0,2}|\*{1,2}(?=\S)|(?<=\S)\*{1,2}|\\(?=\S)")


def words(title: str) -> str:
    """A title without its markup."""
    return " ".join(_MARKS.sub("", _TARGET.sub("", _ROLE.sub("", title))).split())
