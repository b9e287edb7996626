"""Waits for changes of the files in folders, and calls a function after them.

watchfiles does the watching: it is small, maintained and MIT-licensed, and asks the system for events (inotify,
FSEvents) where that is possible. Only this module imports it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ..errors import SourceError
from .extras import extra_errors

React = Callable[[Sequence[str]], bool]
_QUIET_MS = 200
"""An event is passed on when no other has come for this long,"""
_LONGEST_MS = 2000
"""or after this long."""
_LOOK_MS = 200
"""How often to look whether the folders themselves are still the same."""
_AGAIN_S = 5.0
"""When to call a function again that could not do its work."""
_PAUSE_S = 1.0

_Identity = tuple[int, int]


def watch(folders: Sequence[str], react: React, ignored: Callable[[str], bool]) -> NoReturn:
    """Calls ``react`` at once, and after each change in the folders, until it or a signal handler raises.

    Changes that come together, or while ``react`` is running, lead to one more call. So a call stands for any number of
    changes, and ``react`` finds out itself what they are; it gets the folders that are there. One that vanishes is
    watched again when it comes back. ``react`` returns whether it did its work; if not, it is called again soon.

    ``folders`` are absolute paths without links, and so are the paths of changed files for which ``ignored`` is asked.

    Raises:
        SourceError: a folder cannot be watched.
        MissingExtra.
    """
    watching = _Watching(folders, ignored)
    thread = threading.Thread(target=watching.run, name="vecindex-watch", daemon=True)
    thread.start()
    done = True
    try:
        while True:
            # The main thread only waits, as watchfiles would replace what a signal handler raises.
            watching.changed.wait(None if done else _AGAIN_S)
            watching.changed.clear()
            if watching.failure is not None:
                raise watching.failure
            done = react(list(_present(folders)))
    finally:
        watching.stop.set()
        thread.join()


class _Watching:
    """What the watching thread and the waiting one share: ``changed`` asks for a call, or to look at ``failure``."""

    def __init__(self, folders: Sequence[str], ignored: Callable[[str], bool]) -> None:
        self.changed = threading.Event()
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self._folders = folders
        self._ignored = ignored

    def run(self) -> None:
        try:
            watched = _present(self._folders)
            while not self.stop.is_set():
                self._watch(watched)
                # A folder may be seen to have vanished before its event comes, for which nobody waits any more.
                before, watched = watched, _present(self._folders)
                if watched != before:
                    self.changed.set()
        except BaseException as error:
            self.failure = error
            self.changed.set()

    def _watch(self, present: Mapping[str, _Identity]) -> None:
        """Watches until one of the folders vanishes, comes or is replaced, which the system does not tell reliably."""
        if not present:
            self.stop.wait(_PAUSE_S)
            return
        with extra_errors("watching folders", "watch"):
            import watchfiles

        armed = False
        try:
            for batch in watchfiles.watch(
                *present,
                watch_filter=None,
                debounce=_LONGEST_MS,
                step=_QUIET_MS,
                stop_event=self.stop,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
            ):
                # What happened before the system was asked for events is found by a call, too.
                if not armed or not all(self._ignored(path) for _, path in batch):
                    self.changed.set()
                armed = True
                was_removed = any(path in present for kind, path in batch if kind is watchfiles.Change.deleted)
                if was_removed or _present(self._folders) != present:
                    return
        except FileNotFoundError:
            self.stop.wait(_PAUSE_S)
        except OSError as error:
            raise _unwatchable(present, error) from error
        except RuntimeError as error:
            if "creating" in str(error):
                raise _unwatchable(present, error) from error
            # An event could not be passed on, such as of a name that is not UTF-8; only a new watcher goes on after it.
            self.changed.set()
            self.stop.wait(_PAUSE_S)


def _present(folders: Sequence[str]) -> dict[str, _Identity]:
    """The folders that are there, and which ones they are."""
    found = {}
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError:
            continue
        found[folder] = (status.st_dev, status.st_ino)
    return found


def _unwatchable(folders: Mapping[str, _Identity], error: Exception) -> SourceError:
    said = str(error)
    advice = "Check that you may read all folders in it, or set WATCHFILES_FORCE_POLLING=true."
    if "limit reached" in said or "Too many open files" in said:
        limit = "instances" if "Too many" in said else "watches"
        advice = f"Raise the limit with sysctl fs.inotify.max_user_{limit}=N, or set WATCHFILES_FORCE_POLLING=true."
    return SourceError(", ".join(folders), None, f"cannot be watched: {said}", advice)
