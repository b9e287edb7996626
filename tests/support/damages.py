"""Damages an index's files in every way, and judges its answers, each in its own process.

An answer may be right, or our error that names what is damaged; never wrong, another exception, a crash or a hang.
Used by `tests.store.soundness.test_damage` and ``tests/bench/damage.py``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss  # noqa: F401  # before forking, so that forks share it; nothing is searched before
import numpy as np
import numpy.typing as npt

import vecindex
from vecindex.errors import RecordNotFound, VecindexError
from vecindex.search.dense import plan
from vecindex.search.derived import upkeep
from vecindex.search.options import Mode

from . import sourced
from .harms import damage
from .sourced import Content, Prose, Row, where_from
from .toy import ToyEncoder, toy_space

ROWS, DIMENSION, SEED_OF_ANOTHER = 3000, 64, 99
TIMEOUT, ALL = 60.0, 10_000
SPACE = toy_space(dimension=DIMENSION)
ENCODED = [str(number) for number in range(200)]
"""Texts of one word, whose vectors do not depend on the rest of the batch."""
BARE = [f"bare-{number}" for number in range(120)]
"""Texts without a vector, which are their keys; of one word too."""
SOURCES: dict[str, Content] = {
    "rows.txt": [*(Row(f"row-{n}") for n in range(30)), Row("both", "both"), Prose(("Rain.", "Sun.", "Wind."), "cut")],
    "notes.md": [Prose(tuple(f"Sentence-{n}." for n in range(40)))],
    "more.txt": [Row("both", "both"), *(Row(f"row-{n}") for n in range(20, 50))],
}
"""Rows that two files have, and texts in sentences."""
GIVEN: Content = (Row("both", "both"), Prose(("Rain.", "Sun.", "Wind."), "cut"))
"""What is given by hand too."""
CHANGED: dict[str, Content] = {
    "notes.md": [Prose(tuple(f"Sentence-{n}." for n in range(10, 45)))],
    "more.txt": [Row("row-49"), Row("row-99")],
}
WORDS = ("rain", "bare-7 again", "again", '"wind sun" -fog', "3 17 199", "row-25 both", "sentence-7 rain")
REPAIRED = " after repair"
Answers = dict[str, Any]
Floats = npt.NDArray[np.float32]


# --- the index that is damaged


def encoder() -> ToyEncoder:
    return ToyEncoder(dimension=DIMENSION)


def unit(vectors: npt.NDArray[np.float64]) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def vectors_of(seed: int, rows: int) -> Floats:
    """Unit vectors around forty centres that are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(40, DIMENSION))
    random_ = np.random.default_rng(seed)
    return unit(centres[random_.integers(0, 40, rows)] + 0.4 * random_.normal(size=(rows, DIMENSION)))


def make(folder: Path, rows: int, seed: int, with_codes: bool, log_in: Path | None = None) -> None:
    """Makes an index of ``rows`` rows and of sources, some dead; and a copy with the last two commits in SQLite's log.

    Most words are in two segments, and the newest in none. Some records have no vector, and others have lost theirs.
    """
    upkeep.ROWS_FOR_CODES = 100 if with_codes else 10**9
    upkeep.TAIL = 64
    upkeep.LEXICAL_TAIL = 200
    upkeep._DEAD = 10**9
    words = random.Random(seed)
    weather = ("rain", "sun", "wind", "snow", "fog")
    texts = [" ".join(words.choices(weather, k=words.randint(3, 60))) for _ in range(rows)]
    keys = [f"key-{n:05}" for n in range(rows)]
    metadata = [{"lang": ("de", "en", "fr")[n % 3], "n": n, "tags": ["a", "b"][: n % 3]} for n in range(rows)]
    vectors = vectors_of(seed, rows)
    with vecindex.open(folder) as index:
        half = rows // 2
        index.add(texts[:half], keys=keys[:half], metadata=metadata[:half], vectors=vectors[:half], space=SPACE)
        index.add(BARE, keys=BARE, metadata=metadata[: len(BARE)], encode=False)
        index.add(texts[half:], keys=keys[half:], metadata=metadata[half:], vectors=vectors[half:], space=SPACE)
        index.index_field("lang")
    with vecindex.open(folder, model=encoder()) as index:
        index.delete(keys[5 : rows // 4 : 10])
        some = slice(rows // 2, rows // 2 + rows // 30)
        others = [None if n % 4 == 0 else vector for n, vector in enumerate(vectors_of(seed + 1, rows // 30))]
        index.add([f"{text}, again" for text in texts[some]], keys=keys[some], vectors=others, space=SPACE)
        index.add(ENCODED, keys=[f"encoded-{text}" for text in ENCODED])
        sourced.read(index, SOURCES)
        sourced.read(index, SOURCES, given=GIVEN)
        index.delete(["encoded-3", BARE[3]])
        if log_in:
            shutil.copytree(folder, log_in)


# --- what it answers


def ask(answers: Answers, name: str, question: Callable[[], Any]) -> None:
    """Records the answer, or what was raised."""
    try:
        answers[name] = question()
    except RecordNotFound as error:
        answers[name] = f"no {error.key}"
    except VecindexError as error:
        answers[name] = {"error": type(error).__name__, "what": error.message}
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        answers[name] = {"unmapped": f"{error!r:.300} at {where.filename}:{where.lineno}"}


def read(answers: Answers, folder: Path, readonly: bool, suffix: str = "") -> None:
    queries = vectors_of(7, 4)
    with vecindex.open(folder, readonly=readonly, create=False, lock_timeout=0, model=encoder()) as index:
        for number, query in enumerate(queries):
            ask(answers, f"search {number}{suffix}", lambda query=query: hits(index.search(query, k=10)))  # type: ignore[misc]
        for where in ("lang = 'de'", "n < 700", "lang = 'fr' and n >= 1500", "lang in ('en', 'fr')"):
            for query, k in ((queries[0], 10), (queries[1], ROWS)):  # all rows, so that a missing or wrong one shows
                name = f"search {k} where {where}{suffix}"
                ask(answers, name, lambda q=query, k=k, w=where: hits(index.search(q, k=k, where=w)))  # type: ignore[misc]
        ask(answers, f"similar{suffix}", lambda: hits(index.similar("key-00100", k=5)))
        for key in ("key-00000", "key-00005", "key-00123", "key-01510", "key-02999", *BARE[2:4], "none"):
            ask(answers, f"get {key}{suffix}", lambda key=key: record(index, key))  # type: ignore[misc]
        ask(answers, f"info{suffix}", lambda: glance(index))
        ask(answers, f"without vector{suffix}", lambda: [each.key for each in index.list() if not each.has_vector])
        for words in WORDS:
            # Encoding again moves records behind others with the same score.
            ask(answers, f"words {words}{suffix}", lambda w=words: sorted(worded(index, w, ALL, "lexical")))  # type: ignore[misc]
        ask(answers, f"words and vectors{suffix}", lambda: worded(index, "rain 17 sentence-7", 10, "hybrid"))
        if not suffix:  # a repair forgets damaged sources, until they are read again
            for words in WORDS:
                ask(answers, f"best {words}", lambda w=words: worded(index, w, 7, "lexical"))  # type: ignore[misc]
            ask(answers, "sources", lambda: [str(state) for state in index._source_states()])
            ask(answers, "places", lambda: places(index))
            for name in SOURCES:
                ask(answers, f"from {name}", lambda n=name: hits(index.search(queries[2], ALL, f"source = '{n}'")))  # type: ignore[misc]


def hits(found: list[vecindex.Hit]) -> Any:
    return [(hit.key, repr(hit.score), hit.text, hit.metadata) for hit in found]


def worded(index: vecindex.Index, words: str, k: int, mode: Mode) -> Any:
    return [(hit.key, hit.text, repr(hit.score), repr(hit.scores)) for hit in index.search(words, k, mode=mode)]


def places(index: vecindex.Index) -> list[str]:
    return sorted(map(str, where_from(index).items()))


def record(index: vecindex.Index, key: str) -> Any:
    found = index.get(key)
    assert found.has_vector == (found.vector is not None)
    return found.text, found.metadata, None if found.vector is None else found.vector.tobytes().hex()


def glance(index: vecindex.Index) -> Any:
    found = index.info()
    return (
        len(index),
        found.records,
        found.dead_rows,
        found.truncated,
        found.without_vector,
        found.dimension,
        found.indexed_fields,
    )


def faults(report: vecindex.VerifyReport) -> list[str]:
    """The damaged files and how to repair them."""
    return sorted({f"{Path(fault.path).name} ({fault.repair.split(' --index')[0]})" for fault in report.faults})


def act(folder: Path, answers: Answers, repairs: bool) -> None:
    """Reads, verifies, and then either repairs and reads again, or adds."""
    plan.CODED_ROWS = plan.RANK_ROWS = 0
    plan._rank = plan._scan = lambda *_: float("inf")  # codes are used whenever there are any
    plan.plan.cache_clear()
    upkeep._DEAD = 10**9
    upkeep.LEXICAL_TAIL = 200

    def verify() -> Any:
        with vecindex.open(folder, readonly=True, create=False) as index:
            return faults(index.verify())

    def repair() -> Any:
        with vecindex.open(folder, create=False, lock_timeout=0) as index:
            report = index.repair()
            return faults(report), [fault.reason for fault in report.repaired]

    def add() -> Any:
        with vecindex.open(folder, lock_timeout=0, model=encoder()) as index:
            vector = vectors_of(7, 1)
            added = index.add(["new"], keys=["new"], vectors=vector, space=SPACE)
            index.add(ENCODED, keys=[f"again-{text}" for text in ENCODED])  # from the cache, as far as it is sound
            again = [record(index, f"again-{text}") for text in ENCODED]
            return added.added, hits(index.search(vector[0], k=1)), record(index, "new")[:2], again

    def read_again() -> Any:
        with vecindex.open(folder, lock_timeout=0, model=encoder()) as index:
            report = sourced.read(index, CHANGED)
            found = [worded(index, words, ALL, "lexical") for words in WORDS]
            return str(report), places(index), found

    def encode() -> Any:
        with vecindex.open(folder, lock_timeout=0, model=encoder()) as index:
            report = index.encode_missing()
            return str(report), [record(index, key) for key in BARE[:3] + BARE[4:]]

    ask(answers, "open readonly", lambda: read(answers, folder, True))
    ask(answers, "verify", verify)
    ask(answers, "open", lambda: read(answers, folder, False))
    if repairs:
        ask(answers, "repair", repair)
        ask(answers, f"open{REPAIRED}", lambda: read(answers, folder, False, REPAIRED))
    else:
        ask(answers, "add", add)
        ask(answers, "read again", read_again)
        ask(answers, "encode", encode)


# --- each in a process of its own


def child(work: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
    """What ``work`` returns in a fork; {"crash": signal or code} or {"hang": seconds} if it returns nothing."""
    read, write = os.pipe()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        os.close(read)
        code = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)  # for warnings about unused codes
            with os.fdopen(write, "w") as out:
                json.dump(work(), out)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    timed_out = False

    def stop(*_: object) -> None:
        nonlocal timed_out
        timed_out = True
        os.kill(process, signal.SIGKILL)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        with os.fdopen(read) as source:
            content = source.read()
        _, status = os.waitpid(process, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if timed_out:
        return {"hang": round(time.monotonic() - started)}
    return json.loads(content) if status == 0 else {"crash": os.waitstatus_to_exitcode(status)}


def asked(folder: Path, repairs: bool = False) -> Any:
    def work() -> Answers:
        answers: Answers = {}
        act(folder, answers, repairs)
        return answers

    return child(work)


@dataclass(frozen=True)
class Base:
    """An index and its answers."""

    name: str
    folder: Path
    answers: Answers


def answers_of_copy(folder: Path, copy: Path) -> Answers:
    shutil.copytree(folder, copy)
    answers: Answers = asked(copy)
    shutil.rmtree(copy)
    broken = {name: a for name, a in answers.items() if isinstance(a, dict)} or answers.get("verify")
    assert not broken, f"the undamaged index does not work: {broken!r:.2000}"
    return answers


def bases(at: Path, rows: int) -> tuple[list[Base], Path]:
    """The indexes to damage (with codes, without, with a log), and one with the same file names and other content."""
    child(lambda: make(at / "codes", rows, 1, True), 600)
    child(lambda: make(at / "plain", rows, 1, False), 600)
    child(lambda: make(at / "closed", rows, 1, False, at / "log"), 600)
    child(lambda: make(at / "other", rows, SEED_OF_ANOTHER, True), 600)
    found = [Base(name, at / name, answers_of_copy(at / name, at / "copy")) for name in ("codes", "plain")]
    coded, plain = ({n: a for n, a in base.answers.items() if n.startswith("search")} for base in found)
    assert coded == plain, "codes find other hits"
    found.append(Base("log", at / "log", answers_of_copy(at / "log", at / "copy")))
    return found, at / "other"


@dataclass(frozen=True)
class Outcome:
    """The result of a damage: ``verdict`` is right, error, wrong, unmapped, crash or hang."""

    number: int
    what: str
    verdict: str
    details: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    seen: bool = True
    """Whether verify found a fault or could not run."""


OF_TEXTS = ("words ", "best ", "sources", "places", "read again")
"""What is answered from the database alone, and so differs if the database is another one."""


def judge(base: Base, number: int, what: str, answers: Any) -> Outcome:
    for end in ("crash", "hang"):
        if end in answers:
            return Outcome(number, what, end, (str(answers[end]),))
    raised = {name: a for name, a in answers.items() if isinstance(a, dict)}
    if unmapped := [f"{name}: {a['unmapped']}" for name, a in raised.items() if "unmapped" in a]:
        return Outcome(number, what, "unmapped", tuple(unmapped))
    errors = tuple(sorted({a["error"] for a in raised.values()}))
    left, repaired = answers["repair"] if "repair" in answers.keys() - raised.keys() else (["not repaired"], [])
    given = {name: a for name, a in answers.items() if name not in {"verify", "repair", *raised}}
    if what.startswith("other") and what.endswith(".db"):
        given = {name: a for name, a in given.items() if not name.startswith(OF_TEXTS)}
    if any("neither is its key" in reason for reason in repaired):
        given = {name: a for name, a in given.items() if not name.endswith(REPAIRED)}
    if all(a == base.answers.get(name.removesuffix(REPAIRED)) for name, a in given.items()):
        broken = [name for name in raised if name.endswith(REPAIRED) and not left]
        verdict = "wrong" if broken else "error" if raised else "right"
        return Outcome(number, what, verdict, tuple(broken), errors)
    wrong = tuple(n for n, a in given.items() if a != base.answers.get(n.removesuffix(REPAIRED)))
    return Outcome(number, what, "wrong", wrong, errors, bool(answers["verify"]))


def outcomes(
    count: int, seed: int, scratch: Path, only: int | None = None, end: str = "", rows: int = ROWS
) -> Iterator[Outcome]:
    """The outcomes of ``count`` damages; the n-th depends only on the seed, and ``only`` runs a single one."""
    found, other = bases(scratch, rows)
    found = [base for base in found if any(base.folder.glob(f"*{end}"))]
    for number in range(count) if only is None else [only]:
        chance = random.Random(seed * 1_000_003 + number)
        base = chance.choice(found)
        copy = scratch / f"index-{number}"
        shutil.copytree(base.folder, copy)
        kind, file = damage(copy, other, chance, end)
        yield judge(base, number, f"{kind} {base.name}/{file}", asked(copy, repairs=number % 2 == 1))
        shutil.rmtree(copy, ignore_errors=True)
