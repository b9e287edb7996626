"""Makes small random models of each architecture family, without access to a hub.

Their weights are large and never zero, so that mistakes show; their tokenizers are trained on a few sentences.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vecindex.encoders.run.encoder import Encoder

MAX_TOKENS = 18
_VOCABULARY = 260
_CORPUS = (
    "the quick brown fox jumps over a lazy dog while it rains in the old town by the sea",
    "my name is Aun and I am a single sentence, another sentence and the very last one",
    "a query asks for a document; each document answers one query: 0 1 2 3 4 5 6 7 8 9",
    "Der Zug nach Köln fährt um sieben Uhr ab. Сегодня идёт дождь. 今日は良い天気ですね。",
)
PROMPTS = {"query": "a query: ", "document": "the document "}
_WORDS = (
    *("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "it", "rains", "in", "old"),
    *("town", "by", "sea", "name", "sentence", "document"),
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Family:
    """``model`` makes a transformer for a vocabulary of the given size, and ``tokenizer`` its tokenizer."""

    name: str
    model: Callable[[int], Any]
    tokenizer: Callable[[], Any]


# --- tokenizers ------------------------------------------------------------------------------------------------------


@cache
def _trained(kind: str, specials: tuple[str, ...]) -> dict[str, Any]:
    """The ``model`` of the tokenizer.json that a tokenizer of this kind learned."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    if kind == "wordpiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=_VOCABULARY, special_tokens=list(specials))
    elif kind == "unigram":
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=_VOCABULARY, special_tokens=list(specials), unk_token="<unk>", show_progress=False
        )
    else:
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=_VOCABULARY + 100,
            special_tokens=list(specials),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    learned: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return learned


def _wordpiece(name: str, *specials: str) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        return getattr(transformers, name)(vocab=_trained("wordpiece", specials)["vocab"])

    return make


def _bytes(name: str, *specials: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        learned = _trained("bytes", specials)
        merges = [tuple(merge) for merge in learned["merges"]]
        return getattr(transformers, name)(vocab=learned["vocab"], merges=merges, **settings)

    return make


def _unigram(name: str, *specials: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        vocabulary = [(token, score) for token, score in _trained("unigram", specials)["vocab"]]
        return getattr(transformers, name)(vocab=vocabulary, **settings)

    return make


def _ending_in_eos() -> Any:
    """Byte-level, with a token after each text, as in embedding models made from decoders."""
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers, processors

    learned = _trained("bytes", ("<pad>", "</s>"))
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=learned["vocab"], merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", learned["vocab"]["</s>"])]
    )
    backend: Any = transformers.PreTrainedTokenizerFast
    return backend(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


# --- transformers ----------------------------------------------------------------------------------------------------


def random_model(
    config_name: str, model_name: str, settings: dict[str, Any], size: float = 0.5
) -> Callable[[int], Any]:
    """Makes a transformer with random weights, large as ``size`` says, for a vocabulary of the given size."""

    def make(vocabulary: int) -> Any:
        import torch
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, config_name)(vocab_size=vocabulary, **settings)
        model = getattr(transformers, model_name)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # biases and scales too, which begin as 0 and 1
                parameter += torch.randn_like(parameter) * (size if parameter.ndim > 1 else 0.1)
        return model

    return make


SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_FAIR = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_END = "<|endoftext|>"

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "bert",
            random_model("BertConfig", "BertModel", {**SHAPE, "max_position_embeddings": MAX_TOKENS}),
            _wordpiece("BertTokenizer", *_BERT),
        ),
        Family(
            "roberta",
            random_model("RobertaConfig", "RobertaModel", {**SHAPE, "max_position_embeddings": MAX_TOKENS + 2}),
            _bytes("RobertaTokenizer", *_FAIR),
        ),
        Family(
            "mpnet",
            random_model("MPNetConfig", "MPNetModel", {**SHAPE, "max_position_embeddings": MAX_TOKENS + 2}),
            _wordpiece("MPNetTokenizer", "<s>", "<pad>", "</s>", "[UNK]", "<mask>"),
        ),
        Family(
            "distilbert",
            random_model(
                *("DistilBertConfig", "DistilBertModel"),
                {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": MAX_TOKENS},
            ),
            _wordpiece("DistilBertTokenizer", *_BERT),
        ),
        Family(
            "xlm-roberta",
            random_model("XLMRobertaConfig", "XLMRobertaModel", {**SHAPE, "max_position_embeddings": MAX_TOKENS + 2}),
            _unigram("XLMRobertaTokenizer", *_FAIR),
        ),
        Family(
            "modernbert",  # each token sees four on either side in two layers of three
            random_model(
                *("ModernBertConfig", "ModernBertModel"),
                {
                    **{**SHAPE, "num_hidden_layers": 3, "local_attention": 8, "global_attn_every_n_layers": 3},
                    **{"pad_token_id": 0, "max_position_embeddings": 64},
                    **dict.fromkeys(("cls_token_id", "bos_token_id", "sep_token_id", "eos_token_id"), 1),
                },
            ),
            _ending_in_eos,
        ),
        Family(
            "t5",
            random_model("T5Config", "T5EncoderModel", {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2}),
            _unigram("T5Tokenizer", "<pad>", "</s>", "<unk>", extra_ids=0),
        ),
        Family(
            "qwen2",  # a decoder whose texts are bare
            random_model(
                "Qwen2Config", "Qwen2Model", {**SHAPE, "num_key_value_heads": 2, "max_position_embeddings": 64}
            ),
            _bytes("Qwen2Tokenizer", _END),
        ),
        Family(
            "mistral",  # a decoder of which each token sees the last five, and whose texts end in a token
            random_model(
                *("MistralConfig", "MistralModel"),
                {**SHAPE, "num_key_value_heads": 2, "sliding_window": 5, "max_position_embeddings": 64},
            ),
            _ending_in_eos,
        ),
    )
}

WITHOUT_PADDING = Family(
    "gpt2",  # whose tokenizer has no token to pad with
    random_model("GPT2Config", "GPT2Model", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    _bytes("GPT2Tokenizer", _END),
)


# --- models ----------------------------------------------------------------------------------------------------------


def transformer_folder(folder: Path, family: Family, side: str = "right") -> Path:
    """A plain transformers folder: weights, config and tokenizer, without sentence-transformers' files."""
    tokenizer = family.tokenizer()
    tokenizer.padding_side = side
    tokenizer.model_max_length = MAX_TOKENS
    family.model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dense(inputs: int, outputs: int, activation: str = "Tanh", **settings: Any) -> Any:
    """A random dense layer of sentence-transformers."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(inputs * outputs)
    layer = Dense(inputs, outputs, activation_function=getattr(torch.nn, activation)(), **settings)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return layer


def sentence_model(folder: Path, base: Path, pooling: Sequence[str], *layers: Any, **settings: Any) -> Path:
    """The transformer in ``base`` with pooling and layers after it, saved by sentence-transformers itself."""
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    include = settings.pop("include_prompt", True)
    transformer = Transformer(str(base), max_seq_length=MAX_TOKENS)
    width = transformer.get_embedding_dimension()
    modules: list[Any] = [transformer, Pooling(width, pooling_mode=tuple(pooling), include_prompt=include), *layers]
    return saved(folder, modules, **settings)


def static_model(folder: Path, *layers: Any, width: int = 16, **settings: Any) -> Path:
    """A static embedding of WordPiece tokens, saved by sentence-transformers itself."""
    import numpy as np
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = _wordpiece("BertTokenizer", *_BERT)()
    table = np.random.default_rng(0).normal(size=(len(tokenizer), width)).astype(np.float32)
    return saved(folder, [StaticEmbedding(tokenizer, embedding_weights=table), *layers], **settings)


def saved(folder: Path, modules: Iterable[Any], **settings: Any) -> Path:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=list(modules), device="cpu", **settings)
    model.save(str(folder), create_model_card=False)
    return folder


def edit(folder: Path, name: str, **changes: object) -> None:
    """Changes entries of a JSON file."""
    path = folder / name
    value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**value, **changes}), encoding="utf-8")


@dataclass(frozen=True)
class Variant:
    """What follows a transformer: pooling modes, the sizes and activations of dense layers, and prompts."""

    pooling: tuple[str, ...]
    layers: Callable[[], list[Any]] = list
    prompts: dict[str, str] | None = None
    include_prompt: bool = True

    def save(self, folder: Path, base: Path) -> Path:
        settings = {"prompts": self.prompts, "include_prompt": self.include_prompt}
        return sentence_model(folder, base, self.pooling, *self.layers(), **settings)


def normalize() -> Any:
    from sentence_transformers.sentence_transformer.modules import Normalize

    return Normalize()


SIDES = ("right", "left")
MODES: tuple[str, ...] = ("mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
VARIANTS = {
    **{mode: Variant((mode,)) for mode in MODES},
    "cls+mean": Variant(("cls", "mean"), lambda: [normalize()]),
    "all six": Variant(tuple(reversed(MODES))),
    "dense": Variant(("mean",), lambda: [dense(32, 16), normalize()]),
    "dense chain": Variant(
        ("max", "lasttoken"),
        lambda: [
            normalize(),
            dense(64, 24, "ReLU", bias=False, use_residual=True),
            dense(24, 24, "Sigmoid", use_residual=True),
            dense(24, 40, "Identity"),
        ],
    ),
    "prompts": Variant(("mean",), prompts=PROMPTS),
    "prompts left out": Variant(("weightedmean", "mean", "max"), prompts=PROMPTS, include_prompt=False),
}
"""Every mode alone, several together, dense layers, prompts that are pooled and prompts that are not."""

COMPARED: set[tuple[str, str, str, int]] = set()
"""Each comparison with sentence-transformers that was made: family, variant, padded side, tokens."""


# --- texts -----------------------------------------------------------------------------------------------------------


def texts_of_each_length(encoder: Encoder, beyond: int = 3, least: int = 0) -> dict[int, str]:
    """A text for each number of tokens, prompt and special ones included.

    From the least that there can be, and that leaves one to pool, to ``beyond`` more than are read.
    """
    import random

    least = least or max(encoder.pooled_from(role) for role in ("document", "query")) + 1
    draw = random.Random(0)
    found: dict[int, str] = {}
    for size in range(1, 2 * (MAX_TOKENS + beyond)):
        texts = [" ".join(draw.choices(_WORDS, k=size)) for _ in range(8)]
        texts += [""] if size == 1 else []
        texts += ["".join(draw.choices(_LETTERS, k=size)) for _ in range(8)]
        for text, total in zip(texts, encoder.count_tokens(texts), strict=True):
            found.setdefault(total, text)
    return {total: found[total] for total in sorted(found) if least <= total <= MAX_TOKENS + beyond}
