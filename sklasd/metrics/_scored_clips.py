"""Scored clips: the columns of their table, and the checks that every metric makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklasd.metrics._roc import FloatArray
from sklasd.utils._lists import name_some

# What scoring adds to a clip table, in the order in which tables show it. A `reason` says why a
# clip has no score; it is there only where such clips are skipped.
SCORED_COLUMNS = ("score", "p_value", "threshold", "decision", "reason")

DOMAINS = ("source", "target")

# Stands for "not split by this" in the columns machine, section and domain.
ALL = "all"


def drop_scores(clips: pd.DataFrame) -> pd.DataFrame:
    """Drop the columns of an earlier scoring, so that nobody takes them for new ones."""
    return clips.drop(columns=list(SCORED_COLUMNS), errors="ignore")


def find_column(clips: Any, name: str, given: Any = None) -> Any:
    """Return the values given beside the clips, or the column of a clip table, or None.

    A column without any value counts as absent.

    Examples
    --------
    >>> find_column(pd.DataFrame({"label": [1, -1]}), "label").tolist()
    [1, -1]
    >>> find_column(["a.wav", "b.wav"], "label") is None
    True
    """
    if given is None and name in getattr(clips, "columns", ()) and clips[name].notna().any():
        return clips[name]
    return given


def single_year(clips: Any) -> int | None:
    """Return the year of a clip table, or None without a column `year`; refuse several years.

    Examples
    --------
    >>> single_year(pd.DataFrame({"year": [2023, 2023]}))
    2023
    """
    column = find_column(clips, "year")
    # A missing value beside a year counts as another year: nobody knows its rule.
    years = [] if column is None else column.unique().tolist()
    if len(years) > 1:
        raise ValueError(
            f"Got clips of the years {years}, but each year has its own rule and its own files; "
            f"pass the clips of one year: clips[clips['year'] == {years[0]}]."
        )
    return years[0] if years else None


@dataclass(frozen=True)
class ScoredClips:
    """Checked evaluation data, one entry per clip."""

    anomaly_score: FloatArray  # higher is more anomalous, unlike a detector's score
    anomalous: NDArray[np.bool_]
    machine: NDArray
    section: NDArray
    domain: NDArray

    def by_section(self) -> Iterator[tuple[object, object, NDArray[np.intp]]]:
        """Yield machine, section and positions of the clips of each section, sorted by name."""
        # Sorted, so that tables and random draws do not depend on the order of the clips.
        frame = pd.DataFrame({"machine": self.machine, "section": self.section})
        for (machine, section), group in frame.groupby(["machine", "section"]):
            yield machine, section, group.index.to_numpy()

    def by_class(
        self, strata: dict[str, NDArray[np.intp]]
    ) -> tuple[dict[str, NDArray[np.intp]], dict[str, NDArray[np.intp]]]:
        """Return the positions of the normal and of the anomalous clips in each stratum."""
        normal = {name: rows[~self.anomalous[rows]] for name, rows in strata.items()}
        return normal, {name: rows[self.anomalous[rows]] for name, rows in strata.items()}


def check_clips(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    machine: ArrayLike | None = None,
    section: ArrayLike | None = None,
    domain: ArrayLike | None = None,
) -> ScoredClips:
    """Check labels, scores and groups, and turn the scores into anomaly scores."""
    anomalous, anomaly_score = check_scored_labels(y_true, y_score)
    n_clips = len(anomalous)
    return ScoredClips(
        anomaly_score,
        anomalous,
        machine=_check_groups(machine, "machine", n_clips),
        section=_check_groups(section, "section", n_clips),
        domain=_check_domain(domain, n_clips),
    )


def check_scored_labels(
    y_true: ArrayLike, y_score: ArrayLike
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return whether each clip is anomalous, and its anomaly score."""
    anomalous = check_labels(y_true, "y_true")
    if len(anomalous) == 0:
        raise ValueError("Got y_true with no clips; pass at least one normal and one anomalous.")
    return anomalous, _anomaly_score(check_length(y_score, "y_score", len(anomalous)))


def _anomaly_score(y_score: NDArray) -> FloatArray:
    """Turn a detector's scores (higher = more normal) into anomaly scores.

    The only place where the sign changes: the positive class of every curve is the anomaly.
    """
    scores = y_score.astype(np.float64)
    if np.isnan(scores).any():
        raise ValueError(
            f"Got y_score with NaN at {_positions(np.isnan(scores))}, but every clip needs a "
            "score; look for clips that are silent or broken, or for training that diverged."
        )
    return -scores


def check_labels(labels: ArrayLike, name: str) -> NDArray[np.bool_]:
    """Return whether each label says anomalous."""
    values = check_length(labels, name, np.size(labels))
    found = pd.unique(values).tolist()
    # True equals 1, so that Booleans would pass as normal clips.
    if values.dtype.kind == "b" or not set(found) <= {1, -1}:
        raise ValueError(
            f"Got {name} with the labels {found[:5]}, but +1 (normal) and -1 (anomalous) are "
            "expected; for DCASE's 0/1 labels use np.where(label == 1, -1, 1)."
        )
    return np.asarray(values == -1, dtype=bool)


def check_length(values: ArrayLike, name: str, n_clips: int) -> NDArray:
    """Check that there is one value per clip."""
    column = np.asarray(values)
    if column.shape != (n_clips,):
        raise ValueError(
            f"Got {name} of shape {column.shape}, but there are {n_clips} clips; pass a "
            "one-dimensional array with one value per clip, in the same order."
        )
    return column


def _check_groups(values: ArrayLike | None, name: str, n_clips: int) -> NDArray:
    if values is None:
        return np.full(n_clips, ALL, dtype=object)
    column = check_length(values, name, n_clips)
    missing = np.asarray(pd.isna(column))
    if missing.any():
        raise ValueError(
            f"Got {name} without a value at {_positions(missing)}, but every clip needs one; fill "
            "it in or leave these clips out."
        )
    # Python's own values: 3 rather than np.int64(3) in the text of an error.
    return column.astype(object)


def _check_domain(values: ArrayLike | None, n_clips: int) -> NDArray:
    column = _check_groups(values, "domain", n_clips)
    unknown = ~pd.Series(column).isin(DOMAINS).to_numpy()
    if values is not None and unknown.any():
        raise ValueError(
            f"Got domain {pd.unique(column[unknown]).tolist()[:5]} at {_positions(unknown)}, but "
            "'source' or 'target' is expected; for DCASE's 0/1 domains use "
            "np.where(domain == 1, 'target', 'source')."
        )
    return column


def _positions(found: NDArray[np.bool_]) -> str:
    return f"positions {name_some(np.flatnonzero(found), 5)}"
