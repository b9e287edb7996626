"""The files of a small model from which a space can be read, without real weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vecindex.encoders.config.read_space import read_space
from vecindex.values.space import Space

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
STATIC = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
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


def make(folder: Path) -> Path:
    """Writes all of them."""
    for name, value in FILES.items():
        write(folder, name, value)
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder
