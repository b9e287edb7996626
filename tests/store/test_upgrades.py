"""Indexes of every released format are read with everything in them; the golden ones were written by old versions."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import pytest

from vecindex.errors import CorruptIndex, IncompatibleFormat, VecindexError
from vecindex.store.manifest import checksum
from vecindex.store.sql.schema import FORMAT

from ..support.helpers import State, opened, sql, state_of
from ..support.places import GOLDEN
from ..support.toy import ToyEncoder
from ..support.written_files import write

HELD: State = {
    **{"a": ("one", {"n": 0}), "d": ("four", {"n": 3}), "c": ("drei", {"n": 2})},
    **{"e": ("naïve 🦊", {"s": "é", "deep": {"n": [1, None]}})},
}


@pytest.fixture(params=[1, 2])
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copytree(GOLDEN / f"format-{request.param}", tmp_path / "i"))


def test_old_format_is_upgraded_when_opened_for_writing(old: Path) -> None:
    vectors = (old / "vectors-1.f32").read_bytes()
    with opened(old) as index:
        state = state_of(index)
        assert {key: state[key] for key in HELD} == HELD
        (long,) = state.keys() - HELD.keys()
        assert state[long] == ("w " * 40, {})
        info = index.info()
        assert (info.format, info.records, info.dead_rows, info.truncated, info.model) == (FORMAT, 5, 2, 1, "toy")
        assert (info.tokens_lost, info.cached_texts) == (1, 0)  # "at least one", as the old format knew it
        assert index.search("w", k=1)[0].lost == 1
        assert index.search("drei", k=1)[0].key == "c"
        assert [hit.key for hit in index.search("one", k=9, where={"n": {"$gte": 2}})] in (["c", "d"], ["d", "c"])
        assert index.verify().ok
        assert index.add(["five"], keys=["f"]).added == 1
        assert index.compact().dropped_rows == 2
        assert index.verify().ok
        expected = ToyEncoder().encode(["one"])[0]
        assert index.get("a").vector == pytest.approx(expected, abs=1e-6)
    assert vectors[:64] == (old / "vectors-2.f32").read_bytes()[:64]


def test_parts_of_format_3_become_documents(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-3", tmp_path / "i"))
    long = " ".join(f"w{n}" for n in range(80))
    with opened(old) as index:
        state = state_of(index)
        assert {key: state[key] for key in HELD} == HELD
        spans = {"long#1": (0, 113), "long#2": (114, 237), "long#3": (238, 309)}
        assert {key: state[key] for key in spans} == {
            key: (long[start:end], {"n": 7}) for key, (start, end) in spans.items()
        }
        assert state["longer#1"] == (long[:113], {})
        assert state["longer#9"] == ("mine", {"part_of": "longer", "span": "?"})  # only looks like a part
        assert state["long#y"] == ("odd", {"part_of": "nobody"})
        assert len(state) == 13
        select = 'select r.key, d.key, kind, position, start, "end" from records r join documents d on d.id = document'
        assert sorted(sql(old, select)) == [
            *((key, "long", "row", n, *span) for n, (key, span) in enumerate(spans.items())),
            ("longer#1", "longer", "row", 0, 0, 113),
            ("longer#3", "longer", "row", 2, 238, 314),
        ]
        assert index.verify().ok
        info = index.info()
        assert (info.format, info.records, info.dead_rows, info.truncated) == (FORMAT, 13, 3, 1)
        assert (info.tokens_lost, info.cached_texts, info.indexed_fields) == (9, 14, ("n",))
        assert {hit.key for hit in index.search("w1", k=9, where="document = 'long'")} == set(spans)
        assert index.search(long[238:309], k=1, where={"n": 7})[0].key == "long#3"
        count = index.add([long, long + " more"], keys=["long", "longer"], on_long="split")
        assert (count.added, count.updated, count.unchanged, count.removed) == (1, 0, 5, 0)
        assert index.add(["short"], keys=["long"]).removed == 3
        assert index.verify().ok
        assert state_of(index)["long"] == ("short", {"n": 7})


@pytest.mark.parametrize("drop", ["rows", "file", "source"])
def test_records_of_format_3_that_a_file_has_too_stay_when_it_drops_them(tmp_path: Path, drop: str) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-3", tmp_path / "i"))
    long = " ".join(f"w{n}" for n in range(80))
    rows = [{"key": "a", "text": "one", "n": 0}, {"key": "c", "text": "drei"}, {"key": "long", "text": long, "n": 7}]
    table = write(str(tmp_path / "rows.jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    with opened(old) as index:
        before = state_of(index)
        index.add_files(table, on_long="split")
        assert state_of(index) == before
        assert sorted(sql(old, "select distinct source from records where source is not null")) == [(1,)]
        if drop == "rows":
            write(str(table), '{"text": "other"}\n')
            assert index.add_files(table, on_long="split", prune=True).added == 1
        elif drop == "file":
            Path(table).unlink()
            index.add_files(tmp_path, exclude=["i"], prune=True)
        else:
            index.delete(source=table)
        left = state_of(index)
        assert {key: left[key] for key in before} == before
        assert len(left) - len(before) == (drop == "rows")
        assert index.verify().ok


def test_damage_in_format_3_is_still_found_after_the_upgrade(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-3", tmp_path / "i"))
    sql(old, "update records set text = replace(text, 'w0', 'x0') where key = 'long#1'")
    with opened(old) as index:
        (fault,) = index.verify().faults
        assert fault.reason == "the record 'long#1' is not what was written"


def test_format_4_keeps_its_sources_and_its_lexical_side(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-4", tmp_path / "i"))
    with opened(old) as index:
        state = state_of(index)
        assert {key: state[key] for key in HELD} == HELD
        assert len(state) == 9
        info = index.info()
        assert (info.format, info.records, info.dead_rows, info.indexed_fields) == (FORMAT, 9, 2, ("n",))
        assert [(source.location, source.records) for source in index.sources()] == [("/notes/notes.txt", 2)]
        assert [hit.text for hit in index.search("apples", mode="lexical")] == ["red apples"]
        assert [hit.key for hit in index.search("é", mode="lexical")] == ["e"]  # of a field, as index_lexical said
        assert index.verify().ok
        assert index.index_tokens()
        assert index.verify().ok
        assert state_of(index) == state


def test_earliest_indexes_of_format_4_had_no_lexical_side(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-4", tmp_path / "i"))
    columns = "generation, vectors, rows, dead, space, created, codes, fields, written_by"
    (values,) = sql(old, f"select {columns} from manifest")
    sql(old, "alter table manifest drop column lexical")
    sql(old, f"update manifest set crc = {checksum(values)}")
    with opened(old) as index:
        assert len(index) == 9
        assert [hit.text for hit in index.search("apples", mode="lexical")] == ["red apples"]
        assert index.verify().ok


def test_damaged_manifest_of_format_4_is_not_upgraded(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-4", tmp_path / "i"))
    sql(old, "update manifest set generation = 4")
    with pytest.raises(CorruptIndex, match="manifest is not what was written"):
        opened(old)
    assert sql(old, "select format from manifest") == [(4,)]


def test_format_5_keeps_everything_that_is_derived(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-5", tmp_path / "i"))
    derived = sql(old, "select lexical, tokens, background from manifest")
    with opened(old) as index:
        state = state_of(index)
        assert {key: state[key] for key in HELD} == HELD
        assert len(state) == 10
        info = index.info()
        assert (info.format, info.records, info.dead_rows, info.without_vector) == (FORMAT, 10, 2, 0)
        assert (info.truncated, info.tokens_lost, info.cached_texts) == (1, 9, 12)
        assert sql(old, "select lexical, tokens, background from manifest") == derived
        assert index.verify().ok
        assert [(source.location, source.records) for source in index.sources()] == [("/notes/notes.txt", 2)]
        assert index.add(["without"], encode=False).without_vector == 1
        assert index.verify().ok


def test_a_checksum_of_zero_gets_another_value_and_leaves_the_cache(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-5", tmp_path / "i"))
    ((content,),) = sql(old, "select sums from sums")
    zeroed = bytes(4) + content[4:]
    sql(old, f"update sums set sums = x'{zeroed.hex()}', crc = {zlib.crc32(zeroed)}")
    with opened(old) as index:
        assert sql(old, "select sums from sums") == [(content,)]
        assert index.info().cached_texts == 11
        assert index.verify().ok


def test_readonly_says_how_to_upgrade(old: Path) -> None:
    with pytest.raises(IncompatibleFormat, match="this version reads format 6"):
        opened(old, readonly=True)
    opened(old).close()
    with opened(old, readonly=True) as index:
        assert len(index) == 5


def test_failed_upgrade_leaves_the_old_format(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-1", tmp_path / "i"))
    (old / "vectors-1.f32").write_bytes(b"short")
    before = sql(old, "select * from records")
    with pytest.raises(CorruptIndex, match="7 rows need"):
        opened(old)
    assert sql(old, "select format from manifest") == [(1,)]
    assert sql(old, "select * from records") == before


def test_damage_in_format_2_is_still_found_after_the_upgrade(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-2", tmp_path / "i"))
    sql(old, "update records set text = 'x' where truncated = 1")
    with opened(old) as index:
        (fault,) = index.verify().faults
        assert fault.reason.endswith("is not what was written")


def test_damaged_manifest_of_format_2_is_not_upgraded(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-2", tmp_path / "i"))
    sql(old, "update manifest set rows = 6")
    with pytest.raises(CorruptIndex, match="its manifest is not what was written"):
        opened(old)
    assert sql(old, "select format from manifest") == [(2,)]


def test_upgrade_keeps_indexed_fields(tmp_path: Path) -> None:
    old = Path(shutil.copytree(GOLDEN / "format-2", tmp_path / "i"))
    with opened(old) as index:
        assert index.info().indexed_fields == ("n",)
        assert index.verify().ok


def test_unknown_format_is_refused(old: Path) -> None:
    sql(old, "update manifest set format = 0")
    with pytest.raises(VecindexError, match="has format 0"):
        opened(old)
