"""What a clip table says of its clips: read in one place, for whatever is fitted on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.clips import ClipError
from sklasd.utils._lists import name_some
from sklasd.utils._metadata import check_exposed, check_metadata

COLUMNS = ("label", "split", "section", "domain", "recording")  # read by `fit`


class FitInput(NamedTuple):
    """What `fit` learns from: its arguments, completed by the columns of a clip table.

    Parameters
    ----------
    X : clips
        Without the rows that the table keeps for other purposes.
    y : array-like of shape (n_clips,), or None
        Labels.
    metadata : dict
        What there is of `exposed`, `section`, `domain` and `groups`, one value per clip.
    rows : ndarray of int, or None
        Positions of these clips in what was passed; None where none was left out.
    n_clips : int
        How many clips were passed.
    """

    X: Any
    y: Any
    metadata: dict[str, Any]
    rows: np.ndarray | None = None
    n_clips: int = 0

    def take(self, values: Any) -> Any:
        """Take the values of these clips from one value per clip that was passed."""
        is_list = hasattr(values, "__array__") or isinstance(values, list | tuple)
        if self.rows is None or not is_list or len(values) != self.n_clips:
            return values
        return np.asarray(values)[self.rows]

    @contextmanager
    def naming_clips(self) -> Iterator[None]:
        """Name clips in errors by their positions in what was passed."""
        try:
            yield
        except ClipError as error:
            if self.rows is None or error.n_clips != len(self.rows):
                raise
            raise error.moved(self.rows, self.n_clips) from error.__cause__


def is_clip_table(X: Any) -> bool:
    """Return whether clips come as a table; tables of features have no column `path`."""
    return "path" in getattr(X, "columns", ())


def read_fit_input(
    X: Any,
    y: Any = None,
    *,
    is_table: bool | None = None,
    keep_test: bool = False,
    **metadata: Any,
) -> FitInput:
    """Complete the arguments of `fit` by the columns of a clip table.

    `label` gives `y`, `section` and `domain` the arguments of these names, and `recording` gives
    `groups`. Rows of another `split` than "train" are left out where there are such of "train",
    unless they are exposed or `keep_test` is true. Arguments have precedence over columns.

    Labels in `y` that contradict the table's are refused, and so are columns whose names are almost
    those that are read. `is_table` says whether X is a clip table; None decides by the column
    `path`. All other forms of clips are returned as they are.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["a", "b", "c"], "label": [1, -1, 1],
    ...                       "split": ["train", "train", "test"], "recording": ["x", "x", "y"]})
    >>> clips = read_fit_input(table)
    >>> clips.X["path"].tolist(), clips.y.tolist(), clips.metadata
    (['a', 'b'], [1, -1], {'groups': array(['x', 'x'], dtype=object)})
    """
    given = {name: values for name, values in metadata.items() if values is not None}
    if not (is_clip_table(X) if is_table is None else is_table):
        return FitInput(X, y, given)
    check_column_names(X)
    y = _read_labels(X, y)
    for name in ("exposed", "section", "domain"):
        if name in X and name not in given:
            given[name] = X[name].to_numpy()
    if "groups" not in given and "recording" in X and X["recording"].duplicated().any():
        # A clip of unknown recording is a recording by itself.
        alone = pd.Series([f"clip {row}" for row in range(len(X))], index=X.index)
        given["groups"] = X["recording"].astype(object).fillna(alone).to_numpy()
    rows = training_rows(X, given.get("exposed"))
    if keep_test or len(rows) == len(X):
        return FitInput(X, y, given)
    if y is not None and len(y) != len(X):
        raise ValueError(f"Got y of {len(y)} labels for {len(X)} clips; pass one each.")
    given = {
        name: np.asarray(check_metadata(name, values, len(X)))[rows]
        for name, values in given.items()
    }
    y = None if y is None else np.asarray(y)[rows]
    return FitInput(X.iloc[rows], y, given, rows, len(X))


def take_new_normal(X: Any, y: Any = None, section: Any = None) -> tuple[Any, Any, Any]:
    """Take the clips to recalibrate on: normal ones that are not for training.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["a", "b", "c"], "split": ["train", "test", "test"],
    ...                       "label": [1, 1, -1]})
    >>> take_new_normal(table)[0]["path"].tolist()
    ['b']
    """
    if not is_clip_table(X):
        return X, y, section
    check_column_names(X)
    labels = _read_labels(X, y)
    keep = np.ones(len(X), dtype=bool)
    if "split" in X:
        keep &= X["split"].ne("train").to_numpy()
    if labels is not None:
        keep &= np.asarray(labels) == 1
    if not keep.any():
        raise ValueError(
            "There is no new normal clip: a model may have learnt from clips of the split 'train', "
            "and then most others would be alarms. Pass normal recordings that it has not learnt "
            "from, or drop the column `split`."
        )
    rows = np.flatnonzero(keep)
    section = check_metadata("section", section, len(X))
    return X.iloc[rows], None, None if section is None else section[rows]


def check_column_names(X: pd.DataFrame) -> None:
    """Refuse columns whose names are almost those that are read, such as "Label" or "labels"."""
    for column in X.columns:
        name = str(column).strip().lower()
        meant = [c for c in COLUMNS if name in (c, c + "s") and c not in X.columns]
        if meant:
            raise ValueError(
                f"Got a clip table with the column {column!r}; rename it to {meant[0]!r}, by which "
                "it is read, or drop it."
            )


def _read_labels(X: pd.DataFrame, y: Any) -> Any:
    """Return the labels that were passed, or those of the table; rows without one are normal."""
    if "label" not in X or X["label"].isna().all():
        return y
    labels = X["label"]
    if y is None:
        return labels.fillna(1).to_numpy()
    passed = np.asarray(y)
    if passed.shape == (len(X),):
        differ = np.flatnonzero(labels.notna().to_numpy() & (labels.to_numpy() != passed))
        if differ.size:
            raise ValueError(
                f"Got labels in y that contradict the column `label` of the clips "
                f"{name_some(differ)}; correct one of them, or drop the column."
            )
    return y


def training_rows(X: pd.DataFrame, exposed: Any = None) -> np.ndarray:
    """Return the positions of the rows to learn from: all rows, if none is of the split "train".

    Examples
    --------
    >>> training_rows(pd.DataFrame({"split": ["train", "test", "train"]})).tolist()
    [0, 2]
    """
    if "split" not in X or not (X["split"] == "train").any():
        return np.arange(len(X))
    return np.flatnonzero((X["split"] == "train").to_numpy() | check_exposed(exposed, len(X)))
