"""Which revisions in the hub's cache are complete, and what a download fetches and leaves out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vecindex import load_encoder
from vecindex.encoders.config.modules import ModelReader
from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.locate.hub_cache import inspect
from vecindex.encoders.locate.resolve import DEFAULT_MODEL, ModelFiles, resolve
from vecindex.encoders.models import details, models_at_hand, remove_model
from vecindex.encoders.run.encoder import Encoder
from vecindex.errors import ModelNotFound, UnsupportedModel

from ...support.children import environment
from ...support.extent import slow
from ...support.models.hubs import REVISION, Hub, cached_model, files_of, listed, noted_as_missing, serving
from ...support.models.model_files import DENSE, MODULES, digest, make, write

OF_TRANSFORMERS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
LAYERED = [*MODULES[:2], DENSE, {**MODULES[2], "path": "3_Normalize"}]


@pytest.fixture
def snapshot(hub: Path) -> Path:
    """A whole a/model of a transformer, a pooling, a dense layer and a normalisation."""
    folder = cached_model(hub, "a/model")
    shutil.rmtree(folder)
    make(folder)
    write(folder, "modules.json", LAYERED)
    write(folder, "2_Dense/config.json", {"in_features": 8, "out_features": 4})
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"weights")
    assert inspect(folder).missing == ""
    return folder


def sharded(snapshot: Path, *there: str) -> None:
    (snapshot / "model.safetensors").unlink()
    write(snapshot, INDEX, {"weight_map": dict(zip(("a", "b", "c"), (*SHARDS, SHARDS[0]), strict=True))})
    for name in there:
        (snapshot / name).write_bytes(b"weights")


# --- what is whole ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [noted_as_missing, listed], ids=["noted as missing", "listed"])
def test_without_modules_json_a_model_is_plain_only_if_the_hub_is_known_to_lack_it(
    hub: Path, known: Callable[[Path], None]
) -> None:
    snapshot = cached_model(hub, "a/model", leave_out="modules.json")
    with pytest.raises(ModelNotFound) as caught:
        resolve("a/model", offline=True)
    assert caught.value.tried[1] == f"the hub's local cache {hub} (incomplete: no modules.json)"
    assert caught.value.advice.startswith("Use it once online, with offline=False, to download the rest")
    known(snapshot)
    assert resolve("a/model", offline=True) == ModelFiles("a/model", snapshot, "hub cache", REVISION)
    (snapshot / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"incomplete: no config\.json"):
        resolve("a/model", offline=True)


def test_a_listed_modules_json_is_missing_even_if_it_was_once_not_found(hub: Path) -> None:
    snapshot = cached_model(hub, "a/model", leave_out="modules.json")
    noted_as_missing(snapshot)
    listed(snapshot, "modules.json")
    with pytest.raises(ModelNotFound, match=r"incomplete: no modules\.json"):
        resolve("a/model", offline=True)


def test_an_incomplete_default_model_in_the_cache_does_not_precede_the_extra(
    hub: Path, minilm: Path, encoder: Encoder
) -> None:
    snapshot = cached_model(hub)
    shutil.rmtree(snapshot)
    snapshot.mkdir()
    for name in OF_TRANSFORMERS:
        (snapshot / name).symlink_to(minilm / name)
    assert resolve(offline=True).origin == "minilm extra"
    assert load_encoder(offline=True).space.fingerprint == encoder.space.fingerprint
    listed(snapshot, "modules.json")
    assert resolve(DEFAULT_MODEL, offline=True).origin == "minilm extra"


@pytest.mark.parametrize(
    "name",
    [
        *("modules.json", "config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"),
        *("2_Dense/config.json", "2_Dense/model.safetensors"),
    ],
)
def test_a_required_file_is_reported_missing(snapshot: Path, name: str) -> None:
    (snapshot / name).unlink()
    assert inspect(snapshot).missing == name
    with pytest.raises(ModelNotFound, match=f"incomplete: no {name}"):
        resolve("a/model", offline=True)


@pytest.mark.parametrize(
    "name",
    [
        *("config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "added_tokens.json", "adapter_config.json", "3_Normalize/config.json"),
    ],
)
def test_an_optional_file_is_reported_missing_if_the_repository_has_it(snapshot: Path, name: str) -> None:
    (snapshot / name).unlink(missing_ok=True)
    assert inspect(snapshot).missing == ""
    listed(snapshot)
    assert inspect(snapshot).missing == ""
    listed(snapshot, name, "README.md", "onnx/model.onnx", "pytorch_model.bin")
    assert inspect(snapshot).missing == name


def test_only_the_first_sentence_config_is_required(snapshot: Path) -> None:
    listed(snapshot, "sentence_roberta_config.json")
    assert inspect(snapshot).missing == ""
    (snapshot / "sentence_bert_config.json").unlink()
    assert inspect(snapshot).missing == "sentence_bert_config.json"


def test_every_shard_in_the_index_of_weights_is_required(snapshot: Path) -> None:
    sharded(snapshot, SHARDS[0])
    assert inspect(snapshot).missing == SHARDS[1]
    with pytest.raises(ModelNotFound, match=f"incomplete: no {SHARDS[1]}"):
        resolve("a/model", offline=True)
    (snapshot / SHARDS[1]).write_bytes(b"weights")
    assert resolve("a/model", offline=True).folder == snapshot
    (snapshot / INDEX).unlink()
    assert inspect(snapshot).missing == "model.safetensors"


def test_the_transformer_is_in_the_folder_that_modules_json_names(snapshot: Path) -> None:
    write(snapshot, "modules.json", [{**MODULES[0], "path": "./0_Transformer/"}, *MODULES[1:]])
    (snapshot / "0_Transformer").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert inspect(snapshot).missing == f"0_Transformer/{name}"
        (snapshot / name).rename(snapshot / "0_Transformer" / name)
    assert resolve("a/model", offline=True).folder == snapshot


@pytest.mark.parametrize("modules", ["[{", "{}", "[]", "[7]", '[{"type": "custom_st.Transformer", "path": "0"}]'])
def test_a_damaged_modules_json_is_refused_by_its_reader(snapshot: Path, modules: str) -> None:
    write(snapshot, "modules.json", modules)
    assert inspect(snapshot).missing == ""
    with pytest.raises(UnsupportedModel):
        load_encoder("a/model", offline=True)


@pytest.mark.parametrize("content", ["{", "[]", '{"format_version": 2, "files": {}}', '{"format_version": 1}'])
def test_an_unreadable_list_of_files_is_ignored(snapshot: Path, content: str) -> None:
    (snapshot / "modules.json").unlink()
    write(snapshot.parents[1], f"trees/{REVISION}.json", content)
    assert inspect(snapshot).missing == "modules.json"


def test_every_file_that_the_reader_reads_is_checked(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = ModelReader.json

    def spied(self: ModelReader, name: str, *args: Any, **options: Any) -> Any:
        read.append(name)
        return original(self, name, *args, **options)

    monkeypatch.setattr(ModelReader, "json", spied)
    (snapshot / "sentence_bert_config.json").unlink()
    read_space(snapshot, "a/model", digest)
    assert {"modules.json", "2_Dense/config.json", "sentence_xlnet_config.json"} <= set(read)
    for name in read:
        before = (snapshot / name).read_bytes() if (snapshot / name).exists() else b""
        (snapshot / name).unlink(missing_ok=True)
        listed(snapshot, name)
        assert inspect(snapshot).missing == name
        if before:
            (snapshot / name).write_bytes(before)


# --- pickles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "2_Dense/"])
def test_a_pickle_in_the_cache_is_refused_offline(snapshot: Path, path: str) -> None:
    (snapshot / f"{path}model.safetensors").rename(snapshot / f"{path}pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match=rf"are a pickle \({path}pytorch_model\.bin\).*save it again"):
        resolve("a/model", offline=True)


def test_a_pickle_without_modules_json_is_refused_offline(hub: Path) -> None:
    snapshot = cached_model(hub, "a/model", leave_out="modules.json")
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match=r"its weights are a pickle \(pytorch_model\.bin\)"):
        load_encoder("a/model", offline=True)


def test_a_pickle_of_the_default_model_does_not_precede_the_extra(hub: Path, minilm: Path) -> None:
    snapshot = cached_model(hub)
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert resolve(offline=True).origin == "minilm extra"


def test_a_pickle_is_not_listed_among_the_models(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.locate.resolve.EXTRA_PACKAGE", "vecindex_no_such_package")
    snapshot = cached_model(hub)
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert all(model.compiled for model in models_at_hand())
    with pytest.raises(ModelNotFound, match="nothing of it"):
        remove_model(DEFAULT_MODEL, "bf16")
    with pytest.raises(UnsupportedModel, match="are a pickle"):
        details(f"{DEFAULT_MODEL}@{REVISION}")


@pytest.mark.parametrize("beside", ["training_args.bin", "optimizer.pt", "rng_state_0.pth"])
def test_files_left_by_training_are_not_weights(snapshot: Path, beside: str) -> None:
    (snapshot / "model.safetensors").rename(snapshot / beside)
    with pytest.raises(ModelNotFound, match=r"incomplete: no model\.safetensors"):
        resolve("a/model", offline=True)


@pytest.mark.parametrize("known", ["index", "list"])
def test_a_pickle_beside_missing_safetensors_is_not_the_reason_reported(snapshot: Path, known: str) -> None:
    (snapshot / "pytorch_model.bin").write_bytes(b"pickle")
    if known == "index":
        sharded(snapshot)
    else:
        (snapshot / "model.safetensors").unlink()
        listed(snapshot, "model.safetensors")
    with pytest.raises(ModelNotFound, match="incomplete: no model"):
        resolve("a/model", offline=True)


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_hub(minilm: Path) -> Iterator[Hub]:
    """A hub on this machine with one model, a/model, that has a pickle and a readme beside its files."""
    extra = {"pytorch_model.bin": b"pickle", "modeling.py": b"code", "onnx/model.onnx": b"onnx"}
    with serving(files_of(minilm) | extra) as hub:
        yield hub


def resolved(server: Hub, name: str = "a/model") -> subprocess.CompletedProcess[str]:
    """What a process of its own says when it is online: the client reads its settings only once."""
    code = (
        "from vecindex.encoders.locate.resolve import resolve; from vecindex.errors import VecindexError\n"
        f"try: f = resolve({name!r}); print(f.origin, f.name, f.folder, f.revision)\n"
        "except VecindexError as e: print(type(e).__name__, e)"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment(**server.online()), capture_output=True, text=True, timeout=120, check=False
    )


def small() -> dict[str, bytes]:
    """The files of a plain transformer, as far as a download looks at them."""
    return dict.fromkeys(("config.json", "tokenizer.json", "model.safetensors"), b"{}")


def forget_the_list(hub: Path) -> None:
    """As an older client leaves the cache."""
    shutil.rmtree(hub / "models--a--model" / "trees", ignore_errors=True)


def test_a_download_fetches_only_safe_files_and_is_cached(hub: Path, fake_hub: Hub, encoder: Encoder) -> None:
    first = resolved(fake_hub)
    assert first.stdout.split()[:2] == ["download", "a/model"], first.stdout + first.stderr
    assert first.stderr == "Downloading a/model from the hub; this happens once.\n"
    folder = Path(first.stdout.split()[2])
    assert first.stdout.split()[3] == REVISION
    brought = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"modules.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"} <= brought
    assert {os.path.splitext(name)[1] for name in brought} <= {".json", ".safetensors", ".txt", ".model"}
    assert load_encoder(folder).space.fingerprint == encoder.space.fingerprint
    # From now on it is in the hub's local cache, whether or not there is a network.
    assert resolve("a/model", offline=True) == ModelFiles("a/model", folder, "hub cache", REVISION)


def test_a_pinned_revision_is_downloaded_as_that_revision(hub: Path, fake_hub: Hub) -> None:
    assert resolved(fake_hub, f"a/model@{REVISION}").stdout.split()[::3] == ["download", REVISION]
    assert resolve(f"a/model@{REVISION}", offline=True).revision == REVISION


def test_an_incomplete_cache_is_completed_by_a_download(
    hub: Path, fake_hub: Hub, minilm: Path, encoder: Encoder
) -> None:
    snapshot = cached_model(hub, "a/model")
    shutil.rmtree(snapshot)
    snapshot.mkdir()
    for name in OF_TRANSFORMERS:
        shutil.copy(minilm / name, snapshot / name)
    assert resolved(fake_hub).stdout.split()[:3] == ["download", "a/model", str(snapshot)]
    assert "model.safetensors" not in fake_hub.asked
    assert load_encoder("a/model", offline=True).space.fingerprint == encoder.space.fingerprint


def test_a_downloaded_plain_model_is_complete_offline(hub: Path) -> None:
    with serving(small()) as server:
        assert resolved(server).stdout.startswith("download ")
    forget_the_list(hub)
    assert resolve("a/model", offline=True).origin == "hub cache"


@pytest.mark.parametrize("client", ["with its list", "without a list"])
@pytest.mark.parametrize("kind", ["sentences", slow("plain")])
def test_an_interrupted_download_is_incomplete(hub: Path, kind: str, client: str) -> None:
    files = small()
    if kind == "sentences":
        files |= {"modules.json": json.dumps(MODULES[:2]).encode(), "1_Pooling/config.json": b"{}"}
        files |= {"config_sentence_transformers.json": b"{}"}
    last = "config_sentence_transformers.json" if kind == "sentences" else "model.safetensors"
    with serving(files) as server:
        server.broken.add(last)
        assert resolved(server).stdout.startswith("ModelNotFound ")
        if client == "without a list":
            forget_the_list(hub)
        with pytest.raises(ModelNotFound, match="incomplete"):
            resolve("a/model", offline=True)
        server.broken.clear()
        assert resolved(server).stdout.startswith("download ")
    forget_the_list(hub)
    assert (resolve("a/model", offline=True).folder / last).exists()


def test_a_download_without_its_modules_json_is_not_a_plain_model(hub: Path) -> None:
    with serving(small() | {"modules.json": json.dumps(MODULES[:2]).encode()}) as server:
        server.broken.add("modules.json")
        assert "a download from the hub (modules.json did not arrive)" in resolved(server).stdout


def test_a_repository_of_pickles_is_refused_before_anything_is_downloaded(hub: Path) -> None:
    others = {"openvino/openvino_model.bin": b"", "coreml/weights/weight.bin": b"", "optimizer.pt": b""}
    files = {"pytorch_model.bin" if name == "model.safetensors" else name: data for name, data in small().items()}
    files |= others
    with serving(files) as server:
        ran = resolved(server)
    assert ran.stdout.startswith(
        "UnsupportedModel the model a/model is not supported: its weights are a pickle (pytorch_model.bin), which can "
        "run any code; only safetensors are read: load it where you trust it, save it again with"
    )
    assert (ran.stderr, server.asked, list(hub.iterdir())) == ("", [], [])


def test_a_layer_whose_weights_are_a_pickle_is_refused(hub: Path) -> None:
    modules = json.dumps([*MODULES[:2], DENSE]).encode()
    files = small() | {"modules.json": modules, "1_Pooling/config.json": b"{}", "2_Dense/config.json": b"{}"}
    with serving(files | {"2_Dense/pytorch_model.bin": b"pickle"}) as server:
        told = resolved(server).stdout
        assert told.startswith("UnsupportedModel ")
        assert "its weights are a pickle (2_Dense/pytorch_model.bin)" in told
        assert "2_Dense/pytorch_model.bin" not in server.asked
    with pytest.raises(UnsupportedModel, match=r"a pickle \(2_Dense/pytorch_model\.bin\)"):
        resolve("a/model", offline=True)


def test_a_file_that_the_repository_lacks_is_left_to_the_reader(hub: Path) -> None:
    files = small()
    del files["tokenizer.json"]
    with serving(files) as server:
        assert resolved(server).stdout.startswith("download ")
