"""What estimators around detectors hand on to them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin
from sklearn.utils.metaestimators import available_if

from sklasd.base._backend import first_step, last_step


def _have(method: str) -> Callable[[Any], bool]:
    return lambda self: all(hasattr(last_step(each), method) for each in self._inner())


class MetaDetector(MetaEstimatorMixin, OutlierMixin, BaseEstimator):
    """Base of estimators around a detector, or a pipeline that ends in one.

    A subclass says which estimators it stands for (`_inner`) and how these answer (`_ask`).
    """

    estimator: Any
    fit: Callable[..., Any]

    @abstractmethod
    def _inner(self) -> list[Any]:
        """Return the fitted estimators, or before `fit` the one that is going to be cloned."""

    @abstractmethod
    def _ask(self, method: str, X: Any, section: Any = None, *, is_told: bool = True) -> Any:
        """Return what a method of the fitted estimators says of each clip, as `ask` does."""

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
        # Clips that are not learnt from may be of sections of their own.
        return self._ask("predict", X, metadata.get("section"), is_told=False)

    @available_if(_have("score_samples"))
    def score_samples(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Score clips: minus the anomaly score.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            What is known of the clips' sections, for detectors that tell them apart; None reads
            the column `section` of a clip table, where there is one.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Higher is more normal.
        """
        return self._ask("score_samples", X, section)

    @available_if(_have("decision_function"))
    def decision_function(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Score clips relative to the threshold.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            Negative for anomalies.
        """
        return self._ask("decision_function", X, section)

    @available_if(_have("predict"))
    def predict(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Decide on clips.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), int
            +1 normal, -1 anomalous.
        """
        return self._ask("predict", X, section)

    @available_if(_have("p_values"))
    def p_values(self, X: Any, *, section: Any = None) -> np.ndarray:
        """Tell how sure an alarm is: how rare such a score is among new normal clips.

        Parameters
        ----------
        X : clips
            As in `fit`.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        ndarray of shape (n_clips,), float64
            As the detector's method of this name says.
        """
        return self._ask("p_values", X, section)

    @available_if(_have("score_table"))
    def score_table(self, X: Any, *, section: Any = None) -> pd.DataFrame:
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
        return self._ask("score_table", X, section)

    @available_if(_have("anomaly_map"))
    def anomaly_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Tell where in time and frequency the anomaly is.

        Parameters
        ----------
        X : clips
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_mels, n_frames) or list of (n_mels, n_frames), float32
            As the detector's method of this name says.
        """
        return self._ask("anomaly_map", X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True  # the front end checks the clips
        head = first_step(self.estimator)
        if hasattr(head, "__sklearn_tags__"):
            tags.input_tags = head.__sklearn_tags__().input_tags
        return tags
