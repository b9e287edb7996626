"""Pools token vectors into one sentence vector: the masked mean and the other pooling modes.

A transformer returns one vector for each token, the last hidden state: ``(B, T, D)`` for B texts padded to T tokens.
The attention mask ``(B, T)`` is 1 on real tokens and 0 on padding. Every pooling mode is a sum of one term for each
real token: its vector times a weight or, for a maximum, the features in which it is the largest. That is why
`vecindex.explain` can say exactly what each token adds. Mean pooling follows Reimers and Gurevych 2019,
https://arxiv.org/abs/1908.10084, section 3.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ...values.arguments import entrance
from ...values.arrays import is_tensor, mask_numbers, numbers
from ...values.space import PoolingMode

FloatArray = npt.NDArray[np.float32]
Terms = npt.NDArray[np.float64]

_WHAT_FLATTENING_LOSES = (
    "flattening loses which numbers belong to one token (a row) and which to one feature (a column), and padding "
    "the flat arrays makes texts of different lengths incomparable"
)
_WHAT_TO_PASS = (
    "Pass the feature-extraction pipeline's result as it is: one [1, T, D] array for each text, T tokens of D numbers."
)


@entrance()
def mean_pool(token_vectors: Any, attention_mask: Any) -> Any:
    """Mean of the real tokens' vectors: one sentence vector a text, not normalised.

    Args:
        token_vectors: (B, T, D) floats, numpy or torch: row t of text b is that token's last hidden state.
        attention_mask: (B, T), 1 for a real token and 0 for padding. What lies under a 0 never matters, NaN included.

    Returns:
        (B, D) float32, of the kind that came in: a torch tensor (on the same device, differentiable) for torch.

    Raises:
        InvalidInput: the shapes do not match, the mask contains a value other than 0 and 1, or a row of it is all 0.
    """
    if is_tensor(token_vectors):
        return _mean_pool_torch(token_vectors, attention_mask)
    vectors, mask = numbers(token_vectors, "the token vectors"), mask_numbers(attention_mask, "the attention mask")
    _check_shapes(vectors.shape, mask.shape)
    return pool(_narrow(vectors, "the token vectors"), mask, "mean")


@entrance()
def pool_features(features: Any) -> FloatArray:
    """One sentence vector a text from what transformers' ``feature-extraction`` pipeline returns.

    Args:
        features: for a list of N texts, N items (nested lists, numpy or torch), each of shape [1, T_i, D], where T_i
            counts that text's tokens, [CLS] and [SEP] included; for one text, its [1, T, D] item alone.

    The pipeline must have run with its ``batch_size`` of 1: with more it pads each item to its batch's longest, and
    nothing in the result tells padding from tokens.

    Returns:
        (N, D) float32, not normalised: row i is the mean of text i's token vectors.

    Raises:
        InvalidInput: the input was flattened or padded, is empty, or the items' D differ.
    """
    depth = _depth(features)
    if depth < 3:
        raise InvalidInput(
            f"features of {depth} dimension{'s' * (depth != 1)} cannot be pooled: {_WHAT_FLATTENING_LOSES}",
            _WHAT_TO_PASS,
        )
    if depth == 3 and len(features) != 1:
        raise InvalidInput(
            f"features are one array of {len(features)} padded texts: without the attention mask, padding cannot be "
            "told from tokens",
            f"{_WHAT_TO_PASS} Or call mean_pool(token_vectors, attention_mask).",
        )
    items = [_as_token_matrix(item, i) for i, item in enumerate([features] if depth == 3 else features)]
    if not items:
        raise InvalidInput("there are no features to pool", _WHAT_TO_PASS)
    for i, item in enumerate(items):
        if item.shape[1] != items[0].shape[1]:
            raise InvalidInput(
                f"item {i} has vectors of {item.shape[1]} numbers, and item 0 of {items[0].shape[1]}",
                "Pool the outputs of one model at a time.",
            )
    return np.stack([item.mean(axis=0, dtype=np.float32) for item in items])


def pool(
    token_vectors: npt.NDArray[Any], attention_mask: npt.NDArray[Any], modes: PoolingMode | Sequence[PoolingMode]
) -> FloatArray:
    """Sentence vectors, not normalised, from token vectors (B, T, D) and their mask (B, T).

    Returns:
        (B, D) float32; with several modes their vectors are concatenated, (B, modes * D).

    Raises:
        InvalidInput: a row of the mask is all 0 or contains a value other than 0 and 1.
    """
    real = attention_mask != 0
    _check_mask(bool(np.logical_or(~real, attention_mask == 1).all()), real.any(axis=1))
    # Set to zero, not only weighted by 0, since 0 x NaN is NaN.
    clean = token_vectors if real.all() else np.where(real[:, :, None], token_vectors, 0)
    clean = clean.astype(np.float32, copy=False)
    each = [_pooled(clean, real, mode) for mode in ([modes] if isinstance(modes, str) else modes)]
    return each[0] if len(each) == 1 else np.concatenate(each, axis=1)


def token_terms(
    token_vectors: npt.NDArray[Any], attention_mask: npt.NDArray[Any], modes: Sequence[PoolingMode]
) -> Terms:
    """What each token of one text adds to its sentence vector: terms that sum to the result of `pool`.

    Args:
        token_vectors: (T, D).
        attention_mask: (T,), 1 for each token that is pooled; not all 0.

    Returns:
        (T, modes * D) float64: terms may be large and nearly cancel. A maximum belongs to the first token that has it.
    """
    real = attention_mask != 0
    vectors = np.where(real[:, None], token_vectors, 0).astype(np.float64)
    return np.concatenate([_terms(vectors, real, mode) for mode in modes], axis=1)


def _pooled(vectors: FloatArray, real: npt.NDArray[np.bool_], mode: PoolingMode) -> FloatArray:
    if mode == "max":
        masked: FloatArray = np.where(real[:, :, None], vectors, -np.inf).max(axis=1)
        return masked
    return np.asarray(np.matmul(_WEIGHTS[mode](real)[:, None, :], vectors)[:, 0, :])


def _terms(vectors: Terms, real: npt.NDArray[np.bool_], mode: PoolingMode) -> Terms:
    if mode == "max":
        best = np.where(real[:, None], vectors, -np.inf).argmax(axis=0)
        return np.where(np.arange(len(vectors))[:, None] == best, vectors, 0)
    return np.asarray(_WEIGHTS[mode](real[None])[0][:, None] * vectors)


def unit_length(vectors: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Each row of (N, D) divided by its Euclidean length, float32; a row of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: FloatArray = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)
    return units


UNIT_TOLERANCE = 5e-6
"""A vector whose squared length is closer to 1 stays as it is, so that a stored vector comes back unchanged."""


def unit_vectors(vectors: npt.NDArray[Any], first: int = 0) -> FloatArray:
    """Vectors (n, D) that were made elsewhere, scaled to unit length, float32.

    Raises:
        InvalidInput: a vector is zero or not finite; the message names its row, counted from ``first``.
    """
    found = np.asarray(vectors, dtype=np.float32) if vectors.dtype == np.float16 else np.asarray(vectors)
    if found.dtype == np.float32:
        squares = np.einsum("ij,ij->i", found, found)
        if (np.abs(squares - 1) < UNIT_TOLERANCE).all():
            return np.ascontiguousarray(found, dtype=np.float32)
    wide = widened(found)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(largest[:, 0]) | (largest[:, 0] == 0))
    if len(bad):
        what = "zero" if largest[bad[0], 0] == 0 else "not finite"
        raise InvalidInput(f"the vector of row {first + bad[0]} is {what}", "A cosine needs a direction.")
    units = unit_length_of(wide, largest)
    if found.dtype == np.float32:
        close = np.abs(squares - 1) < UNIT_TOLERANCE
        units[close] = found[close]
    return units


def widened(vectors: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    """The vectors as floats wide enough for their absolute values and squares, which may not fit their own type."""
    return vectors if vectors.dtype == np.longdouble else vectors.astype(np.float64)


def unit_length_of(wide: npt.NDArray[np.floating[Any]], largest: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Rows of (N, D) at unit length, float32; ``largest`` (N, 1) are their largest absolute values, none of them 0."""
    scaled = (wide / largest).astype(np.float64)  # so that squares neither overflow nor vanish
    units: FloatArray = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return units


def _mean_weights(real: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(real / real.sum(axis=1, keepdims=True, dtype=np.float32), dtype=np.float32)


def _sqrt_weights(real: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(real / np.sqrt(real.sum(axis=1, keepdims=True, dtype=np.float32)), dtype=np.float32)


def _position_weights(real: npt.NDArray[np.bool_]) -> FloatArray:
    # Muennighoff 2022, https://arxiv.org/abs/2202.08904, section 4.1: position t, counted from 1, has the weight t.
    positions = real * np.arange(1, real.shape[1] + 1, dtype=np.float32)
    return np.asarray(positions / positions.sum(axis=1, keepdims=True), dtype=np.float32)


def _first_weights(real: npt.NDArray[np.bool_]) -> FloatArray:
    return _one(real, real.argmax(axis=1))


def _last_weights(real: npt.NDArray[np.bool_]) -> FloatArray:
    return _one(real, real.shape[1] - 1 - real[:, ::-1].argmax(axis=1))


def _one(real: npt.NDArray[np.bool_], positions: npt.NDArray[np.int64]) -> FloatArray:
    weights = np.zeros(real.shape, dtype=np.float32)
    weights[np.arange(real.shape[0]), positions] = 1
    return weights


_WEIGHTS: dict[PoolingMode, Callable[[npt.NDArray[np.bool_]], FloatArray]] = {
    "mean": _mean_weights,
    "cls": _first_weights,
    "mean_sqrt_len_tokens": _sqrt_weights,
    "weightedmean": _position_weights,
    "lasttoken": _last_weights,
}
"""The weight of each token (B, T) float32 in a sentence vector, 0 under the mask; `max` has none."""


def _mean_pool_torch(vectors: Any, attention_mask: Any) -> Any:
    torch = sys.modules["torch"]
    if vectors.layout != torch.strided or not (vectors.is_floating_point() or vectors.dtype in _integers(torch)):
        kind = f"{vectors.dtype}, {vectors.layout}".replace("torch.", "")
        raise InvalidInput(f"the token vectors are a tensor of {kind}, not of numbers", "Pass a dense float tensor.")
    if not is_tensor(attention_mask):
        attention_mask = torch.from_numpy(mask_numbers(attention_mask, "the attention mask").astype(np.float64))
    elif attention_mask.layout != torch.strided or attention_mask.is_complex():
        raise InvalidInput(
            "the attention mask is not a dense tensor of 0 and 1", "Pass the tokenizer's attention_mask."
        )
    mask = attention_mask.to(vectors.device)
    _check_shapes(tuple(vectors.shape), tuple(mask.shape))
    real = mask != 0
    _check_mask(bool(((mask == 0) | (mask == 1)).all()), real.any(dim=1).cpu().numpy())
    clean = vectors.masked_fill(~real.unsqueeze(-1), 0).to(torch.float32)
    return clean.sum(dim=1) / real.sum(dim=1, keepdim=True)


def _integers(torch: Any) -> tuple[Any, ...]:
    return torch.int8, torch.int16, torch.int32, torch.int64


def _narrow(vectors: npt.NDArray[Any], what: str) -> FloatArray:
    """The vectors in float32; raises InvalidInput for a finite number that float32 cannot hold."""
    if vectors.dtype in (np.float32, np.float16):
        return np.asarray(vectors, np.float32)
    with np.errstate(over="ignore", under="ignore"):
        narrow = vectors.astype(np.float32)
    if (np.isinf(narrow) & np.isfinite(vectors)).any():
        raise InvalidInput(f"{what} hold a number that is too large for float32", "Scale them down.")
    return narrow


def _check_shapes(vectors: tuple[int, ...], mask: tuple[int, ...]) -> None:
    if len(vectors) != 3:
        reason = f": {_WHAT_FLATTENING_LOSES}" if len(vectors) < 3 else ""
        raise InvalidInput(
            f"token vectors must have 3 dimensions (texts, tokens, features), not the shape {vectors}{reason}",
            "Pass the model's last_hidden_state, (B, T, D).",
        )
    if mask != vectors[:2]:
        raise InvalidInput(
            f"the attention mask has the shape {mask}, and the token vectors have {vectors}",
            f"Pass the mask that the tokenizer returned with these tokens, of shape {vectors[:2]}.",
        )


def _check_mask(binary: bool, has_token: npt.NDArray[np.bool_]) -> None:
    if not binary:
        raise InvalidInput(
            "the attention mask contains a value other than 0 and 1", "Pass the tokenizer's attention_mask unchanged."
        )
    if not has_token.all():
        raise InvalidInput(
            f"row {int(np.argmin(has_token))} of the attention mask is all 0, so it has no token to pool",
            "Leave that text out, or tokenize it with its special tokens.",
        )


_DEEPEST = 32  # a list may contain itself


def _depth(value: Any) -> int:
    """How many dimensions a nested list or array has, following the first item of each."""
    depth = 0
    while not np.isscalar(value) and depth < _DEEPEST:
        shape = getattr(value, "shape", None)
        if shape is not None:
            return depth + len(shape)
        if not isinstance(value, Sequence):
            break
        depth += 1
        if not value:
            break
        value = value[0]
    return depth


def _as_token_matrix(item: Any, position: int) -> npt.NDArray[np.floating[Any]]:
    """One item of the pipeline's result, [1, T, D], as (T, D)."""
    what = f"the features of item {position}"
    try:
        array = _narrow(numbers(item, what), what)
    except InvalidInput as error:
        raise InvalidInput(error.message, f"{error.advice} {_WHAT_TO_PASS}") from None
    if array.ndim != 3 or array.shape[0] != 1 or 0 in array.shape:
        raise InvalidInput(f"item {position} has the shape {array.shape}, not [1, T, D]", _WHAT_TO_PASS)
    matrix: FloatArray = array[0]
    return matrix
