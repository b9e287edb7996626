"""The folders of a model's modules, its prompts, dense layers and fewer dimensions."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from vecindex.encoders.config.read_space import read_space
from vecindex.errors import InvalidInput, UnsupportedModel

from ...support.models.model_files import DENSE, MODULES, digest, edit, make, read, write


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "model")


# --- where things are ------------------------------------------------------------------------------------------------


def test_a_transformer_in_a_folder_of_its_own_is_the_same_space(model: Path) -> None:
    before = read(model)
    (model / "0_Transformer").mkdir()
    for name in ("config.json", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json"):
        (model / name).rename(model / "0_Transformer" / name)
    (model / "model.safetensors").rename(model / "0_Transformer" / "model.safetensors")
    write(model, "modules.json", [{**MODULES[0], "path": "0_Transformer"}, *MODULES[1:]])
    assert read(model) == before


def test_a_path_of_a_dot_is_the_models_own_folder(model: Path) -> None:
    before = read(model)
    write(model, "modules.json", [{**MODULES[0], "path": "."}, *MODULES[1:]])
    assert read(model) == before


def test_the_transformers_settings_may_have_the_name_of_its_kind(model: Path) -> None:
    (model / "sentence_bert_config.json").rename(model / "sentence_roberta_config.json")
    assert read(model).max_tokens == 16
    edit(model, "sentence_roberta_config.json", unpad_inputs=True, model_args={})
    assert read(model).max_tokens == 16


@pytest.mark.parametrize(("kind", "expected"), [("roberta", 62), ("mpnet", 62), ("xlm-roberta", 62), ("bert", 64)])
def test_positions_reserved_for_padding_hold_no_token(model: Path, kind: str, expected: int) -> None:
    edit(model, "config.json", model_type=kind, pad_token_id=1)
    edit(model, "sentence_bert_config.json", max_seq_length=64)
    assert read(model).max_tokens == expected


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_truncation_side_is_read(model: Path, side: str) -> None:
    edit(model, "tokenizer_config.json", truncation_side=side, padding_side="left")
    assert read(model).truncation == side


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, ("q: ", "")),
        ({"prompts": {"query": "q: ", "all": "a: "}, "default_prompt_name": "all"}, ("q: ", "")),
        ({"prompts": {"query": "", "all": "a: "}, "default_prompt_name": "all"}, ("a: ", "a: ")),
        ({"prompts": {"all": "a: "}, "default_prompt_name": None}, ("", "")),
        ({"prompts": {"all": ""}, "default_prompt_name": "all"}, ("", "")),
        ({"prompts": {}, "default_prompt_name": "query"}, ("", "")),
    ],
)
def test_a_default_prompt_applies_only_without_another(
    model: Path, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    edit(model, "config_sentence_transformers.json", **changes)
    assert (read(model).query_prompt, read(model).document_prompt) == expected


# --- plain folders ---------------------------------------------------------------------------------------------------


def test_a_plain_transformer_gets_mean_pooling_and_a_warning(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    (model / "modules.json").unlink()
    edit(model, "config.json", hidden_size=8)
    with caplog.at_level(logging.WARNING, "vecindex"):
        space = read(model)
    assert [record.message for record in caplog.records] == [
        "a/model has no modules.json, which would say how token vectors become a sentence vector; the mean is used."
    ]
    # sentence-transformers reads none of its own files in such a folder.
    assert (space.pooling, space.normalize, space.dimension, space.max_tokens) == ("mean", False, 8, 32)
    assert (space.query_prompt, space.document_prompt, space.head) == ("", "", "")


def test_a_plain_transformer_without_its_width_is_refused(model: Path) -> None:
    (model / "modules.json").unlink()
    edit(model, "config.json", hidden_size=None)
    with pytest.raises(UnsupportedModel, match="does not give the size of a token's vector"):
        read(model)


# --- dense layers ----------------------------------------------------------------------------------------------------

DENSE_CONFIG = {
    "in_features": 8,
    "out_features": 4,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}


@pytest.fixture
def dense(model: Path) -> Path:
    write(model, "modules.json", [*MODULES[:2], DENSE, {**MODULES[2], "path": "3_Normalize"}])
    write(model, "2_Dense/config.json", DENSE_CONFIG)
    (model / "2_Dense" / "model.safetensors").write_bytes(b"dense")
    return model


def test_a_dense_layer_is_described_with_its_weights(dense: Path) -> None:
    space = read(dense)
    digest_of_weights = hashlib.sha256(b"dense").hexdigest()
    assert space.head == f"Dense 8 to 4, Tanh, bias, {digest_of_weights}"
    assert (space.dimension, space.normalize) == (4, True)
    other = dataclasses.replace(space, head=space.head.replace(digest_of_weights, "0" * 64))
    assert space.differences(other) == (
        f"head: 'Dense 8 to 4, Tanh, bias, {digest_of_weights[:12]}' / 'Dense 8 to 4, Tanh, bias, 000000000000'"
    )


def test_the_head_ends_with_the_last_dense_layer(dense: Path) -> None:
    write(dense, "modules.json", [*MODULES[:2], MODULES[2], DENSE])
    space = read(dense)
    assert space.head == f"Normalize | Dense 8 to 4, Tanh, bias, {hashlib.sha256(b'dense').hexdigest()}"
    assert not space.normalize


@pytest.mark.parametrize(
    ("changes", "described"),
    [
        ({"activation_function": "torch.nn.modules.linear.Identity"}, "Dense 8 to 4, Identity, bias"),
        ({"activation_function": "torch.nn.modules.activation.ReLU", "bias": False}, "Dense 8 to 4, ReLU"),
        ({"use_residual": True, "module_input_name": "sentence_embedding"}, "Dense 8 to 4, Tanh, bias, residual"),
        ({"activation_function": None, "bias": None}, "Dense 8 to 4, Tanh, bias"),
    ],
)
def test_a_dense_layers_settings_are_read(dense: Path, changes: dict[str, object], described: str) -> None:
    edit(dense, "2_Dense/config.json", **changes)
    assert read(dense).head.rsplit(", ", 1)[0] == described


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activation_function": "torch.nn.modules.activation.GELU"}, "activation_function to torch.nn.modules.act"),
        ({"activation_function": "mine.Tanh"}, "sets activation_function to mine.Tanh; supported: Identity, Tanh"),
        ({"module_input_name": "token_embeddings"}, "sets module_input_name to token_embeddings"),
        ({"module_output_name": "other"}, "sets module_output_name to other; supported: sentence_embedding"),
        ({"in_features": None}, "lacks a valid in_features, out_features, bias"),
        ({"dropout": 0.5}, "2_Dense/config.json has unknown settings: dropout"),
        ({"in_features": 9}, "takes 9 numbers, but the module before it gives 8"),
    ],
)
def test_an_unsupported_dense_layer_is_refused(dense: Path, changes: dict[str, object], reason: str) -> None:
    edit(dense, "2_Dense/config.json", **changes)
    with pytest.raises(UnsupportedModel) as caught:
        read(dense)
    assert reason in caught.value.reason


def test_a_dense_layers_pickle_is_refused_with_advice(dense: Path) -> None:
    (dense / "2_Dense" / "model.safetensors").rename(dense / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match=r"a pickle \(2_Dense/pytorch_model.bin\).*save it again with") as caught:
        read(dense)
    assert caught.value.advice == "Use another model."


# --- fewer dimensions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "asked", "expected"), [(None, None, 8), (None, 3, 3), (5, None, 5), (5, 7, 7), (100, None, 8), (None, 8, 8)]
)
def test_fewer_dimensions_are_those_asked_for_or_the_models_own(
    model: Path, own: int | None, asked: int | None, expected: int
) -> None:
    full = read(model)
    edit(model, "config_sentence_transformers.json", truncate_dim=own)
    space = read_space(model, "a/model", digest, asked)
    assert space.dimension == expected
    assert (space.fingerprint == full.fingerprint) == (expected == 8)


@pytest.mark.parametrize("asked", [0, -1, 9, True, 2.5])
def test_invalid_dimensions_are_an_error(model: Path, asked: Any) -> None:
    with pytest.raises(InvalidInput, match=f"{asked} dimensions were asked for, but a/model has 8"):
        read_space(model, "a/model", digest, asked)
