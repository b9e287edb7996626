"""Reads the objects of an array in a JSON document, a row each; the array is the document itself or is within it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from ...errors import Advice, InvalidInput, SourceError
from ...values.records import Origin, Record
from ..documents import EmptyText
from ..fields import kind, listed
from ..origin import Source
from .columns import Objects, hint
from .json_text import JsonText
from .rejects import without_rejection

Rows = Iterator[Record | EmptyText | SourceError]

_DEEPEST = 8
"""How many names a path may have that is found without being named."""
_NAMES_KEPT = 1_000
_LINES = Advice(
    "If the file has one JSON value a line, pass format='jsonl'.",
    typed="If the file has one JSON value a line, use --format jsonl.",
)
_NAME_ONE = Advice(
    "Name one with json_path=, for example json_path={path!r}.",
    typed="Name one with --json-path, for example --json-path {path}.",
)


def read(source: Source, stream: IO[bytes]) -> Rows:
    """A record for each object of the array.

    The array is the document, or is named by ``json_path``, or is the only array of objects within the objects of the
    document. Raises SourceError if there is no such array, and where the document is not JSON.
    """
    text = JsonText(stream, source.name)
    objects = Objects(source.options)
    path = source.options.json_path
    opening = text.next()
    if not opening:
        return
    if path is not None:
        yield from _Named(source.name, text, objects, path).rows(path.split("."))
    elif opening == "[":
        yield from _rows(source.name, text, objects)
    elif opening == "{":
        yield from _Only(source.name, text, objects).rows()
    else:
        line = text.line
        text.skip()
        _check_end(text)
        raise SourceError(source.name, line, "expected an array of objects", _LINES)
    _check_end(text)
    objects.check(source.name)


def _rows(name: str, text: JsonText, objects: Objects) -> Rows:
    for number, _ in enumerate(text.items(), start=1):
        origin = Origin(name, number, "item")
        line = text.line
        value: Any = None
        try:
            value = text.value()
            if not isinstance(value, dict):
                raise InvalidInput(
                    f'expected an object like {{"text": "..."}}, not {kind(value)}', "Write one object for each text."
                )
            yield objects.record(without_rejection(value), origin)
        except InvalidInput as error:
            row = value if isinstance(value, dict) else text.written
            yield origin.error(f"{error.message} (line {line})", error.advice, row)


def _check_end(text: JsonText) -> None:
    if text.next():
        raise text.error("more follows after the end of the JSON document", _LINES)


class _Named:
    """The array at a path."""

    def __init__(self, name: str, text: JsonText, objects: Objects, path: str) -> None:
        self._name, self._text, self._objects, self._path = name, text, objects, path

    def rows(self, names: list[str]) -> Rows:
        """The rows of the array at the path ``names`` from what comes next."""
        if not names:
            self._check("[", "an array")
            yield from _rows(self._name, self._text, self._objects)
            return
        self._check("{", f"an object with the member {names[0]!r}")
        there: list[str] = []
        found = False
        for name in self._text.members():
            if name == names[0] and found:
                raise self._text.error(f"repeated in one object: {name!r}", "Keep one.")
            found = found or name == names[0]
            there += [name] if len(there) < _NAMES_KEPT else []
            if name == names[0]:
                yield from self.rows(names[1:])
            else:
                self._text.skip()
        if not found:
            raise SourceError(
                self._name,
                1,
                f"no member {names[0]!r}{hint(names[0], there)} of the path {self._path!r}; there are: {listed(there)}",
                Advice("Pass another json_path=.", typed="Use another --json-path."),
            )

    def _check(self, opening: str, wanted: str) -> None:
        if self._text.next() != opening:
            raise self._text.error(
                f"the path {self._path!r} leads to something else than {wanted}",
                Advice("Pass another json_path=, or leave it out.", typed="Use another --json-path, or leave it out."),
            )


class _Only:
    """The only array of objects in a document."""

    def __init__(self, name: str, text: JsonText, objects: Objects) -> None:
        self._name, self._text, self._objects = name, text, objects
        self._found: list[str] = []

    def rows(self) -> Rows:
        """The rows of the array, or a SourceError after everything was read."""
        yield from self._within([])
        _check_end(self._text)
        if len(self._found) == 1:
            return
        if self._found:
            reason = f"there are several arrays of objects: {listed(self._found)}"
            example = self._found[0]
            advice = Advice(_NAME_ONE.format(path=example), typed=_NAME_ONE.typed.format(path=example))
            raise SourceError(self._name, 1, reason, advice)
        raise SourceError(self._name, 1, "it is one object, and holds no array of objects", _LINES)

    def _within(self, path: list[str]) -> Rows:
        for name in self._text.members():
            opening = self._text.next()
            if opening == "{" and len(path) < _DEEPEST:
                yield from self._within([*path, name])
            elif opening == "[":
                yield from self._array(".".join([*path, name]))
            else:
                self._text.skip()

    def _array(self, path: str) -> Rows:
        """Its rows if it is the first array of objects; such an array is noted."""
        text = self._text
        first = text.first_item()
        if first == "{":
            self._found.append(path)
        if first == "{" and len(self._found) == 1:
            yield from _rows(self._name, text, self._objects)
        else:
            text.skip()
