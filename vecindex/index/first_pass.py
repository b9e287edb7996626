"""What is in the input of ``vecindex add``, before anything is added: how many rows, and where; which are bad."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..errors import Advice, SourceError, TextTooLong, TextWithoutToken, VecindexError
from ..machine.batching import windows
from ..sources import Source
from ..sources.reading import numbered, read
from ..values.records import Metadata, Record, derive_key
from ..values.repeats import SeenKeys
from .repeats import KEYS_AT_ONCE, OnDuplicate


class FirstPass:
    """Rows are counted through all of the input: the texts that were ``given``, then those of the ``sources``."""

    def __init__(self, given: Sequence[Record], sources: Sequence[Source], common: Metadata | None) -> None:
        self._given = given
        self._sources = sources
        self._common = common
        self._lines = array("q")
        self._starts: list[int] = []  # the first row of each source
        self._left_out: set[int] = set()

    @property
    def rows(self) -> int:
        """How many there are to add."""
        return len(self._lines) - len(self._left_out)

    def check(
        self,
        on_duplicate: OnDuplicate,
        on_bad: Callable[[VecindexError], None] | None,
        progress: Callable[[int], None],
    ) -> None:
        """Reads everything once. Raises what is wrong with the first bad row; with ``on_bad`` each is told there."""
        keys = SeenKeys()
        for window in windows(self._numbered(on_bad), KEYS_AT_ONCE, lambda row: row[1].text):
            start = len(self._lines)
            self._lines.extend(line for line, _ in window)
            names = [self._key(record) for _, record in window]
            for position, first in keys.repeated(names, [record.key is not None for _, record in window]).items():
                if on_duplicate == "last" or not (keys.is_named(position) or keys.is_named(first)):
                    continue
                error = self._repeated(names[position - start], position, first)
                if on_bad is None:
                    raise error
                on_bad(error)
                self._left_out.add(position)
            progress(self.rows)

    def records(self, skip_bad: bool) -> Iterator[Record]:
        """All rows that are not bad, read again."""
        for position, record in enumerate(self._all(_ignore if skip_bad else None)):
            if position not in self._left_out:
                yield record if self._common is None else self._with_common(record)

    def in_its_file(self, error: TextTooLong | TextWithoutToken) -> VecindexError:
        """The error with the file and line of its text, where it is in one."""
        if error.item is None:
            return error
        position = error.item
        if self._left_out:
            kept = (each for each in range(len(self._lines)) if each not in self._left_out)
            position = next(islice(kept, error.item, None))
        if position < len(self._given):
            return error
        advice = error.advice if isinstance(error, TextTooLong) else None
        return SourceError(self._source(position).name, self._lines[position], error.reason, advice)

    def _numbered(self, on_bad: Callable[[VecindexError], None] | None) -> Iterator[tuple[int, Record]]:
        for record in self._given:
            yield 0, record
        count = len(self._given)
        for source in self._sources:
            self._starts.append(count)
            for row in numbered(source, on_bad):
                count += 1
                yield row

    def _all(self, on_bad: Callable[[SourceError], None] | None) -> Iterator[Record]:
        yield from self._given
        for source in self._sources:
            yield from read(source, on_bad)

    def _key(self, record: Record) -> str:
        if record.key is not None:
            return record.key
        merged = record if self._common is None else self._with_common(record)
        return derive_key(merged.text, merged.metadata)

    def _with_common(self, record: Record) -> Record:
        return Record(record.text, record.key, {**(self._common or {}), **(record.metadata or {})})

    def _source(self, position: int) -> Source:
        return self._sources[bisect_right(self._starts, position) - 1]

    def _repeated(self, key: str, position: int, first: int) -> SourceError:
        source, before = self._source(position), "one of the texts given"
        if first >= len(self._given):
            earlier = self._source(first)
            file = "" if earlier is source else f" of {earlier.name}"
            before = f"line {self._lines[first]}{file}"
        return SourceError(
            source.name,
            self._lines[position],
            f"the key {key!r} is that of {before} too",
            Advice(
                "Give each a key of its own.",
                typed="Give each its own key, keep the last with --on-duplicate last, or the first with --skip-bad.",
            ),
        )


def _ignore(error: SourceError) -> None:
    """The second pass over a source whose bad rows were named in the first."""
