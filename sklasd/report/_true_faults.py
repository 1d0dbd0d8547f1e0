"""How well an anomaly map marks a fault whose regions are known."""

from __future__ import annotations

from typing import Any

import numpy as np


def brightness_inside(where: Any, regions: Any, times: Any, frequencies: Any) -> float:
    """Compare an anomaly map inside and outside the true regions.

    Parameters
    ----------
    where : ndarray of shape (n_bands, n_frames)
        Larger is more anomalous.
    regions : iterable of (start, end, low, high)
        In s and Hz.
    times, frequencies : ndarray of shape (n_frames,) and (n_bands,)
        Centres of columns and rows, in s and Hz.

    Returns
    -------
    float
        The mean inside divided by the mean outside; NaN if either has no cell.

    Examples
    --------
    >>> where = np.array([[1.0, 1.0], [1.0, 7.0]])
    >>> brightness_inside(where, [(0.5, 1.5, 150.0, 250.0)], np.arange(2), np.array([100, 200]))
    7.0
    """
    inside = np.zeros(where.shape, dtype=bool)
    for start, end, low, high in regions:
        rows = (low <= frequencies) & (frequencies <= high)
        inside |= rows[:, None] & ((start <= times) & (times <= end))
    if not inside.any() or inside.all():
        return np.nan
    # A map may be exactly 0 outside.
    return float(where[inside].mean() / max(where[~inside].mean(), np.finfo(float).tiny))
