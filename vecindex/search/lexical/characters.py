"""Says which characters make words, which are ignored, and which scripts are written without spaces: `pattern`."""

from __future__ import annotations

import re
from functools import cache

MARKS = (
    "0300-036F 0483-0489 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 0610-061A 064B-065F 0670 06D6-06DC 06DF-06E8 "
    "06EA-06ED 0711-07F3 07FD 0816-082D 0859-085B 0898-08E1 08E3-0963 0981-09E3 09FE-0A75 0A81-0AE3 0AFA-0B63 "
    "0B82-0BD7 0C00-0C63 0C81-0C83 0CBC-0D4D 0D57-0D63 0D81-0DF3 0E31 0E34-0E3A 0E47-0E4E 0EB1 0EB4-0EBC 0EC8-0ECD "
    "0F18-0F19 0F35 0F37 0F39 0F3E-0F84 0F86-0FBC 0FC6 102B-103E 1056-1059 105E-1060 1062-1064 1067-106D 1071-1074 "
    "1082-108D 108F 109A-109D 135D-135F 1712-1734 1752-1773 17B4-17D3 17DD 180B-180D 180F-193B 1A17-1A1B 1A55-1A7F "
    "1AB0-1B44 1B6B-1B73 1B80-1BF3 1C24-1C37 1CD0-1CD2 1CD4-1DFF 20D0-20F0 2CEF-2CF1 2D7F-2DFF 302A-302F 3099-309A "
    "A66F-A672 A674-A67D A69E-A6F1 A802-A827 A82C A880-A8C5 A8E0-A8F1 A8FF-A92D A947-A953 A980-A9C0 A9E5 AA29-AA4D "
    "AA7B-AA7D AAB0-AAC1 AAEB-AAEF AAF5-AAF6 ABE3-ABEA ABEC-ABED FB1E FE20-FE2F 101FD 102E0-1037A 10A01-10A3F "
    "10AE5-10AE6 10D24-10D27 10EAB-10EAC 10F46-10F50 10F82-10F85 11000-11046 11070-110BA 110C2 11100-11134 "
    "11145-11173 11180-111C0 111C9-111CC 111CE-111CF 1122C-11237 1123E 112DF-11446 1145E-114C3 115AF-115C0 "
    "115DC-11640 116AB-116B7 1171D-1172B 1182C-1183A 11930-11943 119D1-119E0 119E4-11A3E 11A47-11A99 11C2F-11C3F "
    "11C92-11D97 11EF3-11EF6 16AF0-16AF4 16B30-16B36 16F4F-16F92 16FE4-16FF1 1BC9D-1BC9E 1CF00-1CF46 1D165-1D169 "
    "1D16D-1D172 1D17B-1D182 1D185-1D18B 1D1AA-1D1AD 1D242-1D244 1DA00-1DA36 1DA3B-1DA6C 1DA75 1DA84 1DA9B-1DAAF "
    "1E000-1E02A 1E130-1E136 1E2AE-1E2EF 1E8D0-1E94A"
)
r"""Marks that are part of a word, which Python's ``\w`` leaves out, such as the vowel signs of Hindi.

The ranges also hold the letters between them, though not in `SPACELESS` scripts. They are written out because asking
`unicodedata` takes a tenth of a second.
"""
IGNORED = (
    # Signs without a shape of their own: soft hyphen, joiners, directions, variation selectors, byte order mark, tags.
    "00AD 034F 061C 17B4-17B5 180B-180F 200C-200F 202A-202E 2060-206F FE00-FE0F FEFF E0000-E0FFF "
    # Arabic vowel signs and the stretching sign, Hebrew points: most texts are written without them.
    "0640 064B-0652 0657-0658 0670 06D6-06DC 06DF-06E4 06E7-06E8 06EA-06ED 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7"
)
"""Characters that a word is the same with and without."""
SPACELESS = (
    "3005-3007 3021-3029 3041-3096 3099-309A 309D-309F 30A1-30FA 30FC-30FF 3105-312F 31A0-31BF 31F0-31FF "
    "3400-4DBF 4E00-9FFF F900-FAFF 1B000-1B16F 20000-3FFFF "  # Chinese, Japanese
    "1100-11FF A960-A97C AC00-D7A3 D7B0-D7FB "  # Korean, which has spaces, but attaches particles to words
    "0E01-0E3A 0E40-0E4E 0E81-0ECD 0EDC-0EDF 1000-103F 1050-108F 109A-109D AA60-AA7F A9E0-A9EF 1780-17D3 17DC-17DD"
)
"""Letters and marks of scripts without spaces between words: Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer."""
PICTURES = "2600-27BF 2B00-2BFF 1F000-1FAFF"
"""Emoji and other pictures, each a word of its own."""


def characters(*ranges: str) -> str:
    """The inside of a character class of a regular expression, from ranges in hexadecimal."""
    ends = [each.partition("-") for each in " ".join(ranges).split()]
    return "".join(rf"\U{int(first, 16):08x}-\U{int(last or first, 16):08x}" for first, _, last in ends)


@cache
def pattern(template: str) -> re.Pattern[str]:
    """A compiled expression, in which ``{MARKS}``, ``{IGNORED}``, ``{SPACELESS}`` and ``{PICTURES}`` are filled in."""
    for name, ranges in (("MARKS", MARKS), ("IGNORED", IGNORED), ("SPACELESS", SPACELESS), ("PICTURES", PICTURES)):
        template = template.replace(f"{{{name}}}", characters(ranges))
    return re.compile(template)
