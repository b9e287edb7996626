"""HTML pages: the main text with its path of headings, and neither scripts nor navigation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.sources.documents import Document
from vecindex.values.records import Origin

from ...support.extent import examples
from ...support.prose import blocks, check, document, found, texts, with_metadata

LONG = "This is a paragraph of some length, which says one thing and then another, so that it is surely text. "
LINKS = "".join(f'<li><a href="/{n}">Page number {n}</a></li>' for n in range(8))


def page(text: str) -> Document:
    return document("page.html", text)


def test_a_page_gives_its_title_language_and_text() -> None:
    read = page(
        '<!doctype html><html lang="en-GB"><head><title>Opening\n hours</title><script>var x = "never";</script>'
        '<meta name="author" content="A. Ames"><meta property="article:published_time" content="2024-05-01">'
        "<style>p {}</style>"
        "</head><body><h1>Opening hours</h1><p>We open at nine on weekdays. On Sundays\nwe are closed."
        "</p><p>Dr. Ames sees patients at 10&nbsp;a.m. only.</p></body></html>"
    )
    assert (read.title, read.language) == ("Opening hours", "en-GB")
    assert read.metadata == {"author": "A. Ames", "date": "2024-05-01"}
    assert with_metadata(read) == [
        ("Opening hours", {"headings": ["Opening hours"]}),
        ("We open at nine on weekdays. On Sundays we are closed.", {"headings": ["Opening hours"]}),
        ("Dr. Ames sees patients at 10 a.m. only.", {"headings": ["Opening hours"]}),
    ]
    assert (read.has_lines, read.origin) == (False, Origin("page.html"))


def test_headings_are_a_path_and_whole() -> None:
    read = page(
        "<h1>One</h1><p>a</p><h3>Deep <em>er</em><a class=headerlink href='#x'>¶</a></h3><p>b</p><h2>Two</h2><p>c"
    )
    assert with_metadata(read)[1::2] == [
        ("a", {"headings": ["One"]}),
        ("b", {"headings": ["One", "Deep er"]}),
        ("c", {"headings": ["One", "Two"]}),
    ]
    assert [block.whole for block in blocks(read)] == [True, False] * 3
    assert read.title == "One"


def test_every_paragraph_item_and_row_is_a_block() -> None:
    read = page(
        "<p>One <b>bold</b> <i>w</i>ord.<p>Two<br>lines.<ul><li>first<li>second<ul><li>inner</ul></ul>bare"
        "<dl><dt>term<dd>meaning</dl><blockquote>quoted</blockquote><table><tr><th>Name<th>Age<tr><td>Aun<td>7</table>"
    )
    assert texts(read) == [
        *("One bold word.", "Two\nlines.", "first", "second", "inner", "bare", "term", "meaning", "quoted"),
        *("Name | Age", "Aun | 7"),
    ]


def test_code_is_whole_and_keeps_its_lines() -> None:
    read = page("<p>So:<pre><code class='language-Python'>def f():\n    <b>return</b> 1\n</code></pre><pre>x</pre>")
    assert with_metadata(read)[1:] == [
        ("def f():\n    return 1", {"code": True, "language": "python"}),
        ("x", {"code": True}),
    ]
    assert [block.whole for block in blocks(read)] == [False, True, True]


def test_code_that_is_very_long_is_cut_after_lines() -> None:
    read = page("<p>So:<pre>" + "x = 1\n" * 10_000 + "</pre><p>End.")
    assert (texts(read)[0], texts(read)[-1]) == ("So:", "End.")
    assert all(text.endswith("x = 1") and len(text) <= 1000 for text in texts(read)[1:-1])


def test_what_is_hidden_or_not_text_is_left_out() -> None:
    read = page(
        "<p>Seen<script>no()</script><style>no</style> on.<noscript>no</noscript><template>no</template><svg><text>no"
        "</text></svg><!-- no --><button>no</button><p hidden>no<p aria-hidden=true>no<p style='display: none'>no"
        "<select><option>no</select><textarea>no</textarea><iframe>no</iframe><p>End."
    )
    assert texts(read) == ["Seen on.", "End."]


def test_navigation_is_left_out_wherever_it_is() -> None:
    around = (
        f"<header><a href=/>Home</a><h1>The title</h1></header><nav><ul>{LINKS}</ul></nav>"
        f"<div class='side-bar sidebar'><p>{LONG * 3}</p></div><div role=navigation>{LONG}</div>"
        f"<h2>Short</h2><p>Short text.</p><p>{LONG * 3}</p><h2>Elsewhere</h2><ul>{LINKS}</ul><footer>{LONG}</footer>"
    )
    assert texts(page(around)) == ["The title", "Short", "Short text.", (LONG * 3).strip()]


def test_in_a_page_with_a_main_element_only_that_is_read() -> None:
    text = f"<div>{LONG}</div><main><h1>Title</h1><p>{LONG}</p><p>A short end.</p></main><div>{LONG}</div>"
    assert texts(page(text)) == ["Title", LONG.strip(), "A short end."]
    assert len(texts(page(text.replace("main", "div")))) == 5


def test_the_longest_article_is_the_text_unless_there_are_many() -> None:
    one = f"<article><p>{LONG * 4}</p></article>"
    assert texts(page(f"<p>{LONG}</p>{one}<p>{LONG}</p>")) == [(LONG * 4).strip()]
    assert len(texts(page(f"<p>{LONG}</p>{one * 3}"))) == 4


def test_a_page_of_links_alone_is_still_read() -> None:
    assert len(texts(page(f"<ul>{LINKS}</ul>"))) == 8


def test_broken_pages_are_read_as_far_as_they_go() -> None:
    assert texts(page("<p>a<b>b</p></i></div>c<table><td>d</span>e <unknown x=<y>f")) == ["ab", "c", "de f"]
    assert texts(page("plain text & more < less")) == ["plain text & more < less"]
    assert texts(page("<p>cut <!-- off")) == ["cut"]
    assert texts(page('<?xml version="1.0"?><html xml:lang="de"><body><p>é 🙂&eacute;&#128;</p></body></html>')) == [
        "é 🙂é€"
    ]


def test_entities_are_never_fetched() -> None:
    read = page('<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><p>a &x; b</p>')
    assert texts(read)[-1] == "a &x; b"


def test_a_page_without_text_gives_nothing() -> None:
    assert [found("a.htm", text) for text in ("", " ", "<html><head><title>x</title></head><body></body></html>")] == [
        *([], [], []),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<div>" * 100_000 + "end",
            "<b><p>" * 30_000 + "end",
            "<ul><li>" * 50_000 + "end",
            "<table><tr><td>" * 20_000,
        ),
        *("<a " + "x=1 " * 100_000 + ">end", "<" * 200_000, "&" * 200_000, "<!--" * 100_000, "word " * 1_000_000),
        *(
            "<p>a" * 100_000,
            "<h1>a" * 50_000,
            "<br>" * 100_000,
            "<nav>" * 50_000 + "end",
            "<p class='" + "nav " * 50_000,
        ),
        *("<article>" * 50_000 + "end", "<pre>" * 50_000 + "end", "<title>" * 50_000 + "end"),
    ],
    ids=lambda text: text[:12],
)
def test_time_grows_with_the_length_alone(text: str) -> None:
    started = time.process_time()
    for each in found("a.html", text):
        assert isinstance(each, Document)
        check(each)
    assert time.process_time() - started < 5


MARKS = (
    *("<p>", "</p>", "<div>", "</div>", "<div class=nav>", "<nav>", "</nav>", "<main>", "</main>", "<article>", "<h1>"),
    *(
        "</h1>",
        "<h2>",
        "<pre>",
        "</pre>",
        "<ul><li>",
        "<td>",
        "<tr>",
        "<table>",
        "</table>",
        "<br>",
        "<a href=x>",
        "</a>",
    ),
    *(
        "<title>",
        "</title>",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "<header>",
        "<svg>",
        "</svg>",
        "<b>",
        "&amp;",
        "&",
    ),
    *(
        "a",
        "Some words. ",
        "é 🙂",
        "\n",
        " ",
        "\u2028",
        "\x0c",
        "\u00a0",
        "|",
        "<",
        "<html lang=en>",
        "<p hidden>",
        LONG,
    ),
)


@given(st.lists(st.sampled_from(MARKS), max_size=40).map("".join) | st.text(max_size=80))
@examples(1500)
def test_blocks_are_in_order_within_the_text_and_do_not_overlap(text: str) -> None:
    for each in found("a.html", text.replace("\0", "")):
        assert isinstance(each, Document)
        check(each)
