"""Scores of clips with their labels, as displays draw them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.base._unwrap import call_detector, detector_of, find_groups
from sklasd.metrics._scored_clips import check_labels, check_length
from sklasd.plotting._matplotlib import BLUE, PURPLE, VERMILLION

_KINDS = ((1, "normal", BLUE), (-1, "anomalous", VERMILLION), (0, "unknown", PURPLE))


class Labelled(NamedTuple):
    """Values of clips with the same label, which are drawn alike."""

    name: str
    colour: str
    values: np.ndarray


def split_by_label(values: np.ndarray, y_true: np.ndarray | None) -> list[Labelled]:
    """Split values, such as scores, by the labels +1, -1 and 0 for unknown.

    Kinds without a clip are left out; without labels there is one kind.
    """
    # Unknown clips come from reports, which draw partly labelled tables.
    if y_true is None:
        return [Labelled("clips", BLUE, values)]
    kinds = [Labelled(name, colour, values[y_true == label]) for label, name, colour in _KINDS]
    return [kind for kind in kinds if kind.values.size]


def check_truth(y_true: Any, n_clips: int) -> np.ndarray | None:
    """Check that there is a label +1 or -1 for each clip, or None for all."""
    if y_true is None:
        return None
    y_true = check_length(y_true, "y_true", n_clips)
    # Some labels without others would draw a part of the clips as if they were all.
    missing = np.flatnonzero(pd.isna(y_true))
    if missing.size:
        raise ValueError(
            f"Got {missing.size} of {n_clips} clips without a label, at positions such as "
            f"{missing[:5].tolist()}; leave them out, or drop the column `label` to draw all clips "
            "as one kind."
        )
    return np.where(check_labels(y_true, "y_true"), -1, 1)


def check_finite(values: Any, name: str) -> np.ndarray:
    """Check that there is a finite number for each of at least one clip."""
    values = np.asarray(values, dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size or values.ndim != 1 or not values.size:
        raise ValueError(
            f"Got {name} of shape {values.shape}, not finite at {bad[:5].tolist()}; pass one "
            "finite number for each of at least one clip."
        )
    return values


def scores_and_threshold(
    estimator: Any, X: Any, section: Any
) -> tuple[np.ndarray, float | None, bool]:
    """Score clips on a single scale.

    Models of several groups have thresholds of their own, so that their scores are taken relative
    to these.
    """
    if find_groups(estimator):
        return call_detector(estimator, "decision_function", X, section=section), 0.0, True
    # A density estimator, such as KernelDensity, has scores and no threshold.
    scores = call_detector(estimator, "score_samples", X, section=section)
    return scores, getattr(detector_of(estimator), "offset_", None), False
