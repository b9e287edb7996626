"""What follows the transformer: pooling, then dense layers and unit length as the model says, the cut to fewer numbers.

A head is the same code for every runtime, so that what `explain` shows is what search uses. All of it is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .pooling import FloatArray, pool, token_parts, unit_length
from .spec import PoolingMode, Space

Activation = Literal["Identity", "Tanh", "ReLU", "Sigmoid"]

ACTIVATIONS: dict[Activation, Callable[[FloatArray], FloatArray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A layer f(W x + b) + R x: ``weight`` W and ``residual`` R (out, in), ``bias`` b (out,); None adds nothing."""

    weight: FloatArray
    bias: FloatArray | None = None
    activation: Activation = "Identity"
    residual: FloatArray | None = None

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """(B, in) to (B, out)."""
        linear = vectors @ self.weight.T
        if self.bias is not None:
            linear += self.bias
        out = ACTIVATIONS[self.activation](linear)
        return out if self.residual is None else out + vectors @ self.residual.T

    def parts(self, parts: FloatArray) -> FloatArray:
        """From parts (T, in) that sum to a vector, parts (T, out) that sum to what becomes of it.

        The bias is shared out evenly; an activation scales each number of the sum, and so all its parts alike.
        """
        linear = parts @ self.weight.T
        if self.bias is not None:
            linear = linear + self.bias / len(parts)
        total = linear.sum(axis=0)
        out = ACTIVATIONS[self.activation](total)
        safe = np.where(total == 0, 1, total)
        scaled = np.where(total == 0, out / len(parts), linear * (out / safe))
        return scaled if self.residual is None else scaled + parts @ self.residual.T


class Normalize:
    """To unit length."""

    def __call__(self, vectors: FloatArray) -> FloatArray:
        return unit_length(vectors)

    def parts(self, parts: FloatArray) -> FloatArray:
        """From parts (T, D) that sum to a vector, parts that sum to the vector at unit length."""
        return parts / max(float(np.linalg.norm(parts.sum(axis=0))), 1e-12)


Layer = Dense | Normalize


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The ``layers`` behind the pooling of ``modes``, and the cut to the first ``dimension`` numbers."""

    modes: tuple[PoolingMode, ...]
    layers: tuple[Layer, ...]
    dimension: int

    @classmethod
    def plain(cls, space: Space) -> Head:
        """The head of a space without dense layers, of which nothing but the space need be known."""
        return cls(space.pooling_modes, (), space.dimension)

    def __call__(self, token_vectors: npt.NDArray[Any], mask: npt.NDArray[Any]) -> FloatArray:
        """Sentence vectors (B, dimension) of unit length from token vectors (B, T, D) and what is pooled (B, T)."""
        vectors = pool(token_vectors, mask, self.modes)
        for layer in self.layers:
            vectors = layer(vectors)
        return unit_length(vectors[:, : self.dimension])

    def parts(self, token_vectors: FloatArray, mask: npt.NDArray[Any]) -> FloatArray:
        """What each token of one text (T, D) adds: (T, dimension), whose sum is the sentence vector of unit length."""
        parts = token_parts(token_vectors, mask, self.modes)
        for layer in self.layers:
            parts = layer.parts(parts)
        return Normalize().parts(parts[:, : self.dimension])
