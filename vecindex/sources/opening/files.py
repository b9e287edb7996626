"""Opens files, pipes and standard input, and copies what can be read only once."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, cast

from ...errors import Advice, SourceError
from .chunks import CHUNK, Chunks

STDIN = "-"
_IN_MEMORY = 16 * 2**20


def is_url(path: str) -> bool:
    """Whether this names something on a server."""
    return path[:8].lower().startswith(("http://", "https://"))


def is_regular(path: str) -> bool:
    """Whether this is a file that can be read twice; a pipe is not. Raises SourceError for what is no file at all."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise unreadable(path, None, error) from None
    except (OSError, ValueError) as error:
        if _is_link(path):
            reason = "is a link to a file that does not exist, or to itself"
            raise SourceError(path, None, reason, "Mend the link, or leave it out.") from error
        # Any other failure (a name too long, a NUL in it) means that there is no such file. Most often it is a sentence
        # in the place of a path.
        raise SourceError(
            path,
            None,
            "no such file",
            Advice(
                "Check the path; add a sentence itself with index.add([...]).",
                typed=f"To add this as a sentence: vecindex add --text {_quoted(path)}",
            ),
        ) from None
    if stat.S_ISDIR(mode):
        raise _is_directory(path)
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and not _has_end(path)):
        what = "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise SourceError(path, None, f"is {what}, which has no end", "Name a file, or pipe what is to be read.")
    return stat.S_ISREG(mode)


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """The bytes of the file or pipe at ``path``."""
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise unreadable(path, None, error) from error
        yield stream


def copied(stream: IO[bytes], name: str) -> IO[bytes]:
    """A copy of what is in ``stream``: in memory if it is small, else in a temporary file that has no name."""
    with ExitStack() as on_failure:
        copy = on_failure.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
        try:
            shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise unreadable(name, None, error) from error
        copy.seek(0)
        on_failure.pop_all()
    return cast(IO[bytes], copy)


@contextmanager
def standard_input(name: str) -> Iterator[IO[bytes]]:
    stream = getattr(sys.stdin, "buffer", None)  # sys.stdin is None where the parent process closed it
    if stream is None:
        raise SourceError(name, None, "is closed", "Pipe sentences in, or name a file.")
    yield stream


def unreadable(name: str, line: int | None, error: OSError) -> SourceError:
    """The SourceError for a read that the operating system refused."""
    return SourceError(
        name, line, f"cannot be read: {error.strerror or error}", "Check that it exists and that you may read it."
    )


class AsOpened(Chunks):
    """The bytes that a file had when it was opened: what is written to its end meanwhile is not read.

    So a log that grows is read to an end. A file that has become shorter is an error.
    """

    def __init__(self, raw: IO[bytes], name: str, size: int) -> None:
        super().__init__()
        self._raw = raw
        self._name = name
        self._left = size

    def _more(self) -> bytes | None:
        if self._left == 0:
            return None
        made = self._raw.read(min(self._left, CHUNK))
        if not made:
            reason = f"became {self._left:,} bytes shorter while it was read"
            raise SourceError(self._name, None, reason, "Add it again when nothing writes to it.")
        self._left -= len(made)
        return made

    def tell(self) -> int:
        return self._raw.tell()


def as_opened(raw: IO[bytes], name: str) -> IO[bytes]:
    """The bytes that the open file ``raw`` has now; see `AsOpened`."""
    found = os.fstat(raw.fileno())
    # Files that the system makes up, as in /proc, have no size.
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        return raw
    return cast(IO[bytes], AsOpened(raw, name, found.st_size))


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def _has_end(path: str) -> bool:
    """Whether a device is the null device, or the terminal that is the standard input."""
    ends = [os.stat(os.devnull).st_rdev]
    with contextlib.suppress(OSError):
        ends.append(os.fstat(0).st_rdev)
    return os.stat(path).st_rdev in ends


def _is_directory(path: str) -> SourceError:
    is_export = os.path.exists(os.path.join(path, "records.jsonl"))
    advice = (
        Advice(
            "To add an export with its vectors: index.import_(path).",
            typed=f"To add an export with its vectors: vecindex import {shlex.quote(path)}",
        )
        if is_export
        else Advice("Name the files in it.", typed=f"Name the files in it: vecindex add {_inside(path)}*.txt")
    )
    return SourceError(path, None, "is a directory", advice)


def _inside(folder: str) -> str:
    return shlex.quote(folder if folder.endswith("/") else f"{folder}/")


def _quoted(words: str, longest: int = 60) -> str:
    words = " ".join(words.split())
    if len(words) > longest:
        words = words[:longest].rstrip() + "..."
    # Double quotes work in every shell, also cmd.exe, unless the words contain special characters.
    return shlex.quote(words) if any(c in '"$`\\!%' for c in words) else f'"{words}"'
