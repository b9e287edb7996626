"""Every kind of cross-encoder gives sentence-transformers' own scores, in both runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex.encoders.cross.cross_encoder import CrossEncoder
from vecindex.encoders.cross.load import load_cross_encoder

from ...support.models.cross_models import (
    CROSS_FAMILIES,
    PAIR_TOKENS,
    QUERIES,
    predicted,
    save_cross_model,
    texts,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that share out matrices as small as these only wait for each other, beside other work for seconds."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=CROSS_FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_model(tmp_path_factory.mktemp(request.param) / "model", request.param)


def in_torch(folder: Path, encoder: CrossEncoder) -> Any:
    from vecindex.encoders.cross.torch import TorchCrossEncoder

    return TorchCrossEncoder(folder, encoder.cross)


def test_hundreds_of_pairs_have_sentence_transformers_own_scores(folder: Path) -> None:
    fast = load_cross_encoder(folder)
    assert (fast.runtime, fast.cross.max_tokens) == ("onnxruntime", PAIR_TOKENS)
    reference, compared = in_torch(folder, fast), 0
    for query in QUERIES:
        # sentence-transformers itself fails on a pair without a token.
        some = [text for text, pair in zip(texts(), fast.tokens(query, texts()), strict=True) if pair.ids]
        expected = predicted(folder, [(query, text) for text in some])
        assert np.ptp(expected) > 0.01, "or this test shows nothing"
        for encoder in (fast, reference):
            tokens = encoder.tokens(query, some)
            assert max(len(pair.ids) for pair in tokens) == PAIR_TOKENS
            np.testing.assert_allclose(encoder.scores(tokens), expected, atol=1e-5)
        compared += len(some)
    assert compared > 400
