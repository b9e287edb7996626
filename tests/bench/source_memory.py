"""Peak memory and speed of reading one large file of rows, in each format: python tests/bench/source_memory.py --gb 2

Each file is read in a process of its own, without splitting or encoding; with ``--add``, it is added to an index by
``Index.add_files``, with an encoder that makes a vector out of a text's digest. The peak is the process's largest
resident set, with Python and the libraries that the reader needs, and of mapped files what is in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vecindex
from vecindex.sources import Format, read, read_options, source

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.toy import ToyEncoder  # noqa: E402
from vecindex.encoders.run.tokenized import Tokens  # noqa: E402

ROWS_AT_ONCE = 10_000
FIELDS = ("id", "text", "year", "lang")
Row = tuple[int, str, int, str]


def rows(size: int) -> Iterator[Row]:
    """Rows of about ``size`` bytes in all, as text."""
    random.seed(1)
    words = "the of and shark beach index vector sentence house river mountain reads writes quickly under".split()  # noqa: SIM905
    number = done = 0
    while done < size:
        text = " ".join(random.choices(words, k=random.randint(5, 60)))
        yield number, text, 1900 + number % 120, "en"
        done += len(text) + 50
        number += 1


def as_json(row: Row) -> str:
    return json.dumps(dict(zip(FIELDS, row, strict=True)))


def write_jsonl(path: Path, size: int) -> None:
    with path.open("w") as out:
        out.writelines(f"{as_json(row)}\n" for row in rows(size))


def write_gzip(path: Path, size: int) -> None:
    with gzip.open(path, "wt", compresslevel=1) as out:
        out.writelines(f"{as_json(row)}\n" for row in rows(size))


def write_json(path: Path, size: int) -> None:
    with path.open("w") as out:
        out.write('{"items": [')
        out.writelines(f"{',' if row[0] else ''}{as_json(row)}\n" for row in rows(size))
        out.write("]}")


def write_csv(path: Path, size: int) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(FIELDS)
        writer.writerows(rows(size))


def write_parquet(path: Path, size: int) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = (pyarrow.int64(), pyarrow.string(), pyarrow.int64(), pyarrow.string())
    schema = pyarrow.schema(list(zip(FIELDS, kinds, strict=True)))
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        block: list[Row] = []
        for row in rows(size):
            block.append(row)
            if len(block) == 50 * ROWS_AT_ONCE:
                writer.write_table(_table(block, schema))
                block = []
        writer.write_table(_table(block, schema))


def _table(block: list[Row], schema: object) -> object:
    import pyarrow

    columns = zip(*block, strict=True) if block else ((), (), (), ())
    return pyarrow.table(dict(zip(FIELDS, map(list, columns), strict=True)), schema=schema)


def write_sqlite(path: Path, size: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table rows (id integer primary key, text, year, lang)")
        database.executemany("insert into rows values (?, ?, ?, ?)", rows(size))
        database.commit()


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "jsonl.gz": write_gzip,
    "json": write_json,
    "db": write_sqlite,
}


class QuickToy(ToyEncoder):
    """An encoder that takes next to no time: a text is one token, whose vector is drawn by its number."""

    def _tokens(self, words: list[str]) -> Tokens:
        return Tokens([1 + hash(" ".join(words)) % 2**30], 1)

    def forward(self, input_ids: Any, attention_mask: Any) -> npt.NDArray[np.float32]:
        steps = np.arange(1, self.space.dimension + 1)
        return np.cos(np.asarray(input_ids, np.float64)[:, :, None] % 9973 * steps).astype(np.float32)


def measure(path: str, adds: bool) -> None:
    """Reads or adds a file in this process, and prints what it took."""
    begun = time.perf_counter()
    sql = "select * from rows" if path.endswith(".db") else None
    if adds:
        with vecindex.open(Path(path).parent / ".vecindex", model=QuickToy()) as index:
            report = index.add_files([path], key_column="id", sql=sql)
            count = report.added
            assert count == len(index)
    else:
        with source(path, read_options(key_column="id", sql=sql), format=Format.SQLITE if sql else None) as opened:
            count = sum(1 for _ in read(opened))
    seconds = time.perf_counter() - begun
    # Not getrusage, whose peak includes that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    megabytes = Path(path).stat().st_size / 1e6
    print(
        f"{Path(path).name:14}{megabytes:8,.0f} MB{count:14,} rows{peak:8,.0f} MiB peak"
        f"{megabytes / seconds:8,.1f} MB/s{count / seconds:12,.0f} rows/s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2, help="the size of each file's texts")
    parser.add_argument("--formats", nargs="*", default=list(WRITERS), choices=list(WRITERS))
    parser.add_argument("--add", action="store_true", help="add the files, instead of reading them alone")
    parser.add_argument("--path", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.path:
        measure(chosen.path, chosen.add)
        return
    for suffix in chosen.formats:
        with tempfile.TemporaryDirectory(prefix="vecindex-bench-") as folder:
            path = Path(folder, f"rows.{suffix}")
            WRITERS[suffix](path, int(chosen.gb * 1e9))
            command = [sys.executable, __file__, "--path", str(path), *(["--add"] if chosen.add else [])]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
