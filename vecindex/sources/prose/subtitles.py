"""Reads subtitles (SubRip .srt and WebVTT .vtt): cues are joined to sentences, with the time at which each begins.

The two formats are so small that a parser for both is shorter than the mapping of a library's errors to lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from itertools import pairwise
from typing import IO

from ...errors import SourceError
from ...values.records import Origin
from ..documents import Block, Document
from ..origin import Source
from ..split.sentences import document_language, sentence_spans
from ..texts import whole_text
from .spans import Span, line_starts

PAUSE = 5.0
"""Seconds without a cue that end a sentence."""
LONGEST_SENTENCE = 300
"""Characters. A longer one, as of captions without punctuation, is cut between cues."""
LONGEST_SPEECH = 2_000
"""Characters that are searched for sentences at once."""

_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?!\d)")
_TAG = re.compile(
    r"</?(?:b|i|u|s|c|v|font|lang|ruby|rt)(?:[.\s][^<>]{0,200})?>|<[\d:.]{1,20}>|\{\\[^{}]{0,200}\}", re.I
)
_SPEAKER = re.compile(r"<v(?:\.[^\s<>]{0,100})?\s+([^<>]{1,200})>")
_SENTENCE_ENDS = re.compile(r"[.!?…。！？][\"')\]\u201d\u2019»]*$")  # noqa: RUF001
_ADVICE = "Write times as 00:01:02,500 --> 00:01:04,000."


@dataclass(slots=True)
class _Cue:
    """A line or two of text on the screen; times are in seconds."""

    start: float
    end: float
    lines: list[str] = field(default_factory=list)

    @property
    def speaker(self) -> str | None:
        found = _SPEAKER.search("\n".join(self.lines))
        return " ".join(found[1].split()) if found else None


def read(source: Source, stream: IO[bytes]) -> Iterator[Document | SourceError]:
    """What is said, with a line for each sentence."""
    text = whole_text(source, stream)
    cues: list[_Cue] = []
    for found in _cues(text, Origin(source.name)):
        if isinstance(found, SourceError):
            yield found
        else:
            cues.append(found)
    if not cues and text.strip().partition("\n")[0].split(maxsplit=1)[:1] not in ([], ["WEBVTT"]):
        raise SourceError(source.name, None, "holds no subtitles", _ADVICE)
    language = document_language("\n".join(line for cue in cues[:50] for line in cue.lines), None)
    parts: list[str] = []
    blocks: list[Block] = []
    end = 0
    for speech in _speeches(cues):
        for sentence, time in _sentences(speech, language):
            speaker = speech[0].speaker
            metadata = {"time": time, **({"speaker": speaker} if speaker else {})}
            blocks.append(Block(end, end + len(sentence), metadata))
            parts.append(sentence)
            end += len(sentence) + 1
    if blocks:
        yield Document("\n".join(parts), Origin(source.name), blocks=blocks)


def _cues(text: str, origin: Origin) -> Iterator[_Cue | SourceError]:
    """The cues in order, and an error for each line of times that cannot be read."""
    is_vtt = text.startswith("WEBVTT")
    starts = line_starts(text)
    lines = [text[start:end].strip() for start, end in pairwise(starts)]
    cue: _Cue | None = None
    last: _Cue | None = None
    is_note = is_vtt
    for number, line in enumerate(lines, start=1):
        if "-->" in line and not (is_note and number > 1 and not _TIMES.match(line)):
            if cue and cue.lines and cue.lines[-1].isdigit():
                cue.lines.pop()  # the next cue's number, where no empty line is before it
            times = _TIMES.match(line)
            cue = _Cue(_seconds(times, 1), _seconds(times, 5)) if times else None
            is_note = False
            if cue:
                last = cue
                yield cue
            else:
                yield origin._replace(place=number).error("the times of the subtitle cannot be read", _ADVICE)
        elif not line:
            cue, is_note = None, False
        elif cue:
            cue.lines.append(line)
        elif is_vtt and line.startswith(("NOTE", "STYLE", "REGION")):
            is_note = True
        elif not (is_vtt or is_note or last is None or line.isdigit() or "-->" in "".join(lines[number : number + 1])):
            last.lines.append(line)  # after an empty line within a cue


def _seconds(times: re.Match[str], first: int) -> float:
    hours, minutes, seconds, part = times.group(first, first + 1, first + 2, first + 3)
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(part.ljust(3, "0")) / 1000


def _speeches(cues: list[_Cue]) -> Iterator[list[_Cue]]:
    """Cues that belong together: one speaker, without a pause, and not very many."""
    speech: list[_Cue] = []
    length = 0
    for cue in cues:
        if speech:
            before = speech[-1]
            is_long = length > LONGEST_SPEECH and (
                length > 2 * LONGEST_SPEECH or bool(_SENTENCE_ENDS.search(_visible(before.lines[-1:])))
            )
            if is_long or cue.speaker != before.speaker or cue.start - before.end >= PAUSE:
                yield speech
                speech, length = [], 0
        speech.append(cue)
        length += sum(map(len, cue.lines))
    if speech:
        yield speech


def _sentences(speech: list[_Cue], language: str) -> Iterator[tuple[str, float]]:
    """The sentences of some cues, each with the time of the cue in which it begins."""
    text = ""
    starts: list[int] = []
    times: list[float] = []
    shown: list[str] = []
    for cue in speech:
        lines = [_visible([line]) for line in cue.lines]
        # Captions that roll up repeat the line above.
        fresh = " ".join(line for line in lines if line and line not in shown)
        shown = lines
        if fresh:
            text = f"{text} {fresh}" if text else fresh
            starts.append(len(text) - len(fresh))
            times.append(round(cue.start, 3))
    for start, end in sentence_spans(text, 0, len(text), language):
        for first, last in _short(start, end, starts):
            yield text[first:last].strip(), times[bisect_right(starts, first) - 1]


def _short(start: int, end: int, starts: list[int]) -> Iterator[Span]:
    """The span, cut between cues if it is too long."""
    while end - start > LONGEST_SENTENCE:
        cut = starts[bisect_right(starts, start + LONGEST_SENTENCE) - 1]
        if cut <= start:
            following = bisect_right(starts, start)
            if following == len(starts) or starts[following] >= end:
                break
            cut = starts[following]
        yield start, cut
        start = cut
    yield start, end


def _visible(lines: list[str]) -> str:
    return " ".join(unescape(_TAG.sub("", " ".join(lines))).split())
