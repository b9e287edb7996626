"""What did somebody mean who wrote this in a filter: hints for what other languages write otherwise."""

from __future__ import annotations

import re

from .tree import quoted, shortened

OPERATORS = "the operators are = != < <= > >= in exists contains like, not in, not exists, is null"

_OPERATORS = {
    "between": "write it as x >= 1 and x <= 5",
    "ilike": "like tells A from a; there is no other",
    "startswith": "write it as like 'abc%'",
    "starts": "write it as like 'abc%'",
    "endswith": "write it as like '%abc'",
    "ends": "write it as like '%abc'",
    "has": "a list is asked with contains",
    "includes": "a list is asked with contains",
    "matches": "write it as like 'abc%'",
    "~": "write it as like 'abc%'",
    "eq": "write =",
    "ne": "write !=",
    "gt": "write >",
    "gte": "write >=",
    "ge": "write >=",
    "lt": "write <",
    "lte": "write <=",
    "le": "write <=",
}
_DOUBLED = {"=>": ">=", "=<": "<=", "===": "=", "==>": ">=", "!==": "!="}
_NULLS = frozenset({"none", "nil", "undefined"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.|\.[0-9]+)|\+[1-9][0-9]*(?:\.[0-9]+)?")
_TYPOGRAPHIC = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u00b4`"


def operator_hint(word: str) -> str:
    """What to write for a word that stands where an operator should; empty where that is not known."""
    known = _OPERATORS.get(word.lower().removeprefix("$"), "")
    return known or slip(word).removeprefix("; ")


def doubled(first: str, second: str) -> str:
    """What to write for two symbols in a row, as ``=>``."""
    meant = _DOUBLED.get(first + second)
    return f"; write {meant}" if meant else ""


def value_hint(word: str) -> str:
    """What to write for a word that stands where a value should."""
    if any(mark in word for mark in ("&&", "||")) or any(mark in _TYPOGRAPHIC for mark in word):
        return slip(word).removeprefix("; ")
    if word.lower() in _NULLS:
        return "what is not there is asked for with is null"
    if word[:1] == "[" or word[:1] == "{":
        return "one value of several is asked for with in ('a', 'b'), an item of a list with contains 'a'"
    if _NUMBER.fullmatch(word):
        return f"numbers are written as in JSON: {float(word)!r}"
    return f"strings need single quotes: {quoted(shortened(word.strip(chr(34)), 40))}"


def slip(word: str) -> str:
    """What to write for a word that no expression holds; empty where that is not known."""
    if "&&" in word:
        return "; write and instead of &&"
    if "||" in word:
        return "; write or instead of ||"
    if any(mark in _TYPOGRAPHIC for mark in word):
        return "; strings stand in plain quotes, 'like this'"
    if word.startswith("{"):
        return "; a dict is for Python, an expression is written like lang = 'en' and year >= 2020"
    if word.endswith(":"):
        return "; write = instead of :"
    return ""
