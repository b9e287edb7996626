"""Describes an embedding space: every setting that changes a vector, and their fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, cast

Role = Literal["document", "query"]
PoolingMode = Literal["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""How token vectors become the sentence vector.

``mean`` is the mean of all real tokens, ``cls`` the first token, ``lasttoken`` the last one, ``max`` the maximum of
each feature, ``mean_sqrt_len_tokens`` the sum divided by the square root of the number of tokens, and ``weightedmean``
the mean in which token t, from 1, has the weight t.
"""
Precision = Literal["fp32", "int8", "int8-7bit", "bf16", "fp16"]
"""The numbers that the transformer computes with; ``int8-7bit`` has 7-bit weights, for processors without VNNI."""

EXTERNAL = "external"
"""Stands for the settings of a space whose vectors were made elsewhere."""
STATIC = "StaticEmbedding"
"""The architecture of a space in which a token has the same vector in every text."""


@dataclass(frozen=True, slots=True)
class Space:
    """An embedding space: two vectors may be compared only if their spaces' fingerprints are equal.

    ``model`` and ``revision`` say where it came from. They are not part of the fingerprint: the same files elsewhere
    are the same space. ``normalize`` says whether the model itself normalises its output; stored vectors always have
    unit length. ``pooling`` is a `PoolingMode`, or several joined by ``+``, whose vectors are concatenated; ``head``
    describes the dense layers after it. A ``max_tokens`` of 0 means no limit.
    """

    model: str
    dimension: int
    max_tokens: int
    pooling: str
    normalize: bool
    query_prompt: str
    document_prompt: str
    precision: str
    weights: str
    tokenizer: str
    architecture: str
    head: str = ""
    prompt_pooled: bool = True
    truncation: Literal["right", "left"] = "right"
    revision: str = ""

    @classmethod
    def external(cls, name: str, dimension: int) -> Space:
        """The space of vectors that were made elsewhere, of which only a name and the dimension are known."""
        return cls(
            model=name,
            dimension=dimension,
            max_tokens=0,
            pooling=EXTERNAL,
            normalize=False,
            query_prompt="",
            document_prompt="",
            precision=EXTERNAL,
            weights=name,
            tokenizer=EXTERNAL,
            architecture=EXTERNAL,
        )

    @property
    def is_external(self) -> bool:
        """Whether its vectors were made elsewhere, so that texts cannot be encoded here."""
        return self.architecture == EXTERNAL

    @property
    def is_static(self) -> bool:
        """Whether each token has a fixed vector, so that there is no transformer to run."""
        return self.architecture == STATIC

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of all settings except model and revision, as canonical JSON.

        Settings that were added after the first release are left out if they have their default, so that no
        fingerprint changed.
        """
        return _fingerprint(self)

    @property
    def pooling_modes(self) -> tuple[PoolingMode, ...]:
        """The pooling modes, in the order in which their vectors are concatenated."""
        return cast("tuple[PoolingMode, ...]", tuple(self.pooling.split("+")))

    def prompt(self, role: Role) -> str:
        """The prompt that precedes a text of this role."""
        return self.query_prompt if role == "query" else self.document_prompt

    def describe(self) -> str:
        """The space in half a line, for messages."""
        if self.is_external:
            return f"{self.model} ({self.dimension} dimensions, vectors made elsewhere)"
        return f"{self.model} ({self.dimension} dimensions, {self.precision}, fingerprint {self.fingerprint[:12]})"

    def differences(self, other: Space) -> str:
        """The settings that differ between two spaces, with both values; digests are shortened."""
        names = (f.name for f in fields(self) if f.name not in _ORIGIN)
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return ", ".join(f"{name}: {_short(mine)} / {_short(theirs)}" for name, mine, theirs in pairs if mine != theirs)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Space:
        """The space that `to_json` wrote; raises ValueError or TypeError for anything else."""
        space = cls(**json.loads(text))
        for field in fields(cls):
            value = getattr(space, field.name)
            wanted = _TYPES.get(field.name, str)
            if type(value) is not wanted:
                raise ValueError(
                    f"its space has the {field.name} {value!r:.200}, which is not of the type {wanted.__name__}"
                )
        if space.dimension < 1 or space.max_tokens < 0:
            raise ValueError(f"its space has {space.dimension} dimensions and at most {space.max_tokens} tokens")
        if space.truncation not in ("right", "left"):
            raise ValueError(f"its space has the unknown truncation {space.truncation!r:.200}")
        return space


_ORIGIN = ("model", "revision")
_TYPES: dict[str, type] = {"dimension": int, "max_tokens": int, "normalize": bool, "prompt_pooled": bool}
"""The types of settings that are not strings."""
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_LATER = {"head": "", "prompt_pooled": True, "truncation": "right"}


@lru_cache(64)
def _fingerprint(space: Space) -> str:
    settings = {f.name: getattr(space, f.name) for f in fields(space) if f.name not in _ORIGIN}
    return digest({k: v for k, v in settings.items() if k not in _LATER or v != _LATER[k]})


def digest(value: Any) -> str:
    """SHA-256, in hex, of a value as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _short(value: object) -> str:
    if not isinstance(value, str):
        return repr(value)
    return value[:12] if len(value) == 64 else repr(_DIGEST.sub(lambda found: found[0][:12], value))
