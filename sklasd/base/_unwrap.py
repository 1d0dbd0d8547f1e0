"""The one place that looks into pipelines, searches and other estimators around a detector."""

from __future__ import annotations

from collections.abc import Hashable
from inspect import signature
from typing import Any

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from sklasd.base._sections import sections_of_column
from sklasd.clips._sound_file import ClipFormat


def detector_of(estimator: Any) -> Any:
    """Return the estimator that decides: the end of a pipeline, or the estimator itself.

    Looks into pipelines, searches (at the best estimator of a fitted one), `Augmented`, and the
    first group of a `GroupedDetector`.

    Examples
    --------
    >>> from sklasd import KNNDetector, LogMel, make_pipeline
    >>> detector_of(make_pipeline(LogMel(), KNNDetector()))
    KNNDetector()
    """
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        elif isinstance(estimator, BaseSearchCV):
            estimator = getattr(estimator, "best_estimator_", estimator.estimator)
        elif hasattr(estimator, "inner_estimators"):  # Augmented, GroupedDetector
            estimator = estimator.inner_estimators()[0]
        else:
            return estimator


def reach_detector(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Pass clips through pipelines and searches, as far as all clips go the same way."""
    while isinstance(estimator, Pipeline | BaseSearchCV):
        if isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            estimator = estimator.best_estimator_
    return estimator, X


def call_detector(estimator: Any, method: str, X: Any, *args: Any, section: Any = None) -> Any:
    """Call a method of the estimator that decides, on what the steps before it make of the clips.

    Examples
    --------
    >>> from sklasd import ClipStatistics, KNNDetector, make_pipeline
    >>> X = np.random.default_rng(0).normal(size=(20, 4, 30))
    >>> pipeline = make_pipeline(ClipStatistics(), KNNDetector()).fit(X)
    >>> call_detector(pipeline, "p_values", X[:1] + 9)
    array([0.04761905])
    """
    end, features = reach_detector(estimator, X)
    if not hasattr(end, method):
        raise AttributeError(f"{type(end).__name__} has no {method}; take another detector.")
    call = getattr(end, method)
    if "section" not in signature(call).parameters:
        return call(features, *args)
    if section is None and has_column(X, "section") and not has_column(features, "section"):
        # The features do not know the sections any more, so the detector is given the column's.
        learnt = getattr(detector_of(end), "_learnt_sections", None)
        section = sections_of_column(X["section"].to_numpy(), learnt)
    return call(features, *args) if section is None else call(features, *args, section=section)


def has_column(X: Any, name: str) -> bool:
    """Return whether clips are a table with a column."""
    return name in getattr(X, "columns", ())


def first_step(estimator: Any) -> Any:
    """Return the step that gets the clips: the head of a pipeline, or the estimator itself.

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


def passes_through(step: Any) -> bool:
    """Return whether a step of a pipeline does nothing: "passthrough" or None."""
    return step is None or isinstance(step, str)


def clip_format(estimator: Any) -> ClipFormat:
    """Return how an estimator's front ends read clips, so that others read them alike.

    Examples
    --------
    >>> from sklasd import KNNDetector, LogMel, make_pipeline
    >>> clip_format(make_pipeline(LogMel(sample_rate=8000), KNNDetector()))
    ClipFormat(sample_rate=8000, channel='mean', duration=None, min_samples=1, max_duration=None)
    """
    parts = [estimator, *estimator.get_params().values()]
    formats = [getattr(part, "clip_format", None) for part in parts]
    found = {each[:2] for each in formats if isinstance(each, ClipFormat)}
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


def find_groups(estimator: Any) -> Any:
    """Return the GroupedDetector that a pipeline or a search ends in, or None.

    Examples
    --------
    >>> from sklasd import GroupedDetector, LogMel, StatisticsDetector, make_pipeline
    >>> pipeline = make_pipeline(LogMel(), StatisticsDetector())
    >>> find_groups(make_pipeline(GroupedDetector(pipeline, by="section"))).by
    'section'
    """
    while isinstance(estimator, Pipeline | BaseSearchCV):
        is_pipeline = isinstance(estimator, Pipeline)
        estimator = estimator[-1] if is_pipeline else getattr(estimator, "best_estimator_", None)
    return estimator if hasattr(estimator, "rows_by_group") else None


def split_by_model(estimator: Any, X: Any) -> list[tuple[Hashable, Any, np.ndarray]]:
    """Split clips by the models that score them, as each has a threshold of its own.

    Returns a list of groups: its name, its model with the steps that come before the groups, and
    the positions of its clips. Where one model scores all clips, its name is ().
    """
    if find_groups(estimator) is None:
        return [((), estimator, np.arange(len(X)))]
    if isinstance(estimator, Pipeline):
        before = estimator.steps[:-1]
        features = estimator[:-1].transform(X) if before else X
        return [
            (name, Pipeline([*before, ("model", each)]) if before else each, rows)
            for name, each, rows in split_by_model(estimator[-1], features)
        ]
    if isinstance(estimator, BaseSearchCV):
        return split_by_model(estimator.best_estimator_, X)
    return [
        (_join_names(name, more), each, rows[inner])
        for name, rows in estimator.rows_by_group(X)
        for more, each, inner in split_by_model(estimator.estimators_[name], X.iloc[rows])
    ]


def _join_names(name: Hashable, more: Any) -> Hashable:
    """Name a group within a group; without groups inside there is no further name."""
    if more == ():
        return name
    return (name, *(more if isinstance(more, tuple) else (more,)))
