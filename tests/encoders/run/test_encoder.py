"""Are the vectors right: both runtimes against sentence-transformers itself; what is compiled is whole or remade."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt
import pytest

import vecindex
from vecindex import load_encoder
from vecindex.encoders.load import Runtime
from vecindex.encoders.run.encoder import Encoder
from vecindex.encoders.run.tokenized import IntArray
from vecindex.errors import InvalidInput, TextWithoutToken, UnsupportedModel

from ...support.extent import slow
from ...support.models.families import WITHOUT_PADDING, transformer_folder
from ...support.models.small_model import SmallModel
from ...support.models.varied_texts import SEEDS, cosines, varied_texts
from ...support.toy import BareEncoder, ToyEncoder

# --- the vectors are sentence-transformers' own ----------------------------------------------------------------------


@pytest.mark.parametrize("step", [5, slow(1)])
def test_both_runtimes_give_sentence_transformers_own_vectors(
    minilm: Path, encoder: Encoder, reference: Encoder, step: int
) -> None:
    from sentence_transformers import SentenceTransformer

    texts = varied_texts()[::step]
    assert len(texts) == 200 // step
    model = SentenceTransformer(str(minilm), device="cpu")
    expected = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert cosines(encoder.encode(texts), expected).min() >= 0.99999
    assert cosines(reference.encode(texts), expected).min() >= 0.99999


def test_the_scores_of_the_first_example(encoder: Encoder, reference: Encoder) -> None:
    for runtime in (encoder, reference):
        scores = runtime.encode(SEEDS) @ runtime.encode(["my name"], role="query")[0]
        np.testing.assert_allclose(scores, [0.5415, 0.2923, 0.1512, 0.1081], atol=5e-4)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooling_prompts_and_length_come_from_the_models_own_files(
    small_model: SmallModel, tmp_path: Path, pooling: str, normalize: bool, runtime: Any
) -> None:
    from sentence_transformers import SentenceTransformer

    prompts = {"query": "query : ", "document": "document : "}
    folder = small_model(tmp_path, pooling=pooling, normalize=normalize, prompts=prompts)
    texts = ["the cat", "", "a cat sat on the mat", "rain " * 12, "rain " * 13, "sun dog " * 40]
    model = SentenceTransformer(str(folder), device="cpu")
    encoder = load_encoder(folder, runtime=runtime)
    assert (encoder.space.max_tokens, encoder.space.pooling, encoder.space.normalize) == (16, pooling, normalize)
    document = model.encode_document(texts, normalize_embeddings=True)
    query = model.encode_query(texts, normalize_embeddings=True)
    assert cosines(encoder.encode(texts), document).min() >= 0.99999
    assert cosines(encoder.encode(texts, role="query"), query).min() >= 0.99999
    assert cosines(document, query)[0] < 0.9, "the prompts make a difference, or this test shows nothing"
    # Twelve words, a prompt of two tokens and two special ones are sixteen.
    assert encoder.encode_all(texts).truncated.tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": {"query": "query : "}},
        {"prompts": {"query": "query : ", "passage": "document : "}},
        {"prompts": {"name": "my name : "}, "default_prompt_name": "name"},
    ],
    ids=["query alone", "passage", "default"],
)
def test_prompts_are_chosen_as_sentence_transformers_chooses_them(
    small_model: SmallModel, tmp_path: Path, settings: dict[str, Any]
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = small_model(tmp_path)
    # Written by hand, as in models from before sentence-transformers saved an empty "document" prompt.
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    model = SentenceTransformer(str(folder), device="cpu")
    encoder = load_encoder(folder, runtime="torch")
    texts = ["the cat", "a cat sat on the mat"]
    default = "default_prompt_name" in settings
    query = (model.encode if default else model.encode_query)(texts, normalize_embeddings=True)
    document = (model.encode if default else model.encode_document)(texts, normalize_embeddings=True)
    assert cosines(encoder.encode(texts, role="query"), query).min() >= 0.99999
    assert cosines(encoder.encode(texts), document).min() >= 0.99999


def test_a_tokenizer_without_special_tokens_encodes_every_text_but_the_empty_one(
    small_model: SmallModel, tmp_path: Path
) -> None:
    folder = small_model(tmp_path)
    definition = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**definition, "post_processor": None}))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    reference, fast = load_encoder(folder, runtime="torch"), load_encoder(folder)
    assert fast.encode_tokens(["the cat"])[0].strings == ["the", "cat"]
    assert cosines(fast.encode(["the cat"]), reference.encode(["the cat"])).min() >= 0.99999


def test_a_model_that_the_libraries_cannot_run_is_refused_by_name(tmp_path: Path) -> None:
    folder = transformer_folder(tmp_path / "model", WITHOUT_PADDING)
    for runtime in get_args(Runtime):
        with pytest.raises(UnsupportedModel, match=r"it cannot be run \(.*pad.*\)"):
            load_encoder(folder, runtime=runtime)


# --- what an encoder promises ----------------------------------------------------------------------------------------


def test_a_vector_does_not_depend_on_its_batch_or_its_place(encoder: Encoder) -> None:
    texts = varied_texts()[:60]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(texts))
    np.testing.assert_allclose(encoder.encode([texts[i] for i in order]), together[order], atol=1e-5)


def test_vectors_are_float32_of_unit_length_in_the_texts_order(encoder: Encoder) -> None:
    texts = [*SEEDS, "", SEEDS[0]]
    vectors = encoder.encode(texts)
    assert vectors.shape == (6, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors[0], vectors[5], atol=1e-6)
    assert np.argmax(vectors[:5] @ encoder.encode([SEEDS[2]])[0]) == 2


def test_order_and_batches_are_exact_over_more_than_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.run.encoder.TEXTS_A_WINDOW", 7)
    monkeypatch.setattr("vecindex.encoders.run.batches.TOKENS_A_BATCH", 6)
    texts = [" ".join(f"w{i}" for i in range(n, n + 1 + n % 9)) for n in range(40)] + ["long " * 40]
    toy = ToyEncoder()
    encoded = toy.encode_all(texts)
    assert toy.encoded == 41
    expected = np.stack([t.vectors.mean(axis=0) for t in toy.encode_tokens(texts)])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoded.vectors, expected, atol=1e-6)
    assert encoded.truncated.tolist() == [False] * 40 + [True]


def test_a_repeated_text_is_encoded_once() -> None:
    toy = ToyEncoder()
    vectors = toy.encode(["red", "blue", "red"] * 10)
    assert toy.encoded == 2
    assert (vectors[0] == vectors[27]).all()


def test_as_many_batches_as_there_are_workers_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    class Beside(ToyEncoder):
        workers = 2
        running = most = 0
        lock = threading.Lock()

        def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            time.sleep(0.005)
            with self.lock:
                self.running -= 1
            return super().forward_beside(input_ids, attention_mask)

    monkeypatch.setattr("vecindex.encoders.run.batches.TOKENS_A_BATCH", 4)
    monkeypatch.setattr("vecindex.encoders.run.encoder.TEXTS_A_WINDOW", 16)
    texts = [f"w{n}" for n in range(100)]
    beside = Beside()
    np.testing.assert_array_equal(beside.encode(texts), ToyEncoder().encode(texts))
    assert beside.most == 2


def test_no_core_waits_for_another_at_the_end_of_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.run.batches.TOKENS_A_BATCH", 4)
    monkeypatch.setattr("vecindex.encoders.run.encoder.TEXTS_A_WINDOW", 16)

    class OneSlow(ToyEncoder):
        workers = 2
        begun: ClassVar[list[int]] = []
        overtaken: ClassVar[threading.Event] = threading.Event()

        def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
            self.begun.append(len(input_ids))
            if len(self.begun) == 1:
                assert self.overtaken.wait(20)
            elif sum(self.begun) > 16:  # of the second window
                self.overtaken.set()
            return super().forward_beside(input_ids, attention_mask)

    texts = [f"w{n}" for n in range(60)]
    np.testing.assert_array_equal(OneSlow().encode(texts), ToyEncoder().encode(texts))


def test_a_failure_cancels_the_batches_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecindex.encoders.run.batches.TOKENS_A_BATCH", 4)

    class Failing(ToyEncoder):
        workers = 2
        calls: ClassVar[list[int]] = []

        def forward_beside(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
            self.calls.append(1)
            time.sleep(0.05)
            raise MemoryError("full")

    with pytest.raises(MemoryError, match="full"):
        Failing().encode([f"w{n}" for n in range(2000)])
    assert len(Failing.calls) < 100


@pytest.mark.parametrize(("cores", "texts"), [(1, 44), (2, 102), (8, 409), (64, 409)])
def test_a_batch_is_larger_if_cores_share_it(cores: int, texts: int) -> None:
    class Sharing(ToyEncoder):
        sharing = cores
        sizes: ClassVar[set[int]] = set()

        def forward(self, input_ids: IntArray, attention_mask: IntArray) -> npt.NDArray[np.float32]:
            self.sizes.add(len(input_ids))
            return super().forward(input_ids, attention_mask)

    sharing = Sharing()
    sharing.encode([f"{n} b c d e f g h i j" for n in range(900)])
    assert max(sharing.sizes) == texts


def test_no_texts_give_no_rows(encoder: Encoder, reference: Encoder) -> None:
    for runtime in (encoder, reference):
        vectors = runtime.encode([])
        assert vectors.shape == (0, 384)
        assert vectors.dtype == np.float32
        assert runtime.encode_tokens([]) == []


@pytest.mark.parametrize("role", ["passage", "Query", "", None])
def test_an_unknown_role_is_an_error(role: Any) -> None:
    with pytest.raises(InvalidInput, match="role"):
        ToyEncoder(query_prompt="q ").encode(["red"], role=role)


@pytest.mark.parametrize("on_long", ["splt", "split", "", None])
def test_an_unknown_on_long_is_an_error(on_long: Any) -> None:
    with pytest.raises(InvalidInput, match=r"on_long is .*\. Use one of: truncate, error, mean\."):
        ToyEncoder().encode_all(["red"], on_long=on_long)


@pytest.mark.parametrize("threads", [0, -1, "2", 1.5, True])
def test_threads_are_a_whole_number_of_cores(threads: Any, tmp_path: Path) -> None:
    for load in (load_encoder, partial(load_encoder, runtime="torch"), partial(vecindex.open, tmp_path / "i")):
        with pytest.raises(InvalidInput, match=r"threads is .*\. Pass a whole number of cores, 1 or more\."):
            load(threads=threads)
    assert not (tmp_path / "i").exists()


def test_a_text_without_a_token_is_an_error_if_the_tokenizer_adds_none() -> None:
    bare = BareEncoder()
    for texts in (["~"], ["red", "~"]):
        with pytest.raises(TextWithoutToken, match="the text '~' has no token") as caught:
            bare.encode(texts)
        assert (caught.value.text, caught.value.item, caught.value.key) == ("~", None, None)
    assert bare.count_tokens(["~", "red ~", "red"]) == [0, 1, 1]
    assert bare.without_token(["~", "red ~", "red", "~ ~"]) == ["~", "~ ~"]
    behind = BareEncoder(document_prompt="say so ", prompt_pooled=False)
    assert behind.pooled_from("document") == 2
    assert behind.without_token(["~", "red ~", "red", "~ ~"]) == ["~", "~ ~"]
    with pytest.raises(TextWithoutToken, match="the text '~' has no tokens after the prompt"):
        behind.encode(["red", "~"])


@pytest.mark.parametrize("runtime", ["encoder", "reference"])
def test_several_threads_can_use_an_encoder(runtime: str, request: pytest.FixtureRequest) -> None:
    shared: Encoder = request.getfixturevalue(runtime)
    texts = ["hello " * 300, "my name"]

    def totals(_: int) -> list[tuple[int, int]]:
        return [(len(t.ids), t.total) for t in shared.tokenizer.tokenize(texts)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(totals, range(200)))
    assert results == [[(256, 302), (4, 4)]] * 200


def test_lost_tokens_are_counted_exactly(encoder: Encoder, reference: Encoder) -> None:
    # [CLS] and [SEP] take two of the 256 tokens.
    texts = ["hello " * 254, "hello " * 255, "", "hello " * 10_000]
    for runtime in (encoder, reference):
        assert runtime.encode_all(texts).truncated.tolist() == [False, True, False, True]
        assert [t.total for t in runtime.tokenizer.tokenize(texts)] == [256, 257, 2, 10_002]
        assert [len(t.ids) for t in runtime.tokenizer.tokenize(texts)] == [256, 256, 2, 256]


def test_both_runtimes_tokenize_equally(encoder: Encoder, reference: Encoder) -> None:
    texts = varied_texts()
    fast, slow = encoder.tokenizer.tokenize(texts), reference.tokenizer.tokenize(texts)
    for text, a, b in zip(texts, fast, slow, strict=True):
        assert (list(a.ids), a.total) == (list(b.ids), b.total), text


def test_encode_tokens_gives_each_texts_own_tokens_and_vectors(encoder: Encoder) -> None:
    name, empty = encoder.encode_tokens(["My name is Aun", ""])
    assert list(name.tokens.ids) == [101, 2026, 2171, 2003, 8740, 2078, 102]
    assert list(name.strings) == ["[CLS]", "my", "name", "is", "au", "##n", "[SEP]"]
    assert name.vectors.shape == (7, 384)
    assert name.vectors.dtype == np.float32
    assert (list(empty.tokens.ids), empty.vectors.shape) == ([101, 102], (2, 384))
    mean = name.vectors.mean(axis=0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), encoder.encode(["My name is Aun"])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "^texts is a single str, not a sequence"),
        (b"bytes", "^texts is a single bytes, not a sequence"),
        (["good", 3], "a text must be a string"),
        ([None], "a text must be a string"),
        ([b"bytes"], "a text must be a string"),
        ([["nested"]], "a text must be a string"),
        (["lone \ud800 surrogate"], "surrogate"),
        (None, "texts"),
        (7, "texts"),
    ],
)
def test_anything_but_a_sequence_of_texts_is_an_error(texts: Any, message: str) -> None:
    toy = ToyEncoder()
    for encode in (toy.encode, toy.encode_all, toy.encode_tokens):
        with pytest.raises(InvalidInput, match=message):
            encode(texts)
    assert toy.encoded == 0
