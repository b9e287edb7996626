"""Whatever bytes a segment has, search answers as without it, and says that it is damaged; and one is made again."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from vecindex import Hits, Index
from vecindex.errors import CorruptIndex
from vecindex.search.derived import upkeep

from ...support.extent import slow
from ...support.harms import HARM
from ...support.helpers import opened, small_index, sql

QUERIES = ("rain", "rain sun 17", '"rain wind" -fog', "number 3 again")
WORDS = ("rain", "sun", "wind", "snow", "fog")


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LEXICAL_TAIL", 50)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with two segments, dead rows and a tail; and another with one segment of the same name."""
    root, draw = tmp_path_factory.mktemp("made"), Random(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "LEXICAL_TAIL", 50)
        for name in ("i", "other"):
            with opened(root / name) as index:
                for size in (300, 60, 20):
                    first = len(index)
                    texts = [f"{' '.join(draw.choices(WORDS, k=6))} number {first + n}" for n in range(size)]
                    index.add(texts, keys=[f"k{first + n}" for n in range(size)])
                index.delete([f"k{n}" for n in range(0, 60, 7)])
    assert [len(list((root / name).glob("lexical-*"))) for name in ("i", "other")] == [2, 2]
    return root


def answers(index: Index) -> list[Hits]:
    found = [index.search(query, k=500, mode="lexical") for query in QUERIES]
    return found + [index.search(query, k=9, mode="hybrid") for query in QUERIES]


@pytest.mark.parametrize("first", [0, *map(slow, range(20, 400, 20))])
def test_damaged_bytes_cost_no_answer_and_are_told(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, first: int
) -> None:
    with opened(made / "i", readonly=True) as index:
        expected = answers(index)
    others = sorted((made / "other").glob("lexical-*"))
    harms = list(HARM.values())
    told = 0
    for seed in range(first, first + 20):
        draw, folder = Random(seed), tmp_path / "i"
        shutil.copytree(made / "i", folder)
        number = draw.randrange(2)
        path = sorted(folder.glob("lexical-*"))[number]
        before = path.read_bytes()
        harms[seed % len(harms)][0](path, others[number], draw)
        is_harmed = not path.exists() or path.read_bytes() != before
        caplog.clear()
        with opened(folder, readonly=bool(seed % 2)) as index:
            assert answers(index) == expected, seed
            assert index.verify().ok != is_harmed, seed
            if caplog.messages:
                (message,) = [each for each in caplog.messages if path.name in each]
                assert "reading the texts instead" in message
                told += 1
        with opened(folder) as index:
            report = index.repair()
            assert (report.ok, len(report.repaired)) == (True, int(is_harmed)), seed
            assert answers(index) == expected, seed
        shutil.rmtree(folder)
    assert told > 20 // 3


@pytest.mark.parametrize("number", [0, 1])
def test_backup_has_the_segments_before_one_that_is_lost(made: Path, tmp_path: Path, number: int) -> None:
    shutil.copytree(made / "i", tmp_path / "i")
    paths = sorted((tmp_path / "i").glob("lexical-*"))
    paths[number].unlink()
    with opened(tmp_path / "i") as index:
        expected = answers(index)
        index.backup(tmp_path / "copy")
    left = [path.name for path in (tmp_path / "copy").glob("lexical-*")]
    assert left == [path.name for path in paths[:number]]
    with opened(tmp_path / "copy") as copy:
        assert (answers(copy), copy.verify().ok) == (expected, True)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def scored(index: Index, query: str) -> list[tuple[str, float]]:
    return [(hit.key, hit.score) for hit in index.search(query, k=9, mode="lexical")]


def test_segment_that_is_made_again_with_the_same_content_is_used_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path / "i") as index:
        index.add([f"rain {n}" for n in range(60)], keys=[f"k{n}" for n in range(60)])
        expected = scored(index, "rain 3")
    (path,) = (tmp_path / "i").glob("lexical-*")
    sound = path.read_bytes()
    flip(path, 100)  # in what is checked when it is opened
    with opened(tmp_path / "i") as index:
        assert scored(index, "rain 3") == expected
        assert len(caplog.messages) == 1
        inodes = []
        for n in range(2):
            index.add(["rain 1"], keys=["k1"], metadata=[{"n": n}])
            assert path.read_bytes() == sound
            inodes.append(path.stat().st_ino)
        assert len(set(inodes)) == 1
        assert scored(index, "rain 3") == expected


@pytest.mark.parametrize(
    ("change", "row"),
    [("delete from records where key = 'c'", 4), ("update records set row = 1 where key = 'd'", 1)],
    ids=["missing", "elsewhere"],
)
def test_record_that_is_not_at_its_row_is_an_error_and_not_a_hit_fewer(tmp_path: Path, change: str, row: int) -> None:
    folder = small_index(tmp_path / "i")
    sql(folder, change)
    with opened(folder) as index, pytest.raises(CorruptIndex, match=f"the record of row {row} is not where it was"):
        index.search("one", mode="lexical")
