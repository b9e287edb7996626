"""Hints for filters written as in other languages: what to write here instead."""

from __future__ import annotations

import re

from .tree import quoted, shortened

OPERATORS = "the operators are = != < <= > >= in exists contains like, not in, not exists, is null"

_LIST = "use contains for lists"
_PREFIX, _SUFFIX = "write like 'abc%'", "write like '%abc'"
_OPERATORS = {
    "between": "write x >= 1 and x <= 5",
    "ilike": "like is case-sensitive, and there is no other",
    **dict.fromkeys(("startswith", "starts", "matches", "~"), _PREFIX),
    **dict.fromkeys(("endswith", "ends"), _SUFFIX),
    **dict.fromkeys(("has", "includes"), _LIST),
    "eq": "write =",
    "ne": "write !=",
    "gt": "write >",
    "gte": "write >=",
    "ge": "write >=",
    "lt": "write <",
    "lte": "write <=",
    "le": "write <=",
}
_SYMBOLS = {"=>": ">=", "=<": "<=", "===": "=", "==>": ">=", "!==": "!="}
_NULLS = frozenset({"none", "nil", "undefined"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.|\.[0-9]+)|\+[1-9][0-9]*(?:\.[0-9]+)?")
_TYPOGRAPHIC = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u00b4`"


def operator_hint(word: str) -> str:
    """What to write for a word in the place of an operator; empty if unknown."""
    known = _OPERATORS.get(word.lower().removeprefix("$"), "")
    return known or word_hint(word).removeprefix("; ")


def symbols_hint(first: str, second: str) -> str:
    """What to write for two symbols in a row, such as ``=>``; empty if unknown."""
    meant = _SYMBOLS.get(first + second)
    return f"; write {meant}" if meant else ""


def value_hint(word: str) -> str:
    """What to write for a word in the place of a value."""
    if any(mark in word for mark in ("&&", "||")) or any(mark in _TYPOGRAPHIC for mark in word):
        return word_hint(word).removeprefix("; ")
    if word.lower() in _NULLS:
        return "use is null for missing values"
    if word[:1] in ("[", "{"):
        return "write in ('a', 'b') for one of several values, contains 'a' for an item of a list"
    if _NUMBER.fullmatch(word):
        return f"write numbers as in JSON: {float(word)!r}"
    return f"strings need single quotes: {quoted(shortened(word.strip(chr(34)), 40))}"


def word_hint(word: str) -> str:
    """What to write for a word that is invalid anywhere in an expression; empty if unknown."""
    if "&&" in word:
        return "; write and instead of &&"
    if "||" in word:
        return "; write or instead of ||"
    if any(mark in _TYPOGRAPHIC for mark in word):
        return "; write strings in plain quotes, 'like this'"
    if word.startswith("{"):
        return "; dicts work in Python only, write an expression such as lang = 'en' and year >= 2020"
    if word.endswith(":"):
        return "; write = instead of :"
    return ""
