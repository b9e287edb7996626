"""Sentences of English, by the rules that splitters are measured by, and of eight other languages."""

from __future__ import annotations

import pytest

from vecindex import split_sentences
from vecindex.sources.split.scripts import language_of

from .english import RIGHT, WRONG


def split(text: str, language: str | None = None) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


@pytest.mark.parametrize("sentences", RIGHT, ids=lambda sentences: sentences[0][:30])
def test_english_sentences_are_found(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


def test_the_known_errors_are_less_than_a_tenth_of_the_cases() -> None:
    assert [sentences for sentences in WRONG if split(" ".join(sentences)) == sentences] == []
    assert len(RIGHT) >= 48
    assert len(RIGHT) / (len(RIGHT) + len(WRONG)) > 0.9


OTHERS = {
    "de": [
        *("Herr Dr. Weber wohnt in der Gartenstr. 5 in Köln.", "Er kam am 3. Oktober an.", "Wann kommst du?"),
        *("Das kostet z. B. 3,50 Euro.", "„Ich weiß es nicht.“", "Sie lachte.", "Das war im 19. Jahrhundert üblich."),
        "Die Fa. Schmidt liefert u. a. Holz, Stahl usw. nach Bonn.",
    ],
    "fr": [
        *("M. Dupont habite à Paris.", "Il a vu Mme Leroy hier, c.-à-d. lundi.", "Où vas-tu ?"),
        *("« Je pars demain. »", "Elle sourit !", "Le prix est de 3,50 euros."),
    ],
    "es": [
        *("El Sr. García vive en la Av. Central.", "¿Dónde está la Dra. Ruiz?", "¡Qué bien!"),
        *("Vino a las 5 p.m. con su hijo.", "Cuesta 3.50 pesos."),
    ],
    "ru": [
        *("Он родился в 1970 г. в Москве.", "Где ты живёшь?", "А. С. Пушкин писал стихи."),  # noqa: RUF001
        *("Это стоит 5 руб. за штуку.", "Как хорошо!"),  # noqa: RUF001
    ],
    "zh": ["我叫小明。", "你住在哪里？", "他说：“今天下雨。”", "太好了！", "这本书3.50元。"],  # noqa: RUF001
    "ja": ["私の名前は花子です。", "東京に住んでいますか？", "「はい、そうです。」と彼は言った。", "すごい！"],  # noqa: RUF001
    "ar": ["اسمي أحمد.", "أين تسكن؟", "وصل د. علي أمس.", "هذا جميل!"],
    "hi": ["मेरा नाम राम है।", "तुम कहाँ रहते हो?", "डॉ. शर्मा आज आए।", "बहुत अच्छा!"],
}
WITHOUT_SPACES = ("zh", "ja")


@pytest.mark.parametrize("language", OTHERS)
def test_sentences_of_other_languages_are_found(language: str) -> None:
    sentences = OTHERS[language]
    assert split(("" if language in WITHOUT_SPACES else " ").join(sentences), language) == sentences


@pytest.mark.parametrize("language", OTHERS)
def test_the_script_or_small_words_tell_the_language(language: str) -> None:
    sentences = OTHERS[language]
    assert split(("" if language in WITHOUT_SPACES else " ").join(sentences)) == sentences


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("La La Land is a film that he saw in Los Angeles.", "en"),
        ("De facto, la vie en rose is a song that the man sang.", "en"),
        ("Rio de Janeiro y Buenos Aires.", "en"),
        ("Il Sig. Rossi non si muove.", "it"),
        ("O Sr. Silva n\u00e3o mora na Av. Brasil.", "pt"),
        ("Dr. Jansen woont niet in het huis van mijn tante.", "nl"),
        ("\u5c0f\u660e\u8bf4 hello to the man and left.", "en"),
        ("\u041e\u043d \u043f\u0440\u0438\u0448\u0451\u043b. (he came)", "ru"),
        (
            "\u4eca\u5929\u7684\u5929\u6c14\u771f\u7684\u5f88\u597d\uff0c\u6211\u53bb\u4e86\u516c\u56ed\u91cc\u3002",
            "zh",
        ),
        ("\u6771\u4eac\u90fd\u3078\u884c\u304f", "ja"),
        ("12 + 12 = 24", "en"),
    ],
)
def test_the_language_of_a_text_is_guessed(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_language_tag_may_name_a_region() -> None:
    for tag in ("de", "DE", "de-AT", "de_CH", "de-Latn-AT"):
        assert split("Am 3. Oktober kam die Fa. Schmidt an. Wir kamen auch.", tag) == [
            "Am 3. Oktober kam die Fa. Schmidt an.",
            "Wir kamen auch.",
        ]


def test_a_language_without_rules_is_split_at_its_marks() -> None:
    assert split("Aa bb. Cc dd! Ee?", "qaa") == ["Aa bb.", "Cc dd!", "Ee?"]
