"""Markdown: blocks with their path of headings, exact offsets, and what is no text left out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.sources.documents import Document
from vecindex.values.records import Origin

from ...support.extent import examples
from ...support.prose import blocks, check, document, found, texts, with_metadata


def page(text: str, name: str = "page.md") -> Document:
    return document(name, text)


def test_each_passage_has_the_path_of_headings_above_it() -> None:
    assert with_metadata(page("Start.\n\n# One\n\na\n\n### Deep\n\nb\n\n## Two\n\nc\n\nOther\n=====\n\nd\n")) == [
        ("Start.", {}),
        ("One", {"headings": ["One"]}),
        ("a", {"headings": ["One"]}),
        ("Deep", {"headings": ["One", "Deep"]}),
        ("b", {"headings": ["One", "Deep"]}),
        ("Two", {"headings": ["One", "Two"]}),
        ("c", {"headings": ["One", "Two"]}),
        ("Other", {"headings": ["Other"]}),
        ("d", {"headings": ["Other"]}),
    ]


def test_headings_are_whole_and_paths_have_their_words_without_markup() -> None:
    read = page("## The `add` *command*, [here](x) &amp; ![there](y) {#add} ##\n\ntext\n")
    assert with_metadata(read)[1] == ("text", {"headings": ["The add command, here & there"]})
    assert [block.whole for block in blocks(read)] == [True, False]
    assert read.title == "The add command, here & there"


def test_headings_in_quotes_and_lists_are_in_no_path() -> None:
    read = page("> # Quoted\n\n1. # Listed\n\ntext\n")
    assert with_metadata(read) == [("Quoted", {}), ("Listed", {}), ("text", {})]
    assert read.title is None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_offsets_are_those_of_the_file_with_any_line_ends(end: str) -> None:
    text = "---\na: 1\n---\n\n# T\u2028T\n\none\ntwo\n\n* x\x85y\n\n```\na\n\nb\n```\n".replace("\n", end)
    read = page(text)
    assert read.text == text
    assert texts(read) == ["T\u2028T", f"one{end}two", "x\x85y", f"a{end}{end}b"]
    assert (read.has_lines, read.origin) == (True, Origin("page.md", 1))


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    read = document("a.md", b"\xef\xbb\xbf# A\n")
    assert (read.text, texts(read)) == ("# A\n", ["A"])


def test_lists_are_read_item_by_item() -> None:
    text = "- one\n- [ ] two\n  goes on\n\n  and more\n  - inner\n1) third\n\n- - both\n\t- tab\n"
    assert texts(page(text)) == ["one", "two\n  goes on", "and more", "inner", "third", "both", "tab"]


def test_tables_are_read_row_by_row() -> None:
    assert texts(page("| Name | Age |\n|---|--:|\n| Aun | 7 |\n|  |  |\nBo | 8\n")) == [
        "Name | Age",
        "Aun | 7",
        "Bo | 8",
    ]


def test_code_is_one_whole_block() -> None:
    read = page("# A\n\n```Python {linenos}\ndef f():\n\n    return 1\n```\n\n    indented\n\n~~~{.sql}\nselect\n~~~\n")
    assert with_metadata(read)[1:] == [
        ("def f():\n\n    return 1", {"headings": ["A"], "code": True, "language": "python"}),
        ("indented", {"headings": ["A"], "code": True}),
        ("select", {"headings": ["A"], "code": True, "language": "sql"}),
    ]
    assert all(block.whole for block in blocks(read))


def test_code_without_an_end_goes_to_the_end_of_the_file() -> None:
    assert texts(page("a\n\n```\nb\n\n# c\n")) == ["a", "b\n\n# c"]
    assert texts(page("a\n\n```")) == ["a"]


def test_code_that_is_very_long_is_cut_after_lines() -> None:
    read = page("```\n" + "x = 1\n" * 10_000 + "```\n")
    assert len(blocks(read)) > 50
    assert all(text.endswith("x = 1") and len(text) <= 1000 for text in texts(read))


def test_comments_link_definitions_and_pictures_alone_are_left_out() -> None:
    text = (
        "[![Build](https://a/b.svg)](https://a) ![c][d]\n\n<!-- no\n\nno -->\n\nSeen <!-- no --> still `<!--` seen."
        '\n\n[link]: https://example.com "no"\n\n[^1]: A note.\n\n:::tip Remember\nTip.\n:::\n\n***\n\n'
        "With ![picture](x) text.\n"
    )
    assert texts(page(text)) == ["Seen", "still `<!--` seen.", "A note.", "Tip.\n:::", "With ![picture](x) text."]


def test_text_within_html_is_read_without_tags_of_blocks() -> None:
    text = "<div align=center>\n<p>Some <b>bold</b> text.<br>Next</p><script>\nno()</script>\n<img src=x>\n</div>\n"
    assert texts(page(text)) == ["Some <b>bold</b> text.", "Next"]


def test_in_mdx_imports_and_exports_are_left_out() -> None:
    text = "import A from './a'\n\nexport const b = 1\n\n{/* no */}\n\nText.\n\n<A>Within.</A>\n"
    assert texts(page(text, "page.mdx")) == ["Text.", "<A>Within.</A>"]
    assert "import A from './a'" in texts(page(text))


def test_front_matter_is_metadata_and_no_text() -> None:
    read = page("---\ntitle: Hours\nlang: en\ntags: [a, b]\n---\n# Heading\n")
    assert (read.title, read.language) == ("Hours", "en")
    assert read.metadata == {"title": "Hours", "lang": "en", "tags": ["a", "b"]}
    assert texts(read) == ["Heading"]


def test_a_page_without_text_gives_nothing() -> None:
    assert [found("a.md", text) for text in ("", " \n\n", "<!-- a -->", "---\na: 1\n---\n")] == [[], [], [], []]


def test_deep_nesting_is_read_as_paragraphs_and_loses_nothing() -> None:
    read = page("".join("  " * depth + f"- item {depth}\n" for depth in range(300)))
    assert [f"item {depth}" for depth in range(300)] == [text.removeprefix("- ") for text in texts(read)]
    assert "deep" in "".join(texts(page(">" * 500 + " deep\n")))
    assert texts(page("".join("  " * depth + f"- item {depth}\n" for depth in range(20))))[-1] == "item 19"


def test_a_long_text_is_parsed_in_parts_and_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    section = "# One\n\nText.\n\n- item\n\n  more\n\n````\n# no\n\n```\n\nno\n````\n\n"
    section += "> ~~~\n> no\n> ~~~\n\n## Two\n\nEnd.\n\n"
    text = f"---\na: 1\n---\n{section * 20}```\n\nnever closed\n\nfor long\n"
    whole = page(text)
    for part in (1, 50, 700):
        monkeypatch.setattr("vecindex.sources.prose.markdown.PART", part)
        assert page(text) == whole
    items = "".join(f"- item {n}\n" for n in range(1000))
    assert texts(page(items)) == [f"item {n}" for n in range(1000)]


@pytest.mark.parametrize(
    "text",
    [
        *("word " * 200_000, "*" * 100_000, "[" * 100_000, "`" * 100_000, "<" * 100_000, "<a " * 30_000, "| " * 50_000),
        *("<!--" * 30_000, "<div>\n" + "<a '" * 30_000, "> " * 50_000, "- " * 50_000, "![](" * 30_000, "# " * 50_000),
        *("a\n" * 50_000, "- a\n" * 20_000, "[a]: b\n" * 20_000, "|a|b|\n|-|-|\n" + "|x|y|\n" * 10_000),
        *("---\n" * 20_000, "---\n" + "[" * 60_000 + "\n---\n", "---\n" + "a: {" * 10_000 + "\n---\n", "\t" * 100_000),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_grows_with_the_length_alone(text: str) -> None:
    started = time.process_time()
    for each in found("a.md", text):
        assert isinstance(each, Document)
        check(each)
    assert time.process_time() - started < 5


MARKS = (
    *("# ", "## ", "\n", "\r\n", "\r", "\n\n", "- ", "1. ", "> ", "```\n", "~~~ py\n", "    ", "\t", " ", "#", "{#i}"),
    *("| a | b |\n|---|---|\n", "<!--", "-->", "<div>", "</div>", "<b>", "[x]: y\n", "[^1]: ", "===\n", "---\n"),
    *(
        "+++\n",
        "***\n",
        "a",
        "é 🙂",
        "Word.",
        "\u2028",
        "\x85",
        "\x0c",
        "\u00a0",
        "`",
        "![",
        "](x)",
        ":::",
        "title: x\n",
    ),
)


@given(st.lists(st.sampled_from(MARKS), max_size=40).map("".join) | st.text(max_size=80))
@examples(1500)
def test_blocks_are_in_order_within_the_text_and_do_not_overlap(text: str) -> None:
    for name in ("a.md", "a.mdx"):
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            return
        for each in found(name, raw.replace(b"\0", b"")):
            assert isinstance(each, Document)
            check(each)
