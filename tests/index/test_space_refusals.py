"""Another space is refused, at add and at search, from Python and from the command line, and what differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import vecindex
from vecindex.encoders.compile import compiler
from vecindex.encoders.run.environment import has_exact_int8
from vecindex.errors import Advice, InvalidInput, SpaceMismatch

from ..support.commands import run
from ..support.models.small_model import SmallModel

INT8 = "int8" if has_exact_int8() else "int8-7bit"


@pytest.fixture
def model(small_model: SmallModel, here: Path) -> Path:
    """The folder of the model with which the index ``.vecindex`` was made."""
    folder = small_model(here, prompts={"query": "query: ", "document": ""})
    with vecindex.open(here / ".vecindex", model=folder) as index:
        index.add(["the cat", "the dog"])
    return folder


def swap(model: Path, small_model: SmallModel) -> None:
    """Another model of the same dimension."""
    shutil.rmtree(model)
    shutil.rmtree(model.parent / "base")
    small_model(model.parent, prompts={"query": "query: ", "document": ""}, seed=1)


def edit(model: Path, file: str, **changes: object) -> None:
    path = model / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pool(model: Path, _: SmallModel) -> None:
    edit(model, "1_Pooling/config.json", pooling_mode="cls")


def prompt(model: Path, _: SmallModel) -> None:
    edit(model, "config_sentence_transformers.json", prompts={"query": "question: ", "document": ""})


CHANGES: dict[str, tuple[Callable[[Path, SmallModel], None], str]] = {
    "a model of the same dimension": (swap, r"weights: [0-9a-f]{12} / [0-9a-f]{12}"),
    "another pooling": (pool, "pooling: 'mean' / 'cls'"),
    "another prompt": (prompt, "query_prompt: 'query: ' / 'question: '"),
}


@pytest.mark.parametrize(("change", "differs"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("named", [True, False], ids=["the model named", "the index's own"])
def test_a_changed_model_is_refused_at_add_and_at_search(
    model: Path,
    small_model: SmallModel,
    here: Path,
    change: Callable[[Path, SmallModel], None],
    differs: str,
    named: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(model, small_model)
    monkeypatch.setattr(compiler, "_compile_full", lambda *_: pytest.fail("compiled, only to be refused"))
    given = model if named else None
    for act in ("add", "search"):
        with (
            vecindex.open(here / ".vecindex", model=given) as index,
            pytest.raises(SpaceMismatch, match=differs) as caught,
        ):
            index.add(["the rain"]) if act == "add" else index.search("the cat")
        assert "fingerprint" in caught.value.expected
        assert caught.value.expected != caught.value.found
        arguments = ["add", "--text", "the rain"] if act == "add" else ["search", "the cat"]
        code, out, err = run(*arguments, *(["--model", str(model)] if named else []))
        assert (code, out) == (1, "")
        assert caught.value.message in err
        advice = caught.value.advice
        assert (advice.typed if isinstance(advice, Advice) else advice) in err
    with vecindex.open(here / ".vecindex") as index:
        assert len(index) == 2


@pytest.mark.parametrize("named", [True, False], ids=["the model named", "the index's own"])
@pytest.mark.parametrize(
    ("asked", "options", "differs"),
    [
        ({"precision": "int8"}, ["--precision", "int8"], f"precision: 'fp32' / '{INT8}'"),
        ({"dimensions": 8}, ["--dimensions", "8"], "dimension: 32 / 8"),
    ],
    ids=["precision", "dimensions"],
)
def test_another_precision_or_dimension_is_refused_at_add_and_at_search(
    model: Path, here: Path, named: bool, asked: dict[str, object], options: list[str], differs: str
) -> None:
    for act in ("add", "add what is there", "search"):
        with (
            vecindex.open(here / ".vecindex", model=model if named else None, **asked) as index,  # type: ignore[arg-type]
            pytest.raises(SpaceMismatch) as caught,
        ):
            index.search("the cat") if act == "search" else index.add(["the rain" if act == "add" else "the cat"])
        assert differs in caught.value.differs
        arguments = ["search", "the cat"] if act == "search" else ["add", "--text", "the cat"]
        code, out, err = run(*arguments, *options, *(["--model", str(model)] if named else []))
        assert (code, out) == (1, "")
        assert differs in err


def test_an_index_in_int8_is_searched_and_added_to_in_int8_without_being_told(
    model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_INDEX", "small")
    assert run("add", "--text", "the cat", "--model", str(model), "--precision", "int8")[0] == 0
    assert run("add", "--text", "the dog")[0] == 0
    assert run("add", "--text", "the sun", "--model", str(model))[0] == 0
    code, out, _ = run("search", "the cat", "--precision", "int8", "-k", "3")
    assert (code, len(out.splitlines())) == (0, 3)
    with vecindex.open(here / "small") as index:
        assert (index.info().precision, index.info().runtime) == (INT8, "onnxruntime")
        assert index.encoder.space.precision == INT8
    code, _, err = run("search", "the cat", "--precision", "fp32")
    assert (code, f"precision: '{INT8}' / 'fp32'" in err) == (1, True)


def test_int8_of_an_index_is_what_it_means_in_that_index(
    model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Made on a processor with VNNI, and searched on one without: exact products there, only slower.
    monkeypatch.setattr("vecindex.encoders.load.has_exact_int8", lambda: True)
    with vecindex.open(here / "moved", model=model, precision="int8") as index:
        index.add(["the cat"])
    monkeypatch.setattr("vecindex.encoders.load.has_exact_int8", lambda: False)
    for given in (None, model):
        with vecindex.open(here / "moved", model=given, precision="int8") as index:
            assert index.search("the cat")[0].text == "the cat"
            assert index.info().precision == "int8"


@pytest.mark.parametrize("named", [True, False], ids=["the model named", "the index's own"])
def test_an_index_of_fewer_dimensions_is_searched_and_added_to_in_them(model: Path, here: Path, named: bool) -> None:
    with vecindex.open(here / "cut", model=model, dimensions=8) as index:
        index.add(["the cat", "the dog"])
    with vecindex.open(here / "cut", model=model if named else None) as index:
        assert index.add(["the rain"]).added == 1
        assert (index.info().dimension, len(index.search("the cat"))) == (8, 3)
    arguments = ["add", "--text", "the sun", "--index", "cut", *(["--model", str(model)] if named else [])]
    assert run(*arguments) == (0, "", "1 added, 0 updated, 0 unchanged; cut holds 4 records.\n")


def test_of_another_model_all_dimensions_are_named(model: Path, small_model: SmallModel, here: Path) -> None:
    with vecindex.open(here / "cut", model=model, dimensions=8) as index:
        index.add(["the cat"])
    other = small_model(here / "other", seed=1)
    with vecindex.open(here / "cut", model=other) as index, pytest.raises(SpaceMismatch) as caught:
        index.add(["the rain"])
    assert caught.value.differs.startswith("dimension: 8 / 32, query_prompt: ")
    with vecindex.open(here / "cut", model=model, dimensions=16) as index, pytest.raises(SpaceMismatch) as caught:
        index.add(["the rain"])
    assert caught.value.differs == "dimension: 8 / 16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "int4"}, "the precision 'int4' is unknown"),
        ({"device": "tpu"}, "the device 'tpu' is unknown"),
        ({"precision": "bf16"}, "bf16 needs a GPU"),
        ({"dimensions": 33}, "33 dimensions were asked for, but .* has 32"),
        ({"dimensions": 0}, "0 dimensions were asked for"),
    ],
)
def test_settings_that_make_no_sense_are_refused(model: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        vecindex.load_encoder(model, **settings)  # type: ignore[arg-type]
