"""Another model for an index: what is there afterwards, what a kill leaves, and what readers see meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import vecindex
from vecindex.cli import main
from vecindex.encoders.load import LoadOptions
from vecindex.encoders.run.tokenized import Tokens
from vecindex.errors import InvalidInput, SpaceMismatch, StorageError, TextTooLong
from vecindex.index.comparing import ndcg, overlap
from vecindex.values.space import Space

from ..support.extent import slow
from ..support.migrating import TEXTS, Other, contents, fresh
from ..support.models.small_model import SmallModel
from ..support.places import PROJECT
from ..support.toy import ToyEncoder

LONG = " ".join(f"w{n}" for n in range(80))


class NoLimit(ToyEncoder):
    """Another space, of a model that reads texts of any length."""

    def __init__(self) -> None:
        super().__init__(model="endless", weights="e" * 64, max_tokens=0)

    def _tokens(self, words: list[str]) -> Tokens:
        return Tokens([1 + len(word) for word in words], len(words))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "index"
    with vecindex.open(path, model=ToyEncoder()) as index:
        index.add(TEXTS, metadata=[{"n": n} for n in range(len(TEXTS))])
        index.delete(where={"n": {"$lt": 2}})
    return path


def vector_of(index: Any, key: str) -> Any:
    return index.get(key).vector


def test_every_record_has_its_new_vector_and_all_else_is_as_it_was(folder: Path, tmp_path: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        before = contents(index)
        report = index.migrate(Other())
        assert (report.records, report.encoded, report.queries) == (18, 18, 18)
        assert report.overlap is not None
        assert contents(index) == fresh(tmp_path / "fresh", [(text, metadata) for text, metadata, _ in before])
        assert index.verify().ok
        assert index.search("red sun")[0].text == "red sun"
        assert (index.info().dimension, index.info().dead_rows) == (24, 0)
        assert index.add(["red sun"], keys=["again"]).added == 1
    with vecindex.open(folder, model=ToyEncoder()) as index, pytest.raises(SpaceMismatch):
        index.search("red")


def test_the_old_index_is_kept_until_it_is_dropped_and_a_way_back_encodes_only_what_is_new(folder: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        before = contents(index)
        kept = index.migrate(Other()).kept
        assert kept is not None
        with vecindex.open(kept, model=ToyEncoder()) as old:
            assert contents(old) == before
            assert old.verify().ok
        assert [line.split(":")[0] for line in index.info().beside] == ["kept from before"]
        index.add(["a new one"])
        back = ToyEncoder()
        assert index.migrate(back).encoded == 1
        assert contents(index)[:-1] == before
        assert [record[0] for record in contents(index)][-1] == "a new one"
        assert index.drop_old() > 0
        assert index.info().beside == ()
        assert not [path for path in folder.iterdir() if path.is_dir()]
        assert index.verify().ok


def test_on_the_way_back_the_cache_gets_only_what_the_model_makes_in_the_usual_way(folder: Path) -> None:
    given, model = np.eye(1, 16, dtype=np.float32), ToyEncoder()
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.add([LONG], keys=["mean"], on_long="mean")
        index.add(["hello"], keys=["given"], vectors=given, space=index.encoder.space)
        index.migrate(Other())
        index.migrate(ToyEncoder())
        assert index.info().cached_texts == 18
        with pytest.raises(TextTooLong):
            index.add([LONG], keys=["refused"], on_long="error")
        assert index.add([LONG, "hello"], keys=["long", "short"]).truncated == 1
        for key, text in (("long", LONG), ("short", "hello")):
            np.testing.assert_allclose(vector_of(index, key), model.encode([text])[0], atol=1e-6)
        assert np.array_equal(vector_of(index, "given"), given[0])
        assert index.verify().ok


def test_what_was_read_whole_is_read_whole_by_the_new_model_and_the_rest_is_told(tmp_path: Path) -> None:
    longer, cut = LONG + " and more", LONG + " and less"
    with vecindex.open(tmp_path / "index", model=ToyEncoder()) as index:
        index.add(["short", "in the new model alone too long"], keys=["short", "middle"])
        index.add([LONG, longer], keys=["mean", "longer"], on_long="mean")
        index.add([cut], keys=["cut"])
        new = ToyEncoder(model="new", weights="n" * 64, max_tokens=5)
        report = index.migrate(new)
        assert (report.encoded, report.truncated, report.tokens_lost) == (5, 1, 82 - 5)
        assert (index.info().truncated, index.info().tokens_lost) == (1, 82 - 5)
        for key, text in (("short", "short"), ("mean", LONG), ("longer", longer)):
            whole = new.encode_all([text], on_long="mean").vectors[0]
            np.testing.assert_allclose(vector_of(index, key), whole, atol=1e-6)
        np.testing.assert_allclose(vector_of(index, "cut"), new.encode([cut])[0], atol=1e-6)
        anew = index.migrate(new, anew=True)
        assert (anew.encoded, anew.truncated) == (5, 1)
        assert index.verify().ok


def test_a_model_without_a_limit_reads_all_of_a_text(folder: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.migrate(NoLimit())
        assert index.info().cached_texts == 18, "none of them is taken for a long one"


def test_what_others_add_change_and_delete_meanwhile_is_there_afterwards(folder: Path) -> None:
    class Busy(Other):
        """Others write to the index, in the old space, while this encodes."""

        begun = False

        def encode_all(self, *arguments: Any, **more: Any) -> Any:
            if not self.begun:
                self.begun = True
                with vecindex.open(folder, model=ToyEncoder()) as index:
                    index.add(["a late one"], keys=["late"])
                    index.add(["another text"], keys=[index.keys()[3]])
                    index.delete([index.keys()[0]])
            return super().encode_all(*arguments, **more)

    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.migrate(Busy())
        texts = [record[0] for record in contents(index)]
        assert texts[-2:] == ["a late one", "another text"]
        assert len(texts) == 18
        assert index.verify().ok


def test_a_reader_that_named_no_model_goes_on_and_one_that_did_is_told(small_model: SmallModel, tmp_path: Path) -> None:
    one, other = small_model(tmp_path / "one", seed=1), small_model(tmp_path / "other", seed=2)
    texts = ["the cat sat", "a dog", "rain on the sun"]
    with vecindex.open(tmp_path / "index", model=str(one)) as index:
        index.add(texts)
    with (
        vecindex.open(tmp_path / "index") as index,
        vecindex.open(tmp_path / "index", readonly=True) as reader,
        vecindex.open(tmp_path / "index", readonly=True, model=str(one)) as named,
    ):
        assert reader.search("a dog")[0].text == named.search("a dog")[0].text == "a dog"
        index.migrate(str(other))
        assert reader.search("a dog")[0].score == pytest.approx(1, abs=1e-5)
        assert reader.encoder.space.model == str(other)
        with pytest.raises(SpaceMismatch):
            named.search("a dog")


def test_queries_and_judgements_are_measured_in_both_spaces(folder: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        key = index.search("red sun", k=1)[0].key
        report = index.migrate(Other(), queries={"q": "red sun", "unjudged": "sea"}, qrels={"q": {key: 2, "none": 0}})
        assert (report.queries, report.ndcg_before, report.ndcg_after) == (2, 1.0, 1.0)
        for each in report.changed:
            assert len(each.left) == len(each.came) == round(10 * (1 - each.overlap))


def test_nothing_to_migrate(folder: Path, tmp_path: Path) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        assert index.migrate(ToyEncoder()).kept is None
    with vecindex.open(tmp_path / "empty") as index, pytest.raises(InvalidInput, match="empty"):
        index.migrate(ToyEncoder())
    with vecindex.open(folder, readonly=True) as index, pytest.raises(InvalidInput, match="readonly"):
        index.migrate(Other())


def test_vectors_made_elsewhere_can_be_left_behind(tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index") as index:
        index.add(["red", "blue"], vectors=np.eye(2, 5, dtype=np.float32), space="elsewhere")
        assert index.migrate(Other()).encoded == 2
        assert index.search("red")[0].text == "red"


def test_a_switch_that_fails_leaves_the_index_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StorageError("vectors", "no space left on device")

    with vecindex.open(folder, model=ToyEncoder()) as index:
        before = contents(index)
        with monkeypatch.context() as patch:
            patch.setattr("vecindex.store.sql.writes.Tables.set_lost", refuse)
            with pytest.raises(StorageError):
                index.migrate(Other())
        assert contents(index) == before
        assert index.verify().ok
        report = index.migrate(Other())
        assert report.encoded == 0, "what was encoded is in the side index"
        assert index.verify().ok


KILLED = """
import sys, vecindex
from tests.support.migrating import Slow
with vecindex.open(sys.argv[1], create=False) as index:
    print("begun", flush=True)
    index.migrate(Slow())
print("done", flush=True)
"""


@pytest.mark.parametrize(("records", "most"), [(1_000, 3), slow(5_000, 10)])
def test_killed_at_random_points_and_resumed_it_ends_as_an_unbroken_one(
    folder: Path, tmp_path: Path, records: int, most: int
) -> None:
    with vecindex.open(folder, model=ToyEncoder()) as index:
        index.add([f"more {n}" for n in range(records)])
        wanted = fresh(tmp_path / "fresh", [(text, metadata) for text, metadata, _ in contents(index)])
        old = contents(index)
    rng = np.random.default_rng(5)
    kills = 0
    while kills < most:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(float(rng.uniform(0, 0.35)))
            process.send_signal(signal.SIGKILL)
            done = process.stdout.read() == "done\n"
        kills += 1
        with vecindex.open(folder, readonly=True) as index:  # whatever happened, it is one or the other, whole
            now = contents(index)
            assert now in (old, wanted)
        if done:
            break
    with vecindex.open(folder) as index:
        index.migrate(Other())
        assert contents(index) == wanted
        assert index.verify().ok
        assert index.drop_old() > 0
        assert not [path for path in folder.iterdir() if path.is_dir()]


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command(small_model: SmallModel, tmp_path: Path) -> None:
    one, other = small_model(tmp_path / "one", seed=1), small_model(tmp_path / "other", seed=2)
    index = str(tmp_path / "index")
    (tmp_path / "texts.txt").write_text("the cat sat\na dog\nrain on the sun\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "a dog"}\n')
    key = vecindex.values.keys.derive_key("a dog")
    (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n1\t{key}\t1\n")

    def run(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*arguments, "--index", index])
        assert result.exit_code == code, result.output
        return result

    run("add", str(tmp_path / "texts.txt"), "--model", str(one))
    judged = ("--queries", str(tmp_path / "queries.jsonl"), "--qrels", str(tmp_path / "qrels.tsv"))
    result = run("migrate", "--model", str(other), *judged)
    assert "3 records from" in result.stdout
    assert "nDCG@10 before 1.0000, after 1.0000." in result.stdout
    assert "kept-" in result.stderr
    info = json.loads(run("info", "--format", "json").stdout)
    assert info["model"] == str(other)
    assert "kept from before" in info["beside"][0]
    assert "already" in run("migrate", "--model", str(other)).stderr
    assert "freed" in run("migrate", "--drop-old").stderr
    assert json.loads(run("info", "--format", "json").stdout)["beside"] == []
    assert "--model" in run("migrate", code=2).stderr
    assert "nowhere.txt" in run("migrate", "--model", str(one), "--queries", "nowhere.txt", code=1).stderr
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tonly\n")
    assert "qrels.tsv:2" in run("migrate", "--model", str(one), *judged, code=1).stderr


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[LoadOptions]:
    """Stored spaces are loaded as toy models; with what settings is noted."""
    noted: list[LoadOptions] = []

    def load(space: Space, settings: LoadOptions) -> ToyEncoder:
        noted.append(settings)
        return ToyEncoder(**{field.name: getattr(space, field.name) for field in fields(space)})

    monkeypatch.setattr("vecindex.index.change_model.load_for_space", load)
    monkeypatch.setattr("vecindex.index.model.load_for_space", load)
    return noted


@pytest.mark.parametrize(
    ("stored", "said", "wanted"),
    [
        (("int8", 12), ["--dimensions", "6"], ("int8", 6)),
        (("int8-7bit", 12), ["--dimensions", "6"], ("int8-7bit", 6)),
        (("int8-7bit", 12), ["--precision", "int8", "--dimensions", "6"], ("int8-7bit", 6)),
        (("fp32", 6), ["--precision", "int8"], ("int8", 6)),
        (("int8", 6), ["--precision", "fp32", "--dimensions", "12"], ("fp32", 12)),
    ],
)
def test_what_the_command_does_not_say_stays_as_it_is(
    loaded: list[LoadOptions],
    tmp_path: Path,
    stored: tuple[str, int],
    said: list[str],
    wanted: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vecindex.encoders.load.has_exact_int8", lambda: True)
    with vecindex.open(tmp_path, model=ToyEncoder(revision="r", precision=stored[0], dimension=stored[1])) as index:
        index.add(TEXTS)
    result = CliRunner().invoke(main, ["migrate", *said, "--index", str(tmp_path)])
    assert result.exit_code == 0, result.output
    with vecindex.open(tmp_path) as index:
        space = index.encoder.space
        assert (space.model, space.revision, space.precision, space.dimension) == ("toy", "r", *wanted)


def test_queries_are_encoded_on_the_device_in_the_old_space_too(loaded: list[LoadOptions], tmp_path: Path) -> None:
    with vecindex.open(tmp_path / "index", model=ToyEncoder(precision="bf16")) as index:
        index.add(TEXTS)
    (tmp_path / "queries.txt").write_text("red sun\n")
    arguments = ["--dimensions", "8", "--device", "cuda", "--queries", str(tmp_path / "queries.txt")]
    result = CliRunner().invoke(main, ["migrate", *arguments, "--index", str(tmp_path / "index")])
    assert result.exit_code == 0, result.output
    assert [settings.device for settings in loaded] == ["cuda", "cuda"]


def test_the_command_tells_what_the_new_model_does_not_read(loaded: list[LoadOptions], tmp_path: Path) -> None:
    with vecindex.open(tmp_path, model=ToyEncoder()) as index:
        index.add([LONG, "red"])
    result = CliRunner().invoke(main, ["migrate", "--anew", "--index", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "1 text longer than the new model reads; 48 tokens ignored" in result.stderr


def test_the_command_shows_the_beginnings_of_long_queries(loaded: list[LoadOptions], tmp_path: Path) -> None:
    with vecindex.open(tmp_path, model=ToyEncoder()) as index:
        index.add([f"w{n} {LONG * 10}" for n in range(40)])
    result = CliRunner().invoke(main, ["migrate", "--dimensions", "2", "--index", str(tmp_path)])
    assert result.exit_code == 0, result.output
    shown = [line.split(": ")[0] for line in result.stdout.splitlines() if " stayed; left: " in line]
    assert shown
    assert all(len(line) <= 202 and line.endswith("…") for line in shown)


def test_vectors_made_elsewhere_have_no_model_to_go_on_with(tmp_path: Path) -> None:
    with vecindex.open(tmp_path) as index:
        index.add(["red"], vectors=np.eye(1, 5, dtype=np.float32), space="elsewhere")
    result = CliRunner().invoke(main, ["migrate", "--dimensions", "2", "--index", str(tmp_path)])
    assert (result.exit_code, "--model M" in result.stderr) == (1, True)


def test_the_measures() -> None:
    assert ndcg(["a", "b", "c"], {"a": 1}) == 1
    assert ndcg(["b", "a"], {"a": 1}) == pytest.approx(1 / np.log2(3))
    assert ndcg(["b", "a"], {"a": 3, "b": 1}, k=2) == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))
    assert ndcg(["x"], {"a": 1}) == ndcg([], {"a": 1}) == ndcg(["a"], {}) == 0
    assert overlap(["a", "b"], ["b", "c"]) == 0.5
    assert overlap([], []) == 1
    assert overlap(["a"], []) == 0
