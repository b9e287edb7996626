"""From async code: calls in threads leave the event loop free, and give what calls one after the other give."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecindex.encoders.run.tokenized import IntArray

from ..support.helpers import opened
from ..support.toy import ToyEncoder


class WaitingEncoder(ToyEncoder):
    """Encodes only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().forward(input_ids, attention_mask)


def test_the_event_loop_goes_on_while_texts_are_added(tmp_path: Path) -> None:
    encoder = WaitingEncoder()

    async def main() -> int:
        ticks = 0
        adding = asyncio.create_task(asyncio.to_thread(index.add, ["one", "two"]))
        while not encoder.begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(20):  # nothing of this would run if the call held the loop
            await asyncio.sleep(0.001)
            ticks += 1
        assert not adding.done()
        assert await asyncio.to_thread(len, index) == 0  # readers are not blocked either
        encoder.go_on.set()
        assert (await adding).added == 2
        return ticks

    with opened(tmp_path / "i", model=encoder) as index:
        assert asyncio.run(main()) == 20
        assert len(index) == 2


def test_many_calls_at_once_give_what_calls_one_by_one_give(tmp_path: Path) -> None:
    texts = [f"word{n} word{n % 7}" for n in range(60)]
    with opened(tmp_path / "i", lock_timeout=30) as index:
        index.add(texts)
        expected = [index.search(text, k=3) for text in texts]

        async def main() -> list[Any]:
            searches = [asyncio.to_thread(index.search, text, k=3) for text in texts]
            adds = [asyncio.to_thread(index.add, [f"zzz{n} qqq{n}"], keys=[str(n)]) for n in range(4)]
            found: list[Any] = await asyncio.gather(*searches, *adds)
            assert sum(report.added for report in found[len(texts) :]) == 4
            return list(found[: len(texts)])

        found = asyncio.run(main())
        assert [[hit for hit in hits if hit.text in texts][:1] for hits in found] == [hits[:1] for hits in expected]
        assert (len(index), index.verify().ok) == (64, True)
