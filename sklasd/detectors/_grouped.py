"""A model for each machine, as one estimator."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklasd.base._clip_table import FitInput, read_fit_input, training_rows
from sklasd.base._fit_with import check_params_of, fit_with
from sklasd.base._meta_detector import MetaDetector
from sklasd.base._unwrap import call_detector
from sklasd.clips import ClipError
from sklasd.clips._spectrograms import join_maps
from sklasd.utils._metadata import check_exposed, check_metadata, check_normal


class GroupedDetector(MetaDetector):
    """Fit a clone of an estimator to each machine, and score each clip by its machine's clone.

    Parameters
    ----------
    estimator : estimator
        A pipeline that ends in a detector, a search over one, or anything with `fit` and
        `score_samples` that takes rows of the clip table.
    by : str or list of str, default="machine"
        Column of the clip table, or columns such as ``["machine", "section"]``. Each value, or each
        combination of values, gets a clone.
    n_jobs : int, default=None
        Number of clones fitted in parallel; None means 1, -1 all cores.
    expose_others : bool, default=False
        Pass the normal clips of all other groups to each clone, as `exposed`.

    Attributes
    ----------
    estimators_ : dict of {group: estimator}
        The fitted clones, by the value of the column, or the tuple of values of several columns.

    See Also
    --------
    Augmented : Trains any pipeline on altered copies as well.
    sklasd.metrics.simulated_outlier_scorer : Compares detectors without anomalous clips.

    Notes
    -----
    Each clone equals ``clone(estimator)`` fitted to the rows of its group alone: neither its seed
    nor its scores depend on other groups, unless these are exposed to it.

    `recalibrate` sets the thresholds of the groups with new clips; the other groups keep theirs.

    Of a table with a column `split`, clones get the rows "train". A search gets the test clips of
    its group, too, so that splitters such as `DCASESplit` can score folds on them.

    Scores of different groups are on different scales. A metric that pools all clips, such as
    ``scoring="roc_auc"``, mixes these scales; `sklasd.metrics.dcase_scorer` evaluates each machine
    and section by itself.

    With `expose_others` each clone passes all clips through its front end, so that G groups cost G
    times as much. `PANNsEmbedding` and `TorchEmbedding` with a `memory` compute each clip once; for
    other front ends pass fewer clips, as `exposed`.

    With exposed clips, a clone gets a table with a column `exposed`. The splitters of
    `sklasd.model_selection` and `simulated_outlier_scorer` read it: use
    ``cv=NormalOnlySplit(anomalies="none")`` in a search inside, as scikit-learn's own splitters
    would take exposed clips for the machine's.

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
            For invalid values, or values that contradict each other.
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
            +1 normal, -1 anomalous; None takes all clips for normal.
        exposed : array-like of bool, shape (n_clips,), default=None
            Clips of further machines: every clone gets them, and they need no group of their own.
            None reads the column `exposed`, if there is one.
        section, domain, groups : array-like of shape (n_clips,), default=None
            As the estimator's own `fit` takes them.

        Returns
        -------
        self : GroupedDetector
            Fitted.

        Raises
        ------
        ValueError
            For bad parameters or metadata, a table without the columns, and clips without a group.
            Errors of a clone's fit carry a note with its group.
        """
        self.check_params()
        given = read_fit_input(
            X, y, is_table=hasattr(X, "columns"),
            # A search scores its folds on test clips; its estimators do not learn from them.
            keep_test=isinstance(self.estimator, BaseSearchCV),
            exposed=exposed, section=section, domain=domain, groups=groups,
        )  # fmt: skip
        with given.naming_clips():
            tasks = self._tasks(given)
            fitted = Parallel(n_jobs=self.n_jobs)(delayed(task)() for task in tasks.values())
        self.estimators_ = dict(zip(tasks, fitted, strict=True))
        return self

    def _tasks(self, given: FitInput) -> dict[Hashable, Callable[[], Any]]:
        """Return a function for each group that fits its clone, in this process or another."""
        X, n_clips = given.X, len(given.X)
        metadata: dict[str, Any] = {
            name: check_metadata(name, values, n_clips) for name, values in given.metadata.items()
        }
        outliers = check_exposed(metadata.pop("exposed", None), n_clips)
        may_expose = check_normal(given.y, outliers)
        if "split" in X:  # test clips may be here for searches
            may_expose &= np.isin(np.arange(n_clips), training_rows(X))
        if given.y is not None:  # each clone gets its labels, like the metadata
            metadata["y"] = np.asarray(given.y)
        tasks: dict[Hashable, Callable[[], Any]] = {}
        for name, own in self._split(X, np.flatnonzero(~outliers)):
            # A clone gets its own clips, whatever their label, and the exposed ones.
            is_other = outliers | may_expose if self.expose_others else outliers.copy()
            is_other[own] = False
            # In the order of the table, as if the rows of the group had been passed alone.
            rows = np.union1d(own, np.flatnonzero(is_other))
            clips = _with_exposed(X.iloc[rows], is_other[rows])
            own_metadata = {key: values[rows] for key, values in metadata.items()}
            # Bound to the task, not its arguments: joblib's dask backend would put tables on one
            # worker, and lose them if that worker dies.
            tasks[name] = partial(
                _fit_group, self.estimator, self._describe(name), (rows, n_clips), clips,
                own_metadata,
            )  # fmt: skip
        return tasks

    def inner_estimators(self) -> list[Any]:
        """Return the fitted clones, or before `fit` the estimator that `fit` will clone."""
        return list(vars(self).get("estimators_", {"": self.estimator}).values())

    # Each group's clone answers for its own clips; the answers are put back into their order.
    def _call(self, method: str, X: pd.DataFrame, *args: Any, section: Any = None) -> Any:
        check_is_fitted(self)
        section = check_metadata("section", section, len(X))
        answers, rows, errors = [], [], []
        for name, own_rows in self.rows_by_group(X):
            try:
                with _naming(self._describe(name), own_rows, len(X)):
                    own = None if section is None else section[own_rows]
                    own_args = (None if arg is None else np.asarray(arg)[own_rows] for arg in args)
                    clips, model = X.iloc[own_rows], self.estimators_[name]
                    answers.append(call_detector(model, method, clips, *own_args, section=own))
            except ClipError as error:  # one message names the bad clips of all groups
                if error.n_clips != len(X):  # its positions are not those of this table
                    raise
                errors.append(error)
            rows.append(own_rows)
        if errors:
            raise ClipError.joined(errors)
        if method == "recalibrate":  # it changes the models, and has no answers
            return self
        return _join(answers, np.argsort(np.concatenate(rows)))

    def rows_by_group(self, X: pd.DataFrame) -> list[tuple[Hashable, np.ndarray]]:
        """Split clips by their groups, and check that each group has a model.

        Parameters
        ----------
        X : clip table
            With the columns of `by`.

        Returns
        -------
        list of (group, ndarray of int)
            Positions of each group's clips, in the order of the table.

        Raises
        ------
        ValueError
            For clips without a group, or of a group that has no model.
        """
        split = self._split(X, np.arange(len(X)))
        unknown = {name: rows for name, rows in split if name not in self.estimators_}
        if unknown:
            first = np.sort(np.concatenate(list(unknown.values())))[:5].tolist()
            names, models = (
                "; ".join(map(self._describe, of)) for of in (unknown, self.estimators_)
            )
            raise ValueError(
                f"Got clips of {names}, at positions such as {first}, but there are models of "
                f"{models}; fit on normal clips of these groups as well, or leave their clips out."
            )
        return split

    def _split(self, X: pd.DataFrame, index: np.ndarray) -> list[tuple[Hashable, np.ndarray]]:
        """Split the clips at some positions by their groups, in the order of the table."""
        columns = [self.by] if isinstance(self.by, str) else list(self.by)
        absent = [name for name in columns if name not in getattr(X, "columns", ())]
        if absent:
            raise ValueError(
                f"Got clips without a column {' and '.join(map(repr, absent))}; pass a clip table "
                "that has it, or name other columns by `by`."
            )
        if not len(index):  # all clips are exposed, or there are none
            raise ValueError("Got 0 clips; at least 1 is needed.")
        table = X[columns].iloc[index]
        missing = index[table.isna().any(axis=1).to_numpy()]
        if missing.size:
            raise ValueError(
                f"Got {missing.size} clips without {' or '.join(columns)}, at positions such as "
                f"{missing[:5].tolist()}; fill it in, or leave these clips out."
            )
        # In the order of the table; pandas' groupby would sort the groups.
        rows: dict[Hashable, list[int]] = {}
        for row, values in zip(index, table.itertuples(index=False, name=None), strict=True):
            rows.setdefault(values[0] if isinstance(self.by, str) else values, []).append(row)
        return [(name, np.array(of_group)) for name, of_group in rows.items()]

    def _describe(self, name: Any) -> str:
        """Name a group in messages: machine='fan', section='00'."""
        # One column has plain values as names of groups, several have tuples.
        pairs = [(self.by, name)] if isinstance(self.by, str) else zip(self.by, name, strict=True)
        return ", ".join(f"{column}={value!r}" for column, value in pairs)


@contextmanager
def _naming(group: str, rows: np.ndarray, n_clips: int) -> Iterator[None]:
    """Add the group to errors, and name clips by their rows in the whole table."""
    # A note, so that the error keeps its type and message.
    note = f"This was the group {group} of a GroupedDetector."
    try:
        yield
    except ClipError as error:
        # A search inside splits the clips again: positions in a part of them cannot be translated.
        renamed = error.moved(rows, n_clips) if error.n_clips == len(rows) else error
        renamed.add_note(note)
        raise renamed from error.__cause__
    except Exception as error:
        error.add_note(note)
        raise


def _with_exposed(clips: pd.DataFrame, is_other: np.ndarray) -> pd.DataFrame:
    """Write which clips are exposed into the table, where a clone must know it."""
    # A present column is overwritten: the argument `exposed` of `fit` comes before it.
    needs_column = is_other.any() or "exposed" in clips.columns
    return clips.assign(exposed=is_other) if needs_column else clips


def _fit_group(
    estimator: Any,
    group: str,
    place: tuple[np.ndarray, int],
    clips: pd.DataFrame,
    metadata: dict[str, Any],
) -> Any:
    """Fit a clone to a group; at module level, so that other processes can run it."""
    with _naming(group, *place):
        return fit_with(clone(estimator), clips, exposed=clips.get("exposed"), **metadata)


def _join(answers: list[Any], order: np.ndarray) -> Any:
    """Join the answers of the clones, in the order of the clips."""
    if isinstance(answers[0], pd.DataFrame):
        return pd.concat(answers, ignore_index=True).iloc[order].reset_index(drop=True)
    if np.ndim(answers[0][0]) == 0:  # a number for each clip; else a map for each
        return np.concatenate(answers)[order]
    maps = [each for of_group in answers for each in of_group]
    return join_maps([maps[i] for i in order])
