"""reStructuredText: blocks with their path of titles, code whole, and directives neither run nor followed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.sources.documents import Document
from vecindex.values.records import Origin

from ...support.extent import examples
from ...support.prose import blocks, check, document, found, texts, with_metadata


def page(text: str) -> Document:
    return document("page.rst", text)


def test_titles_are_a_path_by_the_order_of_their_adornments() -> None:
    read = page(
        "=====\nThe X\n=====\n\na\n\nOne\n---\n\nb\n\nDeep `er`\n~~~~~~~~~\n\nc\n\nTwo\n---\n\nd\n"
        "\n=====\nOther\n=====\n\ne\n"
    )
    assert with_metadata(read)[1::2] == [
        ("a", {"headings": ["The X"]}),
        ("b", {"headings": ["The X", "One"]}),
        ("c", {"headings": ["The X", "One", "Deep er"]}),
        ("d", {"headings": ["The X", "Two"]}),
        ("e", {"headings": ["Other"]}),
    ]
    assert [block.whole for block in blocks(read)] == [True, False] * 5
    assert (read.title, read.has_lines, read.origin) == ("The X", True, Origin("page.rst", 1))


def test_titles_have_their_words_in_the_path() -> None:
    read = page("The :py:func:`add <x.add>` of ``a_b`` *and* `link <http://x>`_\n" + "=" * 60 + "\n\ntext\n")
    assert read.title == "The add of a_b and link"


def test_a_line_between_rules_is_no_title() -> None:
    assert with_metadata(page("One\n\n----\n\nTwo\n")) == [("One", {}), ("Two", {})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_offsets_are_those_of_the_file_with_any_line_ends(end: str) -> None:
    text = "T\u2028T\n====\n\none\ntwo\n\n* x\x85y\n\n::\n\n  a\n\n  b\n".replace("\n", end)
    read = page(text)
    assert read.text == text
    assert texts(read) == ["T\u2028T", f"one{end}two", "x\x85y", f"a{end}{end}  b"]


def test_lists_are_read_item_by_item() -> None:
    text = "- one\n  goes on\n\n  and more\n\n  * inner\n- two\n\n1. first\n2. second\n#. third\n"
    text += "\nA. Ames came.\nHe left.\n"
    assert texts(page(text)) == [
        *("one\n  goes on", "and more", "inner", "two", "first", "second", "third", "A. Ames came.\nHe left."),
    ]


def test_definitions_quotes_fields_and_line_blocks_are_blocks() -> None:
    text = "Intro.\n\nterm\n  meaning\n\n  more\n\n    quoted\n\n:a: one\n  on\n:b: two\n\n| first\n| second\n"
    assert texts(page(text)) == [
        *("Intro.", "term", "meaning", "more", "quoted", ":a: one\n  on", ":b: two", "first", "second"),
    ]


def test_fields_at_the_top_are_metadata_and_no_text() -> None:
    read = page("Title\n=====\n\n:Author: A. Ames,\n   B. Bo\n:date: 2024-05-01\n:orphan:\n\nText.\n\n:not: this\n")
    assert read.metadata == {"author": "A. Ames, B. Bo", "date": "2024-05-01"}
    assert texts(read) == ["Title", "Text.", ":not: this"]


def test_code_is_one_whole_block() -> None:
    read = page(
        "So::\n\n    x = 1\n\n    y = 2\n\nor::\n\n   z\n"
        "\n.. code-block:: Python\n   :linenos:\n\n   def f():\n\n       pass\n"
        "\n>>> 1 + 1\n2\n\n::\n\n  end\n"
    )
    assert with_metadata(read) == [
        ("So:", {}),
        ("x = 1\n\n    y = 2", {"code": True}),
        ("or:", {}),
        ("z", {"code": True}),
        ("def f():\n\n       pass", {"code": True, "language": "python"}),
        (">>> 1 + 1\n2", {"code": True, "language": "python"}),
        ("end", {"code": True}),
    ]
    assert [block.whole for block in blocks(read)] == [False, True, False, True, True, True, True]


def test_directives_with_text_are_read() -> None:
    text = (
        ".. note:: Be careful\n   here.\n\n   And there.\n\n.. figure:: a.png\n   :alt: no\n\n   A caption.\n\n"
        ".. py:function:: f(x)\n   :module: a\n\n   Does it.\n\n.. unknown::\n\n   Still read.\n"
        "\n.. [1] A footnote\n   goes on.\n"
    )
    assert texts(page(text)) == [
        *(
            "Be careful\n   here.",
            "And there.",
            "A caption.",
            "f(x)",
            "Does it.",
            "Still read.",
            "A footnote\n   goes on.",
        ),
    ]


def test_comments_targets_and_directives_without_text_are_left_out() -> None:
    text = (
        ".. a comment\n   goes on\n\n..\n   another\n\n.. _target: http://x\n\n__ http://y\n\n.. |x| replace:: no\n\n"
        ".. image:: a.png\n   :alt: no\n\n.. toctree::\n   :maxdepth: 2\n\n   no\n\nText.\n"
    )
    assert texts(page(text)) == ["Text."]


def test_nothing_is_included_and_nothing_raw_is_read() -> None:
    text = (
        ".. include:: /etc/passwd\n\n.. raw:: html\n\n   <script>no</script>\n\n.. raw:: html\n   :file: /etc/passwd\n"
    )
    text += "\nText.\n"
    assert texts(page(text)) == ["Text."]


def test_tables_are_read_row_by_row() -> None:
    grid = "+---+---+\n| a | b |\n+===+===+\n| c | d |\n|   | e |\n+---+---+\n"
    simple = "===  ===\nx    y\n===  ===\n1    2\n     more\n\n3    4\n===  ===\n"
    assert texts(page(f"{grid}\n{simple}\nEnd.\n")) == [
        *("a | b", "c | d |\n|   | e", "x    y", "1    2\n     more", "3    4", "End."),
    ]


def test_a_page_without_text_gives_nothing() -> None:
    assert [found("a.rst", text) for text in ("", "\n", ".. a\n", ":a: b\n")] == [[], [], [], []]


def test_deep_nesting_loses_nothing() -> None:
    read = page("".join(" " * depth + f"item {depth}\n\n" for depth in range(200)))
    assert texts(read) == [f"item {depth}" for depth in range(200)]
    assert page("* " * 5_000 + "deep\n").text.endswith(texts(page("* " * 5_000 + "deep\n"))[-1] + "\n")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "word " * 1_000_000,
            "word\n" * 100_000,
            "- a\n" * 50_000,
            "* " * 50_000 + "a",
            "=" * 1_000_000,
            "`" * 300_000,
        ),
        *("a\n=\n" * 50_000, "..\n" * 50_000, ".. note:: a\n" * 20_000, "+---\n" * 30_000, "== ==\n" * 30_000),
        *(":" * 300_000, ":a: b\n" * 30_000, "\n".join(" " * (n % 900) + "a" for n in range(5_000)), " " * 1_000_000),
        *("== ==\nx\n" * 10_000 + "\n", "title " * 100_000 + "\n" + "=" * 600_000, "a::\n\n b\n\n" * 20_000),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_grows_with_the_length_alone(text: str) -> None:
    started = time.process_time()
    for each in found("a.rst", text):
        assert isinstance(each, Document)
        check(each)
    assert time.process_time() - started < 5


MARKS = (
    *("a", "Some words.", "\n", "\n\n", "\r\n", "\r", " ", "   ", "\t", "- ", "* ", "1. ", "====\n", "----\n", "::\n"),
    *(
        ".. ",
        ".. note:: ",
        ".. code:: ",
        ".. image:: x",
        ".. _t: ",
        ".. [1] ",
        "__ ",
        ">>> ",
        "| ",
        "+---+---+\n",
        ":a: ",
    ),
    *("=== ===\n", "`x <y>`_", "``", "*", "|", "é 🙂", "\u2028", "\x85", "\x0c", "\u00a0", "..", "#. "),
)


@given(st.lists(st.sampled_from(MARKS), max_size=40).map("".join) | st.text(max_size=80))
@examples(2000)
def test_blocks_are_in_order_within_the_text_and_do_not_overlap(text: str) -> None:
    for each in found("a.rst", text.replace("\0", "")):
        assert isinstance(each, Document)
        check(each)
