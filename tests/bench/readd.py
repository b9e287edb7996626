"""How fast are texts added that were encoded before? ``python tests/bench/readd.py [--sentences 100000] [--index DIR]``

The same sentences once more under other keys, then unchanged under the same ones, into an index of the default model.
``--index`` is one that ``add.py --keep`` has filled (a copy of it is added to); without it all are encoded first.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from support.common import sentences, where

import vecindex
from vecindex.encoders.run.encoder import Encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--index", type=Path)
    asked = parser.parse_args()
    texts = sentences(asked.sentences)
    encoder = vecindex.load_encoder()
    print(f"{len(texts):,} Common Voice sentences; {where()}")
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "i"
        if asked.index is not None:
            shutil.copytree(asked.index, path)
        else:
            with vecindex.open(path, model=encoder) as index:
                index.add(texts)
        measure(path, encoder, texts)


def measure(path: Path, encoder: Encoder, texts: list[str]) -> None:
    with vecindex.open(path, model=encoder) as index:
        before = index.info()
        for name in ("other keys", "once more", "unchanged"):
            keys = [f"{'once more' if name == 'unchanged' else name} {n}" for n in range(len(texts))]
            started = time.perf_counter()
            report = index.add(texts, keys=keys)
            seconds = time.perf_counter() - started
            print(f"{name:12}{len(texts) / seconds:>10,.0f} rows/s   {report}")
        started = time.perf_counter()
        sound = index.verify().ok
        print(f"verify {time.perf_counter() - started:.1f} s: {'sound' if sound else 'NOT SOUND'}")
        after = index.info()
        index.compact()  # what else there is to give back
        started = time.perf_counter()
        compacted = index.compact(cache=True)
        print(f"compact --cache {time.perf_counter() - started:.1f} s")
        given = (compacted.bytes_before - compacted.bytes_after) / after.cached_texts
        print(f"the cache: {after.cached_texts:,} texts, {given:.1f} bytes each; said: {before.cache_bytes:,} bytes")


if __name__ == "__main__":
    main()
