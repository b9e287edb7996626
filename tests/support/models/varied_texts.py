"""Texts of every script and length, and the cosines of their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

SEEDS = ["My name is Aun", "Hello I'm a single sentence", "And another sentence", "And the very very last one"]
SCRIPTS = [
    *("The rain in Spain", "Сегодня идёт дождь", "Σήμερα βρέχει πολύ", "今日は雨です", "今天下雨了", "오늘 비가 와요"),
    *("اليوم تمطر", "היום יורד גשם", "आज बारिश हो रही है", "วันนี้ฝนตก", "დღეს წვიმს", "இன்று மழை"),
]

ODD = [
    *(
        "",
        " ",
        "\n\t  \r\n",
        "🚆",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "a\x00b",
        "\x07\x1b[31mred",
        "\u200b\ufeff",
        "ﬁ ½ Ⅷ",
        "e\u0301 é",
        "ẞ ß İ \u0131",
    ),
    *(
        "!?.,;:",
        "[CLS] [SEP] [PAD] [MASK]",
        "##ing ##s",
        "a" * 500,
        "https://example.org/?q=1&r=2#x",
        "3.14159e-10",
        "\U000e0041",
    ),
]

WORDS = "the quick brown fox jumps over a lazy dog while it rains in the old town by the sea"


def varied_texts() -> list[str]:
    """200 texts: scripts, oddities, and lengths from one word to ten thousand, most often around the 256 tokens."""
    words = WORDS.split()
    lengths = [*range(1, 140), *range(236, 262, 1), 300, 512, 2000, 10_000]
    sentences = [" ".join(words[(i * 7 + j * j) % len(words)] for j in range(n)) for i, n in enumerate(lengths)]
    return [*[*SEEDS, *SCRIPTS, *ODD, *sentences][:199], sentences[-1]]


def cosines(a: Any, b: Any) -> Any:
    return (np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)).sum(axis=1)
