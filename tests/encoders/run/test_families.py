"""Every kind of model gives sentence-transformers' own vectors.

Each family, pooling, padding side and length is held against it, alone and in a padded batch, in both runtimes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import explain, load_encoder
from vecindex.encoders.config.modules import ModelReader, read_modules
from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.locate.vecindex_cache import compiled_folder, file_digest
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.head import Head
from vecindex.encoders.run.onnx import OnnxEncoder
from vecindex.values.space import Role, Space

from ...support.extent import every
from ...support.models.families import (
    COMPARED,
    FAMILIES,
    MAX_TOKENS,
    SIDES,
    VARIANTS,
    Family,
    edit,
    texts_of_each_length,
    transformer_folder,
)

ROLES: tuple[Role, ...] = ("document", "query")
LEAST = 0.99999


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that share out matrices as small as these only wait for each other, beside other work for seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def base(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return transformer_folder(tmp_path_factory.mktemp(family.name) / "base", family)


@pytest.fixture(scope="module")
def graph(base: Path) -> tuple[Path, int]:
    """The compiled transformer of this family, which is the same whatever stands behind it, and its padding id."""
    folder = VARIANTS["mean"].save(base.parent / "compiled", base)
    encoder = load_encoder(folder)
    return compiled_folder(encoder.space.fingerprint), encoder.padding_id


def truths(model: Any, texts: list[str], role: Role, **settings: Any) -> Any:
    """sentence-transformers' own vectors, each text alone, so that no padding is in play."""
    encode = model.encode_query if role == "query" else model.encode_document
    return np.stack([encode(text, normalize_embeddings=True, **settings) for text in texts])


def cosines(a: Any, b: Any) -> Any:
    return (np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)).sum(axis=1)


def fast(folder: Path, space: Space, graph: tuple[Path, int]) -> Encoder:
    head = Head.read(read_modules(ModelReader(folder, space.model)), space)
    return OnnxEncoder(graph[0], space, graph[1], head, 1)


@pytest.mark.parametrize("name", every(6, VARIANTS))
def test_a_model_gives_sentence_transformers_own_vectors(
    family: Family, base: Path, graph: tuple[Path, int], name: str, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = VARIANTS[name].save(tmp_path, base)
    model = SentenceTransformer(str(folder), device="cpu")
    expected: dict[Role, Any] = {}
    for side in SIDES:
        edit(folder, "tokenizer_config.json", padding_side=side)
        reference = load_encoder(folder, runtime="torch")
        assert reference.space.max_tokens == MAX_TOKENS
        by_length = texts_of_each_length(reference)
        assert list(by_length) == list(range(min(by_length), MAX_TOKENS + 4))
        texts = list(by_length.values())
        for role in ROLES if VARIANTS[name].prompts else ROLES[:1]:
            if role not in expected:
                expected[role] = truths(model, texts, role)
            for encoder in (reference, fast(folder, reference.space, graph)):
                alone = np.concatenate([encoder.encode([text], role) for text in texts])
                assert cosines(alone, expected[role]).min() >= LEAST, (side, role, encoder.runtime)
                batch = encoder.encode(texts, role)
                assert cosines(batch, expected[role]).min() >= LEAST, (side, role, encoder.runtime)
        COMPARED.update((family.name, name, side, length) for length in by_length)
    assert cosines(expected["document"][:1], expected["document"][-1:])[0] < 0.99, "or this test shows nothing"


def test_a_cached_compiled_model_gives_the_same_vectors(family: Family, base: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = VARIANTS["dense chain"].save(tmp_path, base)
    first = load_encoder(folder)
    names = {path.name for path in compiled_folder(first.space.fingerprint).iterdir()}
    assert names == {"model.onnx", "model.onnx.data", "tokenizer.json", "head.safetensors", "encoder.json"}
    texts = list(texts_of_each_length(first).values())
    expected = truths(SentenceTransformer(str(folder), device="cpu"), texts, "document")
    for encoder in (first, load_encoder(folder)):
        assert cosines(encoder.encode(texts), expected).min() >= LEAST


@pytest.mark.parametrize("name", every(6, VARIANTS))
def test_the_tokens_contributions_sum_to_the_score(
    base: Path, graph: tuple[Path, int], name: str, tmp_path: Path
) -> None:
    folder = VARIANTS[name].save(tmp_path, base)
    encoder = fast(folder, read_space(folder, "a/model", file_digest), graph)
    text, query = "the quick brown fox jumps over a lazy dog in the old town by the sea", "a dog"
    explained = explain(text, against=query, encoder=encoder)
    score = float(encoder.encode([text])[0] @ encoder.encode([query], "query")[0])
    assert explained.score == pytest.approx(score, abs=1e-5)
    assert sum(t.share for t in explained.tokens) == pytest.approx(1, abs=1e-5)
    assert sum(t.contribution or 0 for t in explained.tokens) == pytest.approx(score, abs=1e-5)
    assert explained.shapes.sentence_vector == (encoder.space.dimension,)
    prompt = encoder.pooled_from("document")
    assert (prompt > 1) == (name == "prompts left out")
    assert [t.share for t in explained.tokens[:prompt]] == [0] * prompt
