"""What ``add`` is given, checked before any of it is added: texts, and sources such as files.

Nothing may be added while a later row may still be bad, and the rows need not fit in memory. So each source is read
twice: `FilesInput.check` reads all of it, then `FilesInput.units` reads it again to add it. What takes long to read is
read once, into a temporary file. Sources that have not changed since they were added are not read at all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...errors import SourceError, VecindexError
from ...machine.batching import windows
from ...sources.documents import Document
from ...sources.formats import LAYOUTS
from ...sources.locations import Locations, has_path, is_within
from ...sources.origin import Source
from ...sources.presence import Presence
from ...sources.split.windows import TokenSpans
from ...values.records import Origin, Record
from ...values.repeats import KeySet, SeenKeys
from ...values.sources import SourceState
from ..follow import Action, Found, Plan, plan
from .done import Done, Trail
from .make_units import UnitMaker, fields, is_cut
from .options import BadText, FilesOptions
from .reading import Reading
from .repeats import KEYS_AT_ONCE, repeated_key
from .units import Unit

OnBad = Callable[[VecindexError], None]
_FIRST, _AGAIN, _LEFT_OUT = range(3)
_ROWS_A_REPORT = 1_000


class FilesInput:
    """The given ``texts``, and then the rows and texts of ``sources``, which are followed.

    A source of standard input without a label, or of a pipe, is not followed: its rows are added like given texts.
    """

    def __init__(
        self,
        texts: Sequence[Record],
        sources: Iterable[Source],
        roots: Sequence[str],
        locations: Locations,
        options: FilesOptions,
    ) -> None:
        """``roots`` are the paths that were named: sources beneath them that are not found any more are gone.

        `close` closes the sources, which is done at once if there is an error among them.
        """
        self.options = options
        self.plan = Plan(())
        self.bad = self.empty = 0
        self.has_folder = False
        """Whether any source was found in a folder or an archive."""
        self.trail = Trail()
        """Where the records that `units` yields come from."""
        self.refused: list[SourceError] = []
        """Why tables that were found in folders are skipped."""
        self._texts = texts
        self._make = UnitMaker(options.metadata)
        self._locations = locations
        self._roots = [locations.real(root) for root in roots]
        self._sources: list[Source] = []
        self._readings: list[Reading] = []
        self._skips_bad = False
        self._lines = array("q")
        self._files: list[tuple[int, Reading | None]] = []  # each source's first row
        self._marks = bytearray()
        self._characters = 0
        try:
            for source in sources:
                self._take(source)
        except BaseException:
            self.close()
            raise

    def _take(self, source: Source) -> None:
        self._sources.append(source)
        self.has_folder = self.has_folder or not source.is_named
        self._readings.append(Reading.of(source, self._locations, self.options))

    @property
    def rows(self) -> int:
        """The number of rows and texts to add."""
        return len(self._marks) - self._marks.count(_LEFT_OUT)

    @property
    def sources(self) -> int:
        """The number of sources to read."""
        return len(self._readings)

    @property
    def to_read(self) -> Done:
        """What `check` has to read."""
        sizes = [each.found.size for each in self._readings]
        known = [size for size in sizes if size is not None]
        return Done(len(sizes), len(self._texts), sum(known) if len(known) == len(sizes) else None)

    @property
    def to_add(self) -> Done:
        """What `units` yields, once it is checked."""
        return Done(self.sources, self.rows, self._characters)

    @property
    def replaced(self) -> int:
        """The number of invalid bytes that were read as U+FFFD."""
        return sum(reading.source.decoding.replaced for reading in self._readings)

    @property
    def needs_tokens(self) -> bool:
        """Whether texts are split by the model's tokens."""
        return any(reading.way.method == "tokens" for reading in self._readings)

    def follow(self, stored: Iterable[SourceState]) -> None:
        """Decides which sources are to be read, given those that the index knows."""
        states = list(stored)
        presence = Presence(self._locations)
        followed = [each for each in self._readings if each.is_followed]
        by_place = {each.found.place: each for each in followed}

        def digest(found: Found) -> str | None:
            reading = by_place[found.place]
            try:
                reading.digest = reading.source.digest()
            except SourceError:
                return None
            return reading.digest

        self.plan = plan(
            (each.found for each in followed),
            states,
            covers=self._covers,
            is_gone=presence.is_gone,
            digest=digest,
            prune=self.options.prune,
        )
        kept = []
        for step in self.plan.having(Action.NEW, Action.CHANGED):
            assert step.found is not None
            reading = by_place[step.found.place]
            reading.state = step.state
            kept.append(reading)
        self._readings = [*kept, *(each for each in self._readings if not each.is_followed)]

    def check(self, on_bad: OnBad | None, progress: Callable[[Done], None]) -> None:
        """Reads everything once. The first bad row raises; with ``on_bad`` each one is passed to it and left out."""
        self._skips_bad = on_bad is not None
        seen = SeenKeys()
        for window in windows(self._checked(on_bad, progress), KEYS_AT_ONCE, lambda each: each[1].text):
            start = len(self._lines)
            self._note(window)
            keys = [self._make.key(reading, found) for reading, found in window]
            # A row may be stored whole under the name of a file that is stored in sentences.
            names = [f"\0{key}" if is_cut(*item) else key for key, item in zip(keys, window, strict=True)]
            named = [found.key is not None or isinstance(found, Document) for _, found in window]
            for position, first in seen.repeated(names, named).items():
                self._marks[position] = _AGAIN
                if self.options.add.on_duplicate == "last" or not (seen.is_named(position) or seen.is_named(first)):
                    continue
                error = repeated_key(keys[position - start], self._origin(position), self._origin(first))
                reading, found = window[position - start]
                if isinstance(found, Record):
                    error.row = fields(reading, found.text, found.key, found.metadata)
                if on_bad is None:
                    raise error
                on_bad(error)
                self.bad += 1
                if (reading := window[position - start][0]) is not None:
                    reading.bad += 1
                self._marks[position] = _LEFT_OUT

    def close(self) -> None:
        """Deletes what was kept of the sources that take long to read, and the copies of pipes and downloads."""
        for reading in self._readings:
            reading.close()
        for source in self._sources:
            source.close()

    def to_register(self) -> list[SourceState]:
        """The sources that are about to be read, without a digest until they are."""
        return [
            SourceState(
                id=0 if each.state is None else each.state.id,
                kind=each.found.kind,
                location=each.found.location,
                query=each.found.query,
                reader=each.found.reader,
                options=each.found.options,
                digest=None,
                size=each.found.size,
                modified=None,
                added="" if each.state is None else each.state.added,
                stale=0,
                unit=LAYOUTS[each.source.format].unit,
                imported=0 if each.state is None else each.state.imported,  # until it was read to its end
            )
            for each in self._readings
            if each.is_followed
        ]

    def units(self, registered: Sequence[SourceState], token_spans: TokenSpans | None) -> Iterator[Unit]:
        """Everything that is not bad, read again; ``registered`` are the sources of `to_register` with their ids."""
        trail = self.trail = Trail(self._characters // 1_000)
        for position, text in enumerate(self._texts):
            yield self._make.row(None, self._make.with_common(text), position, 0, self._marks[position] == _AGAIN)
            trail.add(1, len(text.text))
        states = {(state.location, state.query): state for state in registered}
        for reading in self._readings:
            state = states.get(reading.found.place) if reading.is_followed else None
            seen = KeySet()
            for number, found in enumerate(reading.again(self._skips_bad)):
                if number == reading.count:
                    reading.is_whole = False  # it has grown, and is read again next time
                    break
                position = reading.first + number
                left_out, again = self._marks[position] == _LEFT_OUT, self._marks[position] == _AGAIN
                unit = self._make.unit(reading, state, found, position, number, again, token_spans)
                if unit.records:
                    seen.add(unit.key)
                    if not left_out:
                        yield unit
                trail.add(0 if left_out else len(unit.records), len(found.text))
            trail.end_source()
            if state is not None and reading.is_whole:
                yield Unit(finished=reading.finished(state, seen, self.options.prune))

    def _covers(self, state: SourceState) -> bool:
        if not has_path(state):
            return False
        path = self._locations.path(state.location)
        return any(is_within(path, root) for root in self._roots)

    # --- reading

    def _checked(
        self, on_bad: OnBad | None, progress: Callable[[Done], None]
    ) -> Iterator[tuple[Reading | None, Record | Document]]:
        for text in self._texts:
            yield None, self._make.with_common(text)
        rows, size = len(self._texts), 0
        for before, reading in enumerate(self._readings):
            for found in reading.checked(self._bad(on_bad), self._count_empty):
                rows += 1
                if rows % _ROWS_A_REPORT == 0:
                    progress(Done(before, rows, size))
                yield reading, found
            size += reading.found.size or 0
            progress(Done(before + 1, rows, size))
        for reading in self._readings:
            if reading.refusal is not None:
                self.refused.append(reading.refusal)
                reading.close()
        refused = {reading.found.place for reading in self._readings if reading.refusal is not None}
        self.plan = Plan(
            tuple(each for each in self.plan.steps if each.found is None or each.found.place not in refused)
        )
        self._readings = [reading for reading in self._readings if reading.refusal is None]

    def _bad(self, on_bad: OnBad | None) -> Callable[[SourceError], None] | None:
        if on_bad is None:
            return None

        def note(error: SourceError) -> None:
            self.bad += 1
            on_bad(error)

        return note

    def _count_empty(self, _: object) -> None:
        self.empty += 1

    def left_out_later(self, on_bad: Callable[[BadText], None]) -> Callable[[BadText], None]:
        """``on_bad`` for texts that are found to be bad only when they are encoded: they are counted here too."""

        def note(error: BadText) -> None:
            self.bad += 1
            if isinstance(error.row, dict) and error.item is not None:
                row = error.row
                error.row = fields(self._reading(error.item), row["text"], row.get("key"), row.get("metadata"))
            on_bad(error)

        return note

    def _note(self, window: Sequence[tuple[Reading | None, Record | Document]]) -> None:
        for reading, found in window:
            if not self._files or self._files[-1][1] is not reading:
                self._files.append((len(self._lines), reading))
                if reading is not None:
                    reading.first = len(self._lines)
            if reading is not None:
                reading.count += 1
            self._lines.append((found.origin.place or 0) if found.origin is not None else 0)
            self._marks.append(_FIRST)
            self._characters += len(found.text)

    def _origin(self, position: int) -> Origin | None:
        reading = self._reading(position)
        if reading is None:
            return None
        unit = LAYOUTS[reading.source.format].unit
        return Origin(reading.source.name, self._lines[position] or None, unit or "line")

    def _reading(self, position: int) -> Reading | None:
        return self._files[bisect_right(self._files, position, key=lambda file: file[0]) - 1][1]
