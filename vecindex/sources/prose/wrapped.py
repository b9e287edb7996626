"""Decides whether a .txt file is prose in wrapped lines, or has a text on each line."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby, pairwise

from ...errors import SourceError
from ..formats import Format
from ..origin import Source
from ..split.method import Split
from .spans import LINE_END

_SAMPLE = 32 * 1024
"""Bytes."""
NARROWEST, WIDEST = 40, 160
"""Characters of the longest line of a wrapped text."""
_ENDS_SENTENCE = re.compile(r"[.!?…:;][\"'\u201d\u2019»)\]*_]*$")
_LETTER = re.compile(r"[^\W\d_]")
_ITEM = re.compile(r"\s*(?:[-*+•‣]|\(?\w{1,3}[.)])\s")
_SENTENCE_ENDS_WITHIN = re.compile(r"[^\W\d_A-Z]{4}[.!?][\"'\u201d\u2019»)\]]*[ \t]+[\"'\u201c\u2018«(\[]*[^\W\d_a-z]")


def as_prose_if_wrapped(source: Source, split: Split | None) -> Source:
    """The source as prose, if it is a text file that was not named as txt and is to be cut, or looks wrapped.

    It is read for that, unless ``split`` says how it is cut.
    """
    if source.format is not Format.TXT or source.is_format_given:
        return source
    is_prose = _is_wrapped(source) if split is None else split.method != "line"
    return replace(source, format=Format.PROSE) if is_prose else source


def _is_wrapped(source: Source) -> bool:
    try:
        with source.opened() as stream:
            sample = stream.read(_SAMPLE).decode("utf-8", "ignore")
            if stream.read(1):
                sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1]  # the last line may be cut
    except (SourceError, OSError):
        return False  # whoever reads it raises the error
    return looks_wrapped(sample)


def looks_wrapped(sample: str) -> bool:
    """Whether ``sample``, whole lines of a text file, is prose whose lines break off inside sentences.

    It looks at pairs of neighbouring lines with letters, of which the second begins no list item. All of this must
    hold, so that a list with a sentence a line is never taken for prose:

    - most first lines are as full as they can be: with the first word of the next one, they would be longer than all
      but a twentieth of the lines, which is 40 to 160 characters; in 6 of 10 pairs;
    - at least half of these lines do not end a sentence, and after a third of those the next one begins with a
      small letter;
    - half of the paragraphs of several lines are whole: they begin with no small letter and end as a sentence does. Or
      in at least one of 20 lines, and in two, a sentence ends in the middle, after a word of four letters, and the next
      one begins.

    Texts in scripts without small letters or spaces are never recognised.
    """
    lines = [line.rstrip() for line in LINE_END.split(sample)]
    written = [line for line in lines if line]
    lengths = sorted(map(len, written))
    width = lengths[int(len(lengths) * 0.95)] if lengths else 0
    if not NARROWEST <= width <= WIDEST:
        return False
    pairs = [(line, after.lstrip()) for line, after in pairwise(lines) if _may_go_on(line, after)]
    if not pairs:
        return False
    full = [(line, after) for line, after in pairs if len(line) + 1 + len(after.split(maxsplit=1)[0]) > width]
    broken = [after for line, after in full if not _ENDS_SENTENCE.search(line)]
    small = sum(after[0].islower() for after in broken)
    within = sum(_SENTENCE_ENDS_WITHIN.search(line) is not None for line in written)
    return (
        len(full) >= 0.6 * len(pairs)
        and len(broken) >= 0.5 * len(full)
        and small >= max(1, 0.35 * len(broken))
        and (within >= max(2, 0.05 * len(written)) or _are_whole(lines))
    )


def _may_go_on(line: str, after: str) -> bool:
    """Whether a line may go on in the next one: both have letters, so neither is blank or a rule beneath a title."""
    return all(_LETTER.search(each) for each in (line, after)) and not _ITEM.match(after)


def _are_whole(lines: list[str]) -> bool:
    """Whether at least half of the paragraphs of several lines begin and end as sentences do."""
    whole = [
        not paragraph[0].lstrip()[0].islower() and _ENDS_SENTENCE.search(paragraph[-1]) is not None
        for is_blank, group in groupby(lines, lambda line: not line)
        if not is_blank and len(paragraph := list(group)) > 1
    ]
    return 2 * sum(whole) >= len(whole) > 0
