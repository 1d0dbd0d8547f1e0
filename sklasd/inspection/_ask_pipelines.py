"""What pipelines and searches do not hand on to their detector, as functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklasd.base._unwrap import call_detector, detector_of

_TELL_WHERE = (
    "StatisticsDetector (with a back end that mixes no statistics, as its own), OEAutoencoder, "
    "UNetInpaintDetector, AEGANDetector, AudDSRDetector, or a FusionDetector with one of them"
)


def anomaly_map(estimator: Any, X: Any) -> np.ndarray | list[np.ndarray]:
    """Tell where in time and frequency the anomaly of each clip is.

    It is the `anomaly_map` of the detector that an estimator ends in, which scikit-learn's
    pipelines and searches do not hand on.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that ends in a detector, a search over one, or what is around either,
        such as `Augmented` or `GroupedDetector`.
    X : clips
        As the first step takes them.

    Returns
    -------
    ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
        Larger is more anomalous. `inspect_clips` tells unit and axes, too.

    Raises
    ------
    ValueError
        Where the detector cannot tell where, naming those that can.

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
    check_tells_where(estimator)
    return call_detector(estimator, "anomaly_map", X)


def tells_where(estimator: Any) -> bool:
    """Tell whether the detector that an estimator ends in has an anomaly map."""
    return hasattr(detector_of(estimator), "anomaly_map")


def check_tells_where(estimator: Any) -> None:
    """Refuse what is not fitted, and a detector without an anomaly map.

    Parameters
    ----------
    estimator : estimator
        Whatever ends in a detector.

    Raises
    ------
    NotFittedError
        (a ValueError) Before `fit`.
    ValueError
        Naming the detector, and those that can tell where.
    """
    end = detector_of(estimator)
    check_is_fitted(end)
    if not tells_where(estimator):
        raise ValueError(
            f"Got the detector {type(end).__name__}, which cannot tell where in a clip an anomaly "
            f"is; take {_TELL_WHERE}."
        )


def recalibrate(estimator: Any, X: Any, y: Any = None, *, section: Any = None) -> Any:
    """Set the threshold anew, from given normal clips, without training.

    It calls `recalibrate` of the detector that an estimator ends in, which scikit-learn's pipelines
    and searches do not hand on.

    Parameters
    ----------
    estimator : estimator
        Fitted, as in `anomaly_map`.
    X : clips
        Normal clips that were not trained on, for example of a new installation, as the first step
        takes them.
    y : array-like of shape (n_clips,), default=None
        +1 normal, -1 anomalous; the latter are left out.
    section : array-like of shape (n_clips,), default=None
        What is known of the clips' sections, for detectors that tell them apart; None reads the
        column `section` of a clip table, where there is one.

    Returns
    -------
    estimator
        The same one; its detector has new `calibration_scores_` and a new `offset_`.

    Raises
    ------
    ValueError
        Where the estimator does not end in a detector of sklasd.

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
            f"Got an estimator that ends in {type(end).__name__}, which sets no threshold by clips "
            "that it has not seen; take a detector of sklasd, or put this one into a "
            "StatisticsDetector(backend=...) or a FusionDetector."
        )
    call_detector(estimator, "recalibrate", X, y, section=section)
    return estimator
