"""Makes small random cross-encoders of several architectures, without access to a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .families import FAMILIES, SHAPE, random_model
from .varied_texts import ODD, SCRIPTS, WORDS

PAIR_TOKENS = 40
"""How many tokens of a pair these models read."""
QUERIES = (*("", "my name", "the quick brown fox", "今日は雨です", "Сегодня 🚆 идёт?"), "a lazy dog by the sea " * 20)


def _random(name: str, positions: int, settings: dict[str, Any]) -> Callable[[int], Any]:
    """With weights so large that mistakes show, and so small that rounding does not."""
    given = {"num_labels": 1, "max_position_embeddings": positions, **settings}
    return random_model(f"{name}Config", f"{name}ForSequenceClassification", given, 0.25)


_MODELS: dict[str, Callable[[int], Any]] = {
    "bert": _random("Bert", PAIR_TOKENS, SHAPE),
    "roberta": _random("Roberta", PAIR_TOKENS + 2, SHAPE),
    "distilbert": _random("DistilBert", PAIR_TOKENS, {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}),
    "xlm-roberta": _random("XLMRoberta", PAIR_TOKENS + 2, SHAPE),
    "modernbert": _random(
        *("ModernBert", 64),
        {
            **{**SHAPE, "num_hidden_layers": 3, "local_attention": 8, "global_attn_every_n_layers": 3},
            **dict.fromkeys(("cls_token_id", "bos_token_id", "sep_token_id", "eos_token_id"), 1),
            "pad_token_id": 0,
        },
    ),
    "qwen2": _random("Qwen2", 64, {**SHAPE, "num_key_value_heads": 2, "pad_token_id": 0}),
}
CROSS_FAMILIES = tuple(_MODELS)


def save_cross_model(folder: Path, family: str = "bert") -> Path:
    """A plain transformers folder with a head that gives one number, as older cross-encoders have it."""
    tokenizer = FAMILIES[family].tokenizer()
    tokenizer.model_max_length = PAIR_TOKENS
    _MODELS[family](len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def texts() -> Sequence[str]:
    """Texts of many lengths, from none to far beyond what is read, in several scripts."""
    words = WORDS.split()
    lengths = [*range(1, 48), 100, 1_000]
    sentences = [" ".join(words[(i * 7 + j * j) % len(words)] for j in range(n)) for i, n in enumerate(lengths)]
    return [*SCRIPTS, *ODD, *sentences]


def predicted(folder: Path, pairs: Sequence[tuple[str, str]], **settings: Any) -> Any:
    """The scores (n,) that sentence-transformers itself gives."""
    import numpy as np
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    return np.asarray(model.predict(list(pairs), show_progress_bar=False, **settings), np.float64)
