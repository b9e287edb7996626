"""Guesses the language of a text by its script, so that its sentences are found by the rules of that language."""

from __future__ import annotations

import re

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
"""The language whose rules a script gets, and the script's letters. Latin letters alone do not tell the language."""
_LETTERS = tuple((language, re.compile(f"[{letters}]+")) for language, letters in _SCRIPTS)
_KANA_IN_JAPANESE = 0.05
"""The share of kana among kana and Han letters from which a text is Japanese; a Chinese text may quote a name."""


def language_of(text: str) -> str:
    """The language whose rules fit the script of most letters of ``text``; "en" where there is none."""
    if text.isascii():
        return DEFAULT
    middle = len(text) // 2
    samples = {text[at : at + _SAMPLE] for at in (0, middle, max(0, len(text) - _SAMPLE))}
    sample = "\n".join(samples)
    counts = {language: sum(map(len, letters.findall(sample))) for language, letters in _LETTERS}
    if counts["ja"] > _KANA_IN_JAPANESE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
    return max(counts, key=lambda language: counts[language])  # the first of equals, which is English
