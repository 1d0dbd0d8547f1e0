"""When in a clip the anomaly is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklasd.plotting._matplotlib import BLUE, VERMILLION, Display
from sklasd.plotting._one_clip import regions_of, see_one

_POOLINGS: dict[str, Any] = {"mean": np.mean, "max": np.max}


class ScoreOverTimeDisplay(Display):
    """When in a clip the anomaly is: its anomaly map, pooled over the bands of each frame.

    Parameters
    ----------
    scores : ndarray of shape (n_frames,)
        Of each frame; larger is more anomalous.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each frame in seconds; None counts frames.
    unit : str, default=""
        Of the scores, such as "times the usual power".
    pooling : {"mean", "max"}, default="mean"
        What the scores are over the bands of a frame.
    name : str, default=""
        Of the clip.
    regions : sequence of (start, end, low, high), default=()
        Where the fault is known to be, in seconds and Hz.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Of the axes.
    line_ : matplotlib Line2D
        The scores.
    spans_ : list of matplotlib Rectangle
        The times of the regions.

    See Also
    --------
    AnomalyMapDisplay : The same with frequencies.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import ScoreOverTimeDisplay
    >>> where = np.array([[0.0, 4.0, 0.0], [0.0, 2.0, 2.0]])  # 2 bands, 3 frames
    >>> display = ScoreOverTimeDisplay.from_arrays(where, ax=Figure().subplots())
    >>> display.line_.get_ydata()
    array([0., 3., 1.])
    """

    def __init__(
        self,
        scores: np.ndarray,
        *,
        times: Any = None,
        unit: str = "",
        pooling: str = "mean",
        name: str = "",
        regions: Sequence[Any] = (),
    ) -> None:
        self.scores = scores
        self.times = times
        self.unit = unit
        self.pooling = pooling
        self.name = name
        self.regions = regions

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        clip: int = 0,
        pooling: str = "mean",
        regions: Any = None,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw when a detector objects to a clip.

        Parameters
        ----------
        estimator : estimator
            Fitted: a pipeline that ends in a detector that can tell where, a search over one, or
            what is around either.
        X : clips
            As the first step takes them.
        clip : int, default=0
            Position of the one that is drawn.
        pooling : {"mean", "max"}, default="mean"
            How the bands of a frame become one value: "max" finds faults of few bands.
        regions : sequence of (start, end, low, high), default=None
            Times to shade, in seconds and Hz; None reads the column `regions` of a clip table,
            where there is one.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        ScoreOverTimeDisplay
            Drawn.

        Raises
        ------
        ValueError
            Where the detector cannot tell where.
        """
        seen = see_one(estimator, X, clip, with_map=True)
        return cls(
            _pool(seen.anomaly_map, pooling),
            times=seen.times,
            unit=seen.map_unit,
            pooling=pooling,
            name=seen.name,
            regions=regions_of(X, clip, regions),
        ).plot(ax, **how)

    @classmethod
    def from_arrays(
        cls,
        anomaly_map: Any,
        *,
        pooling: str = "mean",
        times: Any = None,
        unit: str = "",
        name: str = "",
        regions: Sequence[Any] = (),
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw a map, pooled over its bands.

        Parameters
        ----------
        anomaly_map : array-like of shape (n_bands, n_frames)
            Larger is more anomalous.
        pooling : {"mean", "max"}, default="mean"
            As in `from_estimator`.
        times : ndarray of shape (n_frames,), default=None
            Centre of each column in seconds; None counts frames.
        unit : str, default=""
            Of the map, such as "times the usual power".
        name : str, default=""
            Of the clip.
        regions : sequence of (start, end, low, high), default=()
            As in the class.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        ScoreOverTimeDisplay
            Drawn.
        """
        scores = _pool(np.asarray(anomaly_map), pooling)
        return cls(
            scores, times=times, unit=unit, pooling=pooling, name=name, regions=regions
        ).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            For matplotlib's ``plot``, such as `color`.

        Returns
        -------
        ScoreOverTimeDisplay
            The same display.
        """
        ax = self._start(ax)
        times = np.arange(len(self.scores)) if self.times is None else self.times
        self.spans_ = [
            ax.axvspan(start, end, color=VERMILLION, alpha=0.3, lw=0)
            for start, end, *_ in self.regions
        ]
        (self.line_,) = ax.plot(times, self.scores, **({"color": BLUE} | how))
        unit = f" ({self.unit})" if self.unit else ""
        ax.set(
            xlabel="frame" if self.times is None else "time in s",
            ylabel=f"{self.pooling} anomaly{unit}",
            title=self.name,
            ylim=(0, None),
        )
        ax.margins(x=0)
        if self.spans_:
            ax.legend(self.spans_[:1], ["true fault"])
        return self


def _pool(anomaly_map: Any, pooling: str) -> np.ndarray:
    if pooling not in _POOLINGS:
        raise ValueError(f"Got pooling={pooling!r}; pass one of {', '.join(_POOLINGS)}.")
    return _POOLINGS[pooling](anomaly_map, axis=0)
