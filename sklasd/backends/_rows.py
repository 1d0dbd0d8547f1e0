"""What back ends share: rows compared in batches of one size, and clips dealt by domain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sklasd.base import TrainingClips

TINY = np.finfo(np.float32).tiny
_ROWS = 64  # clips that are always compared together, so that none depends on its company


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


def by_domain(clips: TrainingClips, per_domain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tell the domains of normal clips apart, or take all together.

    Parameters
    ----------
    clips : TrainingClips
        What `fit` was given.
    per_domain : bool
        Whether to tell them apart.

    Returns
    -------
    names : ndarray of str, shape (n_domains,)
        "all" where there is one.
    number : ndarray of int, shape (n_normal_clips,)
        The domain of each normal clip.

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((3, 2)), domain=["target", "source", "target"])
    >>> by_domain(clips, per_domain=True)[1]
    array([1, 0, 1])
    """
    index = clips.normal_index
    if clips.domain is None or not per_domain:
        return np.array(["all"]), np.zeros(len(index), dtype=int)
    return np.unique(clips.domain[index].astype(str), return_inverse=True)
