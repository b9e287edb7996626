"""Which space is this: what changes a vector changes the fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.locate.vecindex_cache import file_digest
from vecindex.values.space import Space

from ..support.models.model_files import FILES, MODULES, digest, edit, make, read, write
from ..support.toy import toy_space


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "model")


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
