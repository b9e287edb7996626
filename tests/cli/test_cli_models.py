"""The models commands list, show, compile and remove models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from vecindex import load_encoder
from vecindex.encoders import models
from vecindex.encoders.compile.compiler import Sample
from vecindex.encoders.locate.vecindex_cache import compiled_folder
from vecindex.encoders.run import agreement
from vecindex.encoders.run.environment import has_exact_int8
from vecindex.errors import InvalidInput

from ..support.commands import run
from ..support.models.small_model import SmallModel

INT8 = "int8" if has_exact_int8() else "int8-7bit"


@pytest.fixture
def model(small_model: SmallModel, here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's folder, and an empty cache."""
    monkeypatch.setenv("VECINDEX_CACHE", str(here / "cache"))
    return str(small_model(here))


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower bounds: a random model of 32 dimensions loses more in int8 than a trained one."""
    monkeypatch.setattr(agreement, "LEAST_MEAN", 0.9)
    monkeypatch.setattr(agreement, "LEAST_COSINE", 0.5)


def listed() -> list[tuple[str, str]]:
    return [(m["model"], m["precision"]) for m in json.loads(run("models", "list", "--format", "json")[1])]


def test_models_without_a_command_lists(model: str) -> None:
    assert run("models") == run("models", "list")
    assert run("models", "--format", "json") == run("models", "list", "--format", "json")


def test_compile_prints_size_and_folder(model: str) -> None:
    code, out, err = run("models", "compile", model)
    assert (code, out) == (0, "")
    space = load_encoder(model).space
    folder = compiled_folder(space.fingerprint)
    size = sum(file.stat().st_size for file in folder.iterdir())
    said = f"{model} (32 dimensions, fp32, fingerprint {space.fingerprint[:12]})"
    assert err == f"{said} is compiled: {size:,} bytes in {folder}.\n"
    assert run("models", "compile", model) == (0, "", err.replace("is compiled", "was already compiled"))
    assert (model, "fp32") in listed()


@pytest.mark.usefixtures("lenient")
def test_int8_is_shown_with_its_agreement_on_the_users_sample(model: str, here: Path) -> None:
    (here / "mine.txt").write_text("the cat\nthe dog sat\non the mat\n")
    code, out, err = run("models", "compile", model, "--precision", "int8", "--sample", "mine.txt")
    assert (code, out) == (0, "")
    figures = r"mean cosine 0\.\d{4}, least 0\.\d{4}, 100\.0 % of the top 10 the same \(3 texts, mine\.txt\)"
    found = re.search(f"^Agreement with fp32: ({figures})\\.$", err, re.MULTILINE)
    assert found is not None
    assert {(model, "fp32"), (model, INT8)} <= set(listed())
    shown = run("models", "show", model)[1]
    assert f"agreement        with fp32: {found[1]}\n" in shown
    assert re.search(r"^agreement +with the reference: least cosine (0\.99999\d|1\.000000) on ", shown, re.MULTILINE)
    code, _, err = run("models", "compile", model, "--precision", "int8")
    assert (code, "was already compiled" in err, found[1] in err) == (0, True, True)
    (here / "other.txt").write_text("hello\nmy name\n")
    code, _, err = run("models", "compile", model, "--precision", "int8", "--sample", "other.txt")
    assert "(2 texts, other.txt)" in err
    assert "(2 texts, other.txt)" in run("models", "show", model)[1]


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("before", [False, True], ids=["new", "compiled before"])
def test_int8_below_the_bounds_is_refused_and_not_kept(
    model: str, here: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    (here / "mine.txt").write_text("the cat\nthe dog\n")
    if before:
        assert run("models", "compile", model, "--precision", "int8")[0] == 0
    monkeypatch.setattr(agreement, "LEAST_COSINE", 0.99999)
    code, out, err = run("models", "compile", model, "--precision", "int8", "--sample", "mine.txt")
    assert (code, out) == (1, "")
    assert re.search(
        rf"in {INT8} its vectors differ too much from those in fp32: mean cosine 0\.\d+, least 0\.\d+, .*; "
        r"the bounds are 0\.99? for the mean and ",
        err,
    )
    assert "Use it in fp32." in err
    assert (model, INT8) not in listed()
    assert (model, "fp32") in listed()
    assert not any(path.name.startswith("compiling-") for path in (here / "cache" / "compiled").iterdir())


def test_show_prints_all_facts(model: str) -> None:
    code, out, err = run("models", "show", model)
    assert (code, err) == (0, "")
    fields = dict(re.findall(r"^(\w+(?: \w+)?)  +(.+)$", out, re.MULTILINE))
    space = load_encoder(model, runtime="torch").space
    assert fields["state"] == "compiled at its first use"
    assert (fields["origin"], fields["folder"]) == ("path", model)
    assert (fields["weights"], fields["fingerprint"]) == (space.weights, space.fingerprint)
    assert (fields["runtime"], fields["pooling"], fields["max tokens"]) == ("not compiled yet", "mean", "16")
    assert (fields["query prompt"], fields["precision"], fields["dimension"]) == ('""', "fp32", "32")
    run("models", "compile", model)
    (found,) = json.loads(run("models", "show", space.fingerprint[:12], "--format", "json")[1])
    assert (found["model"], found["compiled"], found["runtime"]) == (model, True, "onnxruntime")
    assert found["cosine"] > 0.99999
    assert found["faults"] is None


def test_show_verify_finds_a_damaged_file(model: str) -> None:
    run("models", "compile", model)
    code, out, _ = run("models", "show", model, "--verify")
    assert (code, "files            intact\n" in out) == (0, True)
    folder = compiled_folder(load_encoder(model).space.fingerprint)
    with (folder / "model.onnx.data").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    code, out, _ = run("models", "show", model, "--verify")
    assert (code, "files            model.onnx.data is not what was written: " in out) == (1, True)


def test_show_of_an_unknown_model_names_the_places_that_were_tried(model: str) -> None:
    code, out, err = run("models", "show", "no/such")
    assert (code, out) == (1, "")
    assert "the model no/such was not found; tried: the folder no/such" in err


def test_an_unsupported_default_model_hides_no_other(model: str, hub: Path) -> None:
    run("models", "compile", model)
    place = hub / "models--sentence-transformers--all-MiniLM-L6-v2"
    commit = "c" * 40
    shutil.copytree(model, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit / "1_Pooling" / "config.json").write_text('{"pooling_mode": "median"}')
    assert listed() == [(model, "fp32")]
    code, _, err = run("models", "show", "all-MiniLM-L6-v2")
    assert (code, "is not supported: its pooling mode is 'median'" in err) == (1, True)
    code, _, err = run("models", "remove", "all-MiniLM-L6-v2")
    assert (code, "nothing of it is compiled there" in err) == (1, True)


@pytest.mark.usefixtures("lenient")
def test_remove_deletes_compiled_files_only(model: str) -> None:
    run("models", "compile", model, "--precision", "int8")
    sizes = {each["precision"]: each["bytes"] for each in json.loads(run("models", "--format", "json")[1])}
    code, out, err = run("models", "remove", model, "--precision", "int8")
    assert (code, out) == (0, "")
    assert re.fullmatch(
        rf"{re.escape(model)} in {INT8}, fingerprint [0-9a-f]{{12}}: {sizes[INT8]:,} bytes freed\.\n", err
    )
    assert (model, INT8) not in listed()
    assert (model, "fp32") in listed()
    assert run("models", "remove", model)[0] == 0
    assert (Path(model) / "model.safetensors").exists()
    code, _, err = run("models", "remove", model)
    assert (code, "vecindex's own cache (nothing of it is compiled there)" in err) == (1, True)


def test_a_sample_is_refused_with_fp32(model: str) -> None:
    with pytest.raises(InvalidInput, match="a sample is used for int8 only"):
        models.compile_model(model, sample=Sample("mine", ["one", "two"]))
