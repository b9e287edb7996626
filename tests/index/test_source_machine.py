"""After each complete reading an index holds what its sources and the user say, whatever happened before.

A text that the user gave stays when the sources that have it too drop it, unless one had another text under its key.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import vecindex
from vecindex import RecordNotFound
from vecindex.store.stored import piece_key
from vecindex.values.keys import derived_key

from ..support.extent import examples
from ..support.sourced import Content, Prose, Row, read, shared_rows, states, where_from
from ..support.toy import ToyEncoder

NAMES = st.sampled_from(["a.txt", "b.txt", "c.md", "d.md"])
SENTENCES = st.lists(st.sampled_from(["It rains.", "It pours.", "It ends.", "one"]), min_size=1, max_size=4)
ROWS = st.sampled_from(["one", "two", "three"]).map(Row)
CUT = st.sampled_from(
    [Prose(("It rains.", "It pours."), "p"), Prose(("It ends.",), "q"), Prose(("It pours.", "It rains.", "one"), "r")]
)
OWN = st.sampled_from(["first", "second"])


@st.composite
def contents(draw: Any) -> Content:
    """A text in sentences, or rows that other sources may have too and one with a key of its own."""
    if draw(st.booleans()):
        return [Prose(tuple(draw(SENTENCES)))]
    found = draw(st.lists(ROWS | CUT, max_size=4, unique_by=lambda each: each.key or str(each)))
    return [*found, *draw(st.lists(OWN.map(lambda text: Row(text, "own")), max_size=1))]


def records_of(name: str, content: Content) -> dict[str, str]:
    """The text of each key that a source holds."""
    found = {}
    for each in content:
        if isinstance(each, Row):
            found[each.key or derived_key(each.text)] = each.text
        else:
            key = each.key or name
            found |= {piece_key(key, number): text for number, text in enumerate(each.sentences, 1)}
    return found


def named(name: str, content: Content) -> Content:
    """The content with the row of its own under a key that only this source has."""
    return [Row(each.text, f"{name} own") if isinstance(each, Row) and each.key == "own" else each for each in content]


def digest(content: Content) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()


class SourceMachine(RuleBasedStateMachine):
    """``files`` is what there is, ``own`` what the user added; ``moved`` the moves since the last reading."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "i"
        self.index = vecindex.open(self.folder, model=ToyEncoder())
        self.files: dict[str, Content] = {}
        self.own: dict[str, str] = {}

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.folder.parent)

    @property
    def expected(self) -> dict[str, str]:
        found = dict(self.own)
        for name, content in self.files.items():
            found |= records_of(name, content)
        return found

    @rule(name=NAMES, content=contents())
    def write(self, name: str, content: Content) -> None:
        self.files[name] = named(name, content)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.files.pop(name, None)

    @rule(one=NAMES, other=NAMES)
    def swap(self, one: str, other: str) -> None:
        """Two files that were read swap their names, or one gets a name that is free."""
        known = states(self.index)
        if one == other or one not in known or one not in self.files or (other in known) != (other in self.files):
            return
        pairs = [(one, other), (other, one)] if other in known else [(one, other)]
        with self.index._writer() as writer:
            writer.move_sources([(known[a], replace(known[a], location=b)) for a, b in pairs])
        taken = {b: self.files.pop(a) for a, b in pairs}
        self.files |= taken

    @rule(names=st.sets(NAMES, min_size=1), at_most=st.integers(0, 6), prune=st.booleans())
    def interrupted(self, names: set[str], at_most: int, prune: bool) -> None:
        some = {name: self.files[name] for name in sorted(names) if name in self.files}
        if some:
            read(self.index, some, at_most=at_most, prune=prune)
            self._give_up()

    @rule(key=st.sampled_from(["u1", "u2"]), text=st.sampled_from(["mine", "yours", "one"]))
    def add(self, key: str, text: str) -> None:
        self.index.add([text], keys=[key])
        self.own[key] = text

    @rule(data=st.data(), text=st.sampled_from([None, "one", "changed"]))
    def meddle(self, data: st.DataObject, text: str | None) -> None:
        """The user changes or deletes a record of a source, or a text of their own."""
        there = where_from(self.index)
        if not there:
            return
        key = data.draw(st.sampled_from(sorted(there)))
        _, source, document, _ = there[key]
        if text is None:
            self.index.delete([key])
            self.own.pop(key, None)
        elif source is not None and document is None:
            self.index.add([text], keys=[key])
            self.own[key] = text  # until a source says otherwise

    @rule(key=st.sampled_from(["u1", "u2", "u3"]))
    def delete(self, key: str) -> None:
        try:
            self.index.delete([key])
        except RecordNotFound:
            assert key not in self.own
        self.own.pop(key, None)

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule()
    def add_all(self) -> None:
        self._read_all()
        self._give_up()
        assert {key: text for key, (text, *_) in where_from(self.index).items()} == self.expected
        self._read_all()  # where rows are that went over to another source
        holders = {name: records_of(name, content) for name, content in self.files.items()}
        for key, (text, source, document, _) in where_from(self.index).items():
            if source is None:
                assert self.own[key] == text
            else:
                assert holders[source][key] == text
            assert (document is None) == (key.rpartition("#")[0] == "")
        assert all(state.digest is not None and state.stale == 0 for state in states(self.index).values())
        units = {
            (each.key or (name if isinstance(each, Prose) else derived_key(each.text)), name)
            for name, content in self.files.items()
            for each in content
        }
        assert shared_rows(self.index) <= units
        before = self.index.info().generation
        self._read_all()
        assert self.index.info().generation == before

    def _give_up(self) -> None:
        """What a source has with another text is that source's; with the same text it stays the user's too."""
        found = where_from(self.index)
        self.own = {key: text for key, text in self.own.items() if key not in found or found[key][0] == text}

    def _read_all(self) -> None:
        known = states(self.index)
        with self.index._writer() as writer:
            gone = [state.id for name, state in known.items() if name not in self.files]
            if gone:
                writer.remove_sources(gone)
        changed = {
            name: content
            for name, content in self.files.items()
            if name not in known or known[name].digest != digest(content) or known[name].stale
        }
        if changed:
            read(self.index, changed)

    @invariant()
    def is_sound(self) -> None:
        report = self.index.verify()
        assert report.ok, report.faults


TestSources = SourceMachine.TestCase
TestSources.settings = examples(40, stateful_step_count=30)
