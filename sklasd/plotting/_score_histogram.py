"""The display of scores and threshold."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from sklasd.metrics._scored_clips import find_column
from sklasd.plotting._matplotlib import Display, text_colour
from sklasd.plotting._scored import (
    check_finite,
    check_truth,
    scores_and_threshold,
    split_by_label,
)


@dataclass(eq=False, repr=False)
class ScoreHistogramDisplay(Display):
    """Histogram of the scores of normal and anomalous clips, and the threshold.

    Parameters
    ----------
    scores : ndarray of shape (n_clips,)
        Higher is more normal.
    threshold : float or None, default=None
        Clips below it are called anomalous; None draws none.
    y_true : ndarray of shape (n_clips,) or None, default=None
        +1 normal, -1 anomalous, 0 unknown; None draws all clips alike.
    name : str, default="score"
        Name of the scores.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    bars_ : dict of {str: matplotlib BarContainer}
        By "normal", "anomalous" and "unknown", or by "clips" without labels.
    threshold_ : matplotlib Line2D or None
        The threshold.

    See Also
    --------
    PValueDisplay : Whether the threshold gives the false-alarm rate asked for.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import ScoreHistogramDisplay
    >>> display = ScoreHistogramDisplay.from_predictions(
    ...     [-1.0, -2.0, -9.0], [1, 1, -1], threshold=-4.0, bins=2, ax=Figure().subplots()
    ... )
    >>> [int(bar.get_height()) for bar in display.bars_["normal"]]
    [0, 2]
    """

    scores: np.ndarray
    _: KW_ONLY
    threshold: float | None = None
    y_true: np.ndarray | None = None
    name: str = "score"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        section: Any = None,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Score clips, and draw the scores.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `score_samples`.
        X : clips
            Input of the first step.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None reads the column `label` of a clip table, if it has one.
        section : array-like of shape (n_clips,), default=None
            As in `score_samples`.
        ax, **how
            As in `plot`.

        Returns
        -------
        ScoreHistogramDisplay
            After `plot`. The models of a `GroupedDetector` have thresholds of their own; their
            scores are drawn relative to these.
        """
        scores, threshold, is_relative = scores_and_threshold(estimator, X, section)
        scores = check_finite(scores, "scores")
        name = "score less threshold" if is_relative else "score"
        y_true = check_truth(find_column(X, "label", y), len(scores))
        return cls(scores, threshold=threshold, y_true=y_true, name=name).plot(ax, **how)

    @classmethod
    def from_predictions(
        cls, y_score: Any, y_true: Any = None, *, threshold: float | None = None, ax: Any = None,
        **how: Any,
    ) -> Self:  # fmt: skip
        """Draw given scores.

        Parameters
        ----------
        y_score : array-like of shape (n_clips,)
            From `score_samples`: higher is more normal.
        y_true : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None draws all clips alike.
        threshold : float, default=None
            A detector's `offset_`.
        ax, **how
            As in `plot`.

        Returns
        -------
        ScoreHistogramDisplay
            After `plot`.
        """
        scores = check_finite(y_score, "y_score")
        y_true = check_truth(y_true, len(scores))
        return cls(scores, threshold=threshold, y_true=y_true).plot(ax, **how)

    def plot(self, ax: Any = None, *, bins: Any = 20, **how: Any) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        bins : int, str or sequence, default=20
            As in `numpy.histogram_bin_edges`; an int spreads them over the scores and the
            threshold.
        **how
            Arguments of matplotlib's ``bar``, such as `alpha`.

        Returns
        -------
        ScoreHistogramDisplay
            The same display.
        """
        ax = self._start(ax)
        # The threshold is within the bins even where all scores are on one side of it.
        marks = [] if self.threshold is None else [self.threshold]
        edges = np.histogram_bin_edges([*self.scores, *marks], bins=bins)
        self.bars_ = {}
        for kind in split_by_label(self.scores, self.y_true):
            # Hatches tell the kinds apart in grey print, too.
            style = {"facecolor": kind.colour, "edgecolor": kind.colour, "alpha": 0.6}
            if kind.name == "anomalous":
                style |= {"facecolor": "none", "hatch": "////", "alpha": 1.0}
            heights = np.histogram(kind.values, edges)[0]
            label = f"{kind.name} ({len(kind.values)})"
            style |= {"width": np.diff(edges), "align": "edge", "label": label}
            self.bars_[kind.name] = ax.bar(edges[:-1], heights, **(style | how))
        self.threshold_ = None
        if self.threshold is not None:
            style = {"ls": "--", "label": f"threshold {self.threshold:.3g}"}
            self.threshold_ = ax.axvline(self.threshold, color=text_colour(), **style)
        ax.set(xlabel=f"{self.name} (higher is more normal)", ylabel="clips")
        ax.yaxis.get_major_locator().set_params(integer=True)  # there is no half of a clip
        ax.legend()
        return self
