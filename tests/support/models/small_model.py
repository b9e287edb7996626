"""Saves a random two-layer BERT with sentence-transformers' own ``save``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SmallModel = Callable[..., Path]
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = ("the", "cat", "dog", "sat", "on", "mat", "rain", "sun", "query", "document", "hello", "my", "name", "is", ":")
_VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, *_LETTERS, *(f"##{c}" for c in _LETTERS))


def save_small_model(
    folder: Path,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    prompts: dict[str, str] | None = None,
    default_prompt_name: str | None = None,
    max_seq_length: int | None = 16,
    positions: int = 64,
    seed: int = 0,
) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    base = folder / "base"
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(_VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.5,  # at the usual 0.02 all texts would be alike and no mistake would show
    )
    BertModel(config).save_pretrained(base)
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(_VOCABULARY)}, model_max_length=positions)
    tokenizer.save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=max_seq_length)
    modules = [transformer, Pooling(32, pooling_mode=pooling), *([Normalize()] if normalize else [])]
    saved = folder / "model"
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default_prompt_name).save(
        str(saved), create_model_card=False
    )
    return saved
