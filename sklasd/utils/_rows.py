"""Functions of rows, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_ROWS = 64  # that are always computed together, so that none depends on its company


def by_rows(function: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> np.ndarray:
    """Apply a function to 64 rows at a time, always as many: the last is repeated.

    Parameters
    ----------
    function : callable
        From (64, n_features) to an array of 64 rows.
    X : ndarray of shape (n_clips, n_features)
        At least one row.

    Returns
    -------
    ndarray of shape (n_clips, ...)
        Of which no row depends on the others, not in the last bit either.

    Examples
    --------
    >>> by_rows(lambda rows: rows.sum(axis=1), np.eye(3))
    array([1., 1., 1.])
    """
    parts = []
    for first in range(0, len(X), _ROWS):
        index = np.arange(first, first + _ROWS).clip(max=len(X) - 1)
        parts.append(function(X[index])[: len(X) - first])
    return np.concatenate(parts)
