"""A folder that is no cross-encoder, or asks for what is not supported, is refused by name, with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vecindex import ModelNotFound, UnsupportedModel
from vecindex.encoders.config.read_cross import is_cross
from vecindex.encoders.cross.load import load_cross_encoder

from ...support.models.cross_models import save_cross_model
from ...support.models.model_files import edit, write
from ...support.models.small_model import SmallModel

MODULE = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
DENSE = {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.base.modules.dense.Dense"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_model(tmp_path_factory.mktemp("bert") / "model")


@pytest.fixture
def model(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "model"))


def with_modules(*modules: object, **settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write(folder, "modules.json", list(modules))
        write(folder, "config_sentence_transformers.json", {"model_type": "CrossEncoder", **settings})

    return change


def config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder, "config.json", **changes)


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "three labels": (
        config(id2label={"0": "no", "1": "yes", "2": "maybe"}),
        "it gives 3 numbers for a pair (id2label), and an order needs one",
    ),
    "the usual labels": (config(id2label=None), "it gives 2 numbers for a pair"),
    "no head": (config(architectures=["BertModel"]), "it is a BertModel; a cross-encoder has a head for sequence"),
    "a language model": (config(architectures=["Qwen3ForCausalLM"]), "it is a Qwen3ForCausalLM; a cross-encoder"),
    "no architecture": (config(architectures=None), "it is of no architecture that config.json names"),
    "an activation with code": (
        config(sentence_transformers={"activation_fn": "torch.hub.load"}),
        "config.json sets activation_fn to torch.hub.load; supported: Identity, Tanh, ReLU, Sigmoid of torch",
    ),
    "an activation of its own": (
        config(sbert_ce_default_activation_function="my.Activation"),
        "config.json sets sbert_ce_default_activation_function to my.Activation",
    ),
    "an activation in the settings": (
        with_modules(MODULE, activation_fn="torch.nn.Softmax"),
        "config_sentence_transformers.json sets activation_fn to torch.nn.Softmax",
    ),
    "several modules": (
        with_modules(MODULE, DENSE),
        "its modules are Transformer, Dense; supported for a cross-encoder: a Transformer that gives scores",
    ),
    "a module of its own": (with_modules({**MODULE, "type": "mine.Transformer"}), "mine.Transformer is custom code"),
    "an embedding model's settings": (
        with_modules(MODULE, model_type="SentenceTransformer"),
        "it is a SentenceTransformer, not a cross-encoder",
    ),
    "unknown settings": (with_modules(MODULE, rotation=3), "has unknown settings: rotation"),
    "a prompt that is not there": (
        with_modules(MODULE, default_prompt_name="web"),
        "names 'web' as the default prompt, but has no prompt of that name",
    ),
    "a chat template": (
        lambda folder: edit(folder, "tokenizer_config.json", chat_template="{{ messages }}"),
        "its tokenizer has a chat template, and only pairs of plain texts are supported",
    ),
    "a chat template in a file": (lambda folder: write(folder, "chat_template.jinja", "{{ messages }}"), "a chat temp"),
    "its own code": (
        config(auto_map={"AutoConfig": "c.BertConfig", "AutoModelForSequenceClassification": "m.Mine"}),
        "such code is never run",
    ),
    "a list of types": (config(model_type=["bert"]), "config.json sets model_type to ['bert'], which is no name"),
    "a maximum of 400 digits": (
        lambda folder: edit(folder, "tokenizer_config.json", model_max_length=10**400),
        "is not a number (model_max_length, max_position_embeddings)",
    ),
    "a pickle": (as_pickle, "its weights are a pickle (pytorch_model.bin), which can run any code"),
    "an adapter": (lambda folder: write(folder, "adapter_config.json", {}), "it is an adapter"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "holds no tokenizer.json"),
    "no room for a pair": (
        lambda folder: edit(folder, "tokenizer_config.json", model_max_length=4),
        "it reads 4 tokens of a pair, and its special tokens are 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name(model: Path, name: str) -> None:
    change, reason = REFUSED[name]
    change(model)
    with pytest.raises(UnsupportedModel) as caught:
        load_cross_encoder(model)
    assert reason in str(caught.value)
    assert caught.value.advice == 'Pass another cross-encoder as rerank=, or rerank="tokens", which needs none.'


def test_a_missing_weight_is_not_made_up(model: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(model / "model.safetensors")
    del weights["bert.pooler.dense.bias"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"lack weights that the model needs: bert\.pooler\.dense\.bias"):
        load_cross_encoder(model)


def test_an_embedding_model_is_refused(small_model: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="its modules are Transformer, Pooling, Normalize"):
        load_cross_encoder(small_model(tmp_path))


def test_a_model_that_is_nowhere_is_not_found_and_the_places_are_named(hub: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        load_cross_encoder("ms-marco-MiniLM-L6-v2", offline=True)
    assert caught.value.tried == (
        "the folder ms-marco-MiniLM-L6-v2 (does not exist)",
        f"the hub's local cache {hub} (not there)",
        "no download (offline)",
    )
    assert caught.value.model == "cross-encoder/ms-marco-MiniLM-L6-v2"
    assert caught.value.advice == "Check the name, or pass a local folder as rerank=."


def test_a_model_in_the_hubs_cache_is_found_by_its_name(bert: Path, hub: Path) -> None:
    place, commit = hub / "models--cross-encoder--small", "a" * 40
    shutil.copytree(bert, place / "snapshots" / commit)
    write(place, "refs/main", commit)
    for missing in ("modules.json", "config_sentence_transformers.json", "adapter_config.json"):
        write(place, f".no_exist/{commit}/{missing}", "")
    encoder = load_cross_encoder("small", offline=True)
    assert (encoder.cross.model, encoder.cross.revision) == ("cross-encoder/small", commit)
    assert encoder.cross.fingerprint == load_cross_encoder(bert).cross.fingerprint


def test_a_folder_says_whether_it_is_a_cross_encoder(model: Path, small_model: SmallModel, tmp_path: Path) -> None:
    assert is_cross(model)
    assert not is_cross(small_model(tmp_path / "small"))
    assert not is_cross(tmp_path)
    with_modules(MODULE, DENSE)(model)
    assert is_cross(model)
    (model / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "SparseEncoder"}))
    assert not is_cross(model)
