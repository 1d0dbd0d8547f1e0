"""Fitting estimators of any kind inside others: metadata, seeds, and detectors as scorers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from sklasd.base._base_detector import BaseDetector
from sklasd.base._unwrap import call_detector, detector_of, passes_through
from sklasd.utils._metadata import check_exposed, check_normal
from sklasd.utils._rows import by_rows


def fit_with(estimator: Any, X: Any, y: Any = None, **metadata: Any) -> Any:
    """Fit, and give each step of a pipeline the metadata that its `fit` has a parameter for.

    Detectors of other packages know neither exposed clips nor labels: they get normal clips only.

    Examples
    --------
    >>> from sklasd.backends import MahalanobisDetector
    >>> X = np.random.default_rng(0).normal(size=(20, 2))
    >>> fit_with(MahalanobisDetector(), X, domain=np.arange(20) % 2, section=None).domains_
    array(['0', '1'], dtype='<U21')
    """
    X, y, metadata = keep_normal(estimator, X, y, metadata)
    return estimator.fit(X, y, **route(estimator, metadata))


def fit_as_scorer(estimator: Any, X: Any, y: Any = None, **metadata: Any) -> Any:
    """Fit an estimator that only ever scores: detectors of sklasd make no decision.

    Examples
    --------
    >>> from sklasd.backends import KNNDetector
    >>> scorer = fit_as_scorer(KNNDetector(), np.eye(4))
    >>> hasattr(scorer, "offset_"), scorer.score_samples(3 * np.eye(4)[:1])
    (False, array([-2.]))
    """
    X, y, metadata = keep_normal(estimator, X, y, metadata)
    end = estimator
    while isinstance(end, Pipeline) and isinstance(detector_of(end), BaseDetector):
        if len(end) > 1:
            before = end[:-1]
            X = before.fit_transform(X, y, **route(before, metadata))
            end.steps[:-1] = before.steps  # with `memory`, the fitted steps are new objects
        end = end[-1]
    if isinstance(end, BaseDetector):
        end.learn(X, y, **route(end, metadata))
    else:
        end.fit(X, y, **route(end, metadata))
    return estimator


def keep_normal(
    estimator: Any, X: Any, y: Any, metadata: dict[str, Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """Leave out what an estimator of another package would take for normal."""
    given = {name: values for name, values in metadata.items() if values is not None}
    # A search splits the clips itself, and needs the anomalous ones for its score.
    is_ours = isinstance(estimator, BaseSearchCV) or isinstance(
        detector_of(estimator), BaseDetector
    )
    if is_ours or (y is None and "exposed" not in given):
        return X, y, given
    normal = check_normal(y, check_exposed(given.pop("exposed", None), _num_samples(X)))
    index = np.flatnonzero(normal)
    given = {name: _safe_indexing(values, index) for name, values in given.items()}
    return _safe_indexing(X, index), None if y is None else _safe_indexing(y, index), given


def route(estimator: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Name metadata as the `fit` of an estimator wants it, by the steps of its pipeline."""
    if isinstance(estimator, Pipeline):
        return {
            f"{step}__{name}": value
            for step, each in estimator.steps
            if not passes_through(each)
            for name, value in route(each, metadata).items()
        }
    if isinstance(estimator, BaseSearchCV):  # its splitter takes the groups
        groups = {name: value for name, value in metadata.items() if name == "groups"}
        return groups | route(estimator.estimator, metadata)
    return {name: value for name, value in metadata.items() if has_fit_parameter(estimator, name)}


def check_params_of(estimator: Any, n_features: int | None = None) -> None:
    """Check the parameters of an estimator, or of each step of a pipeline, before any work."""
    parts = [estimator]
    while parts:
        part = parts.pop()
        if hasattr(part, "check_params"):
            part.check_params(n_features if part is estimator else None)
        elif isinstance(part, Pipeline):
            parts += [step for _, step in part.steps]
        elif hasattr(part, "_parameter_constraints"):
            part._validate_params()


def seed_parts(estimator: Any, seed: int) -> Any:
    """Seed each part of an estimator that draws at random and has no seed.

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


def score_rows(estimator: Any, X: np.ndarray, section: np.ndarray | None = None) -> np.ndarray:
    """Score rows so that none depends on the others, not in the last bit either."""
    if isinstance(estimator, Pipeline) and isinstance(estimator[-1], BaseDetector):
        X = by_rows(estimator[:-1].transform, X) if len(estimator) > 1 else X
        estimator = estimator[-1]
    if isinstance(estimator, BaseDetector):
        return estimator._score_samples(estimator._prepare(X, reset=False), section=section)
    # One by one, as estimators of other packages make no promise.
    sections = [None] * len(X) if section is None else section[:, None]
    rows = zip(X[:, None], sections, strict=True)
    return np.array([call_detector(estimator, "score_samples", x, section=s)[0] for x, s in rows])
