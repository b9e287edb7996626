"""Guesses the language of a text, so that its sentences are found by the rules of that language: `language_of`.

The script of most letters tells it, and for Latin letters the small words that are frequent in a few languages. A wrong
guess costs little: the languages differ in their abbreviations.
"""

from __future__ import annotations

import re
from collections import Counter

DEFAULT = "en"
_SAMPLE = 2000
"""Characters that are looked at in each of three places of a long text."""

_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("en", "A-Za-z\u00c0-\u024f\u1e00-\u1eff"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"),
    ("ja", "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"),
    ("ko", "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"),
    ("ru", "\u0400-\u052f"),
    ("el", "\u0370-\u03ff\u1f00-\u1fff"),
    ("hy", "\u0531-\u058a"),
    ("ar", "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc"),
    ("hi", "\u0900-\u097f"),
    ("bn", "\u0980-\u09ff"),
    ("pa", "\u0a00-\u0a7f"),
    ("gu", "\u0a80-\u0aff"),
    ("ta", "\u0b80-\u0bff"),
    ("te", "\u0c00-\u0c7f"),
    ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"),
    ("my", "\u1000-\u109f"),
    ("am", "\u1200-\u139f"),
)
"""The language whose rules a script gets, and the script's letters. Latin letters are looked at further."""
_LETTERS = tuple((language, re.compile(f"[{letters}]+")) for language, letters in _SCRIPTS)
_KANA_IN_JAPANESE = 0.05
"""The share of kana among kana and Han letters from which a text is Japanese; a Chinese text may quote a name."""

_SMALL_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to is was that with for his her it are be this from have not at you he she",
        "de": "der die das und ist nicht ein eine einen mit von zu den dem auf sich auch am im war er sie wir ich",
        "fr": "le la les des et est une un dans pour que qui pas du au aux avec il elle nous sur ce sont",
        "es": "el la los las de que y en un una por con del es para no se su al como est\u00e1 lo",
        "it": "il di che la \u00e8 un una per non del della dei gli con sono si al nel i",
        "pt": "o os as de que e n\u00e3o um uma em para com do da dos no na se \u00e9 ao",
        "nl": "de het een van en is niet met op dat te zijn voor er aan die ik hij",
    }.items()
}
_WORD = re.compile(r"[^\W\d_]+")
_FEWEST = 3
"""How many small words of another language than English a text must have; and twice as many as English ones."""


def language_of(text: str) -> str:
    """The language whose rules fit most letters or small words of ``text``; "en" where there is none."""
    sample = text
    if len(text) > 3 * _SAMPLE:
        sample = "\n".join(text[at : at + _SAMPLE] for at in (0, len(text) // 2, len(text) - _SAMPLE))
    language = DEFAULT if sample.isascii() else _by_script(sample)
    return _by_small_words(sample) if language == DEFAULT else language


def _by_script(sample: str) -> str:
    counts = {language: sum(map(len, letters.findall(sample))) for language, letters in _LETTERS}
    if counts["ja"] > _KANA_IN_JAPANESE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
    return max(counts, key=lambda language: counts[language])  # the first of equals, which is English


def _by_small_words(sample: str) -> str:
    words = Counter(_WORD.findall(sample.lower()))
    counts = {language: sum(words[word] for word in small) for language, small in _SMALL_WORDS.items()}
    likely = max(counts, key=lambda language: counts[language])
    return likely if counts[likely] >= max(_FEWEST, 2 * counts[DEFAULT]) else DEFAULT
