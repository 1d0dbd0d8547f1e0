"""Charts of a machine: displays of `sklasd.plotting`, and what they show in a sentence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklasd.metrics._roc import MAX_FPR
from sklasd.plotting import (
    PartialROCDisplay,
    PValueDisplay,
    ScoreHistogramDisplay,
    TrainingCurveDisplay,
)
from sklasd.report._svg import draw_svg
from sklasd.report._texts import percent

_FAR = 4.0  # times the normal clips' width: scores further off share the first bar
_RARE = 10  # p-values up to one in ten are counted


class Chart(NamedTuple):
    """A chart, its title, and what it shows in a sentence, for readers who do not see it."""

    title: str
    svg: str
    says: str


def chart_scores(scores: np.ndarray, labels: np.ndarray, threshold: float, width: float) -> Chart:
    """Draw a histogram of scores, and the threshold.

    `labels` are +1 normal, -1 anomalous and 0 unknown, and `width` is the distance from the
    threshold to a typical normal clip. Scores far below both the threshold and the median share the
    first bar; where the width is not positive, no score is far.
    """
    is_finite = np.isfinite(scores)
    finite = scores[is_finite]
    # A single broken clip would squeeze all others into one bar.
    lowest = min(threshold, float(np.median(np.append(finite, threshold)))) - _FAR * width
    is_cut = width > 0 and bool((finite < lowest).any())
    drawn = finite.clip(min=lowest) if is_cut else finite
    display = ScoreHistogramDisplay(
        drawn, threshold=threshold, y_true=labels[is_finite] if labels.any() else None
    )
    below = [
        f"{np.count_nonzero(~(own >= threshold))} of {len(own)} {name}"  # NaN is below, too
        for label, name in ((1, "normal"), (-1, "faulty"), (0, "unknown"))
        if len(own := scores[labels == label])
    ]
    says = f"Below the threshold {threshold:.3g}: {'; '.join(below)}."
    if is_cut:
        says += f" The first bar includes scores below {lowest:.3g}."
    if n_left := np.count_nonzero(~is_finite):
        says += f" {n_left} not drawn: the score is not a finite number."
    return _chart("Scores", display, says)


def chart_roc(scores: np.ndarray, labels: np.ndarray) -> Chart:
    """Draw the ROC curve of labelled clips, and the part of it that pAUC measures."""
    display = PartialROCDisplay(labels, scores)
    # The share at the end of the hatched part, where pAUC ends.
    found = np.interp(MAX_FPR, display.false_alarm_rate, display.detection_rate)
    return _chart(
        "ROC", display,
        f"With {percent(MAX_FPR)} false alarms {percent(float(found))} of the faults are found; "
        f"AUC {display.auc:.3f}.",
    )  # fmt: skip


def chart_p_values(p_values: np.ndarray, labels: np.ndarray, n_calibration: int) -> Chart:
    """Draw the distribution of p-values, and the one that normal clips should have.

    Where no clip is known to be normal, all are taken together.
    """
    normal, rows = p_values[labels == 1], labels != 0
    has_normal = bool(normal.size)
    display = (
        PValueDisplay(p_values[rows], y_true=labels[rows], n_calibration=n_calibration)
        if has_normal
        else PValueDisplay(p_values, n_calibration=n_calibration)
    )
    tested = normal if has_normal else p_values
    # p-values are multiples of 1 / (n + 1): with few calibration scores fewer than a tenth of them
    # can be at most 0.1.
    expected = len(tested) * ((n_calibration + 1) // _RARE) / (n_calibration + 1)
    kind, condition = ("normal clips", "") if has_normal else ("clips", " if all are normal")
    counted = f"{np.count_nonzero(tested <= 1 / _RARE)} of {len(tested)} {kind}"
    return _chart(
        "p-values", display,
        f"{counted} have a p-value of at most {1 / _RARE}; {expected:.3g} are expected{condition}.",
    )  # fmt: skip


def chart_training(losses: np.ndarray, title: str) -> Chart:
    """Draw the loss of a net over its epochs, at least two."""
    says = f"From {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} epochs."
    return _chart(title, TrainingCurveDisplay({"loss": losses}), says)


def _chart(title: str, display: object, says: str) -> Chart:
    return Chart(title, draw_svg(display, says), says)
