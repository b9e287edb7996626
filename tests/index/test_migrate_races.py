"""Another model for an index, while others search, write and migrate, and while it is interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecindex
from vecindex import Index, IndexLocked
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.tokenized import IntArray
from vecindex.index.adding import encode_ahead
from vecindex.store.disk.lock import WriterLock
from vecindex.store.side_indexes import next_path
from vecindex.store.sql.reads import Catalog
from vecindex.store.sql.writes import Tables
from vecindex.store.writer import Writer
from vecindex.values.space import Space

from ..support.children import child
from ..support.migrating import TEXTS, Other, contents, fresh
from ..support.toy import ToyEncoder


class Twin(ToyEncoder):
    """Another space of as many dimensions: nothing but the fingerprint tells its vectors from the others."""

    def __init__(self) -> None:
        super().__init__(model="twin", weights="x" * 64)

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> Any:
        return super().forward(input_ids, attention_mask)[:, :, ::-1] ** 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    with vecindex.open(path, model=ToyEncoder()) as index:
        index.add(TEXTS)
    return path


class Interrupting(ToyEncoder):
    """Does something once, when it has encoded; what it encoded is used after that."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then: Callable[[], object] | None = then

    def encode_all(self, *arguments: Any, **more: Any) -> Any:
        found = super().encode_all(*arguments, **more)
        if self._then is not None:
            then, self._then = self._then, None
            then()
        return found


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoder]:
    """What an index without a named model finds, by name."""
    found: dict[str, Encoder] = {"toy": ToyEncoder(), "twin": Twin()}

    def load(space: Space, *_: Any, **__: Any) -> Encoder:
        return found[space.model]

    monkeypatch.setattr("vecindex.index.model.load_for_space", load)
    return found


def migrate(folder: Path, encoder: Encoder) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.migrate(encoder)


# --- others, meanwhile


def test_a_query_of_the_old_space_is_never_scored_in_the_new_one(folder: Path, models: dict[str, Encoder]) -> None:
    models["toy"] = Interrupting(lambda: migrate(folder, Twin()))
    with vecindex.open(folder) as reader:
        assert reader.search("red sun")[0].score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("text", ["a new text", "red sun"])
def test_texts_encoded_before_the_switch_are_encoded_again(
    folder: Path, tmp_path: Path, models: dict[str, Encoder], text: str
) -> None:
    models["toy"] = Interrupting(lambda: migrate(folder, Twin()))
    with vecindex.open(folder) as index:
        assert index.add(["before", text], keys=["k", "l"]).added == 2  # "red sun" was encoded earlier, and is cached
        with vecindex.open(tmp_path / "fresh", model=Twin()) as other:
            other.add([*TEXTS, "before", text], keys=index.keys())
            for (text, metadata, vector), (*known, expected) in zip(contents(index), contents(other), strict=True):
                assert [text, metadata] == known
                # Encoded with other texts, the last digit may be another.
                np.testing.assert_allclose(np.frombuffer(vector, "<f4"), np.frombuffer(expected, "<f4"), atol=1e-6)
        assert index.verify().ok


def test_texts_on_their_way_at_the_switch_are_encoded_again_though_the_next_are_read_after_it(
    folder: Path, models: dict[str, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_ahead, "RECORDS_A_READ", 2)
    real, switched = Writer.add, threading.Event()

    def late(self: Writer, *arguments: Any, **named: Any) -> Any:
        if threading.current_thread().name.startswith("vecindex-commit"):
            assert switched.wait(30)
        return real(self, *arguments, **named)

    def texts() -> Iterator[str]:
        yield from ("one", "two")  # encoded, and on their way
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "add", real)
            migrate(folder, Twin())
        yield from ("three", "four")

    class Telling(Twin):
        def encode_all(self, *arguments: Any, **more: Any) -> Any:
            switched.set()  # so the window behind them was read before they are refused
            return super().encode_all(*arguments, **more)

    models["twin"] = Telling()
    monkeypatch.setattr(Writer, "add", late)
    with vecindex.open(folder) as index:
        assert index.add(texts()).added == 4
        for text in ("one", "two", "three", "four"):
            assert index.search(text, k=1)[0].score == pytest.approx(1, abs=1e-6)
        assert index.verify().ok


def test_an_add_goes_on_with_the_model_that_its_own_index_has_migrated_to(folder: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:

        def texts() -> Iterator[str]:
            yield "one"
            index.migrate(Twin())
            yield "two"

        assert index.add(texts()).added == 2
        for text in ("one", "two"):
            assert index.search(text, k=1)[0].score == pytest.approx(1, abs=1e-6)
        assert index.verify().ok


def test_a_cached_vector_of_the_old_space_never_goes_into_the_new_one(
    folder: Path, tmp_path: Path, models: dict[str, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    with vecindex.open(folder) as index:
        space_of, asked = index._space, list[int]()

        def switched() -> Space | None:
            if not asked:  # the cache has been asked, the encoder not yet
                asked.append(1)
                migrate(folder, Twin())
            return space_of()

        monkeypatch.setattr("vecindex.index.adding.encode_ahead.reconcile", _after(monkeypatch, index, switched))
        index.add(["red sun", "unheard of"], keys=["k", "l"])
        with vecindex.open(tmp_path / "fresh", model=Twin()) as other:
            other.add(["red sun"])
            expected = other.get(other.keys()[0]).vector
        found = index.get("k").vector
        assert expected is not None
        assert found is not None
        assert np.dot(found, expected) == pytest.approx(1, abs=1e-6)


def _after(monkeypatch: pytest.MonkeyPatch, index: Any, space: Callable[[], Space | None]) -> Any:
    from vecindex.store.changes.reconcile import reconcile

    def found(*arguments: Any) -> Any:
        monkeypatch.setattr(index, "_space", space)
        return reconcile(*arguments)

    return found


def test_what_was_added_meanwhile_is_encoded_before_the_lock_is_taken(folder: Path) -> None:
    class Busy(Other):
        """Others add much while this encodes; how many texts it is given while they are locked out is noted."""

        def __init__(self) -> None:
            super().__init__()
            self.left = [400, 60]
            self.while_locked: list[int] = []

        def encode_all(self, texts: Any, *arguments: Any, **more: Any) -> Any:
            try:
                with WriterLock(folder, 0):
                    pass
            except IndexLocked:
                self.while_locked.append(len(texts))
            if self.left:  # 400 that come in the first round are too many to wait for, 60 in the second are not
                many = self.left.pop(0)
                with vecindex.open(folder, model=ToyEncoder()) as index:
                    index.add([f"meanwhile {many} {n}" for n in range(many)])
            return super().encode_all(texts, *arguments, **more)

    with vecindex.open(folder, model=ToyEncoder()) as index:
        busy = Busy()
        assert index.migrate(busy).records == len(TEXTS) + 460
        assert busy.while_locked == [60]
        assert index.verify().ok


@pytest.mark.parametrize("compacted", [False, True])
def test_while_the_lock_is_held_only_what_changed_is_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    compare, missing, looked_at = (
        vecindex.index.change_model.compare,
        vecindex.index.change_model._Filling._missing,
        list[list[str]](),
    )

    def meanwhile(*arguments: Any) -> Any:
        found = compare(*arguments)
        with vecindex.open(folder, model=ToyEncoder()) as index:
            keys = index.keys()
            index.delete(keys[:3])
            index.add(["red cat", "another text", "a new one"], keys=[keys[0], keys[5], "new"])
            index.add([index.get(keys[6]).text], keys=[keys[6]], metadata=[{"n": 1}])
            if compacted:
                index.compact()
        looked_at.clear()
        return found

    def noted(self: Any, keys: Any) -> Any:
        looked_at.append(list(keys))
        return missing(self, keys)

    monkeypatch.setattr("vecindex.index.change_model.compare", meanwhile)
    monkeypatch.setattr("vecindex.index.change_model._Filling._missing", noted)
    with vecindex.open(folder, model=ToyEncoder()) as index:
        before = index.keys()
        index.migrate(Other())
        wanted = [*before[3:5], *before[6:], before[0], before[5], "new"]
        assert index.keys() == wanted
        assert looked_at == [wanted if compacted else wanted[-3:]]
        with vecindex.open(folder.with_name("fresh"), model=Other()) as other:
            other.add([index.get(key).text for key in wanted], keys=wanted)
            for key in wanted:
                (found, expected) = (index.get(key).vector, other.get(key).vector)
                assert found is not None
                assert expected is not None
                np.testing.assert_allclose(found, expected, atol=1e-6)
        assert index.verify().ok


def test_one_migration_at_a_time_and_none_is_dropped_while_it_is_at_work(folder: Path) -> None:
    refused: list[str] = []

    class Disturbed(Other):
        def encode_all(self, *arguments: Any, **more: Any) -> Any:
            changes: tuple[Callable[[Index], object], ...] = (lambda i: i.migrate(Twin()), lambda i: i.drop_old())
            for change in changes:
                with vecindex.open(folder, model=ToyEncoder(), lock_timeout=0) as index:
                    try:
                        change(index)
                    except IndexLocked as error:
                        refused.append(error.message)
            return super().encode_all(*arguments, **more)

    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.migrate(Disturbed())
        assert len(refused) == 2
        assert all("migrat" in message for message in refused)
        assert index.info().dimension == 24


# --- cut off


def test_an_interrupt_right_after_the_commit_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = Catalog.changing

    @contextlib.contextmanager
    def interrupted(self: Catalog) -> Iterator[Tables]:
        with changing(self) as tables:
            yield tables
        if self.folder == folder:
            raise KeyboardInterrupt

    with vecindex.open(folder, model=ToyEncoder()) as index, monkeypatch.context() as patch:
        patch.setattr(Catalog, "changing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.migrate(Other())
    with vecindex.open(folder, model=Other()) as index:
        assert index.verify().ok
        assert index.search("red sun")[0].text == "red sun"


def test_a_failed_switch_leaves_nothing_of_the_index_in_a_second_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory whose vector file is the index's own, under another name, could be written to."""

    def refuse(*_: Any, **__: Any) -> None:
        raise vecindex.StorageError("vectors", "no space left on device")

    with vecindex.open(folder, model=ToyEncoder()) as index:
        with monkeypatch.context() as patch:
            patch.setattr("vecindex.store.sql.writes.Tables.set_lost", refuse)
            with pytest.raises(vecindex.StorageError):
                index.migrate(Other())
        index.add(["the next change"])
        assert [path.name for path in folder.iterdir() if path.name.startswith(("kept-", ".creating-"))] == []
        assert (folder / "vectors-1.f32").stat().st_nlink == 1


KILLED = """
import os, signal, sys
import vecindex.index.change_model
from tests.support.migrating import Other
anew = sys.argv[4:] == ["anew"]
from vecindex.store import backup, switch
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
target = {"backup": backup, "switch": switch, "migrate": sys.modules["vecindex.index.change_model"]}[sys.argv[2]]
setattr(target, sys.argv[3], kill)
with vecindex.open(sys.argv[1], model=ToyEncoder()) as index:
    index.migrate(ToyEncoder() if anew else Other(), anew=anew)
"""


@pytest.mark.parametrize(("where", "function"), [("backup", "_copy_derived"), ("switch", "publish")])
def test_what_a_killed_switch_left_is_removed_by_the_next_change(folder: Path, where: str, function: str) -> None:
    process = child(KILLED, folder, where, function)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.add(["the next change"])
        left = {path.name for path in folder.iterdir()} - {"vecindex.db-wal", "vecindex.db-shm"}
        next_ = next_path(folder, Other().space).name
        assert left - {"migrate.lock"} == {".gitignore", "vecindex.db", "vectors-1.f32", "writer.lock", next_}
        assert index.migrate(Other()).encoded == 1


@pytest.mark.parametrize(("where", "function"), [("backup", "_copy_derived"), ("switch", "publish")])
def test_of_a_killed_switch_to_the_same_model_only_what_it_encoded_is_left(
    folder: Path, where: str, function: str
) -> None:
    process = child(KILLED, folder, where, function, "anew")
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    with vecindex.open(folder, model=ToyEncoder()) as index:
        assert [line.split(":")[0] for line in index.info().beside] == ["an unfinished migration"]
        index.add(["the next change"])
        left = {path.name for path in folder.iterdir()} - {"vecindex.db-wal", "vecindex.db-shm"}
        anew = next_path(folder, ToyEncoder().space, anew=True).name
        assert left - {"migrate.lock"} == {".gitignore", "vecindex.db", "vectors-1.f32", "writer.lock", anew}
        assert (folder / "vectors-1.f32").stat().st_nlink == 1
        assert index.migrate(anew=True).encoded == 1


@pytest.mark.parametrize("gone", ["vecindex.db", "vectors-1.f32"])
def test_a_side_index_that_was_half_removed_stands_in_nobodys_way(folder: Path, tmp_path: Path, gone: str) -> None:
    process = child(KILLED, folder, "migrate", "remove_side")
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL  # after the switch
    half = next_path(folder, Other().space)
    assert half.is_dir()
    for path in half.glob(f"{gone}*"):
        path.unlink()
    with vecindex.open(folder, model=Other()) as index:
        index.migrate(ToyEncoder())
        index.migrate(Other())
        assert contents(index) == fresh(tmp_path / "fresh", [(text, {}) for text in TEXTS])
