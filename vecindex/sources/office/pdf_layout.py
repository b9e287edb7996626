"""Finds the paragraphs on the pages of a PDF, which knows only where its characters are.

A sentence is never cut where that can be avoided: a line that begins in lower case, after one that does not end a
sentence, goes on with its paragraph, also from one column or page to the next. The numbers of pages, and what stands at
the top or bottom of several pages, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

_FEWEST_DISTANCES = 5
"""From how many on the usual distance between lines can be told."""
DIVIDED = "\ufffe"
"""Stands in a paragraph where a word was divided at the end of a line."""

_BULLET = re.compile(r"[•‣▪●○◦]\s")
_ITEM = re.compile(r"(?:[·\u2013\u2014*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_RAGGED = 12
"""How far from the right side a line may end whose next word did not fit, as a multiple of the size of its letters."""
_SHORTEST_FULL = 18
"""The length from which on a line can be full, as such a multiple: about 40 characters."""
_SENTENCE_END = re.compile(r"""[.!?…。\uff01\uff1f][\"'\u201d\u2019)\]]*(?=\s|$)""")
_ENDS = re.compile(r"""[.!?:…。\uff01\uff1f][\"'\u201d\u2019)\]]*$""")
_WORD = re.compile(rf"(?<![\w{DIVIDED}-])\w+(?:-\w+)*(?![\w{DIVIDED}-])")
_DIVIDED = re.compile(rf"(\w*)-?{DIVIDED}(\w*)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_LONGEST_MARGIN = 200
"""Characters of what may be repeated at the top or bottom of pages."""


class Line(NamedTuple):
    """A line of text: the heights of its first and its last character, its sides, and the size of its letters."""

    text: str
    y: float
    last_y: float
    left: float
    right: float
    size: float


@dataclass
class Paragraph:
    """``size`` is that of the letters in its last line; ``is_full`` says that this line reaches the right side."""

    text: str
    page: int
    size: float = field(default=0, compare=False)
    is_full: bool = field(default=False, compare=False)


def paragraphs(lines: Sequence[Line], page: int) -> list[Paragraph]:
    """The paragraphs of a page, in the order of the file."""
    leading = _leading(lines)
    edge = max((line.right for line in lines), default=0.0)
    found: list[Paragraph] = []
    before: Line | None = None
    for line in lines:
        if before is not None and _goes_on(before, line, leading, found[-1].is_full):
            found[-1].text = _joined(found[-1].text, line.text)
        else:
            found.append(Paragraph(line.text, page))
        found[-1].size = line.size
        found[-1].is_full = line.right > max(edge - _RAGGED * line.size, line.left + _SHORTEST_FULL * line.size)
        before = line
    return found


def _leading(lines: Sequence[Line]) -> float:
    """The usual distance between lines, as a multiple of the size of their letters."""
    distances = [
        (above.last_y - below.y) / below.size
        for above, below in pairwise(lines)
        if below.size > 0 and 0.8 < (above.last_y - below.y) / below.size < 2.5
    ]
    if len(distances) < _FEWEST_DISTANCES:
        return 1.2
    distances.sort()
    return median(distances[: len(distances) // 2 + 1])


def _goes_on(above: Line, below: Line, leading: float, is_full: bool) -> bool:
    """Whether ``below`` belongs to the paragraph of ``above``, a line that may be full."""
    change = (below.size or 1) / (above.size or 1)
    ends = _ENDS.search(above.text) is not None
    if _BULLET.match(below.text) or (_ITEM.match(below.text) and (ends or not is_full)):
        return False
    distance = (above.last_y - below.y) / (below.size or 1)
    if goes_on(above.text, below.text):
        return 0.7 < change < 1.4 and distance < leading * 2.5  # less than 0 at the top of a column
    if not 0.85 < change < 1.18 or not 0 < distance < leading * 1.15:
        return False
    is_short = above.right < below.right - 4 * below.size
    is_indented = 0.8 * below.size < below.left - above.left < 5 * below.size
    return not (ends and (is_short or is_indented))


def goes_on(above: str, below: str) -> bool:
    """Whether a sentence that has not ended in ``above`` seems to go on in ``below``."""
    return below[:1].islower() and _ENDS.search(above) is None


def _joined(above: str, below: str) -> str:
    if above.endswith(("-", "\u2010", "\xad")) and above[-2:-1].isalpha():
        return f"{above[:-1]}{DIVIDED}{below}"
    return f"{above} {below}"


def across_pages(pages: Sequence[Sequence[Paragraph]]) -> list[Paragraph]:
    """All paragraphs, without what is at the top or bottom of several pages.

    A sentence that goes on from one page to the next belongs to the first; what follows it there stays on its page.
    """
    found: list[Paragraph] = []
    for paragraphs in _without_margins(pages):
        for position, paragraph in enumerate(paragraphs):
            last = found[-1] if found and position == 0 else None
            if last is None or not _crosses(last, paragraph):
                found.append(paragraph)
                continue
            end = _SENTENCE_END.search(paragraph.text)
            cut = end.end() if end else len(paragraph.text)
            last.text = _joined(last.text, paragraph.text[:cut])
            if rest := paragraph.text[cut:].strip():
                found.append(Paragraph(rest, paragraph.page))
    return found


def _crosses(last: Paragraph, first: Paragraph) -> bool:
    """Whether a sentence seems to go on from ``last``, at the end of a page, to ``first``."""
    if last.page != first.page - 1 or _BULLET.match(first.text) or _ENDS.search(last.text):
        return False
    return first.text[:1].islower() or (last.is_full and 0.85 < (first.size or 1) / (last.size or 1) < 1.18)


def _without_margins(pages: Sequence[Sequence[Paragraph]]) -> Iterator[Sequence[Paragraph]]:
    tops = [page[0] if len(page) > 1 else None for page in pages]
    bottoms = [page[-1] if len(page) > 1 else None for page in pages]
    for number, page in enumerate(pages):
        start = 1 if _is_margin(tops, number) else 0
        yield page[start : len(page) - 1 if _is_margin(bottoms, number) else len(page)]


def _is_margin(ends: Sequence[Paragraph | None], number: int) -> bool:
    """Whether two of the pages near this one have the same at this end."""
    own = ends[number]
    near = (*ends[max(0, number - 4) : number], *ends[number + 1 : number + 5])
    return own is not None and sum(other is not None and _are_alike(own, other) for other in near) >= 2


def _are_alike(one: Paragraph, other: Paragraph) -> bool:
    """Whether the texts are the same but for a number that counts the pages."""
    if len(one.text) > _LONGEST_MARGIN or _NUMBER.sub("#", one.text) != _NUMBER.sub("#", other.text):
        return False
    pairs = zip(_NUMBER.findall(one.text), _NUMBER.findall(other.text), strict=True)
    return all(mine == theirs or int(mine) - int(theirs) == one.page - other.page for mine, theirs in pairs)


def undivided(texts: Sequence[str]) -> list[str]:
    """The texts with divided words put together.

    A word keeps its hyphen before a digit or a capital, and if it has one elsewhere in the texts; also if its two parts
    are words elsewhere, and both together are not.
    """
    if not any(DIVIDED in text for text in texts):
        return list(texts)
    known = {word.lower() for text in texts for word in _WORD.findall(text)}

    def whole(found: re.Match[str]) -> str:
        above, below = found[1], found[2]
        if _keeps_hyphen(above.lower(), below.lower(), known) or below[:1].isdigit():
            return f"{above}-{below}"
        return f"{above}-{below}" if below[:1].isupper() and not above[-1:].isupper() else above + below

    return [_DIVIDED.sub(whole, text) for text in texts]


def _keeps_hyphen(above: str, below: str, known: set[str]) -> bool:
    return f"{above}-{below}" in known or (above + below not in known and above in known and below in known)
