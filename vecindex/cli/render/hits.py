"""Formats hits: lines with snippets for people; JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .passages import passages
from .results import counted, json_line, json_text, on_one_line, printable

if TYPE_CHECKING:
    from ...search.explained.hit_explanation import HitExplanation
    from ...values.records import Hit

SNIPPET = 200
"""The longest text that is shown whole, and the size of a snippet, in characters."""
EVERY_FIELD = "*"
_READ = 200_000
"""The number of characters that are searched for a snippet, which bounds its time."""
_WORDS = 64
_EXACT = 3
"""Words of up to this many letters are only matched whole."""
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The first characters of cells that a spreadsheet runs as formulas; the last four are fullwidth forms."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What to show of hits.

    Snippets are chosen by ``query``; None shows whole texts, which programs always get. ``fields`` are the names of
    metadata fields, with dots for nested ones; None shows none to people and all to programs. ``terminal`` escapes
    control characters in CSV, ``csv_safe`` keeps spreadsheets from running stored values as formulas. Text is wrapped
    to ``width`` columns; None never wraps. ``explanations`` are those of hits, by rank. ``cursors`` has the
    cursor for the next page, by the rank of the last hit, if pages are wanted.
    """

    query: str | None = None
    fields: tuple[str, ...] | None = None
    terminal: bool = False
    csv_safe: bool = False
    width: int | None = None
    explanations: Mapping[int, HitExplanation] = field(default_factory=dict)
    cursors: Mapping[int, str] | None = None

    def metadata(self, hit: Hit) -> Mapping[str, Any]:
        """Those fields of a hit's metadata that are shown and exist."""
        if self.fields is None or EVERY_FIELD in self.fields:
            return hit.metadata
        found = ((name, _value(hit.metadata, name)) for name in self.fields)
        return {name: value for name, value in found if value is not _MISSING}


def hits_as(format_: str, hits: Sequence[Hit], shown: Shown = Shown()) -> str:
    """Formats hits in one of `HIT_FORMATS`."""
    return _HITS[format_](hits, shown)


_MISSING: Any = object()


def _value(metadata: Mapping[str, Any], name: str) -> Any:
    """The value of the field ``name``, or at that dotted path; `_MISSING` if there is none."""
    if name in metadata:
        return metadata[name]
    found: Any = metadata
    for each in name.split("."):
        if not isinstance(found, Mapping) or each not in found:
            return _MISSING
        found = found[each]
    return found


def _text(hits: Sequence[Hit], shown: Shown) -> str:
    from ...values.hits import where

    digits = len(str(max((hit.rank for hit in hits), default=0)))
    crowded = {place for place, count in Counter(map(where, hits)).items() if count > 1}
    blocks = []
    for passage in passages(hits):
        lines = []
        for sentence in passage:
            hit, text = (sentence, sentence.text) if not isinstance(sentence, str) else (None, sentence)
            head = f"{hit.rank:>{digits}}  {hit.score:.4f}  " if hit else " " * (digits + 10)
            text = on_one_line(
                text if shown.query is None else snippet(text, shown.query), hit.metadata if hit else None
            )
            beside = "  ".join(_beside(hit, shown, crowded)) if hit else ""
            lines += _laid_out(head, text, beside, shown.width)
            if hit and hit.rank in shown.explanations:
                from .explained import explanation_lines

                lines += explanation_lines(hit, shown.explanations[hit.rank], digits + 2, shown.width)
        blocks.append("".join(line + "\n" for line in lines))
    return ("\n" if any(hit.before or hit.after for hit in hits) else "").join(blocks)


def _beside(hit: Hit, shown: Shown, crowded: Set[str]) -> list[str]:
    """What people see beside a hit's text: where it is from, its headings, chosen metadata, and what is odd."""
    parts = [f"[{printable(_name(hit, crowded))}]"]
    headings = hit.metadata.get("headings")
    if hit.source is not None and isinstance(headings, list) and all(isinstance(each, str) for each in headings):
        above = headings[:-1] if headings[-1:] == [hit.text] else headings  # a heading is not said twice
        parts += [printable(" > ".join(above))] if above else []
    if shown.fields is not None:
        parts.append(printable(json_line(shown.metadata(hit))))
    if hit.lost:
        parts.append(f"(truncated: {counted(hit.lost, 'token')} not read)")
    if hit.unknown:
        parts.append("(the model knows none of its tokens)")
    return parts


def _name(hit: Hit, crowded: Set[str]) -> str:
    """What people know a hit by: its key, and its place in its source.

    The place alone where the key says no more: where it was derived, or counts the sentences of a source. Hits at one
    of the ``crowded`` places, where there are several, have their key too.
    """
    from ...values.hits import where
    from ...values.keys import derive_key

    place = where(hit)
    if not place:
        return hit.key
    says_no_more = place not in crowded and (
        hit.key.startswith(f"{hit.source}#") or hit.key == derive_key(hit.text, hit.metadata)
    )
    return place if says_no_more else f"{hit.key} in {place}"


def _laid_out(head: str, text: str, beside: str, width: int | None) -> list[str]:
    """``text`` after ``head``, then ``beside``, on one line; or in lines of at most ``width`` with room for words."""
    if width is None or width - len(head) < 20:
        return [f"{head}{text}  {beside}".rstrip()]
    lines = _wrapped(text, width - len(head))
    if len(head) + len(lines[-1]) + 2 + len(beside) <= width:
        lines[-1] = f"{lines[-1]}  {beside}".rstrip()
    else:
        lines += _wrapped(beside, width - len(head))
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


def _wrapped(text: str, width: int) -> list[str]:
    # Words are never cut, so that a long path or URL can be copied.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def members(hit: Hit, shown: Shown) -> dict[str, Any]:
    """What JSON has of a hit."""
    found = {**hit.to_dict(), "metadata": shown.metadata(hit)}
    if hit.rank in shown.explanations:
        from .explained import explanation_members

        found["explanation"] = explanation_members(shown.explanations[hit.rank])
    if shown.cursors and hit.rank in shown.cursors:
        found["cursor"] = shown.cursors[hit.rank]
    return found


def _json(hits: Sequence[Hit], shown: Shown) -> str:
    return json_text([members(hit, shown) for hit in hits])


def _jsonl(hits: Sequence[Hit], shown: Shown) -> str:
    return "".join(json_line(members(hit, shown)) + "\n" for hit in hits)


def _csv(hits: Sequence[Hit], shown: Shown) -> str:
    return csv_of(hits, shown, {})


def csv_of(hits: Sequence[Hit], shown: Shown, before: Mapping[str, Sequence[str]]) -> str:
    """Hits as CSV, after the columns ``before``, which have a cell for each."""
    from ...values.hits import where_columns

    fields = None if shown.fields is None or EVERY_FIELD in shown.fields else shown.fields
    cell = cells(shown)
    where = {**where_columns(hits)}
    if shown.cursors is not None:
        where["cursor"] = [shown.cursors.get(hit.rank) for hit in hits]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [*before, "rank", "key", "score", "text", *(("metadata",) if fields is None else map(cell, fields)), *where]
    )
    for place, h in enumerate(hits):
        if fields is None:
            more = [json_line(h.metadata)]
        else:
            found = shown.metadata(h)
            more = [found.get(name, "") for name in fields]
        more += ["" if column[place] is None else column[place] for column in where.values()]
        first = [cell(column[place]) for column in before.values()]
        writer.writerow([*first, h.rank, cell(h.key), h.score, cell(h.text), *map(cell, more)])
    return out.getvalue()


def cells(shown: Shown) -> Callable[[Any], Any]:
    """A function that makes a stored value a cell of CSV."""

    def cell(value: Any) -> Any:
        if type(value) in (int, float):
            return value
        if not isinstance(value, str):
            value = json_line(value)
        if shown.terminal:
            value = printable(value)
        return f"'{value}" if shown.csv_safe and _FORMULA.match(value) else value

    return cell


_HITS: dict[str, Callable[[Sequence[Hit], Shown], str]] = {"text": _text, "json": _json, "jsonl": _jsonl, "csv": _csv}
HIT_FORMATS = tuple(_HITS)


def snippet(text: str, query: str, width: int = SNIPPET) -> str:
    """The ``width`` characters of ``text`` that have most of the query's words, or its beginning if it has none."""
    if len(text) <= width:
        return text
    room = width - 2  # for an ellipsis on both sides
    first, last = _densest(text[:_READ], query, room)
    start = max(0, min(first - (room - (last - first)) // 2, len(text) - room))
    end = start + room
    if start:
        space = re.compile(r"\s+").search(text, start, min(start + 20, first))
        start = space.end() if space else start
    if end < len(text):
        space = re.compile(r"\s\S*$").search(text, max(end - 20, last, start), end)
        end = space.start() if space else end
    return f"{'…' if start else ''}{text[start:end].strip()}{'…' if end < len(text) else ''}"


def _densest(text: str, query: str, width: int) -> tuple[int, int]:
    """The start and end of the passage of ``text`` with most of the query's words, weighted by their length."""
    words = sorted({word.casefold() for word in re.findall(r"\w+", query)}, key=len, reverse=True)[:_WORDS]
    if not words:
        return 0, 0
    # Longer words match by their beginning, so that plant matches plants.
    either = "|".join(re.escape(word) if len(word) > _EXACT else rf"{re.escape(word)}(?!\w)" for word in words)
    best, best_weight, weight = (0, 0), 0, 0
    window: deque[re.Match[str]] = deque()
    counts: Counter[str] = Counter()
    for match in re.finditer(rf"(?<!\w)(?:{either})", text, re.IGNORECASE):
        window.append(match)
        word = match[0].casefold()
        counts[word] += 1
        weight += len(word) if counts[word] == 1 else 0
        while window and match.end() - window[0].start() > width:
            word = window.popleft()[0].casefold()
            counts[word] -= 1
            weight -= len(word) if counts[word] == 0 else 0
        if weight > best_weight:
            best, best_weight = (window[0].start(), match.end()), weight
    return best
