"""Peak memory and speed of reading one large file of rows, in each format: python tests/bench/source_memory.py --gb 2

A row has an id, a text of 100 to 1,100 bytes as a paragraph or an abstract has, a year and a language: 660 bytes on
average as JSON, so 2 GB are three million rows. Each file is as large as asked for, whatever its format. "line.jsonl"
and "cell.csv" have one text of that size between two short rows.

Each file is read in a process of its own, without splitting or encoding; with ``--add``, it is added to an index by
``Index.add_files``, with an encoder that makes a vector out of a text's hash. Python and the libraries that the reader
needs are part of both peaks: that of private memory, looked at every 20 ms, and that of all resident memory, which has
also what is in memory of mapped files, such as 64 bytes a row of this encoder's vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


def rows() -> Iterator[Row]:
    """Rows without end. Texts are pieces of one long text, so that making millions takes little time."""
    draw = random.Random(1)
    words = ["".join(draw.choices(LETTERS, range(26, 0, -1), k=draw.randint(2, 11))) for _ in range(20_000)]
    text = " ".join(draw.choices(words, [1 / (rank + 10) for rank in range(len(words))], k=1_000_000))
    for number in itertools.count():
        start = draw.randrange(len(text) - 2_000)
        yield number, text[start : start + draw.randint(100, 1_100)].strip(), 1900 + number % 120, "en"


def blocks(path: Path, size: int) -> Iterator[list[Row]]:
    """Rows to write, until the file has ``size`` bytes."""
    endless = rows()
    yield list(itertools.islice(endless, ROWS_AT_ONCE))
    while path.stat().st_size < size:
        yield list(itertools.islice(endless, ROWS_AT_ONCE))


def as_json(row: Row) -> str:
    return json.dumps(dict(zip(FIELDS, row, strict=True)))


def write_jsonl(path: Path, size: int) -> None:
    with path.open("w") as out:
        for block in blocks(path, size):
            out.writelines(f"{as_json(row)}\n" for row in block)


def write_gzip(path: Path, size: int) -> None:
    with gzip.open(path, "wt", compresslevel=1) as out:
        for block in blocks(path, size):
            out.write("".join(f"{as_json(row)}\n" for row in block))


def write_json(path: Path, size: int) -> None:
    with path.open("w") as out:
        out.write('{"items": [')
        for block in blocks(path, size):
            out.writelines(f"{',' if row[0] else ''}{as_json(row)}\n" for row in block)
        out.write("]}")


def write_csv(path: Path, size: int) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(FIELDS)
        for block in blocks(path, size):
            writer.writerows(block)


def write_parquet(path: Path, size: int) -> None:
    """In row groups of 500,000 rows, since writers make them of up to a million."""
    import pyarrow
    from pyarrow import parquet

    kinds = (pyarrow.int64(), pyarrow.string(), pyarrow.int64(), pyarrow.string())
    schema = pyarrow.schema(list(zip(FIELDS, kinds, strict=True)))
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        group = []
        for block in blocks(path, size):
            columns = map(list, zip(*block, strict=True))
            group.append(pyarrow.table(dict(zip(FIELDS, columns, strict=True)), schema=schema))
            if len(group) == 50:
                writer.write_table(pyarrow.concat_tables(group).combine_chunks())
                group = []
        if group:
            writer.write_table(pyarrow.concat_tables(group).combine_chunks())


def write_sqlite(path: Path, size: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table rows (id integer primary key, text, year, lang)")
        for block in blocks(path, size):
            database.executemany("insert into rows values (?, ?, ?, ?)", block)
            database.commit()


def write_line(path: Path, size: int) -> None:
    """Three rows, of which the second has one text of ``size`` bytes."""
    before, after = as_json((2, "#", 2026, "en")).split("#")
    write_long(path, [as_json((1, "first", 2026, "en")), before], size, [after, as_json((3, "last", 2026, "en"))])


def write_cell(path: Path, size: int) -> None:
    write_long(path, [",".join(FIELDS), "1,first,2026,en", '2,"'], size, ['",2026,en', "3,last,2026,en"])


def write_long(path: Path, before: list[str], size: int, after: list[str]) -> None:
    part = "a text of many words " * 50_000
    with path.open("w") as out:
        out.write("\n".join(before))
        for _ in range(size // len(part)):
            out.write(part)
        out.write("\n".join(after))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "jsonl.gz": write_gzip,
    "json": write_json,
    "db": write_sqlite,
    "line.jsonl": write_line,
    "cell.csv": write_cell,
}


class QuickToy(ToyEncoder):
    """An encoder that takes next to no time: a text is one token, whose vector is drawn by its number."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens([1 + hash(text) % 2**30], 1) for text in texts]

    def forward(self, input_ids: Any, attention_mask: Any) -> npt.NDArray[np.float32]:
        steps = np.arange(1, self.space.dimension + 1)
        return np.cos(np.asarray(input_ids, np.float64)[:, :, None] % 9973 * steps).astype(np.float32)


def status(field: str) -> int:
    """A size of this process, in KiB; not getrusage's, which includes those of the process that started this one."""
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0])


class Private(threading.Thread):
    """Looks at the private memory of this process, and remembers the ``most`` of it in KiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        while True:
            self.most = max(self.most, status("RssAnon"))
            time.sleep(0.02)


def measure(path: str, adds: bool, removes: bool) -> None:
    """Reads or adds a file in this process, and prints what it took; then the same for removing it again."""
    private, bad = Private(), list[Exception]()
    private.start()
    begun, processor = time.perf_counter(), time.process_time()
    sql = "select * from rows" if path.endswith(".db") else None
    if adds or removes:
        with vecindex.open(Path(path).parent / ".vecindex", model=QuickToy()) as index:
            count = index.add_files([path], key_column="id", sql=sql, on_bad=bad.append).added
            assert count == len(index)
    else:
        with source(path, read_options(key_column="id", sql=sql), format=Format.SQLITE if sql else None) as opened:
            count = sum(1 for _ in read(opened, bad.append))
    seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    megabytes = Path(path).stat().st_size / 1e6
    print(
        f"{Path(path).name:16}{megabytes:7,.0f} MB{count:11,} rows, at most{private.most / 1024:5,.0f} MiB private and"
        f"{status('VmHWM') / 1024:5,.0f} MiB resident, {seconds:5,.0f} s ({processor:,.0f} s of processors)"
        f"{megabytes / seconds:7,.1f} MB/s{count / seconds:8,.0f} rows/s",
        flush=True,
    )
    for error in bad:
        print(f"{'':16}{str(error).replace(path, Path(path).name)}", flush=True)
    if removes:
        before, begun = status("RssAnon"), time.perf_counter()
        private.most = before
        with vecindex.open(Path(path).parent / ".vecindex") as index:
            assert index.delete(source=path) == count
        print(
            f"{'':16}removed, with{(private.most - before) / 1024:6,.0f} MiB more private memory,"
            f" in{time.perf_counter() - begun:6,.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2, help="the size of each file")
    parser.add_argument("--formats", nargs="*", default=list(WRITERS), choices=list(WRITERS))
    parser.add_argument("--add", action="store_true", help="add the files, instead of reading them alone")
    parser.add_argument("--remove", action="store_true", help="add the files, and remove their sources again")
    parser.add_argument("--path", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.path:
        measure(chosen.path, chosen.add, chosen.remove)
        return
    for suffix in chosen.formats:
        with tempfile.TemporaryDirectory(prefix="vecindex-bench-") as folder:
            path = Path(folder, f"rows.{suffix}")
            WRITERS[suffix](path, int(chosen.gb * 1e9))
            options = [f"--{name}" for name in ("add", "remove") if getattr(chosen, name)]
            command = [sys.executable, __file__, "--path", str(path), *options]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
