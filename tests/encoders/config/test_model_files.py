"""Each setting in a model's files is read, and an unsupported one is refused by name."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from vecindex.errors import UnsupportedModel, VecindexError

from ...support.models.model_files import DENSE, FILES, MODULES, STATIC, edit, make, read, write


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "model")


# --- what is read ----------------------------------------------------------------------------------------------------


def test_the_space_is_what_the_files_say(model: Path) -> None:
    space = read(model)
    settings = dataclasses.asdict(space)
    digests = {name: settings.pop(name) for name in ("weights", "tokenizer", "architecture")}
    assert settings == {
        **{"model": "a/model", "dimension": 8, "max_tokens": 16, "pooling": "mean", "normalize": True},
        **{"query_prompt": "q: ", "document_prompt": "d: ", "precision": "fp32"},
        **{"head": "", "prompt_pooled": True, "truncation": "right", "revision": ""},
    }
    assert digests["weights"] == hashlib.sha256(b"weights").hexdigest()
    assert all(len(value) == 64 for value in digests.values())


def test_the_space_of_minilm(minilm: Path) -> None:
    space = read(minilm)
    assert (space.dimension, space.max_tokens, space.pooling, space.normalize) == (384, 256, "mean", True)
    assert (space.query_prompt, space.document_prompt, space.precision) == ("", "", "fp32")
    assert space.weights == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True}, "mean"),
        ({"word_embedding_dimension": 8}, "mean"),
        ({"embedding_dimension": 8, "pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"embedding_dimension": 8, "pooling_mode": "mean", "pooling_mode_cls_token": True}, "mean"),
        ({"embedding_dimension": 8, "pooling_mode": "lasttoken"}, "lasttoken"),
        ({"embedding_dimension": 8, "pooling_mode": ["mean", "cls"]}, "mean+cls"),
        ({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls+mean"),
        ({"word_embedding_dimension": 8, "pooling_mode_weightedmean_tokens": True}, "weightedmean"),
    ],
)
def test_pooling_is_read_in_the_old_and_the_new_form(model: Path, pooling: dict[str, Any], mode: str) -> None:
    write(model, "1_Pooling/config.json", pooling)
    assert (read(model).pooling, read(model).dimension) == (mode, 8 * len(mode.split("+")))


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "positions", "expected"),
    [(16, 32, 64, 16), (None, 32, 64, 32), (None, 128, 64, 64), (None, None, 64, 64), (None, 10**30, 64, 64)],
)
def test_the_maximum_is_that_of_the_sentence_config_or_else_the_least_of_the_others(
    model: Path, sentence: int | None, tokenizer: int | None, positions: int, expected: int
) -> None:
    edit(model, "sentence_bert_config.json", max_seq_length=sentence)
    edit(model, "tokenizer_config.json", model_max_length=tokenizer)
    edit(model, "config.json", max_position_embeddings=positions)
    assert read(model).max_tokens == expected


def test_without_its_optional_files_a_model_has_no_prompts(model: Path) -> None:
    for name in ("sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer_config.json"):
        (model / name).unlink()
    space = read(model)
    assert (space.max_tokens, space.query_prompt, space.document_prompt) == (64, "", "")


def test_an_empty_sentence_config_is_skipped_as_in_sentence_transformers(model: Path) -> None:
    write(model, "sentence_bert_config.json", {})
    write(model, "sentence_roberta_config.json", {"max_seq_length": 12})
    assert read(model).max_tokens == 12


def test_required_libraries_do_not_change_the_space(model: Path) -> None:
    before = read(model)
    edit(model, "config_sentence_transformers.json", requirements={"sentence_transformers": ">=5.0"})
    assert read(model) == before


def test_names_of_custom_code_do_not_change_the_space(model: Path) -> None:
    before = read(model)
    edit(model, "config.json", auto_map={"AutoModel": "modeling.Model"})
    edit(model, "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenizing.Tokenizer", None]})
    assert read(model) == before


PASSAGE = (
    "a/model has a prompt named 'passage', 'p: ', which is not used, as in sentence-transformers; to put "
    "it before documents, rename it to 'document' in its config_sentence_transformers.json."
)


@pytest.mark.parametrize(
    ("config", "expected", "warned"),
    [
        ({"prompts": {"query": "q: ", "passage": "p: "}}, ("q: ", ""), [PASSAGE]),
        ({"prompts": {"query": "q: ", "document": "", "passage": "p: "}}, ("q: ", ""), [PASSAGE]),
        ({"prompts": {"passage": "p: "}}, ("", ""), [PASSAGE]),
        ({"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}, ("q: ", "d: "), []),
        ({"prompts": {"query": "q: ", "passage": ""}}, ("q: ", ""), []),
        ({"prompts": {"passage": "p: "}, "default_prompt_name": "passage"}, ("p: ", "p: "), []),
        ({"prompts": {"query": "q: "}}, ("q: ", ""), []),
    ],
)
def test_a_passage_prompt_is_not_used_and_a_warning_says_so(
    model: Path,
    caplog: pytest.LogCaptureFixture,
    config: dict[str, Any],
    expected: tuple[str, str],
    warned: list[str],
) -> None:
    write(model, "config_sentence_transformers.json", config)
    with caplog.at_level(logging.WARNING, "vecindex"):
        space = read(model)
    assert (space.query_prompt, space.document_prompt) == expected
    assert [record.getMessage() for record in caplog.records] == warned


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, object, str]] = {
    "another side that is cut": (
        "tokenizer_config.json",
        {"truncation_side": "middle"},
        "tokenizer_config.json sets truncation_side to 'middle'",
    ),
    "another side that is padded": (
        "tokenizer_config.json",
        {"padding_side": 7},
        "tokenizer_config.json sets padding_side to 7",
    ),
    "more tokens than positions": (
        "sentence_bert_config.json",
        {"max_seq_length": 100_000},
        "its maximum is 100000 tokens, but it has only 64 position embeddings",
    ),
    "an unknown module": (
        "modules.json",
        [*MODULES[:2], {**MODULES[2], "type": "sentence_transformers.models.Whitening"}],
        "its modules are Transformer, Pooling, Whitening; supported: Transformer, Pooling or StaticEmbedding, then any "
        "Dense and Normalize",
    ),
    "a dense layer that is not there": ("modules.json", [*MODULES[:2], DENSE], "holds no 2_Dense/config.json"),
    "a dense layer of tokens": (
        "modules.json",
        [MODULES[0], DENSE, MODULES[1]],
        "its modules are Transformer, Dense, Pooling; supported",
    ),
    "no pooling": ("modules.json", MODULES[:1], "its modules are Transformer; supported"),
    "a static embedding with pooling": (
        "modules.json",
        [STATIC, MODULES[1]],
        "its modules are StaticEmbedding, Pooling;",
    ),
    "no modules": ("modules.json", [], "its modules are none; supported"),
    "another order": ("modules.json", MODULES[::-1], "its modules are Normalize, Pooling, Transformer;"),
    "code of its own": (
        "modules.json",
        [{**MODULES[0], "type": "custom_st.Transformer"}, *MODULES[1:]],
        "its module custom_st.Transformer is custom code",
    ),
    "a transformer that is not there": (
        "modules.json",
        [{**MODULES[0], "path": "0_Transformer"}, *MODULES[1:]],
        "holds no 0_Transformer/config.json",
    ),
    "a module outside of the folder": (
        "modules.json",
        [{**MODULES[0], "path": "../elsewhere"}, *MODULES[1:]],
        "modules.json places a module in '../elsewhere', which is not inside the model's folder",
    ),
    "an unknown pooling": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": ["mean", "median"]},
        "its pooling mode is ['mean', 'median'] in 1_Pooling/config.json; supported: mean, cls, max,",
    ),
    "no pooling mode": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": []},
        "its pooling mode is [] in 1_Pooling/config.json",
    ),
    "a prompt that is half left out": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": "half"},
        "1_Pooling/config.json sets include_prompt to 'half'",
    ),
    "tokens that are normalised": (
        "2_Normalize/config.json",
        {"module_input_name": "token_embeddings"},
        "2_Normalize/config.json sets module_input_name to token_embeddings; supported: sentence_embedding",
    ),
    "an unknown pooling setting": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": "mean", "power": 3},
        "1_Pooling/config.json has unknown settings: power",
    ),
    "no dimension": ("1_Pooling/config.json", {"pooling_mode": "mean"}, "config.json does not give the dimension"),
    "an adapter": ("adapter_config.json", {}, "it is an adapter (adapter_config.json), which needs its base model"),
    "a cross encoder": (
        "config_sentence_transformers.json",
        {"model_type": "CrossEncoder"},
        "it is a CrossEncoder, not a SentenceTransformer",
    ),
    "an unknown setting": (
        "config_sentence_transformers.json",
        {"rotation": [1, 2]},
        "config_sentence_transformers.json has unknown settings: rotation",
    ),
    "a cut to nothing": (
        "config_sentence_transformers.json",
        {"truncate_dim": 0},
        "config_sentence_transformers.json sets truncate_dim to 0",
    ),
    "a default prompt that there is not": (
        "config_sentence_transformers.json",
        {"default_prompt_name": "passage", "prompts": {}},
        "names 'passage' as the default prompt, but has no prompt of that name",
    ),
    "a maximum for queries": (
        "sentence_bert_config.json",
        {"query_length": 4},
        "sentence_bert_config.json sets query_length to 4",
    ),
    "another output": (
        "sentence_bert_config.json",
        {"module_output_name": "pooler_output"},
        "sentence_bert_config.json sets module_output_name to pooler_output",
    ),
    "no maximum": ("sentence_bert_config.json", {"max_seq_length": 0}, "do not say how many tokens it reads"),
}


@pytest.mark.parametrize(("name", "value", "reason"), REFUSED.values(), ids=REFUSED)
def test_unsupported_settings_are_refused_by_name(model: Path, name: str, value: object, reason: str) -> None:
    write(model, name, value)
    with pytest.raises(UnsupportedModel) as caught:
        read(model)
    assert reason in caught.value.reason
    assert caught.value.model == "a/model"


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "tokenizer.json"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(UnsupportedModel, match=f"holds no {name}"):
        read(model)


def test_weights_are_read_from_safetensors_only(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=r"holds no model\.safetensors"):
        read(model)
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UnsupportedModel, match=r"its weights are a pickle \(pytorch_model.bin\).*save it again with"):
        read(model)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"holds no modules\.json"):
        read(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ['{"a": ', "\x00", '"text"', "7", "null", '["x", "y"]', "[{}, {}]"])
def test_damaged_json_is_refused_and_named(model: Path, name: str, content: str) -> None:
    write(model, name, content)
    with pytest.raises(UnsupportedModel) as caught:
        read(model)
    assert name in caught.value.reason or "its module" in caught.value.reason


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config_sentence_transformers.json", {"prompts": ["q: "]}),
        ("config_sentence_transformers.json", {"prompts": {"query": 3}}),
        ("tokenizer_config.json", {"model_max_length": "many"}),
        ("config.json", {"max_position_embeddings": "many"}),
        ("sentence_bert_config.json", {"max_seq_length": True}),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(model: Path, name: str, change: dict[str, object]) -> None:
    if name != "sentence_bert_config.json":
        edit(model, "sentence_bert_config.json", max_seq_length=None)
    edit(model, name, **change)
    with pytest.raises(VecindexError):
        read(model)


@pytest.mark.parametrize(("name", "refused"), [("cosine", False), ("dot", False), ("euclidean", True)])
def test_only_models_compared_by_cosine_or_dot_are_accepted(model: Path, name: str, refused: bool) -> None:
    write(model, "config_sentence_transformers.json", {"similarity_fn_name": name})
    if refused:
        with pytest.raises(UnsupportedModel, match="its vectors are compared by euclidean"):
            read(model)
    else:
        read(model)
