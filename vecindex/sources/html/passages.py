"""Collects the passages of an HTML page from a parser's events: paragraphs, headings, list items, rows and code.

There is no tree, so deeply nested pages take no more time or memory than others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "heading", "code"]

# What is never text. Their ends are found by the parser, which closes what is open at the end of the element around it.
_NO_TEXT = frozenset(
    (
        *("script", "style", "noscript", "template", "svg", "math", "iframe", "object", "embed", "canvas", "audio"),
        *("video", "map", "button", "select", "textarea", "datalist", "nav", "footer", "dialog", "rt", "rp"),
    )
)
_NAVIGATING_ROLES = frozenset(
    ("navigation", "banner", "contentinfo", "search", "menu", "menubar", "toolbar", "dialog", "alertdialog", "tablist")
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "form", "header", "hgroup", "hr", "html", "legend", "li", "main", "menu"),
        *("ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "h1", "h2", "h3"),
        *("h4", "h5", "h6", "option", "listing", "xmp", "head", "title"),
    )
)
_CELLS = frozenset(("td", "th"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CODE = frozenset(("pre", "listing", "xmp"))

# Names of classes and ids that sites give to what is not the text of a page.
_BESIDE = re.compile(
    r"(?:^|[\s_-])(?:nav|navi|navigation|navbar|menu|submenu|breadcrumbs?|sidebar|footer|cookies?|consent|share|sharing"
    r"|shares|social|sociable|related|recommended|comments?|commentlist|respond|disqus|advert|advertisement|ads?|banner"
    r"|promo|newsletter|subscribe|subscription|pagination|pager|toc|skip|masthead|widgets?|popup|modal|login|print-only"
    r"|tags|taglist|tagcloud|outbrain|teaser|byline|copyright|postmeta|meta)(?:$|[\s_-])",
    re.IGNORECASE,
)
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LINK_OF_HEADING = re.compile(r"headerlink|anchor|permalink|hash-link", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|highlight)-([\w+#-]+)")
_BREAK = "\0"  # for <br>; the parser replaces this character in pages

MAX_NAMES = 500
"""Characters of a class or id that are looked at."""


@dataclass(slots=True)
class Passage:
    """A text with what its place in the page says about it.

    ``level`` is that of a heading, and ``language`` that of code. ``linked`` counts its characters within links.
    ``is_beside`` says that it stands in a part for navigation, sharing or the like. ``main`` and ``article`` number the
    outermost such element around it; 0 is none.
    """

    text: str
    kind: Kind
    level: int
    language: str
    linked: int
    is_beside: bool
    main: int
    article: int


@dataclass(slots=True)
class _Open:
    """What an element that ends puts back."""

    tag: str
    is_beside: bool
    main: int
    article: int


@dataclass(slots=True)
class Passages:
    """A target for lxml's parser. ``found`` has the passages, in order."""

    found: list[Passage] = field(default_factory=list)
    title: str | None = None
    language: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)
    _words: list[str] = field(default_factory=list)
    _skipped: int = 0
    _links: int = 0
    _linked: int = 0
    _code: int = 0
    _level: int = 0
    _code_language: str = ""
    _is_beside: bool = False
    _main: int = 0
    _article: int = 0
    _articles: int = 0
    _mains: int = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._skipped:
            self._skipped += 1
            return
        if tag in _NO_TEXT or (attributes and self._is_hidden(tag, attributes)):
            if tag not in ("rt", "rp"):
                self._words.append(" ")
            if tag in _BLOCKS or tag in ("nav", "footer"):
                self._end_passage()
            self._skipped = 1
            return
        if tag in _BLOCKS:
            self._end_passage()
        elif tag == "br":
            self._words.append("\n" if self._code else _BREAK)
        elif tag in _CELLS and any(word.strip() for word in self._words):
            self._words.append(" | ")
        self._open.append(_Open(tag, self._is_beside, self._main, self._article))
        if tag == "a":
            self._links += 1
        elif tag in _HEADINGS:
            self._level = _HEADINGS[tag]
        elif tag in _CODE:
            self._code += 1
            self._code_language = ""
        elif tag == "article" and not self._article:
            self._articles += 1
            self._article = self._articles
        if tag == "main" or (attributes and attributes.get("role") == "main"):
            self._mains += 1
            self._main = self._main or self._mains
        elif tag == "header" and not (self._main or self._article):
            self._is_beside = True
        if attributes:
            self._look_at(tag, attributes)

    def end(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if tag in _BLOCKS:
            self._end_passage()
        before = self._open.pop() if self._open else _Open(tag, False, 0, 0)
        if tag == "a":
            self._links -= 1
        elif tag in _HEADINGS:
            self._level = 0
        elif tag in _CODE:
            self._code -= 1
        self._is_beside, self._main, self._article = before.is_beside, before.main, before.article

    def data(self, text: str) -> None:
        if not self._skipped:
            self._words.append(text)
            if self._links:
                self._linked += len(text.strip())

    def close(self) -> Passages:
        self._end_passage()
        return self

    def _is_hidden(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if tag in ("html", "body"):
            return False
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return True
        if tag == "a" and _LINK_OF_HEADING.search(attributes.get("class", "")) and self._level:
            return True
        style = attributes.get("style")
        return attributes.get("role") in _NAVIGATING_ROLES or (style is not None and bool(_UNSEEN.search(style)))

    def _look_at(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Takes from an element's attributes what they say about the page or the passages within."""
        if tag == "html":
            self.language = attributes.get("lang") or attributes.get("xml:lang")
        elif tag == "meta":
            name = (attributes.get("name") or attributes.get("property") or "").lower()
            content = " ".join(attributes.get("content", "").split())
            if name in _META and content:
                self.metadata.setdefault(_META[name], content[:MAX_NAMES])
        elif self._code:
            language = _LANGUAGE.search(attributes.get("class", "")[:MAX_NAMES])
            self._code_language = self._code_language or (language[1].lower() if language else "")
        elif not self._is_beside and tag not in ("body", "main", "article", "p", "pre", "code", "a", "span"):
            names = f"{attributes.get('class', '')[:MAX_NAMES]} {attributes.get('id', '')[:MAX_NAMES]}"
            self._is_beside = bool(_BESIDE.search(names))

    def _end_passage(self) -> None:
        words = self._words
        if not words:
            return
        text = "".join(words)
        linked, self._words, self._linked = self._linked, [], 0
        if self._code:
            text = text.replace(_BREAK, "\n").strip()
            kind: Kind = "code"
        else:
            lines = (" ".join(line.split()) for line in text.split(_BREAK))
            text = "\n".join(line for line in lines if line).strip(" |\n")
            kind = "heading" if self._level else "text"
        if not text:
            return
        if self._open and self._open[-1].tag == "title":
            self.title = self.title or text
            return
        language = self._code_language if kind == "code" else ""
        # The title of a page is often in its header, beside the navigation.
        is_beside = self._is_beside and self._level != 1
        self.found.append(Passage(text, kind, self._level, language, linked, is_beside, self._main, self._article))


_META = {
    "author": "author",
    "description": "description",
    "date": "date",
    "article:published_time": "date",
    "dc.date": "date",
    "keywords": "keywords",
}
