"""A terminal: runs commands on one, and says what is on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|[^\x1b]")


@dataclass
class Screen:
    """What a program has written to a terminal: the lines, the most columns that one had, and if the cursor shows."""

    lines: list[str] = field(default_factory=lambda: [""])
    widest: int = 0
    has_cursor: bool = True
    raw: str = ""
    _column: int = 0

    def write(self, piece: bytes) -> None:
        text = piece.decode()
        self.raw += text
        for token in _TOKEN.findall(text):
            line = self.lines[-1]
            if token == "\r":
                self._column = 0
            elif token == "\n":
                self.lines.append("")
            elif token == "\x1b[K":
                self.lines[-1] = line[: self._column]
            elif token in ("\x1b[?25l", "\x1b[?25h"):
                self.has_cursor = token.endswith("h")
            else:
                self.lines[-1] = line[: self._column].ljust(self._column) + token + line[self._column + 1 :]
                self._column += 1
                self.widest = max(self.widest, self._column)

    @property
    def text(self) -> list[str]:
        """The lines, without blanks at their ends."""
        return [line.rstrip() for line in self.lines]


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """The two sides of a terminal of this width: what is written to the second is read from the first."""
    ours, theirs = pty.openpty()
    resize(theirs, columns)
    try:
        yield ours, theirs
    finally:
        for side in (ours, theirs):
            with contextlib.suppress(OSError):  # it may be closed already
                os.close(side)


def resize(side: int, columns: int) -> None:
    """Gives a terminal another width."""
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_terminal(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    columns: int = 80,
    watch: Callable[[subprocess.Popen[bytes], Screen], None] = lambda process, screen: None,
) -> tuple[int, Screen]:
    """Exit status and screen of a command whose standard error is a terminal; ``watch`` is called as it writes."""
    with terminal(columns) as (ours, theirs):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
        os.close(theirs)
        screen = Screen()
        try:
            while piece := os.read(ours, 4096):
                screen.write(piece)
                watch(process, screen)
        except OSError:  # Linux says so when the other side is closed
            pass
        return process.wait(timeout=600), screen
