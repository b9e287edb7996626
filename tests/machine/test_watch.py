"""Watching folders: a call after each change, however files and folders come and go."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue

import pytest

from vecindex.errors import MissingExtra, SourceError
from vecindex.machine import watch as module
from vecindex.machine.watch import watch

SECONDS = 30


class Stop(Exception):
    """Ends the watching."""


class Watched:
    """Folders that are watched in a thread; `calls` has the folders that each call was given."""

    def __init__(self, *folders: Path, done: Callable[[], bool] = lambda: True) -> None:
        self.folders = [str(folder) for folder in folders]
        self.calls: Queue[list[str]] = Queue()
        self.raised: BaseException | None = None
        self._done = done
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            watch(self.folders, self._react, lambda path: "/left-out" in path)
        except BaseException as error:
            self.raised = error

    def _react(self, present: Sequence[str]) -> bool:
        if self._stopping:
            raise Stop
        self.calls.put(list(present))
        return self._done()

    def called(self, *folders: Path) -> None:
        """Waits for a call, the last one of those that come together, which was given these folders."""
        wanted = [str(folder) for folder in folders]
        found = self.calls.get(timeout=SECONDS)
        while True:
            try:
                # One change may lead to several calls, between which a busy machine takes its time.
                found = self.calls.get(timeout=0.5 if found == wanted else SECONDS)
            except Empty:
                assert found == wanted
                return

    def stop(self) -> BaseException | None:
        self._stopping = True
        folder = Path(self.folders[0])
        folder.mkdir(exist_ok=True)
        (folder / "the end").touch()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        return self.raised


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUIET_MS", 50)
    monkeypatch.setattr(module, "_LOOK_MS", 50)
    monkeypatch.setattr(module, "_PAUSE_S", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "docs"
    made.mkdir()
    return made


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    """A folder that is watched, after the first call."""
    made = Watched(folder)
    try:
        made.called(folder)
        yield made
    finally:
        raised = made.stop()
    assert isinstance(raised, Stop)


def test_a_call_follows_each_kind_of_change(watched: Watched, folder: Path) -> None:
    (folder / "a.txt").write_text("one")
    watched.called(folder)
    (folder / "a.txt").write_text("two")
    watched.called(folder)
    (folder / ".a.txt.swp").write_text("three")  # as editors save
    (folder / ".a.txt.swp").replace(folder / "a.txt")
    watched.called(folder)
    (folder / "a.txt").write_text("four")
    watched.called(folder)
    (folder / "a.txt").unlink()
    watched.called(folder)


def test_folders_within_may_come_go_and_come_back(watched: Watched, folder: Path) -> None:
    for content in ("one", "two"):
        (folder / "deep" / "er").mkdir(parents=True)
        watched.called(folder)
        (folder / "deep" / "er" / "a.txt").write_text(content)
        watched.called(folder)
        shutil.rmtree(folder / "deep")
        watched.called(folder)


def test_the_folder_itself_may_vanish_and_come_back(watched: Watched, folder: Path) -> None:
    shutil.rmtree(folder)
    watched.called()
    folder.mkdir()
    watched.called(folder)
    (folder / "a.txt").write_text("one")
    watched.called(folder)


def test_a_folder_that_is_gone_before_its_event_comes_leads_to_a_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal = threading.Event()

    def without_events(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        yield set()
        assert removal.wait(SECONDS)
        shutil.rmtree(folder)
        yield set()

    with monkeypatch.context() as patched:
        patched.setattr("watchfiles.watch", without_events)
        watched = Watched(folder)
        watched.called(folder)
        removal.set()
        watched.called()
    assert isinstance(watched.stop(), Stop)


def test_a_folder_that_vanishes_before_it_is_watched_leads_to_a_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: object, **__: object) -> None:
        shutil.rmtree(folder)
        raise FileNotFoundError

    with monkeypatch.context() as patched:
        patched.setattr("watchfiles.watch", too_late)
        watched = Watched(folder)
        watched.called()
    assert isinstance(watched.stop(), Stop)


def test_the_folder_itself_may_be_replaced_at_once(watched: Watched, folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()  # often with the same number as before
    watched.called(folder)
    (folder / "a.txt").write_text("one")
    watched.called(folder)
    other = folder.with_name("other")
    other.mkdir()
    folder.rename(folder.with_name("old"))
    other.rename(folder)
    watched.called(folder)
    (folder / "b.txt").write_text("two")
    watched.called(folder)


def test_what_is_ignored_leads_to_no_call(watched: Watched, folder: Path) -> None:
    (folder / "left-out").mkdir()
    (folder / "left-out" / "a.txt").write_text("one")
    with pytest.raises(Empty):
        watched.calls.get(timeout=1)
    (folder / "a.txt").write_text("one")
    watched.called(folder)


def test_many_changes_lead_to_few_calls_and_the_last_change_to_one(watched: Watched, folder: Path) -> None:
    for number in range(3_000):
        (folder / f"{number}.txt").write_text("one")
    watched.called(folder)
    (folder / "last.txt").write_text("one")
    watched.called(folder)
    assert watched.calls.empty()


def test_a_name_that_is_not_unicode_does_not_end_the_watching(watched: Watched, folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("one")
    watched.called(folder)
    (folder / "a.txt").write_text("one")
    watched.called(folder)


def test_one_of_several_folders_may_be_gone(folder: Path) -> None:
    other = folder.with_name("other")
    watched = Watched(folder, other)
    try:
        watched.called(folder)
        other.mkdir()
        watched.called(folder, other)
        (other / "a.txt").write_text("one")
        watched.called(folder, other)
        shutil.rmtree(other)
        watched.called(folder)
    finally:
        assert isinstance(watched.stop(), Stop)


def test_a_call_that_could_not_do_its_work_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.1)
    outcomes = [True, False, False]
    watched = Watched(folder, done=lambda: outcomes.pop())
    try:
        for _ in range(3):
            watched.calls.get(timeout=SECONDS)
        with pytest.raises(Empty):
            watched.calls.get(timeout=0.5)
        outcomes.append(True)
    finally:
        assert isinstance(watched.stop(), Stop)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (OSError("OS file watch limit reached. about [...]"), "max_user_watches"),
        (RuntimeError("Error creating recommended watcher: Too many open files (os error 24)"), "max_user_instances"),
        (PermissionError(13, "Permission denied"), "may read all folders"),
    ],
)
def test_a_folder_that_cannot_be_watched_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception, advice: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr("watchfiles.watch", refuse)
    with pytest.raises(SourceError, match="docs: cannot be watched") as raised:
        watch([str(folder)], lambda _: True, lambda _: False)
    assert advice in str(raised.value)


def test_a_missing_library_is_an_error_that_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vecindex\[watch\]'"):
        watch([str(folder)], lambda _: True, lambda _: False)
