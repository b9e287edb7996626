"""Reads Jupyter notebooks: cells of Markdown as Markdown and cells of code as code; outputs and raw cells are left out.

nbformat would check more than is needed to find the cells, and bring jsonschema with it, so the JSON is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from ...errors import SourceError
from ...values.nested import read_json
from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..texts import whole_text
from .code import code_blocks
from .markdown import markdown_blocks
from .outline import Outline

_ADVICE = "Save it again with Jupyter, or leave it out."


def read(source: Source, stream: IO[bytes]) -> Iterator[Document | SourceError]:
    """The cells' text, with an empty line between cells; a block's place is its cell's number, from 1."""
    notebook = _notebook(source.name, whole_text(source, stream))
    language = _language(notebook)
    outline = Outline()
    texts: list[str] = []
    blocks: list[Block] = []
    end = 0
    for place, cell in enumerate(_cells(notebook), start=1):
        try:
            kind, text = _cell(cell)
        except ValueError as error:
            yield Origin(source.name, place, "cell").error(str(error), _ADVICE)
            continue
        if kind == "markdown":
            found = list(markdown_blocks(text, 0, outline))
        elif kind == "code":
            found = list(code_blocks(text, 0, len(text), outline.code(language)))
        else:
            continue
        if found:
            blocks += (replace(each, start=end + each.start, end=end + each.end, place=place) for each in found)
            texts.append(text)
            end += len(text) + 2
    if blocks:
        yield Document("\n\n".join(texts), Origin(source.name, None, "cell"), title=outline.title, blocks=blocks)


def _notebook(name: str, text: str) -> dict[str, Any]:
    try:
        found = read_json(text)
    except json.JSONDecodeError as error:
        reason = f"not a notebook: not valid JSON at column {error.colno}: {error.msg}"
        raise SourceError(name, error.lineno, reason, _ADVICE) from None
    except (RecursionError, ValueError) as error:
        raise SourceError(name, None, f"not a usable notebook: {error}", _ADVICE) from None
    if not isinstance(found, dict) or not isinstance(found.get("cells", found.get("worksheets")), list):
        raise SourceError(name, None, "not a notebook: it has no list of cells", _ADVICE)
    return found


def _cells(notebook: dict[str, Any]) -> Iterator[Any]:
    """The cells, also of notebooks before version 4, which have them in worksheets."""
    if "cells" in notebook:
        yield from notebook["cells"]
        return
    for sheet in notebook["worksheets"]:
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list):
            yield from sheet["cells"]


def _cell(cell: Any) -> tuple[str, str]:
    """The kind of a cell and its text; raises ValueError."""
    if not isinstance(cell, dict):
        raise ValueError("the cell is not an object")
    kind = cell.get("cell_type")
    text = cell.get("source", cell.get("input", ""))
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        text = "".join(text)
    if not isinstance(text, str):
        raise ValueError("the source of the cell is neither a string nor a list of strings")
    if kind == "heading":  # before version 4
        level = cell.get("level", 1)
        return "markdown", f"{'#' * (level if level in range(1, 7) else 1)} {text}"
    # Half of a surrogate pair, which JSON can hold but no text in UTF-8.
    return str(kind), text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for group, name in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(group) if isinstance(metadata, dict) else None
        if isinstance(found, dict) and isinstance(found.get(name), str):
            return str(found[name])
    return ""
