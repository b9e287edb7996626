"""Does a static embedding give sentence-transformers' own vectors, without torch, and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecindex import explain, load_encoder
from vecindex.encoders.config.read_space import read_space
from vecindex.encoders.locate.vecindex_cache import file_digest
from vecindex.encoders.models import compile_model
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.static import StaticEncoder
from vecindex.errors import InvalidInput, UnsupportedModel

from ...support.children import environment
from ...support.models.families import COMPARED, PROMPTS, dense, edit, normalize, static_model, texts_of_each_length

HEADS: dict[str, Any] = {
    "plain": lambda: [],
    "normalize": lambda: [normalize()],
    "dense": lambda: [dense(16, 8), normalize()],
    "dense chain": lambda: [normalize(), dense(16, 24, "ReLU"), dense(24, 12, "Identity", bias=False)],
}


def truths(folder: Path, texts: list[str], role: str = "document", **settings: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    encode = model.encode_query if role == "query" else model.encode_document
    return np.stack([encode(text, normalize_embeddings=True, **settings) for text in texts])


def cosines(a: Any, b: Any) -> Any:
    return (np.asarray(a, dtype=np.float64) * np.asarray(b, dtype=np.float64)).sum(axis=1)


@pytest.mark.parametrize("prompts", [None, PROMPTS], ids=["no prompts", "prompts"])
@pytest.mark.parametrize("head", HEADS)
def test_both_runtimes_give_sentence_transformers_own_vectors(
    tmp_path: Path, head: str, prompts: dict[str, str] | None
) -> None:
    folder = static_model(tmp_path / "model", *HEADS[head](), prompts=prompts)
    fast, slow = load_encoder(folder), load_encoder(folder, runtime="torch")
    assert (fast.runtime, slow.runtime, fast.space.is_static, fast.space.max_tokens) == ("numpy", "torch", True, 0)
    by_length = texts_of_each_length(fast, least=1)
    assert min(by_length) == (1 if prompts is None else 2)
    texts = [*by_length.values(), "the quick brown fox " * 3000]
    for role in ("document", "query"):
        expected = truths(folder, texts, role)
        for encoder in (fast, slow):
            assert cosines(encoder.encode(texts, role), expected).min() >= 0.99999
            alone = np.concatenate([encoder.encode([text], role) for text in texts])
            assert cosines(alone, expected).min() >= 0.99999
    COMPARED.update(("static", f"{head}, {'prompts' if prompts else 'none'}", "none", n) for n in by_length)


def model2vec(folder: Path, kind: str = "F32") -> Path:
    """The folder as model2vec saves it, where tokens share vectors and have weights of their own."""
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(0)
    rows = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    named = {
        "embeddings": torch.randn(50, 16, generator=draw).to(types[kind]),
        "mapping": torch.randint(50, (rows,), generator=draw),
        "weights": torch.rand(rows, generator=draw, dtype=torch.float64),
    }
    save_file(named, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_shared_and_weighted_vectors_are_unfolded_as_sentence_transformers_does(tmp_path: Path, kind: str) -> None:
    folder = model2vec(static_model(tmp_path / "model"), kind)
    texts = ["the quick brown fox", "a lazy dog by the sea", "name"]
    encoder = load_encoder(folder)
    assert encoder.space.dimension == 16
    assert cosines(encoder.encode(texts), truths(folder, texts)).min() >= 0.99999
    slow = load_encoder(folder, runtime="torch")
    assert cosines(slow.encode(texts), truths(folder, texts)).min() >= 0.99999


def test_the_tokenizers_maximum_is_kept(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "model")
    for side, words in (("Right", "the quick brown"), ("Left", "a lazy dog")):
        truncation = {"direction": side, "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        edit(folder, "tokenizer.json", truncation=truncation)
        texts = ["the quick brown fox jumps over a lazy dog", words]
        for encoder in (load_encoder(folder), load_encoder(folder, runtime="torch")):
            assert (encoder.space.max_tokens, encoder.space.truncation) == (3, side.lower())
            assert [t.lost for t in encoder.tokenizer.tokenize(texts)] == [6, 0]
            assert cosines(encoder.encode(texts), truths(folder, texts)).min() >= 0.99999
            whole, part = encoder.encode(texts)
            np.testing.assert_allclose(whole, part, atol=1e-6)


def test_fewer_dimensions_are_sentence_transformers_own(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "model", normalize())
    texts = ["the quick brown fox", "a lazy dog"]
    encoder = load_encoder(folder, dimensions=5)
    assert encoder.encode(texts).shape == (2, 5)
    assert cosines(encoder.encode(texts), truths(folder, texts, truncate_dim=5)).min() >= 0.99999


def test_a_static_embedding_is_read_and_run_without_torch(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "model", dense(16, 8))
    code = (
        f"import sys, vecindex; print(vecindex.load_encoder({str(folder)!r}).encode(['the dog']).shape)\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'onnx', 'onnxruntime', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("(1, 8)\n[]\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from Linux's /proc")
def test_a_text_of_ten_megabytes_is_encoded_in_bounded_memory(tmp_path: Path) -> None:
    folder = static_model(tmp_path / "model", width=256)  # as token vectors all at once: 2 GB
    code = (
        "import vecindex; from pathlib import Path\n"
        # Of this process alone; what the resource module says begins with the parent's.
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        f"encoder = vecindex.load_encoder({str(folder)!r})\n"
        "text = 'the quick brown fox jumps over a lazy dog ' * 240_000\n"
        "part = encoder.encode([text[:4200]])[0]; before = peak()\n"
        "print(float(encoder.encode([text])[0] @ part), peak() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    cosine, kilobytes = ran.stdout.split()
    assert float(cosine) >= 0.99999, "the same words as often as each other"
    assert int(kilobytes) < 300_000


def test_the_tokens_contributions_sum_to_the_score(tmp_path: Path) -> None:
    encoder = load_encoder(static_model(tmp_path / "model", dense(16, 8)))
    explained = explain("the quick brown fox", against="a lazy dog", encoder=encoder)
    score = float(encoder.encode(["the quick brown fox"])[0] @ encoder.encode(["a lazy dog"], "query")[0])
    assert [t.token for t in explained.tokens] == ["the", "quick", "brown", "fox"]
    assert sum(t.contribution or 0 for t in explained.tokens) == pytest.approx(score, abs=1e-5)
    assert sum(t.share for t in explained.tokens) == pytest.approx(1, abs=1e-5)


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return load_encoder(static_model(tmp_path / "model"))


def test_an_empty_text_has_no_vector(encoder: Encoder) -> None:
    with pytest.raises(InvalidInput, match="the text '' has no token"):
        encoder.encode(["the dog", ""])


def test_a_static_embedding_is_not_compiled_and_has_no_int8(encoder: Encoder) -> None:
    folder = encoder.space.model
    with pytest.raises(UnsupportedModel, match="it has no transformer to run in int8"):
        load_encoder(folder, precision="int8")
    with pytest.raises(UnsupportedModel, match="it has no transformer, so there is nothing to compile"):
        compile_model(folder)


def test_a_table_with_too_few_rows_is_refused(encoder: Encoder) -> None:
    folder = Path(encoder.space.model)
    assert isinstance(encoder, StaticEncoder)
    from safetensors.numpy import save_file

    save_file({"embedding.weight": encoder._table[:9]}, folder / "model.safetensors")
    with pytest.raises(UnsupportedModel, match=r"gives the token 'сегодня' the id 217, but there are only 9 vectors"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"garbage, not safetensors", "cannot be read"), (b"", "cannot be read"), (None, "holds no model.safetensors")],
)
def test_a_damaged_table_is_refused(encoder: Encoder, content: bytes | None, reason: str) -> None:
    file = Path(encoder.space.model) / "model.safetensors"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UnsupportedModel, match=reason):
        load_encoder(file.parent)


def test_a_file_of_other_arrays_is_refused(encoder: Encoder) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros((3, 3), dtype=np.float32)}, Path(encoder.space.model) / "model.safetensors")
    with pytest.raises(UnsupportedModel, match="holds no token vectors"):
        read_space(Path(encoder.space.model), "a/model", file_digest)


def test_a_pickle_is_refused_with_advice(encoder: Encoder) -> None:
    folder = Path(encoder.space.model)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match=r"a pickle \(pytorch_model.bin\).*save it again with"):
        load_encoder(folder)
