"""Splits texts into sentences, by language and with hard inputs, and prints MB/s: python tests/bench/split.py [--peer].

MB are millions of bytes in UTF-8. --peer times pysbd or syntok beside it, where one is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import vecindex
from vecindex.sources.documents import Block, Document
from vecindex.sources.split.method import Split
from vecindex.sources.split.pieces import pieces
from vecindex.values.records import Origin

ROUNDS = 3
PROSE = {
    "en": "The kettle is on. Dr. Ames sees patients at 10 a.m. only, e.g. on Fri. or Sat. Is that early? She said so. ",
    "de": "Herr Dr. Weber wohnt in der Gartenstr. 5 in Köln. Er kam am 3. Oktober an. Wann kommst du? ",
    "fr": "M. Dupont habite à Paris. Il a vu Mme Leroy hier, c.-à-d. lundi. Où vas-tu ? ",
    "es": "El Sr. García vive en la Av. Central. ¿Dónde está la Dra. Ruiz? Vino a las 5 p.m. con su hijo. ",
    "ru": "Он родился в 1970 г. в Москве. Где ты живёшь? А. С. Пушкин писал стихи. ",  # noqa: RUF001
    "zh": "我叫小明，住在北京的一个小区里。你住在哪里？他说：“今天下雨，所以我不去公园了。”",  # noqa: RUF001
    "ja": "私の名前は花子です。東京に住んでいますか？「はい、そうです。」と彼は言った。",  # noqa: RUF001
    "ar": "اسمي أحمد وأسكن في القاهرة. أين تسكن؟ وصل د. علي أمس. ",
    "hi": "मेरा नाम राम है। तुम कहाँ रहते हो? डॉ. शर्मा आज आए। ",
}
HARD = {
    "no end for ten times as long": "word ",
    "one word": "a",
    "short lines": "a\n",
    "blank lines": "\n",
    "CRLF and spaces": "\r\n  ",
    "spaces": " ",
    "zero-width": "\u200b",
    "full stops": ". ",
    "no spaces": "Yes.No.",
    "abbreviations": "Dr. ",
    "a list": "1. a\n",
    "list marks": "1. ",
    "open quotation marks": "\u201cHi. ",
    "open quotation marks, Chinese": "\u300c我来了。",
    "open parentheses": "(",
    "sentences in parentheses": "(a.) ",
    "sentences of 4 letters, Chinese": "我来了。",
}


def timed(name: str, text: str, split: Callable[[str], int]) -> None:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = split(text)
        taken.append(time.perf_counter() - began)
    seconds = median(taken)
    megabytes = len(text.encode()) / 1e6
    print(f"{name:<34}{megabytes:>7.2f} MB {seconds:>8.2f} s {megabytes / seconds:>9.2f} MB/s {found:>10,} pieces")


def sentences(text: str, language: str | None = None) -> int:
    return len(vecindex.split_sentences(text, language))


def document_pieces(text: str, written: str, block: int) -> int:
    """The pieces of a document with blocks of as many characters."""
    blocks = [Block(at, at + block) for at in range(0, len(text), block)]
    document = Document(text, Origin("text"), blocks=blocks, has_lines=True)
    return sum(1 for _ in pieces(document, Split.parse(written)))


def repeated(unit: str, characters: int) -> str:
    return unit * (characters // len(unit))


def peer() -> tuple[str, Callable[[str], int]] | None:
    if importlib.util.find_spec("pysbd"):
        segmenter = importlib.import_module("pysbd").Segmenter(language="en", clean=False, char_span=True)
        return "pysbd", lambda text: len(segmenter.segment(text))
    if importlib.util.find_spec("syntok"):
        syntok = importlib.import_module("syntok.segmenter")
        return "syntok", lambda text: sum(len(list(paragraph)) for paragraph in syntok.analyze(text))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=1_000_000, help="length of the texts in each language")
    parser.add_argument("--hard", type=int, default=1_000_000, help="length of the hard inputs")
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()

    vecindex.split_sentences("The library loads. It is not timed.")
    for language, unit in PROSE.items():
        split = partial(sentences, language=language)
        timed(f"{language}, one line", repeated(unit, options.characters), split)
        timed(f"{language}, paragraphs", repeated(unit * 5 + "\n\n", options.characters), split)
    for name, unit in HARD.items():
        timed(name, repeated(unit, 10 * options.hard if "ten times" in name else options.hard), sentences)

    paragraph = PROSE["en"] * 5 + "\n\n"
    for written in ("sentence", "paragraph", "line", "none"):
        split = partial(document_pieces, written=written, block=len(paragraph))
        timed(f"pieces, {written}", repeated(paragraph, options.characters), split)
    if options.peer and (other := peer()):
        timed(f"{other[0]}, en", repeated(paragraph, options.characters // 20), other[1])
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
