"""Chooses how much of a long loop or matrix a run does: a short form by default, the full form in ``.ci/run``.

The full form is ``python -m pytest -m "slow or hypothesis" --hypothesis-profile full``, beside the default run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hypothesis
import pytest

SHORT_SHARE = 6
"""The default run draws a sixth of the examples."""


def examples(full: int, **options: Any) -> hypothesis.settings:
    """How many examples hypothesis draws: ``full`` with the profiles "full" and "explore", and else a part of them."""
    is_full = hypothesis.settings.get_current_profile_name() in ("full", "explore")
    return hypothesis.settings(max_examples=full if is_full else -(-full // SHORT_SHARE), **options)


def slow(*values: Any) -> Any:
    """The values of one case of a parametrized test that only the full form runs."""
    return pytest.param(*values, marks=pytest.mark.slow)


def every(step: int, cases: Iterable[Any]) -> list[Any]:
    """The cases of a parametrized test, of which the default run takes every ``step``-th, the first among them."""
    return [case if i % step == 0 else slow(case) for i, case in enumerate(cases)]
