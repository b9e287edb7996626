"""All the input of ``vecindex add``, checked before any of it is added.

Nothing may be added while a later row may still be bad, and the rows need not fit in memory. So each file is read
twice: `CheckedInput.check` reads all of it, then `CheckedInput.records` reads it again to add it. Each row carries its
origin, so an error can name its file and line without another reading.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from ...errors import Advice, SourceError, VecindexError
from ...machine.batching import windows
from ...sources import Source, read
from ...sources.documents import EmptyText
from ...values.keys import derive_key
from ...values.records import Metadata, Origin, Record
from ...values.repeats import SeenKeys
from .repeats import KEYS_AT_ONCE, OnDuplicate

OnBad = Callable[[VecindexError], None]


class CheckedInput:
    """The rows of ``texts`` and then of ``sources``; ``common`` is metadata for each of them."""

    def __init__(
        self,
        texts: Sequence[Record],
        sources: Sequence[Source],
        common: Metadata | None,
        on_duplicate: OnDuplicate,
    ) -> None:
        self._texts = texts
        self._sources = sources
        self._common = common
        self._keeps_last = on_duplicate == "last"
        self._skips_bad = False
        self._empty = 0
        self._lines = array("q")
        self._files: list[tuple[int, str]] = []  # each file's first row and name
        self._left_out: set[int] = set()

    @property
    def rows(self) -> int:
        """The number of rows to add."""
        return len(self._lines) - len(self._left_out)

    @property
    def empty(self) -> int:
        """The number of rows without a text, which are left out."""
        return self._empty

    def check(self, on_bad: OnBad | None, progress: Callable[[int], None]) -> None:
        """Reads everything once. The first bad row raises; with ``on_bad`` each one is passed to it and left out."""
        self._skips_bad = on_bad is not None
        seen = SeenKeys()
        for window in windows(self._rows(on_bad, self._count_empty), KEYS_AT_ONCE, lambda row: row.text):
            start = len(self._lines)
            self._note(window)
            keys = [derive_key(row.text, row.metadata) if row.key is None else row.key for row in window]
            for position, first in seen.repeated(keys, [row.key is not None for row in window]).items():
                if self._keeps_last or not (seen.is_named(position) or seen.is_named(first)):
                    continue
                error = self._repeated(keys[position - start], position, first)
                if on_bad is None:
                    raise error
                on_bad(error)
                self._left_out.add(position)
            progress(self.rows)

    def records(self) -> Iterator[Record]:
        """All rows that are not bad, read again."""
        for position, row in enumerate(self._rows(_named_before if self._skips_bad else None)):
            if position not in self._left_out:
                yield row

    def _count_empty(self, row: EmptyText) -> None:
        self._empty += 1

    def _rows(self, on_bad: OnBad | None, on_empty: Callable[[EmptyText], None] | None = None) -> Iterator[Record]:
        for text in self._texts:
            yield self._with_common(text)
        for source in self._sources:
            for row in read(source, on_bad, on_empty):
                yield self._with_common(row)

    def _with_common(self, row: Record) -> Record:
        if self._common is None:
            return row
        return Record(row.text, row.key, {**self._common, **(row.metadata or {})}, origin=row.origin)

    def _note(self, rows: Sequence[Record]) -> None:
        for row in rows:
            path, line = (row.origin.path, row.origin.place or 0) if row.origin else ("", 0)
            if not self._files or self._files[-1][1] != path:
                self._files.append((len(self._lines), path))
            self._lines.append(line)

    def _origin(self, position: int) -> Origin:
        at = bisect_right(self._files, position, key=lambda file: file[0]) - 1
        return Origin(self._files[at][1], self._lines[position])

    def _repeated(self, key: str, position: int, first: int) -> SourceError:
        (path, line, _), (first_path, first_line, _) = self._origin(position), self._origin(first)
        if first < len(self._texts):
            where = "one of the given texts"
        else:
            where = f"line {first_line}" + ("" if first_path == path else f" of {first_path}")
        return SourceError(
            path,
            line,
            f"the key {key!r} is also that of {where}",
            Advice(
                "Give each row its own key.",
                typed="Give each row its own key, or keep the last (--on-duplicate last) or the first (--skip-bad).",
            ),
        )


def _named_before(error: VecindexError) -> None:
    """Ignores a bad row that `CheckedInput.check` has named."""
