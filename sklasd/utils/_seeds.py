"""Seeds that leave the global generators alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def draw_seed(random_state: Any) -> int:
    """Draw a seed in [0, 2**31) for torch without touching a global generator.

    None draws from the operating system. (In scikit-learn it means numpy's global generator, which
    belongs to the user.)

    Examples
    --------
    >>> draw_seed(0) == draw_seed(0)
    True
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31, dtype=np.int64))
