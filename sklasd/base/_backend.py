"""Estimators inside detectors: made ready, told of metadata, and asked for scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from sklasd.base._base_detector import BaseDetector
from sklasd.clips._sound_file import ClipFormat
from sklasd.utils._rows import by_rows
from sklasd.utils._validation import check_exposed, check_normal


def last_step(estimator: Any) -> Any:
    """Return the estimator that decides: the end of a pipeline, or the estimator itself.

    Parameters
    ----------
    estimator : estimator
        A detector, a pipeline that ends in one, or what is wrapped around either, such as a search.

    Returns
    -------
    estimator
        Neither a pipeline nor wrapped: of a fitted search its best one.
    """
    if isinstance(estimator, Pipeline):
        return last_step(estimator[-1])
    if isinstance(estimator, BaseSearchCV):
        return last_step(getattr(estimator, "best_estimator_", estimator.estimator))
    if hasattr(estimator, "_inner"):  # of a MetaDetector
        return last_step(estimator._inner()[0])
    return estimator


def ask(estimator: Any, method: str, X: Any, *args: Any) -> Any:
    """Call a method of the estimator that decides, on what the steps before it make of the clips.

    Parameters
    ----------
    estimator : estimator
        Fitted: a detector, a pipeline that ends in one, or a search over either.
    method : str
        Such as "p_values", which pipelines and searches do not hand on.
    X : clips
        As the first step takes them.
    *args : object
        What else the method is told.

    Returns
    -------
    object
        What the method returns.

    Examples
    --------
    >>> from sklasd import ClipStatistics, KNNDetector, make_pipeline
    >>> X = np.random.default_rng(0).normal(size=(20, 4, 30))
    >>> ask(make_pipeline(ClipStatistics(), KNNDetector()).fit(X), "p_values", X[:1] + 9)
    array([0.04761905])
    """
    if hasattr(estimator, method):
        return getattr(estimator, method)(X, *args)
    if isinstance(estimator, Pipeline):
        features = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return ask(estimator[-1], method, features, *args)
    if hasattr(estimator, "best_estimator_"):
        return ask(estimator.best_estimator_, method, X, *args)
    raise AttributeError(f"{type(estimator).__name__} has no {method}; take another detector.")


def clip_format(estimator: Any) -> ClipFormat:
    """Tell how an estimator's front ends read clips, so that others read them alike.

    Parameters
    ----------
    estimator : estimator
        A front end, or what has front ends among its parts: objects with `clip_format`.

    Returns
    -------
    ClipFormat
        Of the clips' own lengths.

    Raises
    ------
    ValueError
        Where no front end, or more than one kind of them, is there.

    Examples
    --------
    >>> from sklasd import KNNDetector, LogMel, make_pipeline
    >>> clip_format(make_pipeline(LogMel(sample_rate=8000), KNNDetector()))
    ClipFormat(sample_rate=8000, channel='mean', duration=None, min_samples=1, max_duration=7200.0)
    """
    parts = [estimator, *estimator.get_params().values()]
    formats = [getattr(part, "clip_format", None) for part in parts]
    found = {form[:2] for form in formats if isinstance(form, ClipFormat)}
    if not found:
        raise ValueError(
            f"Got a {type(estimator).__name__}, in which no front end was found: nothing in it has "
            "a clip_format; pass a pipeline that begins with a front end such as LogMel."
        )
    if len(found) > 1:
        rates, channels = (sorted(set(values), key=str) for values in zip(*found, strict=True))
        raise ValueError(
            f"Got front ends with the sample rates {rates} and the channels {channels}, but clips "
            "are altered as one kind of front end reads them; pass one sample_rate and channel."
        )
    return ClipFormat(*found.pop())


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


def fit_with(estimator: Any, X: Any, y: Any = None, **metadata: Any) -> Any:
    """Fit, and tell each step of a pipeline what its `fit` has a parameter for.

    Detectors that are not ours know neither exposed clips nor labels: they get normal clips only.

    Parameters
    ----------
    estimator : estimator
        Or a pipeline, or a search over either.
    X : clips
        As the first step takes them.
    y : array-like of shape (n_clips,), default=None
        Labels.
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
    # A search deals the clips itself, and needs the anomalous ones for its score.
    is_search = isinstance(estimator, BaseSearchCV)
    is_foreign = not is_search and not isinstance(last_step(estimator), BaseDetector)
    if is_foreign and (y is not None or "exposed" in known):
        normal = check_normal(y, check_exposed(known.pop("exposed", None), _num_samples(X)))
        index = np.flatnonzero(normal)
        X, y = _safe_indexing(X, index), None if y is None else _safe_indexing(y, index)
        known = {name: _safe_indexing(value, index) for name, value in known.items()}
    return estimator.fit(X, y, **_addressed(estimator, known))


def _addressed(estimator: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Name what is known as the `fit` of an estimator wants it, by the steps of its pipeline."""
    if isinstance(estimator, Pipeline):
        return {
            f"{step}__{name}": value
            for step, each in estimator.steps
            for name, value in _addressed(each, known).items()
        }
    if isinstance(estimator, BaseSearchCV):  # whose splitter gets the groups
        groups = {name: value for name, value in known.items() if name == "groups"}
        return groups | _addressed(estimator.estimator, known)
    return {name: value for name, value in known.items() if has_fit_parameter(estimator, name)}


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
