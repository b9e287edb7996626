"""Notebooks: cells as Markdown or code with their number, and what is no notebook refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vecindex.errors import SourceError
from vecindex.sources.documents import Document
from vecindex.values.records import Origin

from ...support.prose import blocks, document, found, texts, with_metadata


def notebook(*cells: Any, **members: Any) -> str:
    return json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "Python"}}, "nbformat": 4, **members})


def markdown(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": list(lines)}


def code(text: str) -> dict[str, Any]:
    outputs = [{"output_type": "stream", "name": "stdout", "text": ["never indexed"]}]
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": outputs, "execution_count": 1}


def test_cells_are_markdown_or_code_and_headings_go_on_through_them() -> None:
    read = document(
        "a.ipynb",
        notebook(markdown("# Title\n", "\n", "One.\n"), code("x = 1\n\ny = 2"), markdown("Two."), markdown("## Sub")),
    )
    assert with_metadata(read) == [
        ("Title", {"headings": ["Title"]}),
        ("One.", {"headings": ["Title"]}),
        ("x = 1\n\ny = 2", {"headings": ["Title"], "code": True, "language": "python"}),
        ("Two.", {"headings": ["Title"]}),
        ("Sub", {"headings": ["Title", "Sub"]}),
    ]
    assert [block.place for block in blocks(read)] == [1, 1, 2, 3, 4]
    assert (read.title, read.origin, read.has_lines) == ("Title", Origin("a.ipynb", None, "cell"), False)


def test_outputs_raw_cells_and_empty_ones_are_left_out() -> None:
    raw = {"cell_type": "raw", "source": "no"}
    read = document("a.ipynb", notebook(raw, code(" \n"), markdown("![a](attachment:a.png)"), code("1")))
    assert texts(read) == ["1"]
    assert [block.place for block in blocks(read)] == [4]
    assert found("a.ipynb", notebook()) == found("a.ipynb", notebook(raw)) == []


def test_notebooks_before_version_4_are_read_too() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "input": ["x = 1\n"], "language": "python"},
    ]
    assert texts(document("a.ipynb", json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}))) == ["Old", "x = 1"]


def test_a_bad_cell_is_named_and_the_others_are_read() -> None:
    first, second, read = found("a.ipynb", notebook("x", {"cell_type": "code", "source": 7}, markdown("Good.")))
    assert isinstance(first, SourceError)
    assert isinstance(second, SourceError)
    assert isinstance(read, Document)
    assert (first.line, first.unit, second.line) == (1, "cell", 2)
    assert str(second).startswith("a.ipynb, cell 2: the source of the cell is neither a string nor a list of strings")
    assert texts(read) == ["Good."]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ('{"cells": [\n}', 2, "not a notebook: not valid JSON at column 1"),
        ("", 1, "not a notebook: not valid JSON"),
        ("[]", None, "not a notebook: it has no list of cells"),
        ('{"cells": {}}', None, "not a notebook: it has no list of cells"),
        ("[" * 100_000, None, "not a usable notebook"),
        ('{"cells": ' + "9" * 10_000 + "}", None, "not a usable notebook"),
    ],
)
def test_what_is_no_notebook_is_refused(content: str, line: int | None, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        found("a.ipynb", content)
    assert (caught.value.line, caught.value.reason[: len(reason)]) == (line, reason)


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert texts(document("a.ipynb", '{"cells": [{"cell_type": "markdown", "source": "a \\ud800 b"}]}')) == [
        "a \ufffd b"
    ]
