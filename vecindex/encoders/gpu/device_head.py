"""What follows the transformer on a device: `head.Head` in torch, so that one vector a text is copied back.

It takes token vectors in any precision and computes in float32, as `pooling` and `head` do in numpy; a test holds the
two against each other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...values.space import PoolingMode
from ..config.modules import Activation
from ..run.head import Dense, Head
from ..run.pooling import FloatArray

_SMALLEST = 1e-12  # as in pooling.unit_length


class DeviceHead:
    """A head whose weights are on ``device``."""

    def __init__(self, head: Head, device: torch.device) -> None:
        self._modes = head.modes
        self._layers: list[Callable[[Tensor], Tensor]] = [
            _DeviceDense(layer, device) if isinstance(layer, Dense) else _unit_length for layer in head.layers
        ]
        self._dimension = head.dimension

    def __call__(self, token_vectors: Tensor, real: Tensor | None) -> Tensor:
        """Sentence vectors (B, dimension) float32 of unit length.

        Args:
            token_vectors: (B, T, D).
            real: (B, T) bool, what is pooled, one token a row at least; None where all is. What lies under a False
                never matters, NaN included.
        """
        each = [_POOLED[mode](token_vectors, real) for mode in self._modes]
        vectors = each[0] if len(each) == 1 else torch.cat(each, dim=1)
        for layer in self._layers:
            vectors = layer(vectors)
        return _unit_length(vectors[:, : self._dimension])


class _DeviceDense:
    """`head.Dense` on a device."""

    def __init__(self, layer: Dense, device: torch.device) -> None:
        self._weight = _tensor(layer.weight, device)
        self._bias = None if layer.bias is None else _tensor(layer.bias, device)
        self._residual = None if layer.residual is None else _tensor(layer.residual, device)
        self._activation = _ACTIVATIONS[layer.activation]

    def __call__(self, vectors: Tensor) -> Tensor:
        out = self._activation(torch.nn.functional.linear(vectors, self._weight, self._bias))
        return out if self._residual is None else out + torch.nn.functional.linear(vectors, self._residual)


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "Sigmoid": torch.sigmoid,
}


def _tensor(array: FloatArray, device: torch.device) -> Tensor:
    return torch.tensor(array, dtype=torch.float32, device=device)


def _unit_length(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / lengths.clamp_min(_SMALLEST)


def _sum(vectors: Tensor, real: Tensor | None) -> Tensor:
    """(B, D) float32; added up in float32 whatever the precision, without a copy of all token vectors in it."""
    # Zeroed rather than weighted by 0: 0 x NaN is NaN.
    clean = vectors if real is None else vectors.masked_fill(~real.unsqueeze(-1), 0)
    return clean.sum(dim=1, dtype=torch.float32)


def _count(vectors: Tensor, real: Tensor | None) -> Tensor | int:
    return vectors.shape[1] if real is None else real.sum(dim=1, keepdim=True, dtype=torch.float32)


def _mean(vectors: Tensor, real: Tensor | None) -> Tensor:
    return _sum(vectors, real) / _count(vectors, real)


def _mean_sqrt(vectors: Tensor, real: Tensor | None) -> Tensor:
    return _sum(vectors, real) / _count(vectors, real) ** 0.5


def _weighted_mean(vectors: Tensor, real: Tensor | None) -> Tensor:
    weights = torch.arange(1, vectors.shape[1] + 1, dtype=torch.float32, device=vectors.device).expand(
        vectors.shape[:2]
    )
    if real is not None:
        weights = weights * real
        vectors = vectors.masked_fill(~real.unsqueeze(-1), 0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return torch.bmm(weights.unsqueeze(1), vectors.float()).squeeze(1)


def _max(vectors: Tensor, real: Tensor | None) -> Tensor:
    masked = vectors if real is None else vectors.masked_fill(~real.unsqueeze(-1), -torch.inf)
    return masked.amax(dim=1).float()


def _first(vectors: Tensor, real: Tensor | None) -> Tensor:
    return vectors[:, 0].float() if real is None else _at(vectors, real, -_positions(vectors))


def _last(vectors: Tensor, real: Tensor | None) -> Tensor:
    return vectors[:, -1].float() if real is None else _at(vectors, real, _positions(vectors))


def _positions(vectors: Tensor) -> Tensor:
    return torch.arange(vectors.shape[1], device=vectors.device)


def _at(vectors: Tensor, real: Tensor, ranks: Tensor) -> Tensor:
    """The real token of each text whose rank is the largest; no two are alike, so that every device finds the same."""
    best = torch.where(real, ranks, -vectors.shape[1]).argmax(dim=1)
    return vectors[torch.arange(len(vectors), device=vectors.device), best].float()


_POOLED: dict[PoolingMode, Callable[[Tensor, Tensor | None], Tensor]] = {
    "mean": _mean,
    "cls": _first,
    "max": _max,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
"""One vector a text (B, D) float32 from token vectors (B, T, D) and which of them are pooled (B, T)."""
