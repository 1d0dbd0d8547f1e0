"""The display of the ROC curve and of pAUC."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.metrics import roc_curve

from sklasd.metrics import auc_score, pauc_score
from sklasd.metrics._roc import MAX_FPR
from sklasd.metrics._scored_clips import find_column
from sklasd.plotting._matplotlib import BLUE, VERMILLION, Display, text_colour
from sklasd.plotting._scored import (
    check_finite,
    check_truth,
    scores_and_threshold,
)


class PartialROCDisplay(Display):
    """ROC curve of the anomalies, and the part of it that DCASE's pAUC measures.

    Parameters
    ----------
    y_true : ndarray of shape (n_clips,)
        +1 normal, -1 anomalous.
    y_score : ndarray of shape (n_clips,)
        Higher is more normal.
    name : str, default=""
        Name of the detector.

    Attributes
    ----------
    auc, pauc : float
        By `sklasd.metrics.auc_score` and `sklasd.metrics.pauc_score`.
    false_alarm_rate, detection_rate : ndarray of shape (n_points,)
        The curve.
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    line_ : matplotlib Line2D
        The curve.
    region_ : matplotlib PolyCollection
        Area below the curve up to 10 % of false alarms. pAUC is this area, standardised by
        McClish's rule: 0.5 for chance and 1 for a perfect detector.
    chance_ : matplotlib Line2D
        The diagonal.

    See Also
    --------
    sklearn.metrics.RocCurveDisplay : Takes greater scores as the positive class.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import PartialROCDisplay
    >>> display = PartialROCDisplay.from_predictions(
    ...     [1, 1, -1, -1], [0.9, 0.4, 0.5, 0.1], ax=Figure().subplots()
    ... )
    >>> display.auc
    0.75
    """

    _size = (4.8, 4.4)

    def __init__(self, y_true: np.ndarray, y_score: np.ndarray, *, name: str = "") -> None:
        self.y_true = y_true
        self.y_score = y_score
        self.name = name
        self.auc, self.pauc = auc_score(y_true, y_score), pauc_score(y_true, y_score)
        # Anomalies are the positive class, and their scores are low: hence the minus sign.
        self.false_alarm_rate, self.detection_rate, _ = roc_curve(
            np.asarray(y_true) == -1, -np.asarray(y_score), drop_intermediate=False
        )

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, section: Any = None, name: str = "",
        ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Score clips, and draw the curve.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `score_samples`.
        X : clips
            Input of the first step.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None reads the column `label` of a clip table.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.
        name : str, default=""
            Name of the detector, for the legend.
        ax, **how
            As in `plot`.

        Returns
        -------
        PartialROCDisplay
            After `plot`. The models of a `GroupedDetector` have thresholds of their own; their
            scores are taken relative to these.
        """
        y = find_column(X, "label", y)
        if y is None:
            raise ValueError(
                "Got y=None, but an ROC curve needs normal and anomalous clips; pass +1 for "
                "normal and -1 for anomalous, or a clip table with a column 'label'."
            )
        scores, *_ = scores_and_threshold(estimator, X, section)
        return cls.from_predictions(y, scores, name=name, ax=ax, **how)

    @classmethod
    def from_predictions(
        cls, y_true: Any, y_score: Any, *, name: str = "", ax: Any = None, **how: Any
    ) -> Self:
        """Draw the curve of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_clips,)
            +1 normal, -1 anomalous.
        y_score : array-like of shape (n_clips,)
            From `score_samples`: higher is more normal.
        name : str, default=""
            Name of the detector, for the legend.
        ax, **how
            As in `plot`.

        Returns
        -------
        PartialROCDisplay
            After `plot`.
        """
        scores = check_finite(y_score, "y_score")
        truth = check_truth(y_true, len(scores))
        return cls(np.asarray(truth), scores, name=name).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the curve; several curves may share the axes.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **how
            Arguments of matplotlib's ``plot`` for the curve, such as `color`.

        Returns
        -------
        PartialROCDisplay
            The same display.
        """
        ax = self._start(ax)
        # Hatched, so that the curves of other detectors remain visible.
        style = {"facecolor": "none", "edgecolor": VERMILLION, "hatch": "////", "lw": 0}
        label = f"pAUC {self.pauc:.3f}"
        self.region_ = ax.fill_between(*self._partial_curve(), label=label, **style)
        label = f"{self.name}: AUC {self.auc:.3f}" if self.name else f"AUC {self.auc:.3f}"
        style = {"color": BLUE, "lw": 2, "label": label} | how
        (self.line_,) = ax.plot(self.false_alarm_rate, self.detection_rate, **style)
        style = {"color": text_colour(), "ls": ":", "lw": 1, "label": "chance"}
        (self.chance_,) = ax.plot([0, 1], [0, 1], **style)
        limits = (-0.01, 1.01)  # so that lines along an edge are drawn in full
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        ax.set(xlabel="false alarms / normal clips", ylabel="found / anomalous clips")
        ax.legend(loc="lower right")
        return self

    def _partial_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the curve up to the false-alarm rate at which pAUC ends."""
        x, y = self.false_alarm_rate, self.detection_rate
        end = int(np.searchsorted(x, MAX_FPR))  # the first point that is not below
        # By these two points alone: at a vertical step, np.interp would take its upper end.
        edge = np.interp(MAX_FPR, x[end - 1 : end + 1], y[end - 1 : end + 1])
        return np.append(x[:end], MAX_FPR), np.append(y[:end], edge)
