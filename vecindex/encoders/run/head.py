"""Turns token vectors into sentence vectors: pooling, then the model's dense layers, truncation, and unit length.

All runtimes share this code, so that `explain` shows what search uses. All of it is float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import UnsupportedModel
from ...values.space import PoolingMode, Space
from ..config.modules import Activation, DenseFiles, Modules
from ..config.weights import WEIGHTS_FILE, Array, arrays, save_arrays
from .pooling import FloatArray, Terms, pool, token_terms, unit_length

HEAD_FILE = "head.safetensors"

ACTIVATIONS: dict[Activation, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: np.asarray(1 / (1 + np.exp(-x)), dtype=x.dtype),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A layer f(W x + b) + R x: ``weight`` W and ``residual`` R (out, in), ``bias`` b (out,); None adds nothing."""

    weight: FloatArray
    bias: FloatArray | None = None
    activation: Activation = "Identity"
    residual: FloatArray | None = None

    @property
    def is_linear(self) -> bool:
        """Whether it is a product with a matrix, so that `terms` divides its output without a convention."""
        return self.activation == "Identity" and (self.bias is None or not self.bias.any())

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """(B, in) to (B, out)."""
        linear = vectors @ self.weight.T
        if self.bias is not None:
            linear += self.bias
        out = ACTIVATIONS[self.activation](linear)
        return out if self.residual is None else out + vectors @ self.residual.T

    def terms(self, terms: Terms) -> Terms:
        """Turns terms (T, in) that sum to a vector into terms (T, out) that sum to this layer's output for it.

        The bias is divided evenly. An activation scales each number of the sum, and all its terms by the same factor.
        """
        linear = terms @ self.weight.T
        if self.bias is not None:
            linear = linear + self.bias / len(terms)
        total = linear.sum(axis=0)
        out = ACTIVATIONS[self.activation](total)
        safe = np.where(total == 0, 1, total)
        scaled = np.where(total == 0, out / len(terms), linear * (out / safe))
        return scaled if self.residual is None else scaled + terms @ self.residual.T


class Normalize:
    """Scales vectors to unit length."""

    def __call__(self, vectors: FloatArray) -> FloatArray:
        return unit_length(vectors)

    def terms(self, terms: Terms) -> Terms:
        """Turns terms (T, D) that sum to a vector into terms that sum to the vector at unit length."""
        return terms / max(float(np.linalg.norm(terms.sum(axis=0))), 1e-12)


Layer = Dense | Normalize


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Pooling of ``modes``, the ``layers`` after it, and truncation to the first ``dimension`` numbers."""

    modes: tuple[PoolingMode, ...]
    layers: tuple[Layer, ...]
    dimension: int

    @classmethod
    def plain(cls, space: Space) -> Head:
        """The head of a space without dense layers."""
        return cls(space.pooling_modes, (), space.dimension)

    @classmethod
    def read(cls, modules: Modules, space: Space) -> Head:
        """The head of a space, with the dense layers in the model's own files.

        Raises:
            UnsupportedModel: a layer's weights are missing, damaged, or do not have the shape that its config says.
        """
        try:
            layers = tuple(_dense(layer) if layer else Normalize() for layer in modules.dense)
        except ValueError as error:
            raise UnsupportedModel(space.model, str(error)) from None
        return cls(space.pooling_modes, layers, space.dimension)

    def save(self, folder: Path) -> None:
        """Writes `HEAD_FILE`, which `load` reads; writes nothing if there are no layers."""
        if not self.layers:
            return
        named, about = {}, []
        for place, layer in enumerate(self.layers):
            about.append(layer.activation if isinstance(layer, Dense) else None)
            if isinstance(layer, Dense):
                named[f"{place}.weight"] = layer.weight
                named |= {f"{place}.bias": layer.bias} if layer.bias is not None else {}
                named |= {f"{place}.residual": layer.residual} if layer.residual is not None else {}
        save_arrays(folder / HEAD_FILE, named, {"layers": json.dumps(about)})

    @classmethod
    def load(cls, folder: Path, space: Space) -> Head:
        """The head of a space from a compiled folder; raises ValueError if its file is missing or damaged."""
        if not space.head:
            return cls.plain(space)
        named, about = arrays(folder / HEAD_FILE)
        layers: list[Layer] = []
        for place, activation in enumerate(json.loads(about.get("layers", "[]"))):
            bias, residual = (_floats(named.get(f"{place}.{name}")) for name in ("bias", "residual"))
            weight = _floats(named.get(f"{place}.weight"))
            layers.append(Normalize() if weight is None else Dense(weight, bias, activation, residual))
        if not layers:
            raise ValueError(f"{folder / HEAD_FILE} holds no layer")
        return cls(space.pooling_modes, tuple(layers), space.dimension)

    def __call__(self, token_vectors: npt.NDArray[Any], mask: npt.NDArray[Any]) -> FloatArray:
        """Sentence vectors (B, dimension) of unit length from token vectors (B, T, D) and their mask (B, T)."""
        return self.after_pooling(pool(token_vectors, mask, self.modes))

    def after_pooling(self, vectors: FloatArray) -> FloatArray:
        """Sentence vectors (B, dimension) of unit length from pooled ones."""
        for layer in self.layers:
            vectors = layer(vectors)
        return unit_length(vectors[:, : self.dimension])

    def terms(self, token_vectors: FloatArray, mask: npt.NDArray[Any]) -> Terms:
        """What each token of one text (T, D) adds: terms (T, dimension) that sum to the unit-length sentence vector."""
        terms = token_terms(token_vectors, mask, self.modes)
        for layer in self.layers:
            terms = layer.terms(terms)
        return Normalize().terms(terms[:, : self.dimension])


def _dense(files: DenseFiles) -> Dense:
    """A dense layer from its files; raises ValueError if they are damaged or do not match its config."""
    path = files.folder / WEIGHTS_FILE
    named, _ = arrays(path)
    if odd := sorted(named.keys() - {"linear.weight", "linear.bias", "residual.weight"}):
        raise ValueError(f"{path} holds {odd[0]}, which no dense layer has")
    bias, residual, weight = (_floats(named.get(name)) for name in ("linear.bias", "residual.weight", "linear.weight"))
    # The size in the config is trusted only if the weights agree.
    if files.residual and residual is None and weight is not None and weight.shape == (files.inputs, files.inputs):
        residual = np.eye(files.inputs, dtype=np.float32)
    expected = {
        "linear.weight": (weight, (files.outputs, files.inputs)),
        "linear.bias": (bias, (files.outputs,) if files.bias else None),
        "residual.weight": (residual, (files.outputs, files.inputs) if files.residual else None),
    }
    for name, (array, shape) in expected.items():
        if (None if array is None else array.shape) != shape:
            found = "is missing" if array is None else f"has the shape {array.shape}"
            raise ValueError(f"{path}: {name} {found}, and the layer's config says {shape or 'that there is none'}")
    assert weight is not None
    return Dense(weight, bias, files.activation, residual)


def _floats(array: Array | None) -> FloatArray | None:
    return None if array is None else array.astype(np.float32, copy=False)
