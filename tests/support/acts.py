"""Everything that changes an index, as acts that can be cut off, and what must be true of the index afterwards."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import faiss
import numpy as np
import pytest

import vecindex
from vecindex import Index, VecindexError
from vecindex.encoders.run.own_tokens import own_tokens, tokenized
from vecindex.encoders.run.tokenized import IntArray
from vecindex.index import comparing, crash_test
from vecindex.index.adding import encode_ahead
from vecindex.index.crash_test import Contents, Finding, contents
from vecindex.search.derived import upkeep
from vecindex.search.lexical.analysis import Analyzer
from vecindex.search.lexicon import lexical_settings
from vecindex.search.rerank.token_codes import encode
from vecindex.store.disk import connection
from vecindex.store.side_indexes import is_side, leftovers
from vecindex.store.sql.schema import index_exists
from vecindex.store.vectors import vector_file

from .faults import without_syncs
from .places import PROJECT
from .sourced import Content, Prose, Row, read, states
from .toy import ToyEncoder, toy_space

DIMENSION = 64
"""Codes are made from 48 dimensions on."""
SPACE = toy_space(dimension=DIMENSION)
GOLDEN = PROJECT / "tests" / "golden"

Change = Callable[[Index, Random, Path], object]


def _add(index: Index, draw: Random, count: int) -> None:
    keys = [f"{draw.getrandbits(48):012x}" for _ in range(count)]
    _put(index, draw, keys)


def _put(index: Index, draw: Random, keys: list[str]) -> None:
    texts = [f"text {draw.random()} " * draw.choice((1, 1, 1, 300)) for _ in keys]
    vectors = ToyEncoder(dimension=DIMENSION).encode(texts)  # `vecindex.index.drift` encodes some texts again
    index.add(texts, keys=keys, metadata=[{"n": draw.randrange(9)} for _ in keys], vectors=vectors, space=SPACE)


def _some(index: Index, draw: Random, at_most: int) -> list[str]:
    found = sorted(key for key in contents(index) if "#" not in key)  # not a sentence: only its document may change it
    return draw.sample(found, min(len(found), draw.randint(1, at_most)))


def _replace(index: Index, draw: Random, _: Path) -> None:
    _put(index, draw, _some(index, draw, 5))


def _relabel(index: Index, draw: Random, _: Path) -> None:
    (key,) = _some(index, draw, 1)
    found = contents(index)
    if not found[key][2]:
        index.add([found[key][0]], keys=[key], metadata=[{"m": draw.random()}], encode=False)
        return
    vector = np.frombuffer(found[key][2], "<f4")
    index.add([found[key][0]], keys=[key], metadata=[{"m": draw.random()}], vectors=[vector], space=SPACE)


def _delete(index: Index, draw: Random, _: Path) -> None:
    index.delete(_some(index, draw, 4))


def _encode(index: Index, draw: Random, _: Path) -> None:
    """What the cache remembers: some texts are new, some are not."""
    texts = [f"word {draw.randrange(20)}" for _ in range(6)]
    index.add(texts, keys=[f"{draw.getrandbits(48):012x}" for _ in texts])


def _bare(index: Index, draw: Random, _: Path) -> None:
    keys = [f"{draw.getrandbits(48):012x}" for _ in range(3)]
    index.add([f"bare {draw.random()}" for _ in keys], keys=keys, encode=False)


def _unvectored(index: Index, draw: Random, _: Path) -> None:
    """Records without vectors, which some of them had; some texts stay as they are."""
    some = {key: contents(index)[key][0] for key in _some(index, draw, 3)}
    texts = [text if draw.random() < 0.5 else f"bare {draw.random()}" for text in [*some.values(), "bare"]]
    index.add(texts, keys=[*some, f"{draw.getrandbits(48):012x}"], vectors=[None] * len(texts))


_FILES: dict[str, Content] = {
    "rows.txt": [Row("row one"), Row("row two", "b"), Prose(("It rains.", "It pours.", "It ends."), "cut")],
    "notes.md": [Prose(("First sentence.", "Second sentence."))],
    "more.txt": [Row("row one"), Row("row three")],
}


def _read(index: Index, draw: Random, _: Path) -> None:
    read(index, {"new.md": [Prose(("One.", "Two.")), Row("row one"), Row(f"row {draw.random()}")]})


def _reread(index: Index, draw: Random, _: Path) -> None:
    """Sentences are added, removed and get other numbers; a row goes over to another file."""
    sentences = ("Second sentence.", f"Another {draw.random()}.", "First sentence.")
    read(index, {"notes.md": [Prose(sentences)], "rows.txt": [Row("row two", "b"), Prose(("It pours.",), "cut")]})


def _move(index: Index, draw: Random, _: Path) -> None:
    known = states(index)
    pairs = [(known[one], replace(known[one], location=to)) for one, to in _MOVES.items() if one in known]
    with index._writer() as writer:
        writer.move_sources(pairs)


_MOVES = {"notes.md": "rows.txt", "rows.txt": "notes.md", "more.txt": "elsewhere.txt"}


def _remove(index: Index, draw: Random, _: Path) -> None:
    with index._writer() as writer:
        writer.remove_sources([state.id for name, state in states(index).items() if name != "more.txt"])


def _delete_part(index: Index, draw: Random, _: Path) -> None:
    index.delete([key for key in contents(index) if "#" in key][1:3])


def _backup(index: Index, draw: Random, root: Path) -> None:
    index.backup(root / f"backup-{draw.getrandbits(32)}")


def _remodel(index: Index, draw: Random, _: Path) -> None:
    """Every vector changes and nothing else; the index as it was is kept."""
    index.migrate(ToyEncoder(model="second", dimension=48, weights="s" * 64))


class _Elsewhere(ToyEncoder):
    """A machine on which the same model computes different vectors."""

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> Any:
        return super().forward(input_ids, attention_mask) ** 3


def _anew(index: Index, draw: Random, _: Path) -> None:
    """The same, in the same space."""
    index.migrate(_Elsewhere(dimension=DIMENSION), anew=True)


def backup_of(root: Path, seed: int) -> Path:
    """Where the act "backup" copies the index to."""
    return root / f"backup-{Random(seed).getrandbits(32)}"


CHANGES: dict[str, Change] = {
    "create": lambda index, draw, _: _add(index, draw, 24),
    "add": lambda index, draw, _: _add(index, draw, draw.randint(1, 6)),
    "update": _replace,
    "relabel": _relabel,
    "delete": _delete,
    "encode": _encode,
    "bare": _unvectored,
    "encode_missing": lambda index, draw, _: index.encode_missing(),
    "first_vectors": lambda index, draw, _: _add(index, draw, 3),
    "extend": lambda index, draw, _: _add(index, draw, 12),
    "compact": lambda index, draw, _: index.compact(),
    "index_field": lambda index, draw, _: index.index_field("n"),
    "stems": lambda index, draw, _: index.index_lexical(language="german"),
    "tokens": lambda index, draw, _: index.index_tokens(),
    "migrate_1": lambda index, draw, _: None,
    "migrate_2": lambda index, draw, _: None,
    "backup": _backup,
    "read": _read,
    "reread": _reread,
    "move": _move,
    "remove": _remove,
    "delete_part": _delete_part,
    "remodel": _remodel,
    "anew": _anew,
}
"""Each is one commit, or several of which only the first changes what is stored. Opening is part of the act."""
_OF_SOURCES = ("read", "reread", "move", "remove", "delete_part", "compact", "remodel", "backup")
_DERIVING = ("extend", "compact", "remodel", "anew", "stems")
_WITH_TOKENS = ("encode", "compact", "anew", "backup")
"""The acts whose index stores token vectors already."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """FAISS uses one thread: its threads wait by spinning, which takes far longer than the work on a busy machine."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def folder_of(act: str, root: Path) -> Path:
    """The folder of an act's index; "create" makes it two folders deep."""
    return root / "new" / "deep" / "i" if act == "create" else root / "i"


@without_syncs()
def prepare(act: str, root: Path, seed: int, crashed: bool = False) -> None:
    """Makes the index that the act changes, with codes, segments, dead rows and a tail.

    ``crashed`` leaves SQLite's log.
    """
    root.mkdir()
    if act.startswith("migrate_"):
        shutil.copytree(GOLDEN / f"format-{act[-1]}", root / "i")
    elif act != "create":
        draw = Random(f"prepared {seed}")
        with vecindex.open(root / "made", model=ToyEncoder(dimension=DIMENSION)) as index:
            if act != "first_vectors":
                _fill(act, index, draw, root)
            _bare(index, Random(seed), root)
            if act in _WITH_TOKENS:
                index.index_tokens()
            if crashed:
                _copy(root / "made", root / "i")
        if not crashed:
            _copy(root / "made", root / "i")
        shutil.rmtree(root / "made")


def _fill(act: str, index: Index, draw: Random, root: Path) -> None:
    with thresholds("extend"):
        _add(index, draw, 56)
    _encode(index, draw, root)
    _delete(index, draw, root)
    if act in _OF_SOURCES:
        read(index, _FILES)
    _replace(index, draw, root)


def _copy(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*-shm"))


@contextlib.contextmanager
def thresholds(act: str, seed: int = 0) -> Iterator[None]:
    """Makes codes and segments of few rows if the act makes any; with an odd seed, every commit is a checkpoint.

    No act has more commits because the machine is busy and encoding is slow. A migration compares few records: that
    only reads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode_ahead, "SECONDS_A_COMMIT", 1e6)
        patch.setattr(comparing, "SAMPLES", 3)
        if act in _DERIVING:
            patch.setattr(upkeep, "ROWS_FOR_CODES", 32)
            patch.setattr(upkeep, "TAIL", 8)
            patch.setattr(upkeep, "LEXICAL_TAIL", 8)
        if seed % 2:
            patch.setattr(connection, "_PAGES_A_CHECKPOINT", 3)
        yield


def open_for(act: str, folder: Path) -> Index:
    """Opens it with the encoder of the prepared indexes; indexes of older formats have another one."""
    return vecindex.open(
        folder, lock_timeout=0, model=None if act.startswith("migrate_") else ToyEncoder(dimension=DIMENSION)
    )


def perform(acts: Sequence[str], folder: Path, root: Path, seed: int, returned: Callable[[Index], object]) -> None:
    """Opens the index in ``folder``, does each act and calls ``returned``, closes it; the seed decides all."""
    with thresholds(acts[0], seed), open_for(acts[0], folder) as index:
        for number, act in enumerate(acts):
            with thresholds(act):
                CHANGES[act](index, Random(seed + number), root)
            returned(index)


@without_syncs()
def stored(act: str, root: Path) -> Contents:
    """The contents of the index that was prepared for an act; the index itself is not opened."""
    if act == "create":
        return {}
    shutil.copytree(folder_of(act, root), root / "copy")
    try:
        with vecindex.open(root / "copy") as index:
            return contents(index)
    finally:
        shutil.rmtree(root / "copy")


@without_syncs()
def examine(folder: Path, before: Contents, after: Contents, acknowledged: bool) -> Finding | None:
    """The first fault that `crash_test.examine` finds; then searching, writing, files left behind and warnings."""
    with _logged() as messages:
        _, finding = crash_test.examine(folder, before, after, acknowledged, _examine_further)
        return finding or (Finding("unsound", messages[0]) if messages else None)


def _examine_further(index: Index, found: Contents) -> Finding | None:
    vectors = [vector for _, _, vector in found.values() if vector]
    for vector in vectors[:: max(1, len(vectors) - 1)]:
        hits = index.search(np.frombuffer(vector, "<f4"), k=3)
        if len(hits) != min(3, len(vectors)) or hits[0].score < 0.9999:
            return Finding("unsound", f"a stored vector is not found: {hits}")
    each = (_examine_words(index, found), _examine_tokens(index), _write_again(index, found))
    return next(filter(None, each), None) or _orphans(index.path, index)


def _examine_words(index: Index, found: Contents) -> Finding | None:
    """Each text's first word finds the texts that have it, and no others."""
    analyzer = Analyzer(lexical_settings(index._manifest()))
    terms = {key: set(analyzer.terms(text)) for key, (text, _, _) in found.items()}
    for word in {text.split()[0] for text, _, _ in found.values() if text[:1].isalnum()}:
        expected = {key for key, its in terms.items() if its & set(analyzer.query_terms(word))}
        hits = {hit.key for hit in index.search(word, k=len(found), mode="lexical")}
        if hits != expected:
            return Finding("unsound", f"the word {word!r} finds {sorted(hits)} and not {sorted(expected)}")
    return None


def _examine_tokens(index: Index) -> Finding | None:
    """The stored token vectors are those of the texts."""
    with index._snapshots.take() as snapshot:
        stored, space = index._tokens.of(snapshot), snapshot.manifest.space
        encoder = ToyEncoder(dimension=snapshot.manifest.dimension)
        for record in snapshot.records_within(0, snapshot.manifest.rows) if space and space.model == "toy" else ():
            codes = stored.codes(record.row)
            (own,) = own_tokens(encoder, tokenized(encoder, [record.text], "document"), "document")
            if not record.has_vector:
                if codes is not None and len(codes):
                    return Finding("unsound", f"row {record.row} has token vectors, but no vector")
                continue
            if codes is not None and codes.tolist() != encode(own.vectors).tolist():
                return Finding("unsound", f"the token vectors of row {record.row} are not those of its text")
    return None


def _write_again(index: Index, found: Contents) -> Finding | None:
    space = index._manifest().space
    vectors = np.ones((1, space.dimension if space else DIMENSION), np.float32)
    index.add(["seven"], keys=["a new key"], vectors=vectors, space=space or SPACE)
    if {key: value for key, value in contents(index).items() if key != "a new key"} != found:
        return Finding("unsound", "the next writing changed other records")
    return None


def _orphans(folder: Path, index: Index) -> Finding | None:
    manifest = index._manifest()
    known = {"vecindex.db", "vecindex.db-wal", "vecindex.db-shm", "writer.lock", "migrate.lock", ".gitignore"}
    known |= {vector_file(folder, manifest.vectors).name, *manifest.derived}
    left = {path.name for path in folder.iterdir()} - known
    # An index of another space is meant to be there.
    left = {name for name in left if not is_side(folder / name) or folder / name in leftovers(folder, manifest)}
    return Finding("unsound", f"left behind: {', '.join(sorted(left))}") if left else None


@without_syncs()
def examine_backup(path: Path, index: Path, expected: Contents, acknowledged: bool) -> Finding | None:
    """Checks that a backup is whole; one that was cut off must not look like an index, and can be made again."""
    if acknowledged or index_exists(path):
        found = examine(path, expected, expected, True)
        return found and Finding("torn" if not acknowledged else found.kind, f"the backup: {found.what}")
    try:
        with vecindex.open(index) as opened:
            opened.backup(path)
    except VecindexError as error:
        return Finding("unsound", f"the next backup: {type(error).__name__}: {error.message}")
    left = [other.name for other in path.parent.iterdir() if other.name.startswith(f".creating-{path.name}-")]
    return Finding("unsound", f"left behind beside the backup: {left}") if left else None


@without_syncs()
def examine_resumed(act: str, folder: Path, after: Contents) -> Finding | None:
    """Checks that a migration that was cut off can be resumed to the same end; `examine` has added a record."""
    try:
        with vecindex.open(folder, lock_timeout=0) as index:
            CHANGES[act](index, Random(), folder)
            if {key: value for key, value in contents(index).items() if key != "a new key"} != after:
                return Finding("torn", "resumed, the migration ended differently")
            return None if index.verify().ok else Finding("unsound", "resumed, the migration left an unsound index")
    except VecindexError as error:
        return Finding("unsound", f"the migration cannot be resumed: {type(error).__name__}: {error.message}")


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """What is logged inside: codes that cannot be used are a warning, not an error."""
    handler = logging.Handler(logging.WARNING)
    messages: list[str] = []
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vecindex").addHandler(handler)
    try:
        yield messages
    finally:
        logging.getLogger("vecindex").removeHandler(handler)
