"""Apply functions to rows, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_ROWS = 64  # in a batch: matrix products may round differently for another number of rows


def by_rows(function: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> np.ndarray:
    """Apply a function to batches of exactly 64 rows, and fill the last one by repetition.

    So no row of the result depends on the number of rows or on other rows, not even in its last
    bit. `function` maps (64, n_features) to an array of 64 rows; `X` has at least one row.

    Examples
    --------
    >>> by_rows(lambda rows: rows.sum(axis=1), np.eye(3))
    array([1., 1., 1.])
    """
    parts = []
    for first in range(0, len(X), _ROWS):
        index = np.arange(first, first + _ROWS).clip(max=len(X) - 1)
        parts.append(function(X[index])[: len(X) - first])  # without the repeated rows
    return np.concatenate(parts)
