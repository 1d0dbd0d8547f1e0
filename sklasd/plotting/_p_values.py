"""The display of p-values."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from sklasd.base._unwrap import call_detector, detector_of, find_groups
from sklasd.metrics._scored_clips import find_column
from sklasd.plotting._matplotlib import Display, text_colour
from sklasd.plotting._scored import check_finite, check_truth, split_by_label

_LIMIT = 1.358  # of Kolmogorov's distance times the root of the number of clips, in 95 % of cases


@dataclass(eq=False, repr=False)
class PValueDisplay(Display):
    r"""Distribution of p-values, which is uniform for normal clips.

    The curve of normal clips should follow the diagonal: then ``p_values(X) <= 0.05`` is true of
    5 % of them. If the curve is above, there are more false alarms than asked for, as with clips of
    another installation; if it is below, there are fewer. The curve of anomalous clips should rise
    at once.

    Parameters
    ----------
    p_values : ndarray of shape (n_clips,)
        From 0 to 1.
    y_true : ndarray of shape (n_clips,) or None, default=None
        +1 normal, -1 anomalous; None takes all clips as normal.
    n_calibration : int or None, default=None
        Number of calibration scores; None takes the p-values as exact.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    lines_ : dict of {str: matplotlib Line2D}
        By "normal" and "anomalous", or by "clips" without labels.
    band_ : matplotlib PolyCollection or None
        Where the curve of normal clips may lie by chance.

    See Also
    --------
    sklasd.inspection.recalibrate : Sets the threshold by other normal clips.

    Notes
    -----
    The band contains the whole curve of normal clips in 95 % of cases, by the limit of Kolmogorov
    and Smirnov [1]_: :math:`1.358 \sqrt{1/n + 1/m}` on either side, for :math:`n` clips and
    :math:`m` calibration scores. Clips of one recording are alike, so that fewer of them count.

    References
    ----------
    .. [1] N. Smirnov, "Table for estimating the goodness of fit of empirical distributions", Annals
       of Mathematical Statistics 19, 1948.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import PValueDisplay
    >>> p_values = np.arange(1, 10) / 10
    >>> display = PValueDisplay.from_predictions(p_values, ax=Figure().subplots())
    >>> display.lines_["clips"].get_xdata()[1:4]
    array([0.1, 0.2, 0.3])
    """

    p_values: np.ndarray
    _: KW_ONLY
    y_true: np.ndarray | None = None
    n_calibration: int | None = None

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
        """Draw the p-values of clips.

        Parameters
        ----------
        estimator : estimator
            Fitted: a pipeline that ends in a calibrated detector, a search over one, or a wrapper
            of either.
        X : clips
            New clips, input of the first step.
        y : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None reads the column `label` of a clip table, if it has one.
        section : array-like of shape (n_clips,), default=None
            As in `p_values`.
        ax, **how
            As in `plot`.

        Returns
        -------
        PValueDisplay
            After `plot`.
        """
        p_values = check_finite(
            call_detector(estimator, "p_values", X, section=section), "p-values"
        )
        n_calibration = None  # the models of groups have one each
        if not find_groups(estimator):
            n_calibration = len(detector_of(estimator).calibration_scores_)
        y_true = check_truth(find_column(X, "label", y), len(p_values))
        return cls(p_values, y_true=y_true, n_calibration=n_calibration).plot(ax, **how)

    @classmethod
    def from_predictions(
        cls, p_values: Any, y_true: Any = None, *, n_calibration: int | None = None, ax: Any = None,
        **how: Any,
    ) -> Self:  # fmt: skip
        """Draw given p-values.

        Parameters
        ----------
        p_values : array-like of shape (n_clips,)
            From a detector's `p_values`.
        y_true : array-like of shape (n_clips,), default=None
            +1 normal, -1 anomalous; None takes all clips as normal.
        n_calibration : int, default=None
            Length of the detector's `calibration_scores_`; None takes the p-values as exact.
        ax, **how
            As in `plot`.

        Returns
        -------
        PValueDisplay
            After `plot`.
        """
        p_values = check_finite(p_values, "p_values")
        y_true = check_truth(y_true, len(p_values))
        return cls(p_values, y_true=y_true, n_calibration=n_calibration).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the share of clips with at most each p-value.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **how
            Arguments of matplotlib's ``plot`` for the curves, such as `lw`.

        Returns
        -------
        PValueDisplay
            The same display.
        """
        ax = self._start(ax)
        self._draw_expected(ax)
        self.lines_ = {}
        for kind in split_by_label(self.p_values, self.y_true):
            p = np.sort(kind.values)
            # From (0, 0) to (1, 1), beyond the smallest and the greatest p-value.
            x, y = np.r_[0, p, 1], np.r_[0, np.arange(1, len(p) + 1) / len(p), 1]
            style = {"color": kind.colour, "ls": "--" if kind.name == "anomalous" else "-"}
            style |= {"where": "post", "label": f"{kind.name} ({len(p)})"} | how
            (self.lines_[kind.name],) = ax.step(x, y, **style)
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="p-value", ylabel="share of clips up to it")
        ax.legend(loc="lower right")
        return self

    def _draw_expected(self, ax: Any) -> None:
        """Draw the uniform distribution, and how far chance may take normal clips from it."""
        ax.plot([0, 1], [0, 1], color=text_colour(), ls=":", lw=1, label="uniform")
        # The band is for the curve of normal clips alone: others need not be uniform.
        n = len(self.p_values) if self.y_true is None else np.count_nonzero(self.y_true == 1)
        self.band_ = None
        if n:
            inverse = 0 if self.n_calibration is None else 1 / self.n_calibration
            far = _LIMIT * np.sqrt(1 / n + inverse)
            x = np.unique(np.clip([0, far, 0.5, 1 - far, 1], 0, 1))  # where the edges bend
            style = {"alpha": 0.12, "lw": 0, "label": "95 % of chance"}
            low, high = (x - far).clip(0), (x + far).clip(max=1)
            self.band_ = ax.fill_between(x, low, high, color=text_colour(), **style)
