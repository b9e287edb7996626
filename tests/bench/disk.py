"""Adds the same sentences as a table and as a folder, and prints bytes a record: python tests/bench/disk.py [COUNT].

It measures the database, table by table; a vector takes 4 bytes for each of its numbers besides. The encoder gives
random vectors, which take the same space.
"""

from __future__ import annotations

import argparse
import csv
import json
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

import vecindex
from vecindex.encoders.run.tokenized import IntArray

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.toy import ToyEncoder  # noqa: E402

SENTENCES_A_FILE, SENTENCES_A_PARAGRAPH, SENTENCES_A_SECTION = 100, 5, 20


class RandomEncoder(ToyEncoder):
    def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
        shape = (*input_ids.shape, self.space.dimension)
        return np.random.default_rng().standard_normal(shape, dtype=np.float32)


def sentences(count: int) -> list[str]:
    """Different sentences, those of the sample data with a number in front of the last mark."""
    lines = (ROOT / "data" / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    known = [json.loads(line)["text"].rstrip(".!?") for line in lines]
    return [f"{known[n % len(known)]} {n}." for n in range(count)]


def write_table(path: Path, texts: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "year"])
        writer.writerows((text, 1900 + n % 120) for n, text in enumerate(texts))


def write_folder(folder: Path, texts: Sequence[str]) -> None:
    folder.mkdir()
    for start in range(0, len(texts), SENTENCES_A_FILE):
        parts = ["# A page"]
        for at in range(start, min(start + SENTENCES_A_FILE, len(texts)), SENTENCES_A_PARAGRAPH):
            if at % SENTENCES_A_SECTION == 0:
                parts.append(f"## Section {at}")
            parts.append(" ".join(texts[at : at + SENTENCES_A_PARAGRAPH]))
        (folder / f"{start:06}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def measure(index_path: Path, source: Path) -> None:
    with vecindex.open(index_path, model=RandomEncoder()) as index:
        index.add_files([source])
    files = [source] if source.is_file() else list(source.iterdir())
    with closing(sqlite3.connect(index_path / "vecindex.db")) as database:
        records, characters = database.execute(
            "select count(*), sum(length(cast(text as blob))) from records"
        ).fetchone()
        pages = database.execute(
            "select schema.tbl_name, sum(dbstat.pgsize) from dbstat join sqlite_schema schema using (name) group by 1"
        )
        sizes = {name: size for name, size in pages if size / records >= 0.05}
    print(
        f"{source.name}: {records:,} records, {sum(each.stat().st_size for each in files) / records:.1f} bytes of files"
    )
    print(f"  texts of the records  {characters / records:6.1f} bytes a record")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"  {name:20}  {size / records:6.1f}")
    print(f"  {'in all':20}  {sum(sizes.values()) / records:6.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    texts = sentences(parser.parse_args().count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "rows.csv", texts)
        write_folder(folder / "pages", texts)
        for source in ("rows.csv", "pages"):
            measure(folder / f"index-{source}", folder / source)


if __name__ == "__main__":
    main()
