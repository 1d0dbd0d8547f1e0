"""Maps and recalibration for any fitted estimator: scikit-learn's pipelines lack these methods."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklasd import detectors
from sklasd.base._clip_table import take_new_normal
from sklasd.base._unwrap import call_detector, detector_of


def anomaly_map(estimator: Any, X: Any) -> np.ndarray | list[np.ndarray]:
    """Map where in time and frequency the anomaly of each clip is.

    This calls `anomaly_map` of the detector that an estimator ends in. sklasd's pipelines have this
    method themselves; scikit-learn's pipelines and searches have not.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that ends in a detector, a search over one, or an estimator around
        either, such as `Augmented` or `GroupedDetector`.
    X : clips
        As the first step takes them.

    Returns
    -------
    ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
        Larger is more anomalous. `inspect_clips` also returns unit and axes.

    Raises
    ------
    ValueError
        If the detector has no anomaly map; the message names those that have one.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import anomaly_map
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> anomaly_map(pipeline, waves[-2:]).shape
    (2, 128, 32)
    """
    check_has_map(estimator)  # else an AttributeError would name the missing method only
    return call_detector(estimator, "anomaly_map", X)


def has_map(estimator: Any) -> bool:
    """Return whether the detector that an estimator ends in has an anomaly map."""
    return hasattr(detector_of(estimator), "anomaly_map")


def check_has_map(estimator: Any) -> None:
    """Refuse an estimator that is not fitted, or whose detector has no anomaly map."""
    end = detector_of(estimator)
    check_is_fitted(end)
    if not has_map(estimator):
        raise ValueError(
            f"Got the detector {type(end).__name__}, which cannot tell where in a clip an anomaly "
            f"is; use {', '.join(_detectors_with_maps())} (as they are by default), or a "
            "FusionDetector with one of them."
        )


def _detectors_with_maps() -> list[str]:
    """Return the names of the detectors that have an anomaly map with default parameters."""
    kinds = [getattr(detectors, name) for name in dir(detectors)]
    # Those with a required parameter are made of other detectors, and have the maps of these.
    simple = [
        kind
        for kind in kinds
        if all(p.default is not p.empty for p in signature(kind).parameters.values())
    ]
    return [kind.__name__ for kind in simple if hasattr(kind(), "anomaly_map")]


def recalibrate(estimator: Any, X: Any, y: Any = None, *, section: Any = None) -> Any:
    """Set the threshold anew, from given normal clips, without training.

    This calls `recalibrate` of the detector that an estimator ends in. sklasd's pipelines have this
    method themselves; scikit-learn's pipelines and searches have not.

    Parameters
    ----------
    estimator : estimator
        Fitted, as in `anomaly_map`.
    X : clips
        Normal clips that were not trained on, for example of a new installation, as the first step
        takes them. Rows of a clip table that are labelled -1, or of the split "train", are left
        out.
    y : array-like of shape (n_clips,), default=None
        +1 normal, -1 anomalous; anomalous clips are left out.
    section : array-like of shape (n_clips,), default=None
        The clips' sections, for detectors that tell them apart; None reads the column `section` of
        a clip table, if there is one.

    Returns
    -------
    estimator
        The same one; its detector has new `calibration_scores_` and a new `offset_`.

    Raises
    ------
    ValueError
        If the estimator does not end in a detector of sklasd.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import recalibrate
    >>> waves, table = make_machine_clips("fan", n_train=40, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> len(recalibrate(pipeline, waves[20:40])[-1].calibration_scores_)
    20
    """
    end = detector_of(estimator)
    check_is_fitted(end)
    if not hasattr(end, "recalibrate"):
        raise ValueError(
            f"Got an estimator that ends in {type(end).__name__}, whose threshold cannot be set by "
            "new clips; use a detector of sklasd, or put this one into a "
            "StatisticsDetector(backend=...) or a FusionDetector."
        )
    # Here, while the table's columns are at hand: features do not have them.
    X, y, section = take_new_normal(X, y, section)
    call_detector(estimator, "recalibrate", X, y, section=section)
    return estimator
