"""Does the head on a device make what the head in numpy makes?"""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vecindex.encoders.config.modules import Activation
from vecindex.encoders.gpu.device_head import DeviceHead
from vecindex.encoders.run.head import Dense, Head, Layer, Normalize
from vecindex.encoders.run.pooling import FloatArray
from vecindex.values.space import PoolingMode

CPU = torch.device("cpu")
WIDTH = 24


def random(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def agree(head: Head, states: FloatArray, real: npt.NDArray[np.bool_] | None) -> None:
    expected = head(states, np.ones(states.shape[:2], dtype=np.int64) if real is None else real.astype(np.int64))
    found = DeviceHead(head, CPU)(torch.from_numpy(states), None if real is None else torch.from_numpy(real))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_every_mode_pools_as_in_numpy(mode: PoolingMode) -> None:
    states = random(5, 9, WIDTH)
    head = Head((mode,), (), WIDTH)
    agree(head, states, None)
    agree(head, states[:, :1], None)
    real = np.arange(9) < np.array([9, 5, 1, 7, 2])[:, None]
    agree(head, states, real)
    agree(head, states, real & (np.arange(9) >= np.array([2, 4, 0, 0, 1])[:, None]))  # a prompt that is not pooled
    states[~real] = np.nan
    agree(head, states, real)


def test_modes_are_concatenated_in_order() -> None:
    states, real = random(4, 6, WIDTH), np.arange(6) < np.array([6, 2, 3, 1])[:, None]
    modes = get_args(PoolingMode)
    agree(Head(modes, (), len(modes) * WIDTH), states, real)
    agree(Head(modes[::-1], (), len(modes) * WIDTH), states, None)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_layers_and_the_cut_are_as_in_numpy(activation: Activation) -> None:
    layers: tuple[Layer, ...] = (
        Dense(random(16, WIDTH, seed=1), random(16, seed=2), activation),
        Normalize(),
        Dense(random(20, 16, seed=3), None, activation, residual=random(20, 16, seed=4)),
    )
    for dimension in (20, 7):
        agree(Head(("mean",), layers, dimension), random(5, 9, WIDTH), None)


def test_a_vector_of_zeros_stays_one() -> None:
    agree(Head(("mean",), (Normalize(),), WIDTH), np.zeros((2, 3, WIDTH), dtype=np.float32), None)


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_half_precision_is_pooled_in_float32(mode: PoolingMode) -> None:
    states = torch.from_numpy(random(3, 2000, WIDTH) + 3).to(torch.bfloat16)
    real = torch.arange(2000) < torch.tensor([2000, 1000, 1])[:, None]
    head = Head((mode,), (), WIDTH)
    expected = head(states.float().numpy(), real.numpy().astype(np.int64))
    np.testing.assert_allclose(DeviceHead(head, CPU)(states, real).numpy(), expected, atol=1e-6)
