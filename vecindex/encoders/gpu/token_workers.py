"""How are texts tokenized on many cores: processes that hold the tokenizer, fed through pipes.

Why processes: a seventh of the time in which tokenizers works holds Python's interpreter lock (measured on
all-MiniLM-L6-v2, 20,000 sentences: 48 microseconds each, 7 of them under the lock), which the thread that feeds a GPU
needs as well. Why pipes and not the standard library's pool: a process that it spawns runs the caller's main module
again, which a library must not do to programs that do not expect it.

What can go wrong, and what closes it:

1. This process is killed: its end of the pipes closes, and a worker that reads the end of its input ends.
2. A worker is killed: the next exchange with it, or the one under way, is an `EncodingFailed` that says so.
3. Ctrl-C reaches a terminal's whole process group: workers have a session of their own and do not see it; the thread
   that exchanges texts with one finishes its window, so that no answer is left in a pipe for the next question.
4. `close` is never called: the finalizer does it, when the owner is collected or the interpreter ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO

from ...errors import EncodingFailed
from ..run.text_tokenizer import TextTokenizer
from .token_arrays import TokenArrays, texts_from_bytes, texts_to_bytes

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from vecindex.encoders.gpu.token_workers import serve; serve()"
)
_SIZE_BYTES = 8
_OK, _ERROR = b"\0", b"\1"
_PATIENCE = 5.0  # seconds that a worker is given to end by itself


class TokenWorkers:
    """``count`` processes that tokenize as ``tokenizer`` does; may be used from several threads."""

    def __init__(self, tokenizer: TextTokenizer, count: int) -> None:
        """Starts them, without waiting until they are ready."""
        self.count = count
        self._workers: list[_Worker] = []
        self._close = weakref.finalize(self, _close_all, self._workers)
        definition = tokenizer.to_json().encode()
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        try:
            for _ in range(count):
                self._workers.append(_Worker(definition))
                self._idle.put(self._workers[-1])
        except BaseException:
            self.close()
            raise

    @property
    def processes(self) -> list[int]:
        """Their process ids."""
        return [worker.process.pid for worker in self._workers]

    def tokenize(self, texts: Sequence[str]) -> TokenArrays:
        """The texts' tokens, made by one worker; waits for one to be idle.

        Raises:
            EncodingFailed: the worker has ended, or could not tokenize these texts.
        """
        worker = self._idle.get()
        try:
            return worker.tokenize(texts)
        finally:
            self._idle.put(worker)  # a dead one too: whoever gets it is told, instead of waiting for ever

    def close(self) -> None:
        """Ends them; does nothing the second time."""
        self._close()


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, definition: bytes) -> None:
        self._definition: bytes | None = definition
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # One thread each: there are as many of them as cores.
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise EncodingFailed(f"no process could be started to tokenize them ({error})", _ADVICE) from error

    def _send(self, message: bytes) -> None:
        assert self.process.stdin is not None
        try:
            _write(self.process.stdin, message)
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def tokenize(self, texts: Sequence[str]) -> TokenArrays:
        assert self.process.stdout is not None
        if self._definition is not None:  # when first asked: it is long, and a process takes a moment to read it
            self._send(self._definition)
            self._definition = None
        self._send(texts_to_bytes(texts))
        try:
            answer = _read(self.process.stdout)
        except (OSError, ValueError) as error:
            raise self._ended() from error
        if answer is None:
            raise self._ended()
        if answer[:1] == _ERROR:
            raise EncodingFailed(f"the tokenizer failed: {answer[1:].decode()}", "Find the text by halving the input.")
        return TokenArrays.from_bytes(answer[1:])

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.close()

    def _ended(self) -> EncodingFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        said = ""
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            said = next(reversed(self._errors.read().decode(errors="replace").split("\n")[:-1]), "")
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return EncodingFailed(
            f"process {self.process.pid}, which tokenized them, {how}{f' ({said})' if said else ''}", _ADVICE
        )


_ADVICE = "Try again; if memory is short, give fewer texts at a time."


def _close_all(workers: list[_Worker]) -> None:
    for worker in workers:
        # All are told first, so that they end side by side.
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
    for worker in workers:
        worker.close()


def serve() -> None:
    """The worker's whole life: a tokenizer, then texts in and arrays out until the input ends."""
    # Whatever a library prints must not be taken for an answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    with open(0, "rb") as source, open(answers, "wb") as sink, contextlib.suppress(BrokenPipeError):
        definition = _read(source)
        if definition is None:
            return
        tokenizer = TextTokenizer.from_json(definition.decode())
        while (question := _read(source)) is not None:
            try:
                answer = _OK + TokenArrays.of(tokenizer, texts_from_bytes(question)).to_bytes()
            except Exception as error:  # whatever it is, the asking process is to tell it
                answer = _ERROR + f"{type(error).__name__}: {error}".encode(errors="replace")
            _write(sink, answer)


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_SIZE_BYTES, "little"))
    pipe.write(message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the pipe has ended, in the middle of one too."""
    size = pipe.read(_SIZE_BYTES)
    if len(size) < _SIZE_BYTES:
        return None
    expected = int.from_bytes(size, "little")
    message = pipe.read(expected)
    return message if len(message) == expected else None
