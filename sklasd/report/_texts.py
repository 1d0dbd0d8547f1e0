"""Numbers as the report writes them."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest


def percent(share: float, decimals: int = 0) -> str:
    """Write a share, so that no line breaks before the sign.

    Examples
    --------
    >>> percent(0.125, 1).split()
    ['12.5', '%']
    """
    return f"{100 * share:.{decimals}f}\N{NO-BREAK SPACE}%"


def area_text(area: float) -> str:
    """Write an area, or nothing where there is none."""
    return f"{area:.3f}" if np.isfinite(area) else ""


def share_text(n: int, of: int, what: str) -> str:
    r"""Write a share with its exact interval.

    Examples
    --------
    >>> print(share_text(4, 40, "normal clips").replace("\N{NO-BREAK SPACE}", " "))
    4 of 40 normal clips (95 % interval 3 to 24 %)
    """
    # Exact (Clopper and Pearson), since the usual approximation fails for 0 of 40.
    low, high = binomtest(n, of).proportion_ci(0.95)
    return f"{n} of {of} {what} ({percent(0.95)} interval {100 * low:.0f} to {percent(high)})"
