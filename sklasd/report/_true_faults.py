"""How well an anomaly map marks a fault whose regions are known."""

from __future__ import annotations

from typing import Any

import numpy as np


def brightness_inside(where: Any, regions: Any, times: Any, frequencies: Any) -> float:
    """Divide the mean of an anomaly map inside the true regions by the mean outside.

    `times` and `frequencies` are the centres of columns and rows, in s and Hz. NaN if all or none
    of the map is inside.

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
