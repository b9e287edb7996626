"""A model's folder is untrusted data: it is used or refused by name in seconds, and touches nothing else."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import vecindex
from vecindex import load_encoder
from vecindex.encoders.config import small_files as reading
from vecindex.encoders.models import details
from vecindex.encoders.run.pooling import FloatArray
from vecindex.errors import UnsupportedModel, VecindexError

from ...support.models.families import dense, edit, sentence_model, static_model
from ...support.models.small_model import SmallModel
from ...support.sandbox import KINDS, Victim, plant, run, watched

TEXTS = ["the cat sat on the mat", "a dog"]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def plain(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def expected(plain: Path) -> FloatArray:
    return load_encoder(plain, runtime="torch").encode(TEXTS)


@pytest.fixture
def model(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound model of its own, and a cache in which nothing is compiled."""
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(plain, tmp_path / "model"))


def weights(change: Callable[[dict[str, Any]], dict[str, Any]], name: str = "model.safetensors") -> Change:
    def changed(folder: Path) -> None:
        save_file(change(load_file(folder / name)), folder / name, {"format": "pt"})

    return changed


def without(part: str) -> Change:
    return weights(lambda found: {name: array for name, array in found.items() if part not in name})


def config(**changes: object) -> Change:
    return lambda folder: edit(folder, "config.json", **changes)


def text(name: str, content: str) -> Change:
    return lambda folder: (folder / name).write_text(content)


def sharded(*names: str) -> Change:
    def changed(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        parts = dict(zip(load_file(folder / "model-1.safetensors"), names * 99, strict=False))
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))

    return changed


def vocabulary(**numbers: int) -> Change:
    def changed(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        tokenizer["model"]["vocab"] |= numbers
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    return changed


def prompts(**given: str) -> Change:
    return lambda folder: edit(folder, "config_sentence_transformers.json", prompts=given)


def reads(tokens: int) -> Change:
    return lambda folder: edit(folder, "sentence_bert_config.json", max_seq_length=tokens)


def of_model2vec(folder: Path) -> None:
    (folder / "modules.json").unlink()
    edit(folder, "config.json", model_type="model2vec")


def nan(folder: Path) -> None:
    edit(folder, "sentence_bert_config.json", max_seq_length=None)
    edit(folder, "tokenizer_config.json", model_max_length=float("nan"))


def huge(folder: Path) -> None:
    edit(folder, "sentence_bert_config.json", max_seq_length=None)
    edit(folder, "tokenizer_config.json", model_max_length=10**400)


def linked(folder: Path) -> None:
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")


REFUSED: dict[str, tuple[Change, str]] = {
    # what is not there
    "a layer without weights": (without("layer.1."), r"the model needs: encoder\.layer\.1\.attention.* and 8 more"),
    "one array missing": (without("layer.0.output.dense.bias"), r"needs: encoder\.layer\.0\.output\.dense\.bias\)"),
    "no word vectors": (without("word_embeddings"), r"the model needs: embeddings\.word_embeddings\.weight"),
    "another prefix": (
        weights(lambda found: {f"net.{name}": array for name, array in found.items()}),
        r"needs: embeddings\.LayerNorm\.bias, .*; they hold net\.embeddings\.LayerNorm\.bias, .* not read",
    ),
    "an array of another shape": (
        weights(lambda found: {n: a[:10] if "word_embeddings" in n else a for n, a in found.items()}),
        r"word_embeddings\.weight has the shape \(10, 32\) in its files, but its config says \(92, 32\)",
    ),
    "a shape not to mind": (config(ignore_mismatched_sizes=True, intermediate_size=65), "has the shape"),
    # sizes
    "ten million layers": (config(num_hidden_layers=10**7), "layers to 10,000,000, but its files hold only 39 "),
    "a billion labels": (config(num_labels=10**9), "num_labels to 1,000,000,000, but its files hold only 39 arrays"),
    "wide": (config(intermediate_size=10**7), r"asks for 1,300,0\d\d,\d\d\d numbers, but .* hold only 23,264"),
    "a vocabulary of a billion": (config(vocab_size=10**9), "asks for 32,000,0.* numbers, but .* hold only 23,264"),
    "a billion positions": (config(max_position_embeddings=10**9), "asks for 34,000,0.* numbers"),
    "layers, nested": (config(text_config={"num_layers": 10**7}), "num_layers to 10,000,000"),
    "a prompt of 10 MB": (prompts(query="x " * 5_000_000), r"has 10,000,\d\d\d bytes; at most 4,194,304 are read"),
    "a long prompt": (prompts(query="x" * 10_001), "its prompt 'query' has 10,001 characters; the limit is 10,000"),
    "a prompt as long as the limit": (prompts(query="cat " * 14), "reads 16 tokens .*, and the prompt .* has 16"),
    "a limit of 1": (reads(1), "reads 1 tokens of a text, and its special tokens are 2"),
    "a limit of its own tokens": (reads(2), "reads 2 tokens of a text, and its special tokens are 2"),
    "a type in a list": (config(model_type=["bert"]), r"config\.json sets model_type to \['bert'\], which is no name"),
    "a type in an object": (config(model_type={"bert": 1}), "sets model_type to {'bert': 1}, which is no name"),
    "400 digits": (huge, "its maximum 1000000000.* is not a number"),
    "no number": (nan, r"its maximum nan is not a number \(model_max_length, max_position_embeddings\)"),
    "deep settings": (text("config.json", '{"a":' + "[" * 900 + "]" * 900 + "}"), "nested more than 50 levels deep"),
    "too deep for a reader": (text("modules.json", "[" * 10**5), r"modules\.json is nested too deeply"),
    "a deep tokenizer": (text("tokenizer.json", '{"a":' + "[" * 900 + "]" * 900 + "}"), "cannot be loaded"),
    "a huge tokenizer": (
        lambda folder: os.truncate(folder / "tokenizer.json", reading.MOST_VOCABULARY + 1),
        r"tokenizer\.json has 134,217,729 bytes; at most 134,217,728 are read",
    ),
    # other code, other kernels, other files
    **{
        f"{key} {value}": (config(**{key: value}), f"config.json sets {key} to .*; supported: eager, ")
        for key, value in {
            "attn_implementation": "an/owner-kernel",
            "_attn_implementation": "flash_attention_2",
            "_attn_implementation_internal": {"": "sdpa", "text_config": "an/owner"},
            "experts_implementation": "deepgemm",
        }.items()
    },
    **{
        key: (config(**{key: value}), f"config.json sets {key} to .*, which is not supported")
        for key, value in {
            "quantization_config": {"quant_method": "gptq", "bits": 4},
            "use_kernels": True,
            "kernel_config": {"RMSNorm": "an/owner:RMSNorm"},
            "fusion_config": {"all": True},
            "distributed_config": {"tp_size": 2},
            "configuration_files": ["config.4.0.0.json"],
            "transformers_weights": "other.safetensors",
        }.items()
    },
    "kernels, nested": (config(text_config={"attn_implementation": "an/owner"}), "sets attn_implementation to"),
    "a type of numbers that is a function": (config(dtype="load"), 'sets dtype to "load"; supported: float32, '),
    "code of its own": (config(auto_map={"AutoModel": "evil.Model"}), "asks to run code that comes with the model"),
    "an unknown activation": (config(hidden_act="evil"), "cannot be loaded"),
    "shards elsewhere": (sharded("../outside.safetensors"), r"json names \.\./outside\.safetensors, which is not a"),
    "a missing shard": (sharded("model-1.safetensors", "model-2.safetensors"), "names model-2.safetensors"),
    # tokens
    "a token beyond the table": (vocabulary(zebra=92), "the token 'zebra' the id 92, and its table .* has 92 rows"),
    "a hole in the vocabulary": (vocabulary(zebra=10**6), "the token 'zebra' the id 1000000"),
    # files that stand for others
    "a pointer of Git LFS": (text("model.safetensors", POINTER), r"model\.safetensors is a pointer of Git LFS.*pull"),
    "such a pointer for settings": (text("config.json", POINTER), r"config\.json is a pointer of Git LFS"),
    "such a pointer for the tokenizer": (text("tokenizer.json", POINTER), r"tokenizer\.json is a pointer of Git LFS"),
    "a folder of model2vec": (
        of_model2vec,
        "a model2vec folder without modules.json: save it with sentence-transformers",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_inconsistent_folder_is_refused_by_name(model: Path, tmp_path: Path, change: Change, reason: str) -> None:
    change(model)
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    with watched(Victim(tmp_path / "victim"), 20), pytest.raises(UnsupportedModel, match=reason):
        load_encoder(model, runtime="torch")
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before


SOUND: dict[str, Change] = {
    "no pooler": without("pooler"),
    "the library's own prefix": weights(lambda found: {f"bert.{name}": array for name, array in found.items()}),
    "more than is read": weights(lambda found: {**found, "cls.bias": found["pooler.dense.bias"]}),
    "labels with any names": config(
        id2label={str(n): f"block {n}" for n in range(999)}, label2id={f"block {n}": n for n in range(999)}
    ),
    "a plain way of attention": config(attn_implementation="eager", _attn_implementation="sdpa", use_kernels=False),
    "half precision noted": config(dtype=None, torch_dtype="float16"),
    "links within": linked,
    "shards": sharded("model-1.safetensors"),
    "a limit that leaves one token": reads(3),
}


@pytest.mark.parametrize("change", SOUND.values(), ids=SOUND)
def test_differences_that_change_no_vector_are_accepted(
    model: Path, tmp_path: Path, change: Change, expected: FloatArray
) -> None:
    change(model)
    with watched(Victim(tmp_path / "victim"), 20):
        encoder = load_encoder(model, runtime="torch")
        if encoder.space.max_tokens == 3:
            assert [tokens.lost for tokens in encoder.tokenizer.tokenize(TEXTS)] == [5, 1]
            return
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6)


FILES = (
    *("modules.json", "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"),
    *("sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json", "chat_template.jinja"),
)


@pytest.mark.parametrize("name", FILES)
def test_odd_files_in_a_model_touch_nothing_outside(
    plain: Path, tmp_path: Path, name: str, expected: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    for number, kind in enumerate(KINDS):
        model = Path(shutil.copytree(plain, tmp_path / str(number)))
        victim = Victim(tmp_path / f"victim {number}")
        plant(model / name, kind, victim)
        with watched(victim, 20):
            found, told = tried(model)
        outside = kind in ("link", "link to a folder", "link to nothing", "relative link")
        assert ("leads out of the model's folder" in told) == outside, (kind, told)
        if found is not None:  # a file that it may do without, or of which nothing is read
            assert kind in ("empty", "folder", "noise", "huge", "hard link"), kind
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:
            assert str(model) in told, (kind, told)


def tried(model: Path) -> tuple[FloatArray | None, str]:
    """The vectors of a model, or why it is refused."""
    try:
        return load_encoder(model, runtime="torch").encode(TEXTS), ""
    except VecindexError as error:
        return None, str(error)


def test_an_added_token_without_a_row_is_text_and_unread_arrays_are_named(model: Path, expected: FloatArray) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    added = {**tokenizer["added_tokens"][0], "id": 92, "content": "<image>"}
    tokenizer["added_tokens"].append(added)
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    SOUND["more than is read"](model)
    assert details(str(model))[0].unread is None  # its library has not loaded it yet
    for encoder in load_encoder(model), load_encoder(model, runtime="torch"):
        assert encoder.encode(["the <image> cat"]).shape == (1, 32)
        assert max(encoder.tokenizer.tokenize(["<image>"])[0].ids) < 92
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    assert details(str(model))[0].unread == ("cls.bias",)
    assert "not read         1 arrays in its files: cls.bias\n" in run("models", "show", str(model)).stdout


# --- other modules ---------------------------------------------------------------------------------------------------


def test_a_dense_layer_has_exactly_its_own_weights(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    folder = sentence_model(tmp_path / "dense", plain.parent / "base", ("mean",), dense(32, 8))
    name = "2_Dense/model.safetensors"
    weights(lambda found: {**found, "other": found["linear.bias"]}, name)(folder)
    with pytest.raises(UnsupportedModel, match=r"2_Dense/model\.safetensors holds other, which no dense layer has"):
        load_encoder(folder, runtime="torch")
    weights(lambda found: {"linear.weight": found["linear.weight"]}, name)(folder)
    with pytest.raises(UnsupportedModel, match=r"linear\.bias is missing, and the layer's config says \(8,\)"):
        load_encoder(folder, runtime="torch")
    edit(folder, "2_Dense/config.json", in_features=10**6, out_features=10**6, use_residual=True, bias=False)
    edit(folder, "1_Pooling/config.json", embedding_dimension=10**6)
    with pytest.raises(UnsupportedModel, match=r"linear\.weight has the shape \(8, 32\)"):
        load_encoder(folder, runtime="torch")


STATIC: dict[str, tuple[Change, str]] = {
    "no vectors": (weights(lambda found: {"other": found["embedding.weight"]}), r"holds no token vectors"),
    "too few vectors": (weights(lambda found: {"embedding.weight": found["embedding.weight"][:50]}), "are only 50 v"),
    "a hole in the vocabulary": (vocabulary(zebra=10**6), "the token 'zebra' the id 1000000, but there are only"),
    "a deep tokenizer": (text("tokenizer.json", '{"a":' + "[" * 900 + "]" * 900 + "}"), "json cannot be used"),
    "a pointer of Git LFS": (text("model.safetensors", POINTER), "is a pointer of Git LFS"),
    "a mapping to nothing": (
        weights(lambda found: {"embeddings": found["embedding.weight"], "mapping": np.full(999, 10**6)}),
        "token vectors cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), STATIC.values(), ids=STATIC)
def test_an_inconsistent_static_model_is_refused_by_name(tmp_path: Path, change: Change, reason: str) -> None:
    folder = static_model(tmp_path / "static")
    change(folder)
    with watched(Victim(tmp_path / "victim"), 20), pytest.raises(UnsupportedModel, match=reason):
        load_encoder(folder)


def test_unread_arrays_of_a_static_model_are_named(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "static")
    weights(lambda found: {**found, "other": found["embedding.weight"][:1]})(folder)
    assert details(str(folder))[0].unread == ("other",)


def test_a_model_with_missing_weights_stores_nothing(model: Path, here: Path) -> None:
    # They were made up by chance, and vectors differed from load to load, under one fingerprint.
    without("layer.1.")(model)
    outcome = run("add", "--text", "the cat", "--model", str(model))
    assert (outcome.exit_code, "its files lack weights that the model needs" in outcome.stderr) == (1, True)
    with vecindex.open(here / ".vecindex") as index:
        assert len(index) == 0


def test_models_that_other_threads_load_are_not_checked(model: Path) -> None:
    from transformers import BertModel

    from vecindex.encoders.config.complete import Held, all_weights_required

    without("layer.1")(model)
    loaded: list[object] = []
    with all_weights_required(Held(0, 0)):
        thread = threading.Thread(target=lambda: loaded.append(BertModel.from_pretrained(model)))
        thread.start()
        thread.join()
        with pytest.raises(ValueError, match="its files lack"):
            BertModel.from_pretrained(model)
    assert [type(each) for each in loaded] == [BertModel]
