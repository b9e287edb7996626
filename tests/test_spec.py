"""Which space is this: what changes a vector changes the fingerprint, and what is not done here is refused by name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecindex.encoders.cache import file_digest
from vecindex.encoders.spec import Space, read_space
from vecindex.errors import UnsupportedModel, VecindexError

from .toy import toy_space

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
FILES: dict[str, Any] = {
    "modules.json": MODULES,
    "config.json": {"model_type": "bert", "hidden_size": 8, "hidden_act": "gelu", "max_position_embeddings": 64},
    "1_Pooling/config.json": {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True},
    "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {"query": "q: ", "document": "d: "}},
    "tokenizer.json": {"model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "a": 1}}, "truncation": None},
    "tokenizer_config.json": {"do_lower_case": True, "model_max_length": 32, "tokenizer_class": "BertTokenizer"},
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(folder: Path) -> Space:
    return read_space(folder, "a/model", digest)


def write(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def edit(folder: Path, name: str, **changes: object) -> None:
    """Changes entries of a JSON file; None takes an entry away."""
    value = json.loads((folder / name).read_text(encoding="utf-8")) if (folder / name).exists() else {}
    write(folder, name, {k: v for k, v in {**value, **changes}.items() if v is not None})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, value in FILES.items():
        write(folder, name, value)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


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
    ],
)
def test_pooling_is_read_in_the_old_and_the_new_form(model: Path, pooling: dict[str, Any], mode: str) -> None:
    write(model, "1_Pooling/config.json", pooling)
    assert (read(model).pooling, read(model).dimension) == (mode, 8)


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "positions", "expected"),
    [(16, 32, 64, 16), (None, 32, 64, 32), (None, 128, 64, 64), (None, None, 64, 64), (None, 10**30, 64, 64)],
)
def test_the_maximum_is_the_sentence_configs_else_the_least_of_the_others(
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


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, object, str]] = {
    "another side that is cut": (
        "tokenizer_config.json",
        {"truncation_side": "left"},
        "tokenizer_config.json sets truncation_side to 'left'; supported: right",
    ),
    "another side that is padded": (
        "tokenizer_config.json",
        {"padding_side": "left"},
        "tokenizer_config.json sets padding_side to 'left'; supported: right",
    ),
    "more tokens than positions": (
        "sentence_bert_config.json",
        {"max_seq_length": 100_000},
        "it would read 100000 tokens with ",
    ),
    "an unknown module": (
        "modules.json",
        [*MODULES[:2], {**MODULES[2], "type": "sentence_transformers.models.Whitening"}],
        "its modules are Transformer, Pooling, Whitening; supported: Transformer, Pooling[, Normalize]",
    ),
    "Dense": ("modules.json", [*MODULES[:2], DENSE], "its modules are Transformer, Pooling, Dense;"),
    "no pooling": ("modules.json", MODULES[:1], "its modules are Transformer; supported"),
    "no modules": ("modules.json", [], "its modules are none; supported"),
    "another order": ("modules.json", MODULES[::-1], "its modules are Normalize, Pooling, Transformer;"),
    "code of its own": (
        "modules.json",
        [{**MODULES[0], "type": "custom_st.Transformer"}, *MODULES[1:]],
        "its module custom_st.Transformer is code of its own",
    ),
    "a transformer elsewhere": (
        "modules.json",
        [{**MODULES[0], "path": "0_Transformer"}, *MODULES[1:]],
        "its transformer is in the folder '0_Transformer' instead of beside modules.json",
    ),
    "max pooling": (
        "1_Pooling/config.json",
        {"word_embedding_dimension": 8, "pooling_mode_max_tokens": True},
        "its pooling mode max in 1_Pooling/config.json; supported: mean, cls",
    ),
    "two poolings": (
        "1_Pooling/config.json",
        {"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        "its pooling mode ['cls', 'mean']",
    ),
    "include_prompt false": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": False},
        "its pooling leaves the prompt out (include_prompt in 1_Pooling/config.json)",
    ),
    "an unknown pooling setting": (
        "1_Pooling/config.json",
        {"embedding_dimension": 8, "pooling_mode": "mean", "power": 3},
        "1_Pooling/config.json has settings that are not known here: power",
    ),
    "no dimension": ("1_Pooling/config.json", {"pooling_mode": "mean"}, "config.json does not say the dimension"),
    "auto_map": (
        "config.json",
        {**FILES["config.json"], "auto_map": {"AutoModel": "modeling.Model"}},
        "config.json asks to run code that comes with the model (auto_map)",
    ),
    "an adapter": ("adapter_config.json", {}, "it is an adapter (adapter_config.json), which needs another model"),
    "a cross encoder": (
        "config_sentence_transformers.json",
        {"model_type": "CrossEncoder"},
        "it is a CrossEncoder, not a SentenceTransformer",
    ),
    "an unknown setting": (
        "config_sentence_transformers.json",
        {"truncate_dim": 4},
        "config_sentence_transformers.json has settings that are not known here: truncate_dim",
    ),
    "another output": (
        "sentence_bert_config.json",
        {"module_output_name": "pooler_output"},
        "sentence_bert_config.json sets module_output_name to pooler_output",
    ),
    "no maximum": ("sentence_bert_config.json", {"max_seq_length": 0}, "do not say how many tokens a text may have"),
}


@pytest.mark.parametrize(("name", "value", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_this_version_does_not_do_is_refused_by_name(model: Path, name: str, value: object, reason: str) -> None:
    write(model, name, value)
    with pytest.raises(UnsupportedModel) as caught:
        read(model)
    assert reason in caught.value.reason
    assert caught.value.model == "a/model"


@pytest.mark.parametrize("name", ["modules.json", "config.json", "1_Pooling/config.json", "tokenizer.json"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(UnsupportedModel, match=f"holds no {name}"):
        read(model)


def test_weights_are_read_from_safetensors_only(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=r"holds no model\.safetensors"):
        read(model)
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UnsupportedModel, match=r"its weights are a pickle \(pytorch_model.bin\)"):
        read(model)


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
def test_a_setting_of_another_type_is_refused(model: Path, name: str, change: dict[str, object]) -> None:
    if name != "sentence_bert_config.json":
        edit(model, "sentence_bert_config.json", max_seq_length=None)
    edit(model, name, **change)
    with pytest.raises(VecindexError):
        read(model)


# --- the fingerprint -------------------------------------------------------------------------------------------------

Change = Callable[[Path], None]
CHANGES: dict[str, Change] = {
    "the weights": lambda m: write(m, "model.safetensors", "Weights"),
    "a second part of the weights": lambda m: write(m, "model-2.safetensors", "more"),
    "an activation": lambda m: edit(m, "config.json", hidden_act="relu"),
    "an unknown entry of config.json": lambda m: edit(m, "config.json", some_new_scale=2),
    "the vocabulary": lambda m: edit(m, "tokenizer.json", model={"type": "WordPiece", "vocab": {"[PAD]": 0, "b": 1}}),
    "lower case in the tokenizer": lambda m: edit(m, "tokenizer_config.json", do_lower_case=False),
    "lower case before it": lambda m: edit(m, "sentence_bert_config.json", do_lower_case=True),
    "accents": lambda m: edit(m, "tokenizer_config.json", strip_accents=False),
    "the first token": lambda m: edit(m, "tokenizer_config.json", cls_token="a"),
    "the last token": lambda m: edit(m, "tokenizer_config.json", sep_token="a"),
    "the unknown token": lambda m: edit(m, "tokenizer_config.json", unk_token="a"),
    "a special token map": lambda m: write(m, "special_tokens_map.json", {"cls_token": "a"}),
    "an added token": lambda m: write(m, "added_tokens.json", {"a b": 1}),
    "the maximum": lambda m: edit(m, "sentence_bert_config.json", max_seq_length=17),
    "the pooling": lambda m: write(m, "1_Pooling/config.json", {"embedding_dimension": 8, "pooling_mode": "cls"}),
    "the normalisation": lambda m: write(m, "modules.json", MODULES[:2]),
    "the query prompt": lambda m: edit(
        m, "config_sentence_transformers.json", prompts={"query": "", "document": "d: "}
    ),
    "the document prompt": lambda m: edit(m, "config_sentence_transformers.json", prompts={"query": "q: "}),
}
COSMETIC: dict[str, Change] = {
    "the name inside": lambda m: edit(m, "config.json", _name_or_path="elsewhere", transformers_version="1"),
    "the class and the type": lambda m: edit(m, "config.json", architectures=["BertModel"], torch_dtype="float16"),
    "how it was trained": lambda m: edit(m, "config.json", use_cache=False, gradient_checkpointing=True),
    "the versions": lambda m: edit(m, "config_sentence_transformers.json", __version__={"pytorch": "9"}),
    "the similarity": lambda m: edit(m, "config_sentence_transformers.json", similarity_fn_name="dot"),
    "cutting and padding": lambda m: edit(m, "tokenizer.json", truncation={"max_length": 9}, padding={"length": 9}),
    "the order of keys": lambda m: write(m, "config.json", dict(reversed(FILES["config.json"].items()))),
    "the old form of a setting": lambda m: write(
        m, "1_Pooling/config.json", {"embedding_dimension": 8, "pooling_mode": "mean"}
    ),
    "a readme": lambda m: write(m, "README.md", "about"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_vector_changes_the_fingerprint(model: Path, change: Change) -> None:
    before = read(model)
    change(model)
    assert read(model).fingerprint != before.fingerprint


@pytest.mark.parametrize("change", COSMETIC.values(), ids=COSMETIC)
def test_what_changes_no_vector_keeps_the_fingerprint(model: Path, change: Change) -> None:
    before = read(model)
    change(model)
    assert read(model) == before


def test_the_same_files_elsewhere_are_the_same_space(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "elsewhere")
    here, there = read_space(model, "a/model", digest), read_space(copy, "b/other", digest)
    assert here.fingerprint == there.fingerprint
    assert here != there
    assert here.differences(there) == ""


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Space) if f.name not in ("model", "revision")])
def test_each_field_but_where_it_came_from_is_in_the_fingerprint(name: str) -> None:
    old = getattr(toy_space(), name)
    new = not old if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"
    assert toy_space(**{name: new}).fingerprint != toy_space().fingerprint
    assert toy_space(**{name: new}).differences(toy_space()).startswith(f"{name}: ")


def test_a_fingerprint_stays_what_it_was_when_an_index_was_written() -> None:
    assert toy_space().fingerprint == "e01bdc9e1f40ca98a4c1d8fcd31c814650859da5baf09069373a878b16258577"


def test_a_space_comes_back_from_its_json() -> None:
    space = toy_space(query_prompt='q "ü" 🚆\n', pooling="cls")
    assert Space.from_json(space.to_json()) == space
    assert Space.from_json(space.to_json()).fingerprint == space.fingerprint


def test_differences_name_both_values_and_shorten_digests() -> None:
    mine = toy_space(pooling="cls", weights="a" * 64, query_prompt="q: ")
    theirs = toy_space(weights="b" * 64)
    assert (
        mine.differences(theirs)
        == f"pooling: 'cls' / 'mean', query_prompt: 'q: ' / '', weights: {'a' * 12} / {'b' * 12}"
    )
    assert toy_space().differences(toy_space(model="other")) == ""


def test_a_space_describes_itself_in_half_a_line() -> None:
    space = toy_space()
    assert space.describe() == f"toy (16 dimensions, fp32, fingerprint {space.fingerprint[:12]})"


def test_each_role_has_its_prompt() -> None:
    space = toy_space(query_prompt="q: ", document_prompt="d: ")
    assert (space.prompt("query"), space.prompt("document")) == ("q: ", "d: ")


def test_a_file_that_changed_behind_its_modification_time_is_digested_again(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"first")
    stat = path.stat()
    before = file_digest(path)
    path.write_bytes(b"other")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert file_digest(path) == hashlib.sha256(b"other").hexdigest() != before


@pytest.mark.parametrize(("name", "refused"), [("cosine", False), ("dot", False), ("euclidean", True)])
def test_a_model_to_be_compared_by_something_else_is_refused(model: Path, name: str, refused: bool) -> None:
    write(model, "config_sentence_transformers.json", {"similarity_fn_name": name})
    if refused:
        with pytest.raises(UnsupportedModel, match="its vectors are to be compared by euclidean"):
            read(model)
    else:
        read(model)
