"""How is a filter written: the two parsers, for dicts and for expressions; `filters` says what the result means.

A dict: ``{"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "$or": [{"author.name": "Aun"}, {"tag": {"$in": [1]}}]}``.
Entries, and the operators of one field, are joined by and. ``$and`` and ``$or`` take a list of dicts, ``$not`` a dict,
before a field or after it.

An expression::

    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | "(" or ")" | "true" | "false" | field test
    test       = symbol value | [ "not" ] "in" "(" [ value { "," value } ] ")" | [ "not" ] "exists"
    symbol     = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    value      = 'string' ('' is one quote) | number as in JSON | "true" | "false" | "null"
    field      = name { "." name }
    name       = letters, digits, _ and - | "anything in double quotes" ("" is one double quote)

Keywords are case-insensitive. The keys of a dict are fields, written in the same way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from .errors import InvalidFilter
from .filters import (
    KEYWORDS,
    Exists,
    Filter,
    Op,
    Path,
    Refused,
    Value,
    all_of,
    any_of,
    compare,
    negate,
    one_of,
    parse_path,
    shortened,
    value_of,
)

MAX_NESTING = 50
"""Parentheses in parentheses, or dicts in dicts; more is refused before Python's own recursion limit is near."""


def parse(where: Mapping[str, Any] | str) -> Filter:
    """The filter that ``where`` writes: an expression or a dict. Raises InvalidFilter for anything else."""
    if isinstance(where, str):
        return _ExpressionParser(where).parse()
    return _DictParser(where).parse()


# --- expressions -----------------------------------------------------------------------------------------------------


class _Lexeme(Enum):
    """The kinds of token. What a word means (a keyword, a field, a number) depends on where it stands."""

    WORD = r"""(?:"[^"]*(?:""[^"]*)*"(?!")|[^\s(),=<>!'"]+)+"""
    STRING = r"'[^']*(?:''[^']*)*'(?!')"
    SYMBOL = r"[=!<>]=|<>|[=<>(),]"
    END = r"\Z"


class _Token(NamedTuple):
    lexeme: _Lexeme
    text: str
    position: int

    @property
    def keyword(self) -> str | None:
        word = self.text.lower()
        return word if self.lexeme is _Lexeme.WORD and word in KEYWORDS else None

    def __str__(self) -> str:
        return "the end" if self.lexeme is _Lexeme.END else f"'{shortened(self.text, 40)}'"


_TOKEN = re.compile(r"\s*(?:" + "|".join(f"(?P<{lexeme.name}>{lexeme.value})" for lexeme in _Lexeme) + ")")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?")
_NO_TOKEN = {
    "'": "the string has no closing single quote",
    '"': "the field name has no closing double quote",
    "!": "expected '!=' or 'not', found '!'",
}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_SYMBOLS: dict[str, tuple[Op, bool]] = {
    "=": (Op.EQ, False),
    "==": (Op.EQ, False),
    "!=": (Op.EQ, True),
    "<>": (Op.EQ, True),
    "<": (Op.LT, False),
    "<=": (Op.LE, False),
    ">": (Op.GT, False),
    ">=": (Op.GE, False),
}


class _ExpressionParser:
    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.nesting = 0
        self.end = 0
        self.token = self.next_token()

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        raise InvalidFilter(reason, self.expression, self.token.position if position is None else position)

    def next_token(self) -> _Token:
        found = _TOKEN.match(self.expression, self.end)
        if found is None or found.lastgroup is None:
            space = _SPACE.match(self.expression, self.end)
            position = self.end if space is None else space.end()
            self.fail(_NO_TOKEN[self.expression[position]], position)
        self.end = found.end()
        return _Token(_Lexeme[found.lastgroup], found[found.lastgroup], found.start(found.lastgroup))

    def take(self) -> _Token:
        taken, self.token = self.token, self.next_token()
        return taken

    def take_if(self, text: str) -> bool:
        """Whether the next token is this keyword or symbol; it is taken if so."""
        here = text in (self.token.keyword, self.token.text)
        if here:
            self.take()
        return here

    def parse(self) -> Filter:
        if self.token.lexeme is _Lexeme.END:
            self.fail("the filter is empty; leave it out to match every record", 0)
        result = self.parse_or()
        rest = self.token
        if rest.lexeme is not _Lexeme.END:
            self.fail(f"expected 'and', 'or' or the end, found {rest}")
        return result

    def parse_or(self) -> Filter:
        operands = [self.parse_and()]
        while self.take_if("or"):
            operands.append(self.parse_and())
        return any_of(operands)

    def parse_and(self) -> Filter:
        operands = [self.parse_not()]
        while self.take_if("and"):
            operands.append(self.parse_not())
        return all_of(operands)

    def parse_not(self) -> Filter:
        negated = False
        while self.take_if("not"):
            negated = not negated
        operand = self.parse_condition()
        return negate(operand) if negated else operand

    def parse_condition(self) -> Filter:
        opening = self.token.position
        if self.take_if("("):
            self.nesting += 1
            if self.nesting > MAX_NESTING:
                self.fail(f"parentheses are nested more than {MAX_NESTING} deep", opening)
            inside = self.parse_or()
            if not self.take_if(")"):
                self.fail(f"expected 'and', 'or' or a ')' for the '(' at position {opening}, found {self.token}")
            self.nesting -= 1
            return inside
        if self.take_if("true"):
            return all_of([])
        if self.take_if("false"):
            return any_of([])
        return self.parse_test()

    def parse_test(self) -> Filter:
        field, path = self.token, self.parse_field()
        negated = self.take_if("not")
        result: Filter
        if self.take_if("exists"):
            result = Exists(path)
        elif self.take_if("in"):
            result = one_of(path, self.parse_values())
        elif not negated and self.token.text in _SYMBOLS:
            return self.parse_comparison(path)
        elif negated:
            self.fail(f"expected 'in' or 'exists' after 'not', found {self.token}")
        else:
            operators = "the operators are = != < <= > >= in exists, not in, not exists"
            self.fail(f"expected an operator after {field}, found {self.token}; {operators}")
        return negate(result) if negated else result

    def parse_field(self) -> Path:
        token = self.token
        if token.keyword is not None:
            self.fail(f'expected a field name, found {token}; a field of that name needs double quotes: "{token.text}"')
        if token.lexeme is not _Lexeme.WORD:
            self.fail(f"expected a field name, found {token}")
        self.take()  # before its own faults come those of what follows it, such as a quote that is never closed
        try:
            return parse_path(token.text)
        except Refused as refused:
            self.fail(refused.reason, token.position + refused.offset)

    def parse_comparison(self, path: Path) -> Filter:
        symbol = self.take()
        start = self.token.position
        value = self.parse_value(symbol)
        try:
            return compare(path, *_SYMBOLS[symbol.text], value)
        except Refused as refused:
            self.fail(refused.reason, start)

    def parse_values(self) -> set[Value]:
        values: set[Value] = set()
        before = self.token
        if not self.take_if("("):
            self.fail(f"expected '(' after 'in', found {self.token}")
        if self.take_if(")"):
            return values
        while True:
            values.add(self.parse_value(before))
            before = self.token
            if self.take_if(")"):
                return values
            if not self.take_if(","):
                self.fail(f"expected ',' or ')' after a value, found {self.token}")

    def parse_value(self, after: _Token) -> Value:
        token = self.token
        number = _NUMBER.fullmatch(token.text)
        raw: str | float | bool | None
        if token.lexeme is _Lexeme.STRING:
            raw = token.text[1:-1].replace("''", "'")
        elif token.lexeme is not _Lexeme.WORD:
            self.fail(f"expected a value after {after}, found {token}")
        elif token.text.lower() in _CONSTANTS:
            raw = _CONSTANTS[token.text.lower()]
        elif number is not None:
            raw = float(token.text)
            # float() first: it turns what is too large into an infinity, and int() may refuse long texts.
            if math.isfinite(raw) and number["fraction"] is None and number["exponent"] is None:
                raw = int(token.text)
        else:
            as_string = shortened(token.text.strip('"'), 40)
            self.fail(f"expected a value after {after}, found {token}; strings need single quotes: '{as_string}'")
        try:
            value = value_of(raw)
        except Refused as refused:
            self.fail(refused.reason, token.position + refused.offset)
        self.take()
        return value


# --- dicts -----------------------------------------------------------------------------------------------------------

_COMPARISONS: dict[str, tuple[Op, bool]] = {
    "$eq": (Op.EQ, False),
    "$ne": (Op.EQ, True),
    "$gt": (Op.GT, False),
    "$gte": (Op.GE, False),
    "$lt": (Op.LT, False),
    "$lte": (Op.LE, False),
}
_JOINS: dict[str, Callable[[list[Filter]], Filter]] = {"$and": all_of, "$or": any_of}
_FIELD_OPERATORS = (*_COMPARISONS, "$in", "$nin", "$exists", "$not")
_TOP_OPERATORS = (*_JOINS, "$not")


class _DictParser:
    """``trail`` holds the keys and places from the top down to what is being read: where it is when that is refused."""

    def __init__(self, where: object) -> None:
        self.where = where
        self.trail: list[str | int] = []

    def parse(self) -> Filter:
        if not isinstance(self.where, Mapping):
            found = type(self.where).__name__
            raise InvalidFilter(f"a filter is an expression or a dict, not a {found}", *_located(self.where, []))
        try:
            return self.parse_entries(self.where)
        except Refused as refused:
            raise InvalidFilter(refused.reason, *_located(self.where, self.trail)) from None

    def parse_entries(self, entries: Mapping[Any, Any]) -> Filter:
        return all_of(self.each(entries, self.parse_entry))

    def each(self, entries: Mapping[Any, Any], parse_one: Callable[[str, Any], Filter]) -> list[Filter]:
        if len(self.trail) > MAX_NESTING:
            raise Refused("dicts are nested too deeply")
        parsed = []
        for key, operand in entries.items():
            self.trail.append(key)
            if not isinstance(key, str):
                raise Refused(f"keys are strings, not {type(key).__name__}")
            parsed.append(parse_one(key, operand))
            self.trail.pop()
        return parsed

    def parse_entry(self, key: str, operand: Any) -> Filter:
        if not key.startswith("$"):
            return self.parse_field(parse_path(key), operand)
        if key in _JOINS:
            return _JOINS[key](self.parse_list(key, operand))
        if key == "$not":
            if not isinstance(operand, Mapping):
                raise Refused(f"'$not' needs a dict, not a {type(operand).__name__}")
            return negate(self.parse_entries(operand))
        if key in _FIELD_OPERATORS:
            raise Refused(f"'{key}' needs a field before it, as in {{'year': {{'{key}': ...}}}}")
        raise _unknown(key, _TOP_OPERATORS)

    def parse_list(self, key: str, operand: Any) -> list[Filter]:
        if not isinstance(operand, (list, tuple)):
            raise Refused(f"'{key}' needs a list of dicts, not a {type(operand).__name__}")
        parsed = []
        for place, entries in enumerate(operand):
            self.trail.append(place)
            if not isinstance(entries, Mapping):
                raise Refused(f"'{key}' needs a list of dicts; this is a {type(entries).__name__}")
            parsed.append(self.parse_entries(entries))
            self.trail.pop()
        return parsed

    def parse_field(self, path: Path, operand: Any) -> Filter:
        if isinstance(operand, Mapping) and any(isinstance(key, str) and key.startswith("$") for key in operand):
            return all_of(self.each(operand, lambda key, value: self.parse_operator(path, key, value)))
        return compare(path, Op.EQ, False, value_of(operand))

    def parse_operator(self, path: Path, key: str, operand: Any) -> Filter:
        if key in _COMPARISONS:
            return compare(path, *_COMPARISONS[key], value_of(operand))
        if key in ("$in", "$nin"):
            if not isinstance(operand, (list, tuple, set, frozenset)):
                raise Refused(f"'{key}' needs a list of values, not a {type(operand).__name__}")
            among = one_of(path, {value_of(raw) for raw in operand})
            return among if key == "$in" else negate(among)
        if key == "$exists":
            if not isinstance(operand, bool):
                raise Refused("'$exists' needs True or False")
            return Exists(path) if operand else negate(Exists(path))
        if key == "$not":
            if not isinstance(operand, Mapping) or not operand:
                raise Refused("'$not' needs a dict of operators here; the opposite of a plain value is '$ne'")
            return negate(self.parse_field(path, operand))
        raise _unknown(key, _FIELD_OPERATORS)


def _unknown(key: str, operators: tuple[str, ...]) -> Refused:
    return Refused(f"unknown operator '{shortened(key, 40)}'; the operators are {' '.join(operators)}")


def _located(where: object, trail: list[str | int]) -> tuple[str, int]:
    """``where`` as an error shows it, and where in that the last of ``trail`` stands; 0 if it is not shown."""
    try:
        text = repr(where)
        position = _offset(where, trail)
    except Exception:  # too deep for repr, or a stranger's __repr__: the reason must still reach the user
        return f"<{type(where).__name__}>", 0
    shown = shortened(text)
    return shown, position if position < len(shown) else 0


def _offset(where: Any, trail: list[str | int]) -> int:
    """How far into repr(where) the last step stands: every step adds the repr of what lies before it."""
    offset = 0
    for depth, step in enumerate(trail):
        last = depth + 1 == len(trail)
        if isinstance(where, Mapping):
            place = next(place for place, key in enumerate(where) if key is step)
            before = repr(dict(islice(where.items(), place)))
            offset += 0 if last else len(f"{step!r}: ")
        else:
            place = int(step)
            before = repr(list(where[:place]))
        offset += len(before) - len("}") + (len(", ") if place else 0)
        where = where[step]
    return offset
