"""A binary stream of chunks that are made on demand, from those of another."""

from __future__ import annotations

import io
from abc import abstractmethod

CHUNK = 2**15


class Chunks(io.BufferedIOBase):
    """Reads the chunks that `_more` makes."""

    def __init__(self) -> None:
        super().__init__()
        self._made = b""
        self._at = 0
        self._at_end = False

    @abstractmethod
    def _more(self) -> bytes | None:
        """The next chunk, which may be empty; None at the end."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """All of ``size`` bytes, unless the end comes before; -1 and None read to the end."""
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        while wanted:
            part = self.read1(wanted)
            if not part:
                break
            parts.append(part)
            wanted -= len(part) if wanted > 0 else 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """What there is of the next chunk, at most ``size`` bytes; b"" at the end only."""
        self._fill()
        end = len(self._made) if size < 0 else self._at + size
        part = self._made[self._at : end]
        self._at += len(part)
        return part

    def peek(self, size: int = 0, /) -> bytes:
        """What there is of the next chunk, without reading it; `readline` needs it to be fast."""
        self._fill()
        return self._made[self._at :]

    def _fill(self) -> None:
        """Makes the next chunk if all of the last one was read."""
        while self._at >= len(self._made) and not self._at_end:
            made = self._more()
            self._at_end = made is None
            self._made, self._at = made or b"", 0
