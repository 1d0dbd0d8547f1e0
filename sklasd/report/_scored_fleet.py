"""Clips scored by the models of their machines, and their distances on one scale."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.base import BaseDetector
from sklasd.base._unwrap import detector_of, find_groups, split_by_model
from sklasd.datasets._any_folder import read_folder
from sklasd.detectors import GroupedDetector
from sklasd.evaluation._scoring import score_usable
from sklasd.metrics._scored_clips import check_labels

_LEAST_WIDTH = 0.01  # standard deviations from the typical clip to the threshold


class ScoredMachine(NamedTuple):
    """A machine, its model, its scored clips, and those that could not be used with the `reason`.

    Scored clips have the columns `score`, `decision` (+1 normal, -1 anomalous), `threshold`,
    `p_value` (missing if the detector is not calibrated) and `distance`: 0 is a typical normal
    clip, 1 the threshold.
    """

    name: str
    model: Any
    clips: pd.DataFrame
    skipped: pd.DataFrame

    @property
    def detector(self) -> BaseDetector:
        """The detector that decides."""
        return detector_of(self.model)


def read_clips(clips: Any) -> pd.DataFrame:
    """Make a clip table as `write_report` takes clips, without training clips if there are others.

    Its index is the position of each clip in the input, by which clips without a file are named.

    Examples
    --------
    >>> read_clips(pd.DataFrame({"path": ["a", "b"], "split": ["train", "test"]}))["path"].tolist()
    ['b']
    """
    if isinstance(clips, str | os.PathLike):
        table = read_folder(clips)
    elif isinstance(clips, pd.DataFrame):
        table = clips
    else:
        table = pd.DataFrame({"path": list(clips)})
    table = table.reset_index(drop=True)
    if "split" in table:
        # A model judges the clips that it learned from too well.
        is_new = ~table["split"].isin(["train", "supplemental"])
        table = table[is_new] if is_new.any() else table
    if table.empty:
        raise ValueError("Got 0 clips; pass at least 1.")
    if "label" in table:
        check_labels(table["label"].dropna(), "label")
    return table


def score_fleet(model: Any, table: pd.DataFrame) -> list[ScoredMachine]:
    """Score the clips of each machine by its own model, in the order of the table."""
    if isinstance(model, Mapping):
        model = _group_models(model)
    if find_groups(model) is None:
        # One model may score clips of several machines, by one threshold.
        names = table["machine"].unique() if "machine" in table else ["machine"]
        return [_score(str(names[0]) if len(names) == 1 else "all machines", model, table)]
    return [
        _score(_join_names(group), each, table.iloc[rows])
        for group, each, rows in split_by_model(model, table)
    ]


def _group_models(models: Mapping[Any, Any]) -> GroupedDetector:
    """Make a fitted `GroupedDetector` of models that were fitted one by one."""
    grouped = GroupedDetector(next(iter(models.values()), None), by="machine")
    grouped.estimators_ = dict(models)
    return grouped


def _join_names(group: Any) -> str:
    return " ".join(map(str, group)) if isinstance(group, tuple) else str(group)


def _score(name: str, model: Any, clips: pd.DataFrame) -> ScoredMachine:
    model = getattr(model, "best_estimator_", model)  # whose settings are those of interest
    detector = detector_of(model)
    if not isinstance(detector, BaseDetector):
        raise TypeError(
            f"Got a {type(detector).__name__} for {name!r}; pass a fitted pipeline that ends in a "
            "detector of sklasd, which has the threshold that a report shows."
        )
    # A broken clip among thousands is listed, and the others are reported on.
    scored = score_usable(model, clips).set_axis(clips.index)
    is_used = scored["reason"].isna()
    used = scored[is_used].drop(columns="reason").astype({"decision": int})
    used["distance"] = _measure_distance(used["score"].to_numpy(), detector)
    return ScoredMachine(name, model, used, scored[~is_used])


def _measure_distance(scores: np.ndarray, detector: BaseDetector) -> np.ndarray:
    """Bring scores to the scale that machines share; NaN is infinitely far off."""
    calibration, threshold = detector.calibration_scores_, detector.offset_
    typical, spread = float(np.median(calibration)), float(np.std(calibration))
    width = typical - threshold
    if width <= _LEAST_WIDTH * spread:
        # The threshold is a typical clip, as with contamination=0.5, and makes no unit.
        width = spread or 1.0
        typical = threshold + width
    return np.where(np.isnan(scores), np.inf, (typical - scores) / width)
