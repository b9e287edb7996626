"""Code that comes with a model is never run; without an equivalent in the library, the model is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from vecindex import load_encoder
from vecindex.encoders.load import Runtime
from vecindex.errors import UnsupportedModel

from ...support.extent import slow
from ...support.models.families import edit
from ...support.models.small_model import SmallModel

SAME = {"AutoConfig": "an/owner--configuration_bert.BertConfig", "AutoModel": "modeling_bert.BertModel"}
CODE = ("configuration_bert", "modeling_bert", "tokenization_bert", "configuration_new", "modeling_new")
TEXTS = ["the cat sat on the mat", "a dog"]


@pytest.fixture
def model(small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code beside it that leaves a file ``ran``, and a cache in which nothing is compiled."""
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "cache"))
    folder = small_model(tmp_path)
    for name in CODE:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return folder


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def test_the_code_would_run_if_it_were_trusted(model: Path, ran: Path) -> None:
    import transformers

    edit(model, "config.json", auto_map={"AutoConfig": "configuration_new.NewConfig"})
    with pytest.raises(AttributeError, match="NewConfig"):
        transformers.AutoConfig.from_pretrained(str(model), trust_remote_code=True)
    assert ran.exists(), "or the tests below show nothing"


@pytest.mark.parametrize(
    "tokenizer",
    [
        {},
        {"auto_map": {"AutoTokenizer": [None, "tokenization_bert.BertTokenizerFast"]}},
        {"auto_map": ["tokenization_bert.BertTokenizer", "tokenization_bert.BertTokenizerFast"]},
    ],
    ids=["none", "fast", "both"],
)
@pytest.mark.parametrize("folder", [slow(""), "0_Transformer"])
def test_the_librarys_own_equivalent_classes_are_used(
    model: Path, ran: Path, tokenizer: dict[str, Any], folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without = load_encoder(model)
    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path / "another cache"))
    names = ("config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json")
    if folder:
        (model / folder).mkdir()
        for name in names:
            (model / name).rename(model / folder / name)
        modules = (model / "modules.json").read_text().replace('"path": ""', f'"path": "{folder}"', 1)
        (model / "modules.json").write_text(modules)
    edit(model / folder, "config.json", auto_map={**SAME, "AutoModelForMaskedLM": "modeling_bert.BertForOthers"})
    edit(model / folder, "tokenizer_config.json", **tokenizer)
    before = sorted(model.rglob("*"))
    for runtime in get_args(Runtime):
        encoder = load_encoder(model, runtime=runtime)
        assert encoder.space.fingerprint == without.space.fingerprint
        np.testing.assert_allclose(encoder.encode(TEXTS), without.encode(TEXTS), atol=1e-5)
    assert not ran.exists()
    assert sorted(model.rglob("*")) == before


NEW = {"AutoConfig": "configuration_new.NewConfig", "AutoModel": "modeling_new.NewModel"}
OTHER = r"the model of the type 'bert' in transformers is a different one \(BertConfig, BertModel\)"
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a type that the library has not": (
        "config.json",
        {"model_type": "new", "auto_map": NEW},
        r"\(auto_map: .*configuration_new\.NewConfig.*\); such code is never run, and transformers has no model of the "
        "type 'new'",
    ),
    "no type": ("config.json", {"model_type": None, "auto_map": NEW}, "has no model of the type None"),
    "another model under a known type": ("config.json", {"auto_map": NEW}, OTHER),
    "another config": ("config.json", {"auto_map": {**SAME, "AutoConfig": "configuration_new.NewConfig"}}, OTHER),
    "another model of that name": ("config.json", {"auto_map": {"AutoModel": "modeling_bert.BertModel"}}, OTHER),
    "more than a model": ("config.json", {"auto_map": {**SAME, "AutoProcessor": "modeling_new.Processor"}}, OTHER),
    "not a table": ("config.json", {"auto_map": "modeling_bert.BertModel"}, OTHER),
    "another tokenizer": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["tokenization_bert.NewTokenizer", None]}},
        r"\(auto_map: .*tokenization_bert\.NewTokenizer.*\); such code is never run, and transformers has no "
        "tokenizer of that name",
    ),
    "a tokenizer of which the library has none": (
        "tokenizer_config.json",
        {"tokenizer_class": "NewTokenizer", "auto_map": ["tokenization_bert.NewTokenizer", None]},
        "transformers has no tokenizer of that name",
    ),
    "more than a tokenizer": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["tokenization_bert.BertTokenizer", None], "AutoProcessor": "a.B"}},
        "transformers has no tokenizer of that name",
    ),
    "a tokenizer that is not a list": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": 3}},
        "no tokenizer of that",
    ),
}


@pytest.mark.parametrize(("name", "changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_custom_code_is_refused_by_name_and_never_run(
    model: Path, ran: Path, name: str, changes: dict[str, Any], reason: str
) -> None:
    edit(model, name, **changes)
    for runtime in get_args(Runtime):
        with pytest.raises(UnsupportedModel, match=f"{name} asks to run code that comes with the model .*{reason}"):
            load_encoder(model, runtime=runtime)
    assert not ran.exists()


def test_weights_that_fit_only_custom_code_are_refused(model: Path, ran: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(model / "model.safetensors")
    renamed = {name.replace("intermediate.dense", "gated"): value for name, value in weights.items()}
    save_file(renamed, model / "model.safetensors", {"format": "pt"})
    edit(model, "config.json", auto_map=SAME)
    with pytest.raises(UnsupportedModel, match=r"lack weights that the model needs: .*intermediate\.dense\.bias"):
        load_encoder(model)
    assert not ran.exists()


def test_an_empty_auto_map_is_accepted(model: Path) -> None:
    edit(model, "config.json", auto_map={})
    assert load_encoder(model, runtime="torch").encode(TEXTS).shape == (2, 32)
