"""Parses filters written as expressions.

The grammar::

    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | "(" or ")" | "true" | "false" | field test
    test       = symbol value | "is" [ "not" ] "null" | [ "not" ] plain
    plain      = "exists" | "in" list | "contains" value | "like" string
    list       = "(" [ value { "," value } ] ")"
    symbol     = "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    value      = 'string' ('' is one quote) | number as in JSON | "true" | "false" | "null"
    field      = name { "." name }
    name       = letters, digits, _ and - | "anything in double quotes" ("" is one double quote)

Keywords are case-insensitive.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import NamedTuple, NoReturn

from ..errors import InvalidFilter
from ..values.nested import MAX_NESTING
from .hints import OPERATORS, operator_hint, symbols_hint, value_hint, word_hint
from .tree import (
    KEYWORDS,
    Contains,
    Exists,
    Filter,
    IsNull,
    Kind,
    Op,
    Path,
    Refused,
    Value,
    all_of,
    any_of,
    compare,
    like,
    negate,
    one_of,
    parse_path,
    shortened,
    value_of,
)


def parse_expression(expression: str) -> Filter:
    """Parses ``expression``; raises InvalidFilter."""
    return _ExpressionParser(expression).parse()


class _Lexeme(Enum):
    """The kinds of token. Whether a word is a keyword, a field or a number depends on its place."""

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
        """Takes the next token if it is this keyword or symbol, and returns whether it is."""
        # Words such as "like" are not keywords: a field may have that name.
        here = text in (self.token.keyword, self.token.text.lower())
        if here:
            self.take()
        return here

    def parse(self) -> Filter:
        if self.token.lexeme is _Lexeme.END:
            self.fail("the filter is empty; write true to match every record", 0)
        result = self.parse_or()
        rest = self.token
        if rest.lexeme is not _Lexeme.END:
            self.fail(f"expected 'and', 'or' or the end, found {rest}{word_hint(rest.text)}")
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
                self.fail(f"parentheses are nested more than {MAX_NESTING} levels deep", opening)
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
        before = self.token
        result: Filter
        if self.take_if("exists"):
            result = Exists(path)
        elif self.take_if("in"):
            result = one_of(path, self.parse_values())
        elif self.take_if("contains"):
            result = Contains(path, self.parse_value(before))
        elif self.take_if("like"):
            result = self.parse_like(path, before)
        elif not negated and self.take_if("is"):
            return self.parse_is_null(path)
        elif not negated and self.token.text in _SYMBOLS:
            return self.parse_comparison(path)
        elif negated:
            self.fail(f"expected 'in', 'exists', 'contains' or 'like' after 'not', found {self.token}")
        else:
            hint = operator_hint(self.token.text) or OPERATORS
            self.fail(f"expected an operator after {field}, found {self.token}; {hint}")
        return negate(result) if negated else result

    def parse_is_null(self, path: Path) -> Filter:
        negated = self.take_if("not")
        if not self.take_if("null"):
            self.fail(f"expected 'null' or 'not null' after 'is', found {self.token}; use = for other values")
        return negate(IsNull(path)) if negated else IsNull(path)

    def parse_like(self, path: Path, word: _Token) -> Filter:
        token = self.token
        value = self.parse_value(word)
        if value.kind is not Kind.STRING:
            self.fail(f"expected a string after {word}, found {token}", token.position)
        pattern = token.text[1:-1].replace("''", "'")
        try:
            return like(path, pattern)
        except Refused as refused:
            quotes = pattern[: refused.offset].count("'")  # each is doubled in the expression
            self.fail(refused.reason, token.position + 1 + refused.offset + quotes)

    def parse_field(self) -> Path:
        token = self.token
        if token.keyword is not None:
            self.fail(f'expected a field name, found {token}; a field of that name needs double quotes: "{token.text}"')
        if token.lexeme is not _Lexeme.WORD:
            self.fail(f"expected a field name, found {token}{self.field_hint(token)}")
        self.take()  # errors in the next token, such as a quote that is never closed, are reported first
        try:
            return parse_path(token.text)
        except Refused as refused:
            self.fail(refused.reason + word_hint(token.text), token.position + refused.offset)

    def field_hint(self, token: _Token) -> str:
        """What to write instead of a token that is not a field."""
        if token.lexeme is not _Lexeme.STRING:
            return word_hint(token.text)
        if self.expression[self.end :].lstrip()[:3].lower() in ("in", "in "):
            return f"; to look for a value in a list, write: tags contains {shortened(token.text, 40)}"
        name = shortened(token.text[1:-1], 40)
        return f'; single quotes are for values, double quotes for field names: "{name}"'

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
            hint = "; write a list in parentheses: ('a', 'b')" if self.token.text[:1] in ("[", "{") else ""
            self.fail(f"expected '(' after 'in', found {self.token}{hint}")
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
            self.fail(f"expected a value after {after}, found {token}{symbols_hint(after.text, token.text)}")
        elif token.text.lower() in _CONSTANTS:
            raw = _CONSTANTS[token.text.lower()]
        elif number is not None:
            raw = float(token.text)
            # float() first: it makes an infinity of numbers that are too large, and int() may refuse long texts.
            if math.isfinite(raw) and number["fraction"] is None and number["exponent"] is None:
                raw = int(token.text)
        else:
            self.fail(f"expected a value after {after}, found {token}; {value_hint(token.text)}")
        try:
            value = value_of(raw)
        except Refused as refused:
            self.fail(refused.reason, token.position + refused.offset)
        self.take()
        return value
