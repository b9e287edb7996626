"""Reads Markdown: a block for each paragraph, list item, table row, heading and piece of code.

markdown-it-py (MIT; it follows CommonMark and passes its tests) finds the blocks. Only its rules for blocks run, so
that time grows with the length of the text alone, and its lines are mapped back to characters of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

from ...machine.extras import extra_errors
from ...values.records import Origin
from ..documents import Block, Document
from ..opening.detect import suffix_of
from ..origin import Source
from ..texts import whole_text
from .code import code_blocks
from .front_matter import front_matter
from .markup import visible_spans, without_comments
from .outline import LONGEST_HEADING, Outline
from .spans import LINE_END, Span, line_starts, trimmed
from .txt import paragraphs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_NESTING = 60
"""Levels of lists and quotes. A text with more of them is read as plain paragraphs."""
PART = 2**18
"""Characters, about, that are parsed at once: the parser takes a hundred bytes of memory for each."""

_MARKS = re.compile(r"\[\^[^\]\s]{1,100}\]:[ \t]*|\[[ xX]\][ \t]+|:{3,}[^\r\n]*\s*")  # footnotes, tasks, directives
_TARGET = r"(?:\([^()]{0,2000}\)|\[[^\[\]]{0,500}\])"
_PICTURES = re.compile(rf"(?:\[?!\[[^\[\]]{{0,500}}\]{_TARGET}(?:\]{_TARGET})?\s*)+")
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}$")
_FENCE = re.compile(r"(?:^|(?<=[\r\n]))[ \t>]{0,100}(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,4}){0,20}(`{3,}|~{3,})([^`\r\n]*)")
_BLANK_LINE = re.compile(r"(?:\r\n?|\n)[ \t]{0,100}(?:\r\n?|\n)(?=\S)")
_LINE = re.compile(r"(?:\r\n?|\n)(?=\S)")
_INLINE = frozenset("*_`[<&\\")
_MODULE_CODE = re.compile(r"(?:import|export)\b|\{/\*")


def read(source: Source, stream: IO[bytes]) -> Iterator[Document]:
    """The text of the file itself, with the front matter as its metadata."""
    text = whole_text(source, stream)
    metadata, start = front_matter(text)
    outline = Outline()
    blocks = list(markdown_blocks(text, start, outline, is_mdx=suffix_of(source.path) == ".mdx"))
    if blocks:
        yield Document(
            text,
            Origin(source.name, 1),
            metadata=metadata or None,
            title=_string(metadata.get("title")) or outline.title,
            language=_string(metadata.get("lang")),
            blocks=blocks,
            has_lines=True,
        )


def markdown_blocks(text: str, start: int, outline: Outline, is_mdx: bool = False) -> Iterator[Block]:
    """The blocks of the Markdown from ``start`` on; ``outline`` goes on from where it is.

    HTML comments, definitions of links and pictures alone are left out, in MDX also imports and exports.
    """
    for first, last in _parts(text, start):
        yield from _part_blocks(text, first, last, outline, is_mdx)


def _part_blocks(text: str, start: int, end: int, outline: Outline, is_mdx: bool) -> Iterator[Block]:
    tokens = _parser().parse(text[start:end])
    if any(token.level > MAX_NESTING for token in tokens):
        yield from (Block(*span, outline.metadata) for span in paragraphs(text, start, end))
        return
    starts = line_starts(text[:end], start)
    for before, token in pairwise([None, *tokens]):
        if token is None or token.map is None:
            continue
        kind = token.type
        first, last = (starts[min(line, len(starts) - 1)] for line in token.map)
        if kind == "inline" and before is not None and before.type not in ("td_open", "th_open"):
            span = _inline(text, first, last, token.content)
            if before.type == "heading_open":
                if before.level == 0:  # not within a quote or a list
                    outline.enter(int(before.tag[1:]), _plain(token.content))
                yield from (Block(*each, outline.metadata, whole=True) for each in _present(span))
            elif not (is_mdx and _MODULE_CODE.match(text, *span)):
                yield from (Block(*each, outline.metadata) for each in _paragraph(text, *span))
        elif kind == "tr_open":
            yield from (Block(*row, outline.metadata) for row in _present(_row(text, first, last)))
        elif kind == "code_block":
            yield from code_blocks(text, first, last, outline.code())
        elif kind == "fence":
            line = token.map[0] + 1
            first, last = starts[line], starts[min(line + token.content.count("\n"), len(starts) - 1)]
            yield from code_blocks(text, first, last, outline.code(_language(token.info)))
        elif kind == "html_block":
            yield from (Block(*span, outline.metadata) for span in visible_spans(text, first, last))


def _parts(text: str, start: int) -> Iterator[Span]:
    """Cuts a long text where a line that is not indented follows an empty one, but not within fenced code.

    If there is no such place for long, it is cut before any line that is not indented.
    """
    fence = ""
    at = seen = start
    while len(text) - start > PART:
        at = max(at, start + PART)
        gap = _BLANK_LINE.search(text, at, start + 4 * PART) or _LINE.search(text, max(at, start + 4 * PART - 1))
        if gap is None:
            break
        for found in _FENCE.finditer(text, seen, gap.end()):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence) and not found[2].strip():
                fence = ""
        at = seen = gap.end()
        if not fence:
            yield start, at
            start = at
    yield start, len(text)


@cache
def _parser() -> MarkdownIt:
    with extra_errors("reading Markdown"):
        from markdown_it import MarkdownIt
    # The rules for a nesting of n elements stop at n levels of tokens, and what is below would be lost.
    return MarkdownIt("commonmark", {"maxNesting": MAX_NESTING + 4}).enable("table").disable("inline")


@cache
def _inline_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _inline(text: str, first: int, last: int, content: str) -> Span:
    """Where ``content`` is in its lines, without the marks of lists, quotes and headings before it."""
    first_line, is_longer, _ = content.partition("\n")
    found = LINE_END.search(text, first, last)
    line_end = found.end() if found else last
    start = text.rfind(first_line.rstrip(), first, line_end)
    start, end = trimmed(text, max(start, first), last)
    return start, end if is_longer else min(end, start + len(content))


def _plain(heading: str) -> str:
    """The words of a heading, without its markup."""
    heading = _ATTRIBUTES.sub("", heading[: 2 * LONGEST_HEADING])
    if _INLINE.isdisjoint(heading):
        return " ".join(heading.split())
    words: list[str] = []
    waiting = list(_inline_parser().parseInline(heading)[0].children or ())
    while waiting:
        token = waiting.pop(0)
        if token.type in ("text", "text_special", "code_inline"):
            words.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            words.append(" ")
        waiting[:0] = token.children or ()
    return " ".join("".join(words).split())


def _paragraph(text: str, start: int, end: int) -> Iterator[Span]:
    while marks := _MARKS.match(text, start, end):
        start = marks.end()
    pictures = _PICTURES.match(text, start, end)
    if pictures and pictures.end() == end:
        return
    yield from without_comments(text, start, end)


def _row(text: str, start: int, end: int) -> Span:
    start, end = trimmed(text, start, end)
    while start < end and text[start] in "| \t>":
        start += 1
    while start < end and text[end - 1] in "| \t":
        end -= 1
    return start, end


def _present(span: Span) -> Iterator[Span]:
    if span[0] < span[1]:
        yield span


def _language(info: str) -> str:
    """The language of a fence, such as python in ``python {linenos=true}`` or ``{.python}``."""
    words = re.split(r"[\s,{}:=]+", info.strip().lstrip("{"), maxsplit=1)
    return words[0].lstrip(".")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None
