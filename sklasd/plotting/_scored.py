"""Scores of clips, and what is known of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.base._backend import ask, last_step
from sklasd.detectors._grouped import find_groups
from sklasd.metrics._scored_clips import check_labels, check_length
from sklasd.plotting._matplotlib import BLUE, PURPLE, VERMILLION

_KINDS = ((1, "normal", BLUE), (-1, "anomalous", VERMILLION), (0, "unknown", PURPLE))


class Kind(NamedTuple):
    """Clips of the same label, which are drawn alike."""

    name: str
    colour: str
    values: np.ndarray


def split_kinds(values: np.ndarray, y_true: np.ndarray | None) -> list[Kind]:
    """Split values by the labels of their clips, and choose a colour for each kind.

    Parameters
    ----------
    values : ndarray of shape (n_clips,)
        Such as scores.
    y_true : ndarray of shape (n_clips,) or None
        +1 normal, -1 anomalous, 0 unknown; None for clips without labels.

    Returns
    -------
    list of Kind
        Without kinds that have no clip.
    """
    if y_true is None:
        return [Kind("clips", BLUE, values)]
    kinds = [Kind(name, colour, values[y_true == label]) for label, name, colour in _KINDS]
    return [kind for kind in kinds if kind.values.size]


def labels_of(X: Any, y: Any) -> Any:
    """Return labels: those given, or of a clip table's column `label`; or None."""
    if y is not None or "label" not in getattr(X, "columns", ()) or X["label"].isna().all():
        return y
    return X["label"]


def check_truth(y_true: Any, n_clips: int) -> np.ndarray | None:
    """Check labels, one for each clip.

    Parameters
    ----------
    y_true : array-like of shape (n_clips,) or None
        +1 normal, -1 anomalous.
    n_clips : int
        That have a score.

    Returns
    -------
    ndarray of shape (n_clips,), int, or None
        The labels, where there are any.
    """
    if y_true is None:
        return None
    y_true = check_length(y_true, "y_true", n_clips)
    missing = np.flatnonzero(pd.isna(y_true))
    if missing.size:
        raise ValueError(
            f"Got {missing.size} of {n_clips} clips without a label, at positions such as "
            f"{missing[:5].tolist()}; leave them out, or drop the column `label` to draw all clips "
            "as one kind."
        )
    return np.where(check_labels(y_true, "y_true"), -1, 1)


def check_finite(values: Any, name: str) -> np.ndarray:
    """Refuse what cannot be drawn.

    Parameters
    ----------
    values : array-like of shape (n_clips,)
        Scores or p-values.
    name : str
        For the message.

    Returns
    -------
    ndarray of shape (n_clips,), float64
        All finite.
    """
    values = np.asarray(values, dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size or values.ndim != 1 or not values.size:
        raise ValueError(
            f"Got {name} of shape {values.shape}, not finite at {bad[:5].tolist()}; pass one "
            "number for each of at least one clip."
        )
    return values


def score_clips(estimator: Any, X: Any, section: Any) -> tuple[np.ndarray, float | None, bool]:
    """Score clips, and tell the threshold.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `score_samples`.
    X : clips
        As the first step takes them.
    section : array-like of shape (n_clips,) or None
        As in `score_samples`.

    Returns
    -------
    scores : ndarray of shape (n_clips,)
        Higher is more normal; of models with thresholds of their own, less these.
    threshold : float or None
        None where there is none.
    is_relative : bool
        Whether scores are relative to thresholds.
    """
    if find_groups(estimator):
        return ask(estimator, "decision_function", X, section=section), 0.0, True
    scores = ask(estimator, "score_samples", X, section=section)
    return scores, getattr(last_step(estimator), "offset_", None), False
