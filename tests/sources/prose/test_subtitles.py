"""Subtitles: cues joined to sentences with their times, in both formats, and bad times named by line."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecindex.errors import SourceError
from vecindex.sources.documents import Document

from ...support.extent import examples
from ...support.prose import check, document, found, texts, with_metadata

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>The harbour was quiet</i>

2
00:00:02,600 --> 00:00:04,000
{\\an8}when the boats came. Nobody

3
00:01:04,100 --> 00:01:06,000
had expected them!

4
01:00:00,000 --> 01:00:01,000
Later.
"""
VTT = """WEBVTT - a talk

STYLE
::cue { color: red --> blue }

NOTE not said
at all

intro
00:01.000 --> 00:02.000 align:start
<v Ann>Good morning &amp; welcome.

00:02.000 --> 00:03.000
<v.loud Bob Lee>Thank <00:02.500>you.

00:03.500 --> 00:04.000
<v Bob Lee>It is <c.red>late</c>.
"""


def test_cues_are_joined_to_sentences_with_the_time_at_which_they_begin() -> None:
    assert with_metadata(document("a.srt", SRT.replace("00:01:0", "00:00:0"))) == [
        ("The harbour was quiet when the boats came.", {"time": 1.0}),
        ("Nobody had expected them!", {"time": 2.6}),
        ("Later.", {"time": 3600.0}),
    ]


def test_a_pause_ends_a_sentence() -> None:
    assert texts(document("a.srt", SRT))[1:3] == ["Nobody", "had expected them!"]


def test_webvtt_has_speakers_and_parts_that_nobody_says() -> None:
    assert with_metadata(document("a.vtt", VTT)) == [
        ("Good morning & welcome.", {"time": 1.0, "speaker": "Ann"}),
        ("Thank you.", {"time": 2.0, "speaker": "Bob Lee"}),
        ("It is late.", {"time": 3.5, "speaker": "Bob Lee"}),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    for name, text in (("a.srt", SRT), ("a.vtt", VTT)):
        assert texts(document(name, text.replace("\n", end))) == texts(document(name, text))


def test_files_without_all_empty_lines_are_read() -> None:
    first = "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:02,000 --> 00:00:03,000\ntwo\n\nthree."
    text = f"{first}\n\n3\n00:00:04,0 --> 00:00:05,0\nFour."
    assert texts(document("a.srt", text)) == ["One two three.", "Four."]


def test_lines_that_roll_up_are_said_once() -> None:
    text = "WEBVTT\n\n" + "".join(
        f"00:{n:02}.000 --> 00:{n + 1:02}.000\nline {n}\nline {n + 1}\n\n" for n in range(1, 4)
    )
    assert texts(document("a.vtt", text)) == ["line 1 line 2 line 3 line 4"]


def test_captions_without_punctuation_are_cut_between_cues() -> None:
    text = "".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\nsome words of cue {n:02}\n\n" for n in range(60))
    read = document("a.srt", text)
    assert all(len(text) <= 300 and text.startswith("some words") for text in texts(read))
    assert " ".join(texts(read)) == " ".join(f"some words of cue {n:02}" for n in range(60))
    assert [metadata["time"] for _, metadata in with_metadata(read)][:2] == [0.0, 14.0]


def test_times_that_cannot_be_read_are_errors_with_their_line() -> None:
    error, read = found("a.srt", SRT.replace("00:00:02,600", "0:2:,6"))
    assert isinstance(error, SourceError)
    assert isinstance(read, Document)
    assert (error.line, error.reason) == (6, "the times of the subtitle cannot be read")
    assert texts(read)[-1] == "Later."


def test_a_file_without_subtitles_is_refused_and_an_empty_one_gives_nothing() -> None:
    with pytest.raises(SourceError, match=r"a\.srt: holds no subtitles"):
        found("a.srt", "Only a sentence.")
    assert found("a.srt", "\n") == found("a.vtt", "WEBVTT\n\nNOTE a\n") == found("a.vtt", "WEBVTT") == []


@pytest.mark.parametrize(
    "text", ["WEBVTT\n\n" + "<" * 100_000, "word " * 500_000, "<v " * 100_000, "{\\" * 100_000, "-->\n" * 20_000]
)
def test_time_grows_with_the_length_alone(text: str) -> None:
    started = time.process_time()
    list(found("a.vtt", f"1\n00:00:01,000 --> 00:00:02,000\n{text}"))
    assert time.process_time() - started < 5


MARKS = ("WEBVTT", "\n", "\n\n", "\r", "00:01.000 --> 00:02.000", "00:00:07,0 --> 00:00:09,0\n", "-->", "1", "a", "b. ")


@given(st.lists(st.sampled_from((*MARKS, "<v A>", "<i>", "NOTE", "é. ", "&amp;", "\u3000", " ")), max_size=40))
@examples(1000)
def test_blocks_are_in_order_within_the_text_and_do_not_overlap(marks: list[str]) -> None:
    for name in ("a.srt", "a.vtt"):
        with contextlib.suppress(SourceError):  # there are no subtitles
            for each in found(name, "".join(marks)):
                if isinstance(each, Document):
                    check(each)
