"""A model of the hub is used in one revision: the one that the user names, or that of the index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import vecindex
from vecindex import load_encoder
from vecindex.cli import main
from vecindex.encoders.load import LoadOptions, load_for_space
from vecindex.encoders.locate import resolve as module
from vecindex.encoders.locate.resolve import DEFAULT_MODEL, ModelFiles, resolve
from vecindex.errors import ModelNotFound, SpaceMismatch

from ...support.models.hubs import REVISION, cached_model
from ...support.models.small_model import SmallModel

NEWER = "89abcdef0123456789abcdef0123456789abcdef"


def test_a_revision_is_a_commit_branch_or_tag(hub: Path) -> None:
    older, newer = cached_model(hub, "a/model"), cached_model(hub, "a/model", revision=NEWER)
    (hub / "models--a--model" / "refs" / "v1.0").write_text(REVISION)
    assert resolve("a/model", offline=True) == ModelFiles("a/model", newer, "hub cache", NEWER)
    for revision in (REVISION, "v1.0"):
        assert resolve(f"a/model@{revision}", offline=True) == ModelFiles("a/model", older, "hub cache", REVISION)


@pytest.mark.parametrize("revision", ["0" * 40, "v2", "snapshots"])
def test_a_missing_revision_is_not_replaced_by_another(hub: Path, revision: str) -> None:
    cached_model(hub)
    with pytest.raises(ModelNotFound) as caught:
        resolve(f"{DEFAULT_MODEL}@{revision}", offline=True)
    assert caught.value.model == f"{DEFAULT_MODEL}@{revision}"
    assert f"the hub's local cache {hub} (the revision {revision} is not there)" in caught.value.tried


@pytest.mark.parametrize("name", ["a/model@", "a/model@../../x", "@main", "a/model@a b"])
def test_an_invalid_revision_is_not_looked_up(hub: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(module, "download", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelNotFound) as caught:
        resolve(name)
    assert len(caught.value.tried) == 1


def published(hub: Path, folder: Path, revision: str) -> None:
    """The model in ``folder`` as the revision of a/model that was downloaded last."""
    snapshot = cached_model(hub, "a/model", revision=revision)
    shutil.rmtree(snapshot)
    shutil.copytree(folder, snapshot)


def test_an_index_stays_with_its_revision(
    hub: Path, small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    published(hub, small_model(tmp_path / "old"), REVISION)
    with vecindex.open(tmp_path / "i", model="a/model", offline=True) as index:
        index.add(["the cat"])
        assert index.encoder.space.revision == REVISION
    published(hub, small_model(tmp_path / "new", seed=1), NEWER)
    shutil.rmtree(tmp_path / "cache")  # else what was compiled would serve without any files
    with vecindex.open(tmp_path / "i", offline=True) as index:
        assert index.search("the cat")[0].score > 0.9999
    with vecindex.open(tmp_path / "i", model=f"a/model@{REVISION}", offline=True) as index:
        assert index.search("the cat")[0].score > 0.9999
    with (
        vecindex.open(tmp_path / "i", model="a/model", offline=True) as index,
        pytest.raises(SpaceMismatch, match="weights: "),
    ):
        index.search("the cat")
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(hub / "models--a--model" / "snapshots" / REVISION)
    with (
        vecindex.open(tmp_path / "i", offline=True) as index,
        pytest.raises(ModelNotFound, match=f"the revision {REVISION} is not there"),
    ):
        index.search("the cat")


def test_a_migration_without_a_model_stays_with_the_revision(
    hub: Path, small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    published(hub, small_model(tmp_path / "old"), REVISION)
    with vecindex.open(tmp_path / "i", model="a/model", offline=True) as index:
        index.add(["the cat", "a dog"])
        weights = index.encoder.space.weights
    published(hub, small_model(tmp_path / "new", seed=1), NEWER)
    arguments = ["migrate", "--dimensions", "16", "--offline", "--index", str(tmp_path / "i")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with vecindex.open(tmp_path / "i", offline=True) as index:
        space = index.encoder.space
        assert (space.revision, space.weights, space.dimension) == (REVISION, weights, 16)
        assert index.search("the cat")[0].text == "the cat"
    result = CliRunner().invoke(main, ["migrate", "--dimensions", "99", *arguments[3:]])
    assert (result.exit_code, "fewer dimensions" in result.stderr) == (1, True)


def test_another_revision_with_the_same_files_is_used(
    hub: Path, small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    folder = small_model(tmp_path)
    published(hub, folder, REVISION)
    space = load_encoder("a/model", offline=True).space
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(hub / "models--a--model")
    published(hub, folder, NEWER)  # only its readme was changed, say
    assert load_for_space(space, LoadOptions(offline=True)).space.fingerprint == space.fingerprint
    shutil.rmtree(tmp_path / "cache")
    newer = hub / "models--a--model" / "snapshots" / NEWER
    (newer / "model.safetensors").rename(newer / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match=f"the revision {REVISION} is not there"):
        load_for_space(space, LoadOptions(offline=True))
