"""Estimators inside detectors: made ready, told of metadata, and asked for scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from sklasd.base._base_detector import BaseDetector
from sklasd.utils._rows import by_rows


def last_step(estimator: Any) -> Any:
    """Return the estimator that decides: the end of a pipeline, or the estimator itself.

    Parameters
    ----------
    estimator : estimator
        A detector, or a pipeline that ends in one.

    Returns
    -------
    estimator
        Not a pipeline.
    """
    return last_step(estimator[-1]) if isinstance(estimator, Pipeline) else estimator


def passes_through(step: Any) -> bool:
    """Tell whether a step of a pipeline does nothing.

    Parameters
    ----------
    step : estimator, "passthrough" or None
        As a pipeline takes them.

    Returns
    -------
    bool
        False for estimators.
    """
    return step is None or isinstance(step, str)


def first_step(estimator: Any) -> Any:
    """Return what the clips come to: the head of a pipeline, or the estimator itself.

    Parameters
    ----------
    estimator : estimator
        Or a pipeline.

    Returns
    -------
    estimator
        Not a pipeline; None where all is passed through.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> first_step(Pipeline([("nothing", "passthrough"), ("scale", StandardScaler())]))
    StandardScaler()
    """
    if not isinstance(estimator, Pipeline):
        return estimator
    heads = (first_step(step) for _, step in estimator.steps if not passes_through(step))
    return next(heads, None)


def check_params_of(estimator: Any) -> None:
    """Check the parameters of an estimator, or of each step of a pipeline, before any work.

    Parameters
    ----------
    estimator : estimator
        What can be checked is.
    """
    if hasattr(estimator, "check_params"):
        estimator.check_params()
    elif isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            check_params_of(step)
    elif hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def prepare_backend(backend: Any, seed: int | None = None) -> Any:
    """Clone an estimator that only ever scores: its own threshold is not used.

    Parameters
    ----------
    backend : estimator
        With `fit` and `score_samples`, or a pipeline that ends in one.
    seed : int, default=None
        For each of its parts that has none; None leaves them without.

    Returns
    -------
    estimator
        Unfitted.
    """
    backend = clone(backend)
    end = last_step(backend)
    if isinstance(end, BaseDetector):
        end.set_params(calibration=None, threshold="quantile")
    if seed is None:
        return backend
    unseeded = [
        name
        for name, value in backend.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    ]
    return backend.set_params(**dict.fromkeys(unseeded, seed))


def fit_with(estimator: Any, X: Any, **metadata: Any) -> Any:
    """Fit, and tell each step of a pipeline what its `fit` has a parameter for.

    Parameters
    ----------
    estimator : estimator
        Or a pipeline.
    X : clips
        As the first step takes them.
    **metadata
        Such as `domain`, one value per clip; None is not told.

    Returns
    -------
    estimator
        The same one, fitted.

    Examples
    --------
    >>> from sklasd.backends import MahalanobisDetector
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> fit_with(MahalanobisDetector(), X, domain=np.arange(20) % 2, section=None).domains_
    array(['0', '1'], dtype='<U21')
    """
    known = {name: value for name, value in metadata.items() if value is not None}
    if not isinstance(estimator, Pipeline):
        return estimator.fit(
            X, **{k: v for k, v in known.items() if has_fit_parameter(estimator, k)}
        )
    told = {
        f"{step}__{name}": value
        for step, each in estimator.steps
        for name, value in known.items()
        if has_fit_parameter(each, name)
    }
    return estimator.fit(X, **told)


def score_each(backend: Any, X: np.ndarray) -> np.ndarray:
    """Score rows so that none depends on its company, not in the last bit either.

    Parameters
    ----------
    backend : estimator
        Fitted.
    X : ndarray of shape (n_clips, n_features)
        Rows.

    Returns
    -------
    ndarray of shape (n_clips,), float64
        Higher is more normal.
    """
    if isinstance(backend, Pipeline) and isinstance(backend[-1], BaseDetector):
        return backend[-1].score_samples(by_rows(backend[:-1].transform, X))
    if isinstance(backend, BaseDetector):
        return backend.score_samples(X)
    return np.array([backend.score_samples(row[None])[0] for row in X])  # of others nobody knows
