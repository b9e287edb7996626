"""A model that reads long texts: sentence-transformers' own vectors, in memory that does not grow with their square."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import load_encoder
from vecindex.encoders.compile import export_attention
from vecindex.encoders.locate.vecindex_cache import compiled_folder

from ...support.extent import every
from ...support.models import families
from ...support.models.families import Family, saved
from ...support.places import PROJECT

MAX_TOKENS = 2048
HEADS = 12
_SHAPE: dict[str, Any] = {
    **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 48},
    **{"max_position_embeddings": MAX_TOKENS, "pad_token_id": 0},
}
_ENDS = dict.fromkeys(("cls_token_id", "bos_token_id", "sep_token_id", "eos_token_id"), 1)
LONG = {
    "modernbert": families.random_model(
        *("ModernBertConfig", "ModernBertModel"),
        {**_SHAPE, **_ENDS, "local_attention": 128, "global_attn_every_n_layers": 2},
    ),
    "mistral": families.random_model(
        *("MistralConfig", "MistralModel"), {**_SHAPE, "num_key_value_heads": 4, "head_dim": 8, "sliding_window": 300}
    ),
}
TEXTS = ["a dog", "the quick brown fox " * 20, "it rains in the old town by the sea " * 40, "a lazy dog jumps " * 300]


@pytest.fixture(scope="module", params=every(2, LONG))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    root = tmp_path_factory.mktemp(request.param)
    base = families.transformer_folder(
        root / "base", Family(request.param, LONG[request.param], families._ending_in_eos)
    )
    modules = [Transformer(str(base), max_seq_length=MAX_TOKENS), Pooling(48, pooling_mode="mean")]
    return saved(root / "model", modules)


def test_sliced_attention_gives_sentence_transformers_vectors(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer

    monkeypatch.setenv("VECINDEX_CACHE", str(tmp_path))
    monkeypatch.setattr(export_attention, "NUMBERS_AT_ONCE", 2**20)
    model: Any = SentenceTransformer(str(folder), device="cpu")
    expected = np.stack([model.encode(text, normalize_embeddings=True) for text in TEXTS])
    for encoder in (load_encoder(folder), load_encoder(folder, runtime="torch")):
        counts = encoder.count_tokens(TEXTS)
        assert counts[0] < 100 < counts[1] < counts[2] < MAX_TOKENS < counts[3]
        for found in (encoder.encode(TEXTS), np.concatenate([encoder.encode([text]) for text in TEXTS])):
            assert (found * expected).sum(axis=1).min() >= 0.99999, encoder.runtime
    assert model[0].auto_model.config._attn_implementation == "sdpa", "the truth is not computed in parts"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as Linux tells it")
def test_memory_does_not_grow_with_the_square_of_a_texts_length(folder: Path) -> None:
    encoder = load_encoder(folder)  # compiled now
    assert encoder.runtime == "onnxruntime"
    assert compiled_folder(encoder.space.fingerprint).is_dir()
    code = (
        "import re, sys, vecindex\n"
        "most = lambda: int(re.search('VmHWM: *(.*) kB', open('/proc/self/status').read())[1]) // 1024\n"
        "encoder = vecindex.load_encoder(sys.argv[1], threads=1)\n"
        "encoder.encode(['a dog'])\n"
        "before = most()\n"
        "encoder.encode(['a lazy dog jumps ' * 300])\n"
        "print(most() - before)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) < HEADS * MAX_TOKENS**2 * 4 / 2**20, "one table, 192 MiB, of which there were three"
