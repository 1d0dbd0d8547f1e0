"""The vectors by which detectors compare clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklasd.base._unwrap import detector_of
from sklasd.detectors import AEGANDetector, FusionDetector, GroupedDetector, StatisticsDetector


def embed_clips(estimator: Any, X: Any) -> np.ndarray:
    """Return the vectors by which a detector compares clips.

    For detectors with back ends, such as `AEGANDetector`, these are the clips' mean embeddings; for
    `StatisticsDetector` the statistics, scaled as its back end gets them; for detectors on
    embeddings their input.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that ends in a detector, a search over one, or `Augmented` around either.
    X : clips
        As the first step takes them.

    Returns
    -------
    ndarray of shape (n_clips, n_features)
        A row for each clip.

    Raises
    ------
    ValueError
        If the detector compares no vectors, or there are several detectors.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import embed_clips
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> embed_clips(pipeline, waves[:4]).shape  # three quantiles of 128 bands
    (4, 384)
    """
    check_is_fitted(detector_of(estimator))
    return _embed(estimator, X)


def _embed(estimator: Any, X: Any) -> np.ndarray:
    """Apply the steps before the detector, and return what it compares."""
    if isinstance(estimator, BaseSearchCV):
        return _embed(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        return _embed(estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X)
    if isinstance(estimator, FusionDetector | GroupedDetector):
        raise ValueError(
            f"Got a {type(estimator).__name__}, whose detectors compare different vectors; pass "
            "one of them."
        )
    if hasattr(estimator, "inner_estimators"):  # Augmented, around one pipeline
        return _embed(estimator.inner_estimators()[0], X)
    if isinstance(estimator, AEGANDetector):
        data = estimator._prepare(X, reset=False)
        return estimator._measure(data, estimator._clip_scores)["embedding"]
    if isinstance(estimator, StatisticsDetector):
        rows, backend = estimator.statistics_.transform(X), estimator.backend_
        # The steps before the back end's end, such as a scaler, decide what is near.
        is_scaled = isinstance(backend, Pipeline) and len(backend) > 1
        return backend[:-1].transform(rows) if is_scaled else rows
    if not _are_rows(X):
        raise ValueError(
            f"Got the detector {type(estimator).__name__}, which compares no vectors of clips; "
            "use a StatisticsDetector, an AEGANDetector, or a pipeline with embeddings such as "
            "PANNsEmbedding."
        )
    return np.asarray(X)


def _are_rows(X: Any) -> bool:
    """Return whether X is a matrix, or a list of vectors of one length."""
    if isinstance(X, list | tuple):  # of spectrograms, or of clips of several lengths
        shapes = {np.shape(each) for each in X}
        return len(shapes) == 1 and len(shapes.pop()) == 1
    return np.ndim(X) == 2
