"""Reads the prompts in sentence-transformers' settings of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .layouts import SENTENCE_FILE
from .modules import ModelReader

_MOST_PROMPT = 10_000


def prompts_in(read: ModelReader, config: Mapping[str, Any]) -> dict[str, str]:
    """The prompts by name; refuses any that is not a string or too long."""
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str | None) for v in prompts.values()):
        read.refuse(f"{SENTENCE_FILE} has prompts that are not strings")
    for prompt, text in prompts.items():
        if len(text or "") > _MOST_PROMPT:
            read.refuse(f"its prompt {prompt[:40]!r} has {len(text):,} characters; the limit is {_MOST_PROMPT:,}")
    return {name: text or "" for name, text in prompts.items()}


def default_prompt(read: ModelReader, config: Mapping[str, Any], own: tuple[str, ...] = ()) -> str:
    """The prompt that the settings name as the default; empty if they name none.

    ``own`` are names that a model has anyway, with an empty prompt.
    """
    prompts, default = prompts_in(read, config), config.get("default_prompt_name")
    if default is None:
        return ""
    if default not in (*prompts, *own):
        read.refuse(f"{SENTENCE_FILE} names {default!r} as the default prompt, but has no prompt of that name")
    return prompts.get(default, "")
