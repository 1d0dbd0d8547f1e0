"""A model for each machine, as one estimator."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklasd.base._backend import ask, check_params_of, fit_with
from sklasd.base._meta_detector import MetaDetector
from sklasd.clips import ClipError
from sklasd.utils._metadata import check_exposed, check_metadata, check_normal


class GroupedDetector(MetaDetector):
    """Fit a clone of an estimator to each machine, and ask each clip's own.

    Parameters
    ----------
    estimator : estimator
        A pipeline that ends in a detector, a search over one, or anything with `fit` and
        `score_samples` that takes rows of the clip table.
    by : str or list of str, default="machine"
        Column of the clip table, or columns such as ``["machine", "section"]``, of which each value
        or combination of values has a clone.
    n_jobs : int, default=None
        Clones that are fitted at once; None is 1, -1 all cores.
    expose_others : bool, default=False
        Hand the normal clips of all other groups to each clone, as `exposed`.

    Attributes
    ----------
    estimators_ : dict of {group: estimator}
        The fitted clones, by the value of the column, or by the tuple of values of several.

    See Also
    --------
    Augmented : More clips to train on, for any pipeline.
    sklasd.metrics.simulated_outlier_scorer : Chooses between detectors without anomalous clips.

    Notes
    -----
    Each clone is what ``clone(estimator)`` would be if it were fitted to the rows of its group
    alone: neither its seed nor its scores depend on which other groups there are, unless they are
    exposed to it.

    Scores of different groups are on different scales. A metric that pools all clips, such as
    ``scoring="roc_auc"``, compares them all the same; `sklasd.metrics.dcase_scorer` takes each
    machine and section by itself.

    With `expose_others` each clone passes all clips through its front end, so that G groups cost G
    times as much. `PANNsEmbedding` and `TorchEmbedding` compute each clip once if they are given a
    `memory`; with another front end pass fewer clips, as `exposed`.

    Where clips are exposed, the table that a clone gets has a column `exposed`. The splitters of
    `sklasd.model_selection` and `simulated_outlier_scorer` read it: give a search inside
    ``cv=NormalOnlySplit(anomalies="none")``, since scikit-learn's own splitters would take exposed
    clips for the machine's.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklasd import GroupedDetector, LogMel, StatisticsDetector, make_pipeline
    >>> from sklasd.datasets import make_machine_clips
    >>> tables = []
    >>> for machine in ("fan", "pump"):
    ...     waves, table = make_machine_clips(machine, n_train=15, duration=1.0, random_state=0)
    ...     tables.append(table.assign(path=list(waves)))
    >>> clips = pd.concat(tables, ignore_index=True)
    >>> train = clips["split"] == "train"
    >>> detector = GroupedDetector(make_pipeline(LogMel(), StatisticsDetector()))
    >>> list(detector.fit(clips[train]).estimators_)
    ['fan', 'pump']
    >>> detector.predict(clips[~train])[-1:]  # a fault of the pump
    array([-1])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"])],
        "by": [str, list, tuple],
        "n_jobs": [Integral, None],
        "expose_others": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any,
        by: str | Sequence[str] = "machine",
        *,
        n_jobs: int | None = None,
        expose_others: bool = False,
    ) -> None:
        self.estimator = estimator
        self.by = by
        self.n_jobs = n_jobs
        self.expose_others = expose_others

    def check_params(self, n_features: int | None = None) -> None:
        """Check the parameters, and those of the estimator, before any clip is read.

        Parameters
        ----------
        n_features : ignored
            Present for the convention.

        Raises
        ------
        ValueError
            For values that cannot be, or that do not go together.
        """
        self._validate_params()
        if not self.by:
            raise ValueError(f"Got by={self.by!r}; name a column of the clip table.")
        check_params_of(self.estimator)

    def fit(
        self,
        X: pd.DataFrame,
        y: Any = None,
        *,
        exposed: Any = None,
        section: Any = None,
        domain: Any = None,
        groups: Any = None,
    ) -> Self:
        """Fit a clone to each group.

        Parameters
        ----------
        X : clip table
            With the columns of `by`.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None takes all for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of still other machines: handed to every clone, with no group of their own. None
            reads the column `exposed`, if there is one.
        section, domain, groups : array-like of shape (n_clips,), default=None
            What the estimator is told of each clip, as its own `fit` says.

        Returns
        -------
        self : GroupedDetector
            Fitted.

        Raises
        ------
        ValueError
            For bad parameters or metadata, a table without the columns, clips of no group, and
            whatever the fit of a clone raises; a note tells its group.
        """
        self.check_params()
        if exposed is None and hasattr(X, "columns"):
            exposed = X.get("exposed")
        outliers = check_exposed(exposed, len(X))
        is_normal = check_normal(y, outliers)
        metadata = {"section": section, "domain": domain, "groups": groups}
        told = {name: check_metadata(name, v, len(X)) for name, v in metadata.items()}
        told["y"] = None if y is None else np.asarray(y)
        tasks = {}
        for name, own in self._deal(X, np.flatnonzero(~outliers)):
            is_other = outliers | is_normal if self.expose_others else outliers.copy()
            is_other[own] = False
            rows = np.union1d(own, np.flatnonzero(is_other))
            clips = _with_exposed(X.iloc[rows], is_other[rows])
            of_group = {key: None if v is None else v[rows] for key, v in told.items()}
            # Not as arguments of the task: joblib hands tables to dask apart, on one worker, whose
            # death they do not survive.
            tasks[name] = partial(
                _fit_group, self.estimator, self._describe(name), (rows, len(X)), clips, of_group
            )
        fitted = Parallel(n_jobs=self.n_jobs)(delayed(task)() for task in tasks.values())
        self.estimators_ = dict(zip(tasks, fitted, strict=True))
        return self

    def recalibrate(self, X: pd.DataFrame, y: Any = None, *, section: Any = None) -> Self:
        """Set thresholds anew, from given normal clips, without training.

        Parameters
        ----------
        X : clip table
            Normal clips that were not trained on. Groups that are not among them keep their
            thresholds.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; the latter are left out.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.

        Returns
        -------
        self : GroupedDetector
            With new thresholds.
        """
        check_is_fitted(self)
        labels = None if y is None else np.asarray(y)
        section = check_metadata("section", section, len(X))
        for name, rows in self._deal_known(X):
            with _naming(self._describe(name), rows, len(X)):
                given = None if labels is None else labels[rows]
                own = None if section is None else section[rows]
                ask(self.estimators_[name], "recalibrate", X.iloc[rows], given, section=own)
        return self

    def _inner(self) -> list[Any]:
        return list(vars(self).get("estimators_", {"": self.estimator}).values())

    def _ask(
        self, method: str, X: pd.DataFrame, section: Any = None, *, is_told: bool = True
    ) -> Any:
        check_is_fitted(self)
        section = check_metadata("section", section, len(X))
        answers, rows, errors = [], [], []
        for name, of_group in self._deal_known(X):
            try:
                with _naming(self._describe(name), of_group, len(X)):
                    own = None if section is None else section[of_group]
                    clips, each = X.iloc[of_group], self.estimators_[name]
                    answers.append(ask(each, method, clips, section=own, is_told=is_told))
            except ClipError as error:  # bad clips are named all at once
                if error.n_clips != len(X):
                    raise
                errors.append(error)
            rows.append(of_group)
        if errors:
            raise ClipError.joined(errors)
        return _join(answers, np.argsort(np.concatenate(rows)))

    def _deal_known(self, X: pd.DataFrame) -> list[tuple[Hashable, np.ndarray]]:
        """Deal clips by their groups, all of which must have a clone."""
        dealt = self._deal(X, np.arange(len(X)))
        unknown = {name: rows for name, rows in dealt if name not in self.estimators_}
        if unknown:
            first = np.sort(np.concatenate(list(unknown.values())))[:5].tolist()
            told, known = ("; ".join(map(self._describe, of)) for of in (unknown, self.estimators_))
            raise ValueError(
                f"Got clips of {told}, at positions such as {first}, but there are models of "
                f"{known}; fit on normal clips of these groups, too, or leave their clips out."
            )
        return dealt

    def _deal(self, X: pd.DataFrame, index: np.ndarray) -> list[tuple[Hashable, np.ndarray]]:
        """Deal some of the clips by their groups, in the order of the table."""
        columns = [self.by] if isinstance(self.by, str) else list(self.by)
        absent = [name for name in columns if name not in getattr(X, "columns", ())]
        if absent:
            raise ValueError(
                f"Got clips without a column {' and '.join(map(repr, absent))}; pass a clip table "
                "that has it, or name other columns by `by`."
            )
        if not len(index):
            raise ValueError("Got 0 clips; at least 1 is needed.")
        table = X[columns].iloc[index]
        missing = index[table.isna().any(axis=1).to_numpy()]
        if missing.size:
            raise ValueError(
                f"Got {missing.size} clips without {' or '.join(columns)}, at positions such as "
                f"{missing[:5].tolist()}; fill it in, or leave these clips out."
            )
        rows: dict[Hashable, list[int]] = {}
        for row, values in zip(index, table.itertuples(index=False, name=None), strict=True):
            rows.setdefault(values[0] if isinstance(self.by, str) else values, []).append(row)
        return [(name, np.array(of_group)) for name, of_group in rows.items()]

    def _describe(self, name: Any) -> str:
        """Name a group in messages: machine='fan', section='00'."""
        pairs = [(self.by, name)] if isinstance(self.by, str) else zip(self.by, name, strict=True)
        return ", ".join(f"{column}={value!r}" for column, value in pairs)


def find_groups(estimator: Any) -> GroupedDetector | None:
    """Find the models of several groups that a pipeline or a search ends in.

    Parameters
    ----------
    estimator : estimator
        A detector, a pipeline that ends in one, or a fitted search over either.

    Returns
    -------
    GroupedDetector or None
        None where one model scores all clips.

    Examples
    --------
    >>> from sklasd import GroupedDetector, LogMel, StatisticsDetector, make_pipeline
    >>> pipeline = make_pipeline(LogMel(), StatisticsDetector())
    >>> find_groups(make_pipeline(GroupedDetector(pipeline, by="section"))).by
    'section'
    """
    while not isinstance(estimator, GroupedDetector):
        is_pipeline = isinstance(estimator, Pipeline)
        estimator = estimator[-1] if is_pipeline else getattr(estimator, "best_estimator_", None)
        if estimator is None:
            return None
    return estimator


def deal_models(estimator: Any, X: pd.DataFrame) -> list[tuple[Hashable, Any, np.ndarray]]:
    """Deal clips to the models that score them, each of which has a threshold of its own.

    Parameters
    ----------
    estimator : estimator
        Fitted, as in `find_groups`.
    X : clip table
        As the first step takes it.

    Returns
    -------
    list of (group, estimator, ndarray of int)
        The group's values; its model, with the steps that come before the groups; and positions of
        its clips. Where one model scores all clips, it and the group ().

    Raises
    ------
    ValueError
        For clips of groups without a model.
    """
    if find_groups(estimator) is None:
        return [((), estimator, np.arange(len(X)))]
    if isinstance(estimator, Pipeline):
        before = estimator.steps[:-1]
        dealt = deal_models(estimator[-1], estimator[:-1].transform(X) if before else X)
        return [(name, _chain(before, each), rows) for name, each, rows in dealt]
    if not isinstance(estimator, GroupedDetector):
        return deal_models(estimator.best_estimator_, X)
    return [
        ((name, *more) if more else name, each, of_group[rows])
        for name, of_group in estimator._deal_known(X)
        for more, each, rows in _deal_within(estimator.estimators_[name], X.iloc[of_group])
    ]


def _deal_within(
    estimator: Any, X: pd.DataFrame
) -> Iterator[tuple[tuple[Hashable, ...], Any, np.ndarray]]:
    """Deal the clips of a group once more, where its model has groups, too."""
    for name, each, rows in deal_models(estimator, X):
        yield name if isinstance(name, tuple) else (name,), each, rows


def _chain(before: list[tuple[str, Any]], end: Any) -> Any:
    return Pipeline([*before, ("model", end)]) if before else end


@contextmanager
def _naming(group: str, rows: np.ndarray, n_clips: int) -> Iterator[None]:
    """Tell in what goes wrong which group it is about, and name clips by their rows in a table."""
    note = f"This was the group {group} of a GroupedDetector."
    try:
        yield
    except ClipError as error:
        # A clone may deal its clips again, as a search does: then positions are those of a part.
        told = error.moved(rows, n_clips) if error.n_clips == len(rows) else error
        told.add_note(note)
        raise told from error.__cause__
    except Exception as error:
        error.add_note(note)
        raise


def _with_exposed(clips: pd.DataFrame, is_other: np.ndarray) -> pd.DataFrame:
    # A column there says what the table's clips are elsewhere, perhaps other than `fit` was told.
    needs_column = is_other.any() or "exposed" in clips.columns
    return clips.assign(exposed=is_other) if needs_column else clips


def _fit_group(
    estimator: Any,
    group: str,
    place: tuple[np.ndarray, int],
    clips: pd.DataFrame,
    told: dict[str, Any],
) -> Any:
    with _naming(group, *place):
        return fit_with(clone(estimator), clips, exposed=clips.get("exposed"), **told)


def _join(answers: list[Any], order: np.ndarray) -> Any:
    """Join what clones say of their clips, in the order of the clips."""
    if isinstance(answers[0], pd.DataFrame):
        return pd.concat(answers, ignore_index=True).iloc[order].reset_index(drop=True)
    if np.ndim(answers[0][0]) == 0:
        return np.concatenate(answers)[order]
    maps = [each for of_group in answers for each in of_group]
    maps = [maps[i] for i in order]
    return maps if len({each.shape for each in maps}) > 1 else np.stack(maps)
