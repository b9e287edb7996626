"""Formats why hits are where they are, and how they were found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .results import counted, json_line, printable

if TYPE_CHECKING:
    from ...encoders.explain import TokenExplanation
    from ...search.explained.hit_explanation import HitExplanation
    from ...search.run import SearchReport
    from ...values.records import Hit

_STRONGEST = 6
"""How many words are named; the others are one number."""
_CONTINUED = "##"
"""How WordPiece marks a token that continues a word."""
_STARTED = ("\u2581", "\u0120")
"""How SentencePiece and byte-level BPE mark a token that starts a word."""
_SPECIAL = {"[", "<"}
"""What a token of the model itself, such as [CLS] or <s>, begins with."""
_LABEL = 8
_LEAST_ROOM = 20


def explanation_lines(hit: Hit, explanation: HitExplanation, indent: int, width: int | None) -> list[str]:
    """Why a hit is where it is, in lines of at most ``width`` that begin with what they are about."""
    lines = []
    for label, text in _said(hit, explanation):
        head = f"{'':{indent}}{label:<{_LABEL}}"
        if width is None or width - len(head) < _LEAST_ROOM:
            lines.append(head + text)
        else:
            lines += textwrap.wrap(
                *(text, width),
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def _said(hit: Hit, explanation: HitExplanation) -> Iterator[tuple[str, str]]:
    standings, notes = explanation.standings, explanation.notes
    if len(standings) > 1 or any(each.rank != hit.rank for each in standings):
        yield "ranks", ", ".join(f"{each.by} {each.rank} of {each.of:,}" for each in standings)
    for each in standings:
        if each.parts and each.score is not None:
            yield each.by, f"{each.score:.4f} = {_sum([*each.parts.items()])}"
    if explanation.tokens or "tokens" in notes:
        parts = _strongest(_words(explanation.tokens))
        yield from _line("cosine", hit.scores.get("dense"), _sum(parts), notes.get("tokens"))
    if explanation.terms:
        parts = [(f'"{each.term}"' if each.is_form else each.term, each.score) for each in explanation.terms]
        yield from _line("BM25", hit.scores.get("lexical"), _sum(parts))
    if explanation.pairs or "pairs" in notes:
        met = ", ".join(
            f"{printable(_plain(each.query_token))} ~ {printable(_plain(each.text_token))} {each.cosine:.2f}"
            for each in explanation.pairs
        )
        yield from _line("tokens", hit.scores.get("tokens"), met and f"mean of {met}", notes.get("pairs"))
    if "cross" in hit.scores:
        yield "cross", f"{hit.scores['cross']:.4f}, for the query and the text read together"
    elif "cross" in notes:
        yield from _line("cross", None, "", notes["cross"])


def _line(label: str, score: float | None, parts: str, note: str | None = None) -> Iterator[tuple[str, str]]:
    if parts and score is not None:
        yield label, f"{score:.4f} = {parts}"
    if note is not None:
        yield ("" if parts else label), f"({printable(note)})"


def _words(tokens: Sequence[TokenExplanation]) -> list[tuple[str, float]]:
    """What each word adds: tokens that continue a word, as tokenizers mark them, belong to the one before."""
    has_starts = any(each.token.startswith(_STARTED) for each in tokens)
    words: list[tuple[str, float]] = []
    for each in tokens:
        name, value = _plain(each.token), each.contribution or 0.0
        is_continued = each.token.startswith(_CONTINUED) or (has_starts and name == each.token)
        if is_continued and words and not {each.token[:1], words[-1][0][:1]} & _SPECIAL:
            before, sum_before = words.pop()
            words.append((before + name.removeprefix(_CONTINUED), sum_before + value))
        else:
            words.append((name, value))
    return words


def _plain(token: str) -> str:
    """A token without the mark that it starts a word."""
    return token[1:] if token.startswith(_STARTED) else token


def _strongest(parts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The parts that add or take most, the largest first, and the sum of the rest."""
    order = sorted(parts, key=lambda part: -abs(part[1]))
    first = sorted(order[:_STRONGEST], key=lambda part: -part[1])
    rest = order[_STRONGEST:]
    return [*first, *([(counted(len(rest), "other"), sum(value for _, value in rest))] if rest else [])]


def _sum(parts: Sequence[tuple[str, float]]) -> str:
    """``name 0.3120 + is 0.0102 - a 0.0021``."""
    said = ""
    for name, value in parts:
        sign = ("-" if value < 0 else "") if not said else (" - " if value < 0 else " + ")
        said += f"{sign}{printable(name)} {abs(value):.4f}"
    return said


def explanation_members(explanation: HitExplanation) -> dict[str, Any]:
    """What JSON has of an explanation, in a hit."""
    members = asdict(explanation)
    del members["rank"], members["key"]
    return members


def report_as(format_: str, report: SearchReport) -> str:
    """Formats how hits were found: the route, the work, and the time of each step."""
    if format_ in ("json", "jsonl"):
        members = asdict(report)
        del members["explanations"]
        return json_line({"report": members}) + "\n"
    times = ", ".join(f"{step} {ms:.2f}" for step, ms in report.milliseconds.items())
    steps = f"{sum(report.milliseconds.values()):.2f} milliseconds: {times}"
    return f"{'; '.join(_found(report))}\n{steps}\n"


def _found(report: SearchReport) -> Iterator[str]:
    yield f"mode {report.mode}"
    if report.route is not None:
        yield f"route {report.route.value}"
        yield f"{report.allowed:,} of {counted(report.rows, 'row')} allowed"
    if report.coded:
        yield f"{report.candidates:,} candidates of {counted(report.coded, 'coded row')}"
        yield f"{report.rescored:,} rescored"
        yield f"{report.tail:,} in the tail"
    if report.widened:
        yield f"widened {counted(report.widened, 'time')}"
    if report.exhaustive:
        yield "every allowed row scored in the end"
    if report.to_rerank:
        yield f"{report.reranked:,} of {report.to_rerank:,} reranked"
