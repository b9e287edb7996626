"""Do processes tokenize as this one does, and is none of them ever left behind?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vecindex.encoders.gpu.token_arrays import TokenArrays, texts_from_bytes, texts_to_bytes
from vecindex.encoders.gpu.token_workers import TokenWorkers
from vecindex.encoders.run.text_tokenizer import TextTokenizer
from vecindex.errors import EncodingFailed

from ...support.models.varied_texts import varied_texts


@pytest.fixture(scope="module")
def tokenizer(minilm: Path) -> TextTokenizer:
    return TextTokenizer.from_file(minilm / "tokenizer.json", 32)


def same(one: TokenArrays, other: TokenArrays) -> bool:
    names = ("ids", "lengths", "lost")
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in ((getattr(one, name), getattr(other, name)) for name in names)
    )


def wait_until_ended(processes: list[int]) -> None:
    end = time.monotonic() + 10
    while any(alive(process) for process in processes):
        assert time.monotonic() < end, "a process was left behind"
        time.sleep(0.02)


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and was not yet asked for its exit code does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_arrays_hold_what_the_tokenizer_gives(tokenizer: TextTokenizer) -> None:
    texts = varied_texts()
    arrays = TokenArrays.of(tokenizer, texts)
    for text, tokens, start, length, lost in zip(
        texts, tokenizer.tokenize(texts), arrays.starts, arrays.lengths, arrays.lost, strict=True
    ):
        assert arrays.ids[start : start + length].tolist() == list(tokens.ids), text
        assert lost == tokens.lost, text
    assert same(TokenArrays.joined([TokenArrays.of(tokenizer, part) for part in (texts[:7], [], texts[7:])]), arrays)


@pytest.mark.parametrize("texts", [[], [""], ["", "a\x00b", "é🚆", "", "今日"]])
def test_texts_and_arrays_come_back_from_bytes(tokenizer: TextTokenizer, texts: list[str]) -> None:
    assert texts_from_bytes(texts_to_bytes(texts)) == texts
    arrays = TokenArrays.of(tokenizer, texts)
    assert same(TokenArrays.from_bytes(arrays.to_bytes()), arrays)


@pytest.mark.parametrize("truncation", ["right", "left"])
@pytest.mark.parametrize("special", [True, False])
def test_a_tokenizer_comes_back_from_its_json(minilm: Path, truncation: str, special: bool) -> None:
    first = TextTokenizer.from_file(minilm / "tokenizer.json", 8, truncation, special)  # type: ignore[arg-type]
    again = TextTokenizer.from_json(first.to_json())
    texts = varied_texts()
    assert [(list(t.ids), t.total) for t in again.tokenize(texts)] == [
        (list(t.ids), t.total) for t in first.tokenize(texts)
    ]


# --- processes -------------------------------------------------------------------------------------------------------


def test_processes_tokenize_as_this_one(tokenizer: TextTokenizer) -> None:
    workers = TokenWorkers(tokenizer, 2)
    processes = workers.processes
    windows = [varied_texts(), [], [""], ["x" * 200_000], *[[f"text {i}"] * i for i in range(20)]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(workers.tokenize, windows))
    for texts, arrays in zip(windows, found, strict=True):
        assert same(arrays, TokenArrays.of(tokenizer, texts))
    assert all(map(alive, processes))
    workers.close()
    workers.close()
    wait_until_ended(processes)


def test_processes_end_with_their_owner(tokenizer: TextTokenizer) -> None:
    workers = TokenWorkers(tokenizer, 1)
    processes = workers.processes
    del workers
    wait_until_ended(processes)


def test_a_killed_process_is_an_error_that_says_so(tokenizer: TextTokenizer) -> None:
    workers = TokenWorkers(tokenizer, 1)
    (process,) = workers.processes
    workers.tokenize(["one"])
    os.kill(process, signal.SIGKILL)
    for _ in range(2):  # and again, instead of waiting for ever
        with pytest.raises(EncodingFailed, match=f"process {process}, which tokenized them, was killed by signal 9"):
            workers.tokenize(["two"])
    workers.close()


def test_a_process_that_cannot_start_says_why(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.gpu.token_workers._START", "raise SystemExit('no such module')")
    workers = TokenWorkers(tokenizer, 1)
    with pytest.raises(EncodingFailed, match=r"ended with exit code 1 \(no such module\)"):
        workers.tokenize(["one"])
    workers.close()


def test_what_a_tokenizer_refuses_is_told_and_the_next_texts_are_tokenized(
    tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        "from vecindex.encoders.run import tokens; from vecindex.encoders.gpu import token_workers\n"
        "real = tokens.TextTokenizer.tokenize\n"
        "def tokenize(self, texts):\n    print('noise')\n    if 'bad' in texts: raise ValueError('no such word')\n"
        "    return real(self, texts)\n"
        "tokens.TextTokenizer.tokenize = tokenize; token_workers.serve()"
    )
    monkeypatch.setattr("vecindex.encoders.gpu.token_workers._START", start)
    workers = TokenWorkers(tokenizer, 1)
    with pytest.raises(EncodingFailed, match="the tokenizer failed: ValueError: no such word"):
        workers.tokenize(["bad"])
    assert same(workers.tokenize(["good"]), TokenArrays.of(tokenizer, ["good"]))
    workers.close()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(minilm: Path, ended_by: signal.Signals) -> None:
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from vecindex.encoders.gpu.token_workers import TokenWorkers\n"
        "from vecindex.encoders.run.text_tokenizer import TextTokenizer\n"
        "workers = TokenWorkers(TextTokenizer.from_file(Path(sys.argv[1]), 8), 2)\n"
        "workers.tokenize(['one'])\n"
        "print(json.dumps(workers.processes), flush=True)\n"
        "while True: workers.tokenize(['a text'] * 1000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(minilm / "tokenizer.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    processes = json.loads(process.stdout.readline())
    assert len(processes) == 2
    assert all(map(alive, processes))
    process.send_signal(ended_by)
    process.wait(10)
    process.stdout.close()
    wait_until_ended(processes)
