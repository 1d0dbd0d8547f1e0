"""The scaling of a net's input, learnt from its training clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from sklasd.training._windows import Windows


def learn_scaling(scaler: Any, windows: Windows, *, default: Any) -> dict[str, np.ndarray]:
    """Learn the scaling of a net's input from whole training clips."""
    scaler = clone(default if scaler is None else scaler)
    scaler.fit_blocks(clip.cpu().numpy() for clip in windows.whole_clips())
    return {"centre": scaler.centre_, "scale": scaler.scale_}
