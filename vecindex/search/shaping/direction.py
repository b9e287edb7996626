"""The direction to search in for records like some and unlike others. Pure."""

from __future__ import annotations

import numpy as np

from ...errors import Advice, InvalidInput
from ..dense.exact import Vectors

_SHORTEST = 1e-5
"""The mean of unit vectors in float32 is not known better than this."""


def direction(like: Vectors, unlike: Vectors) -> Vectors:
    """The mean of the vectors ``like`` (p, D) minus the mean of those ``unlike`` (n, D), at unit length (D,).

    All are unit vectors, p is at least 1, and n may be 0. This is the formula of Rocchio, Relevance Feedback in
    Information Retrieval, 1971, without a query, and with the same weight for the examples and the counterexamples.

    Raises:
        InvalidInput: the difference is zero, so that it has no direction.
    """
    if len(like) == 1 and not len(unlike):
        return np.asarray(like[0])  # as it is stored: scaled again, its last digits could differ
    found = like.mean(axis=0, dtype=np.float64)
    if len(unlike):
        found -= unlike.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(found))
    if not length > _SHORTEST:
        raise InvalidInput(
            "the examples cancel each other out: they are as near to everything as to nothing",
            Advice("Leave one of the keys out, or one of not_=.", typed="Leave one of the keys out, or one --not."),
        )
    return np.asarray(found / length, np.float32)
