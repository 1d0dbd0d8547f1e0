"""The methods of a detector, for pipelines and other estimators around one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklasd.base._base_detector import BaseDetector
from sklasd.base._clip_table import take_new_normal
from sklasd.base._sections import sections_of_column
from sklasd.base._unwrap import detector_of, find_groups, split_by_model


def _has(method: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(detector_of(self), method)


def _as_detector(name: str) -> Any:
    """Make a method that calls the detector's on clips, with its docstring; there where it is."""

    def method(self: Any, X: Any, *, section: Any = None) -> Any:
        return self._call(name, X, section=section)

    method.__name__ = name
    method.__doc__ = getattr(BaseDetector, name).__doc__
    return available_if(_has(name))(method)


class DetectorMethods:
    """What a pipeline, `Augmented` and `GroupedDetector` offer as the detector inside does.

    Each method is there where the detector has it. Clips come as the first step takes them; None
    for `section` reads the column of a clip table, where there is one. A subclass says how it gets
    to the detector (`_call`).
    """

    fit: Callable[..., Any]

    @abstractmethod
    def _call(self, method: str, X: Any, *args: Any, section: Any = None) -> Any:
        """Call a method of the fitted detector on what comes before makes of the clips."""

    score_samples = _as_detector("score_samples")
    decision_function = _as_detector("decision_function")
    predict = _as_detector("predict")
    p_values = _as_detector("p_values")

    @available_if(_has("predict"))
    def fit_predict(self, X: Any, y: Any = None, **metadata: Any) -> np.ndarray:
        """Fit, and decide on the same clips.

        Parameters
        ----------
        X : clips
            As in `fit`.
        y : array-like of shape (n_clips,), default=None
            As in `fit`.
        **metadata
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        self.fit(X, y, **metadata)
        section = metadata.get("section")
        if section is not None:  # clips that are not learnt from may be of other sections
            section = np.array(section, dtype=object)
            for _, model, rows in split_by_model(self, X):
                learnt = getattr(detector_of(model), "_learnt_sections", None)
                section[rows] = sections_of_column(section[rows], learnt)
        return self.predict(X, section=section)

    @available_if(_has("score_table"))
    def score_table(self, X: Any, *, section: Any = None) -> Any:
        """Score clips by every variant of the detector at once.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        DataFrame of shape (n_clips, n_variants), float64
            As the detector's method of this name says.
        """
        return self._call("score_table", X, section=section)

    @available_if(_has("anomaly_map"))
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Map where in time and frequency the anomaly is.

        Parameters
        ----------
        X : clips
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            As the detector's method of this name says.
        """
        return self._call("anomaly_map", X)

    @available_if(_has("contributions"))
    def contributions(self, X: Any) -> np.ndarray:
        """Compute how much of each clip's distance each feature makes.

        Parameters
        ----------
        X : clips
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float64
            As the detector's method of this name says.
        """
        return self._call("contributions", X)

    # Scores do not say which group a clip is of, and each group has a threshold of its own.
    @available_if(lambda self: find_groups(self) is None and _has("decide")(self))
    def decide(self, scores: Any) -> np.ndarray:
        """Decide on scores that were computed before: +1 normal, -1 anomalous, (n_clips,)."""
        check_is_fitted(self)
        return detector_of(self).decide(scores)

    @available_if(_has("recalibrate"))
    def recalibrate(self, X: Any, y: Any = None, *, section: Any = None) -> Self:
        """Set the threshold anew, from given normal clips, without training.

        Parameters
        ----------
        X : clips
            Normal clips that were not trained on, for example of a new installation. Rows of a
            clip table that are labelled -1, or of the split "train", are left out.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; the latter are left out.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        self : object
            With new thresholds.

        Raises
        ------
        ValueError
            Where the table has no new normal clip.
        """
        check_is_fitted(self)
        X, y, section = take_new_normal(X, y, section)
        self._call("recalibrate", X, y, section=section)
        return self
