"""Estimators inside detectors: made ready, told of metadata, and asked for scores."""

from __future__ import annotations

import warnings
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from sklasd.base._base_detector import BaseDetector
from sklasd.base._section_names import unique_names
from sklasd.clips._sound_file import ClipFormat
from sklasd.utils._metadata import check_exposed, check_normal
from sklasd.utils._rows import by_rows

_NAMED = 10  # sections in a message


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


def ask(
    estimator: Any, method: str, X: Any, *args: Any, section: Any = None, is_told: bool = True
) -> Any:
    """Call a method of the estimator that decides, on what the steps before it make of the clips.

    Where it takes sections, it is told of those given, or of the column `section` of a clip table.

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
    section : array-like of shape (n_clips,), default=None
        The clips' sections; None reads the column of a clip table, where there is one.
    is_told : bool, default=True
        Whether `section` is what a user passed, of which each has to be known. A column may be of
        other sections, too: these clips are scored by the section that fits best.

    Returns
    -------
    object
        What the method returns.

    Warns
    -----
    UserWarning
        Naming sections of the column that fit did not know.

    Examples
    --------
    >>> from sklasd import ClipStatistics, KNNDetector, make_pipeline
    >>> X = np.random.default_rng(0).normal(size=(20, 4, 30))
    >>> ask(make_pipeline(ClipStatistics(), KNNDetector()).fit(X), "p_values", X[:1] + 9)
    array([0.04761905])
    """
    if section is None and has_sections(X):
        section, is_told = np.asarray(X["section"]), False
    end = estimator
    while isinstance(end, Pipeline) or hasattr(end, "best_estimator_"):
        if isinstance(end, Pipeline):
            X, end = end[:-1].transform(X) if len(end) > 1 else X, end[-1]
        else:
            end = end.best_estimator_
    if not hasattr(end, method):
        raise AttributeError(f"{type(end).__name__} has no {method}; take another detector.")
    call = getattr(end, method)
    if section is None or "section" not in signature(call).parameters:
        return call(X, *args)
    if is_told:
        return call(X, *args, section=section)
    if isinstance(end, BaseDetector):
        return call(X, *args, section=_read_sections(end, section))
    # A MetaDetector answers as this one is told, but by its own methods where these set something.
    if hasattr(end, "_inner") and method != "recalibrate":
        return end._ask(method, X, section, is_told=False)
    return call(X, *args)  # which reads the table by itself


def has_sections(X: Any) -> bool:
    """Tell whether clips are a table with a column `section`."""
    return "section" in getattr(X, "columns", ())


def _read_sections(detector: BaseDetector, section: np.ndarray) -> np.ndarray:
    """Leave out the sections of a column that a detector does not know, and name them."""
    unknown = detector._are_unknown(section)
    if unknown.any():
        warnings.warn(
            f"Got clips of the sections {unique_names(section[unknown])[:_NAMED]}, of which fit "
            "was not told: they are scored by the section that fits best. Fit with clips of them, "
            "or drop the column `section` to score all clips so.",
            UserWarning,
            stacklevel=4,
        )
    return detector._only_known(section)


def clip_format(estimator: Any) -> ClipFormat:
    """Tell how an estimator's front ends read clips, so that others read them alike.

    Parameters
    ----------
    estimator : estimator
        A front end, or what has front ends among its parts: objects with `clip_format`.

    Returns
    -------
    ClipFormat
        Of the clips' own lengths, whatever these are.

    Raises
    ------
    ValueError
        Where no front end, or more than one kind of them, is there.

    Examples
    --------
    >>> from sklasd import KNNDetector, LogMel, make_pipeline
    >>> clip_format(make_pipeline(LogMel(sample_rate=8000), KNNDetector()))
    ClipFormat(sample_rate=8000, channel='mean', duration=None, min_samples=1, max_duration=None)
    """
    parts = [estimator, *estimator.get_params().values()]
    formats = [getattr(part, "clip_format", None) for part in parts]
    found = {form[:2] for form in formats if isinstance(form, ClipFormat)}
    if not found:
        raise ValueError(
            f"Got a {type(estimator).__name__}, in which no front end was found: nothing in it has "
            "a clip_format (sklasd.clips.ClipFormat); pass a pipeline that begins with a front end "
            "such as LogMel."
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
    return backend if seed is None else seed_parts(backend, seed)


def seed_parts(estimator: Any, seed: int) -> Any:
    """Seed whatever part of an estimator draws at random and has no seed.

    Parameters
    ----------
    estimator : estimator
        Or a pipeline, or what is around either.
    seed : int
        For every `random_state` that is None.

    Returns
    -------
    estimator
        The same one.

    Examples
    --------
    >>> from sklasd import LogMel, OEAutoencoder, make_pipeline
    >>> seed_parts(make_pipeline(LogMel(), OEAutoencoder()), 3)[-1].random_state
    3
    """
    unseeded = [
        name
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    ]
    return estimator.set_params(**dict.fromkeys(unseeded, seed))


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


def score_each(backend: Any, X: np.ndarray, section: np.ndarray | None = None) -> np.ndarray:
    """Score rows so that none depends on its company, not in the last bit either.

    Parameters
    ----------
    backend : estimator
        Fitted.
    X : ndarray of shape (n_clips, n_features)
        Rows.
    section : ndarray of shape (n_clips,), default=None
        What is known of the clips' sections.

    Returns
    -------
    ndarray of shape (n_clips,), float64
        Higher is more normal.
    """
    if isinstance(backend, Pipeline) and isinstance(backend[-1], BaseDetector):
        features = by_rows(backend[:-1].transform, X) if len(backend) > 1 else X
        return backend[-1].score_samples(features, section=section)
    if isinstance(backend, BaseDetector):
        return backend.score_samples(X, section=section)
    told = [None] * len(X) if section is None else section[:, None]
    rows = zip(X[:, None], told, strict=True)  # one by one, as of others nobody knows
    return np.array([ask(backend, "score_samples", row, section=of)[0] for row, of in rows])
