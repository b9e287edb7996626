"""Decides what has become of sources since they were added, so that no more of them is read than needed.

Nothing here reads a file: callers say what they found, and give functions that read a digest or look for a file when
the decision needs it.

A file is unchanged if its size and time are, and how it is read; then its bytes are not read. With another time, the
digest of its bytes decides. A change that keeps both size and time is not seen. So that this needs an act on purpose
(such as ``touch -r``), no time is stored with a source that was modified just before it was read: a file may be written
twice within one tick of the file system's clock. The digest of such a file decides the next time.
"""

from __future__ import annotations

import posixpath
import shlex
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from ..errors import Advice, InvalidInput, SourceError
from ..sources.fingerprint import FileState
from ..values.sources import Condition, SourceInfo, SourceKind, SourceState

Place = tuple[str, str]
"""A location and a query: an index has one source of each."""
Likeness = tuple[SourceKind, str, str, str, "int | None"]
Content = tuple[Likeness, "str | None"]


class Action(str, Enum):
    """What has become of a source."""

    UNCHANGED = "unchanged"
    """Nothing is to be done, and nothing was read."""
    TOUCHED = "touched"
    """Only the time has changed, and is to be stored."""
    CHANGED = "changed"
    """It is to be read again; `Step.why` says why."""
    NEW = "new"
    """It is to be read for the first time."""
    MOVED = "moved"
    """It is the stored source under another name; its location and time are to be stored."""
    GONE = "gone"
    """It is not there any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """A source that is there now. ``size`` and ``modified`` are None where it has none, as standard input."""

    location: str
    reader: str
    options: str
    size: int | None
    modified: int | None
    kind: SourceKind = "file"
    query: str = ""

    @property
    def place(self) -> Place:
        return self.location, self.query


Digest = Callable[[Found], "str | None"]
IsGone = Callable[[SourceState], bool]
_CONTENT = "its content has changed"


@dataclass(frozen=True, slots=True)
class Step:
    """What has become of one source: ``found`` is None if it is gone, and ``state`` if it is new."""

    action: Action
    found: Found | None
    state: SourceState | None
    why: str = ""

    def __str__(self) -> str:
        names = [each.location for each in (self.state, self.found) if each is not None]
        why = f" ({self.why})" if self.why else ""
        return f"{self.action.value:<9} {' -> '.join(dict.fromkeys(names))}{why}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What has become of all sources: a step for each that was found, in that order, then those that are gone.

    Moves are to be stored first, and all at once: one may lead to the place that another leaves, as when two files
    change their names.
    """

    steps: tuple[Step, ...]

    def having(self, *actions: Action) -> list[Step]:
        """The steps with these actions."""
        return [step for step in self.steps if step.action in actions]

    def counts(self) -> Counter[Action]:
        """How many steps have each action."""
        return Counter(step.action for step in self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def plan(
    found: Iterable[Found],
    stored: Iterable[SourceState],
    *,
    covers: Callable[[SourceState], bool],
    is_gone: IsGone,
    digest: Digest,
    prune: bool = False,
) -> Plan:
    """Decides what has become of each source.

    Args:
        found: what is there now of what was asked for. Of two with one location and query, the first counts.
        stored: every source that the index knows.
        covers: whether a source is among what was asked for, which is so if it is named or beneath a folder that is.
            One that is not found, because it is left out by a pattern, say, and is still there stays as it is.
        is_gone: whether there is no file any more where a source was. It is asked only of sources that are not found,
            and only if they are covered or may have been moved to what is found.
        digest: the SHA-256 of what was found, or None if it cannot be read, so that reading it says why. It is asked
            for at most once each: where the time has changed and the size has not, and where something new has the
            size of something that has left its place.
        prune: read a source again if it has records that are gone from it and have not been removed.

    Raises:
        InvalidInput, SourceError: standard input has the name of something else as its label.
    """
    items: dict[Place, Found] = {}
    states = {_place(state): state for state in stored}
    for each in found:
        _refuse_shared_name(each, items.setdefault(each.place, each), states.get(each.place))
    digest, is_gone = cache(digest), cache(is_gone)
    steps = {place: _in_place(item, states.get(place), digest, prune) for place, item in items.items()}
    missing = [state for place, state in states.items() if place not in items]
    moves = _moves(steps, missing, is_gone, digest, prune)
    for place, state in moves.items():
        steps[place] = Step(Action.MOVED, items[place], state)
    moved = {state.id for state in moves.values()}
    # What was imported was never here, so that it cannot be gone.
    left = [state for state in missing if state.id not in moved and not state.imported]
    gone = [state for state in left if covers(state) and is_gone(state)]
    gone.sort(key=_place)
    return Plan((*steps.values(), *(Step(Action.GONE, None, state) for state in gone)))


def _refuse_shared_name(item: Found, first: Found, state: SourceState | None) -> None:
    """Raises an error if standard input is labelled with the name of a file, whose records it would replace."""
    name = item.location
    if "stdin" in (item.kind, first.kind) and item.kind != first.kind:
        raise _label_of_another(name, "is also the name of another source that is to be added")
    if state is None or "stdin" not in (item.kind, state.kind) or item.kind == state.kind:
        return
    if item.kind == "stdin":
        raise _label_of_another(name, "is already the name of another source in the index")
    raise SourceError(
        name,
        None,
        "standard input was added with this name as its label",
        Advice(
            f"Remove it first: index.delete(source={name!r}).",
            typed=f"Remove it first: vecindex delete --source {shlex.quote(name)}",
        ),
    )


def _label_of_another(label: str, why: str) -> InvalidInput:
    return InvalidInput(f"the label {label!r} {why}", Advice("Choose another label.", typed="Choose another --label."))


def _place(state: SourceState) -> Place:
    return state.location, state.query


def _in_place(item: Found, state: SourceState | None, digest: Digest, prune: bool) -> Step:
    """What has become of the source at one place, if none was moved."""
    if state is None:
        return Step(Action.NEW, item, None)
    why = ""
    if state.digest is None:
        why = "it was not read to the end"
    elif (item.reader, item.options) != (state.reader, state.options):
        why = "it is read differently now"
    elif prune and state.stale:
        why = "it has records to remove"
    if why:
        return Step(Action.CHANGED, item, state, why)
    timed = item.size is not None and item.modified is not None
    if timed and (item.size, item.modified) == (state.size, state.modified):
        return Step(Action.UNCHANGED, item, state)
    if _may_be_equal(item.size, state.size) and digest(item) == state.digest:
        # Without a time there is nothing to store.
        return Step(Action.TOUCHED if item.modified != state.modified else Action.UNCHANGED, item, state)
    return Step(Action.CHANGED, item, state, _CONTENT)


def _may_be_equal(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other


def _moves(
    steps: Mapping[Place, Step], missing: Iterable[SourceState], is_gone: IsGone, digest: Digest, prune: bool
) -> dict[Place, SourceState]:
    """The sources that were moved, by the place where they are now.

    A source was moved if its bytes are at a place where there was nothing or something else, and it has left its own:
    nothing is there, or another source that was moved. So neither a copy nor a file that was overwritten is a move.
    """
    altered = [step for step in steps.values() if step.action is Action.NEW or step.why == _CONTENT]
    arrivals = [step.found for step in altered if step.found is not None and step.found.size is not None]
    alike = {_likeness(item) for item in arrivals}
    departures = [
        state
        for state in (*missing, *(step.state for step in altered if step.state is not None))
        if _likeness(state) in alike and state.digest is not None and not (prune and state.stale)
    ]
    departures = [state for state in departures if _place(state) in steps or is_gone(state)]
    alike = {_likeness(state) for state in departures}
    by_content: dict[Content, tuple[list[Found], list[SourceState]]] = defaultdict(lambda: ([], []))
    for item in arrivals:
        if _likeness(item) in alike:
            by_content[_likeness(item), digest(item)][0].append(item)
    for state in departures:
        by_content[_likeness(state), state.digest][1].append(state)
    moves: dict[Place, SourceState] = {}
    for items, states in by_content.values():
        items.sort(key=lambda item: (steps[item.place].state is not None, item.place))
        states.sort(key=lambda state: (_place(state) in steps, _place(state)))
        moves.update(_paired(items, states))
    return _possible(moves, steps)


def _likeness(source: Found | SourceState) -> Likeness:
    """What two sources have in common if one may be the other under another name; their bytes decide."""
    return source.kind, source.query, source.reader, source.options, source.size


def _paired(items: Sequence[Found], states: Sequence[SourceState]) -> Iterator[tuple[Place, SourceState]]:
    """Pairs sources with the same bytes: those with the same name in another folder first, then in the given order."""
    by_name: dict[str, deque[SourceState]] = defaultdict(deque)
    for state in states:
        by_name[posixpath.basename(state.location)].append(state)
    others = []
    taken = set()
    for item in items:
        if named := by_name[posixpath.basename(item.location)]:
            state = named.popleft()
            taken.add(state.id)
            yield item.place, state
        else:
            others.append(item.place)
    yield from zip(others, (state for state in states if state.id not in taken), strict=False)


def _possible(moves: Mapping[Place, SourceState], steps: Mapping[Place, Step]) -> dict[Place, SourceState]:
    """Those moves that leave no two sources in one place, and no place empty that has a file."""
    left = dict(moves)
    destinations = {state.id: place for place, state in moves.items()}
    doubtful: list[Place | None] = [*moves]
    while doubtful:
        place = doubtful.pop()
        if place is None or place not in left:
            continue
        state, before = left[place], steps[place].state
        leaves = None if before is None else destinations.get(before.id)
        is_free = before is None or leaves in left
        is_refilled = _place(state) not in steps or _place(state) in left
        if not (is_free and is_refilled):
            del left[place]
            doubtful += [_place(state), leaves]  # the moves that depended on this one
    return left


def listed(
    counted: Iterable[tuple[SourceState, int]],
    now: Callable[[SourceState], FileState | None],
    digest: Callable[[SourceState], str],
) -> list[SourceInfo]:
    """Sources with the numbers of their records, as people see them.

    ``now`` is the state of a source's file, or None if it is gone, and ``digest`` that of its bytes. It is asked for
    where the time has changed and the size has not. Either raises SourceError for what cannot be looked at.
    """
    return [
        SourceInfo(
            *(state.location, state.kind, state.query, state.reader, _condition(state, now, digest), records),
            *(state.stale, state.size, state.added or None),
        )
        for state, records in counted
    ]


def _condition(
    state: SourceState, now: Callable[[SourceState], FileState | None], digest: Callable[[SourceState], str]
) -> Condition:
    if state.imported:
        return "imported"
    try:
        found = now(state)
        if found is None:
            return "gone"
        if state.digest is None:
            return "incomplete"
        if found.size != state.size:
            return "changed"
        return "current" if found.mtime_ns == state.modified or digest(state) == state.digest else "changed"
    except SourceError:
        return "incomplete" if state.digest is None else "unchecked"
