"""Clips scored by the models of their machines, on a scale that machines share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklasd.base import BaseDetector
from sklasd.base._backend import last_step
from sklasd.datasets._any_folder import read_folder
from sklasd.detectors._grouped import deal_models, find_groups
from sklasd.evaluation._scoring import score_usable
from sklasd.metrics._scored_clips import check_labels


class ScoredMachine(NamedTuple):
    """A machine: its model, and what this says of the clips.

    Parameters
    ----------
    name : str
        As the report calls it.
    model : estimator
        A fitted pipeline that ends in a detector, or what is wrapped around one.
    clips : DataFrame
        Its clips with `score`, `decision` (+1 normal, -1 anomalous), `p_value` (missing where the
        detector is not calibrated) and `distance`: 0 is a typical normal clip, 1 the threshold.
    skipped : DataFrame
        Clips that could not be used, with `reason`.
    """

    name: str
    model: Any
    clips: pd.DataFrame
    skipped: pd.DataFrame

    @property
    def detector(self) -> BaseDetector:
        """What decides."""
        return last_step(self.model)


def read_clips(clips: Any) -> pd.DataFrame:
    """Make a clip table of what a user passes, without training clips where there are others.

    Parameters
    ----------
    clips : DataFrame, path of a folder, or list of clips
        A clip table, a folder in DCASE's layout or any other, or paths.

    Returns
    -------
    DataFrame
        With a column `path`, in which there may be arrays, too; its index is the position of each
        clip in what was passed.

    Raises
    ------
    ValueError
        Without any clip, and for labels other than +1 and -1.

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
    table = table.reset_index(drop=True)  # clips that are no files are named by their position
    if "split" in table:
        is_new = ~table["split"].isin(["train", "supplemental"])
        table = table[is_new] if is_new.any() else table
    if not len(table):
        raise ValueError("Got 0 clips; at least 1 is needed.")
    if "label" in table:
        check_labels(table["label"].dropna(), "label")
    # A table may have been scored before, by whatever.
    made = ["score", "decision", "threshold", "p_value"]
    return table.drop(columns=made, errors="ignore")


def score_fleet(model: Any, table: pd.DataFrame) -> list[ScoredMachine]:
    """Score each machine's clips by its own model.

    Parameters
    ----------
    model : estimator or dict of {machine: estimator}
        As `write_report` takes it.
    table : DataFrame
        From `read_clips`.

    Returns
    -------
    list of ScoredMachine
        In the order of the table.

    Raises
    ------
    TypeError
        For what is no detector of ours.
    ValueError
        For clips of machines without a model.
    ClipError
        When no clip of a machine can be used.
    """
    return [_score(*each) for each in _deal(model, table)]


def _deal(model: Any, table: pd.DataFrame) -> list[tuple[str, Any, pd.DataFrame]]:
    """Deal clips to models: of each its name, the model and the clips."""
    if not isinstance(model, Mapping):
        if find_groups(model):
            return _deal_groups("", model, table)
        names = table["machine"].unique() if "machine" in table else ["machine"]
        return [(str(names[0]) if len(names) == 1 else "all machines", model, table)]
    if "machine" not in table:
        raise ValueError("Got models of machines, but clips without a column 'machine'; add it.")
    unknown = sorted(set(map(str, table["machine"])) - set(map(str, model)))
    if unknown:
        raise ValueError(
            f"Got clips of {', '.join(unknown)}, but models of {', '.join(map(str, model))}; pass "
            "a model of each machine, or leave these clips out."
        )
    models = {str(name): each for name, each in model.items()}
    return [
        dealt
        for name, own in table.groupby("machine", sort=False)
        for dealt in _deal_groups(str(name), models[str(name)], own)
    ]


def _deal_groups(
    machine: str, model: Any, table: pd.DataFrame
) -> list[tuple[str, Any, pd.DataFrame]]:
    """Deal clips to the models of groups, which are named after the machine and the group."""
    return [
        (" ".join(filter(None, [machine, *_names(group)])), each, table.iloc[rows])
        for group, each, rows in deal_models(model, table)
    ]


def _names(group: Any) -> list[str]:
    return [str(name) for name in (group if isinstance(group, tuple) else (group,))]


def _score(name: str, model: Any, clips: pd.DataFrame) -> ScoredMachine:
    model = getattr(model, "best_estimator_", model)
    detector = last_step(model)
    if not isinstance(detector, BaseDetector):
        raise TypeError(
            f"Got a {type(detector).__name__} for {name!r}; a report is of a fitted pipeline that "
            "ends in a detector of sklasd, which knows its threshold."
        )
    scored = score_usable(model, clips).set_axis(clips.index)
    is_used = scored["reason"].isna()  # a score that is no number is an anomaly
    used = scored[is_used].drop(columns="reason").astype({"decision": int})
    used["distance"] = _measure_distance(used["score"].to_numpy(), detector)
    return ScoredMachine(name, model, used, scored[~is_used])


def _measure_distance(scores: np.ndarray, detector: BaseDetector) -> np.ndarray:
    """Bring scores to the scale that machines share; what is no number is as far off as can be."""
    known, offset = detector.calibration_scores_, detector.offset_
    typical, spread = float(np.median(known)), float(np.std(known))
    zero, width = typical, typical - offset
    if width <= 0.01 * spread:  # as with contamination=0.5: the threshold is a typical clip
        width = spread or 1.0
        zero = offset + width
    return np.where(np.isnan(scores), np.inf, (zero - scores) / width)
