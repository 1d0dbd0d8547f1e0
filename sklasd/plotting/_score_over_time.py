"""The display of an anomaly map pooled over frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sklasd.plotting._matplotlib import BLUE, VERMILLION
from sklasd.plotting._one_clip import ClipDisplay, find_regions, inspect_one

_POOLINGS: dict[str, Any] = {"mean": np.mean, "max": np.max}


@dataclass(eq=False, repr=False)
class ScoreOverTimeDisplay(ClipDisplay):
    """When in a clip the anomaly is: its anomaly map, pooled over the bands of each frame.

    Parameters
    ----------
    scores : ndarray of shape (n_frames,)
        Score of each frame; larger is more anomalous.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each frame in seconds; None counts frames.
    unit : str, default=""
        Unit of the scores, such as "times the usual power".
    pooling : {"mean", "max"}, default="mean"
        Pooling that made the scores, for the label of the axis.
    name : str, default=""
        Name of the clip.
    regions : sequence of (start, end, low, high), default=()
        Where the true fault is, in seconds and Hz.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    line_ : matplotlib Line2D
        The scores.
    spans_ : list of matplotlib Rectangle
        The times of the regions.

    See Also
    --------
    AnomalyMapDisplay : The map with frequencies.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd.plotting import ScoreOverTimeDisplay
    >>> where = np.array([[0.0, 4.0, 0.0], [0.0, 2.0, 2.0]])  # 2 bands, 3 frames
    >>> display = ScoreOverTimeDisplay.from_arrays(where, ax=Figure().subplots())
    >>> display.line_.get_ydata()
    array([0., 3., 1.])
    """

    scores: np.ndarray
    pooling: str = field(default="mean", kw_only=True)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, clip: int = 0, pooling: str = "mean", regions: Any = None,
        ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Draw one of several clips.

        Parameters
        ----------
        estimator, X, clip, regions
            As in `AnomalyMapDisplay.from_estimator`.
        pooling : {"mean", "max"}, default="mean"
            How the bands of a frame become one value: "max" finds faults of few bands.
        ax, **how
            As in `plot`.

        Returns
        -------
        ScoreOverTimeDisplay
            After `plot`.

        Raises
        ------
        ValueError
            If there is no such clip, or the detector cannot tell where a clip is anomalous.
        """
        seen = inspect_one(estimator, X, clip, with_map=True)
        regions = find_regions(X, clip, regions)
        axes = {"times": seen.times, "unit": seen.map_unit, "name": seen.name, "regions": regions}
        return cls(_pool(seen.anomaly_map, pooling), pooling=pooling, **axes).plot(ax, **how)

    @classmethod
    def from_arrays(
        cls, anomaly_map: Any, *, pooling: str = "mean", times: Any = None, unit: str = "",
        name: str = "", regions: Sequence[Any] = (), ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Pool a given map over its bands, and draw it.

        Parameters
        ----------
        anomaly_map : array-like of shape (n_bands, n_frames)
            Larger is more anomalous.
        pooling : {"mean", "max"}, default="mean"
            As in `from_estimator`.
        times, unit, name, regions
            As in the class.
        ax, **how
            As in `plot`.

        Returns
        -------
        ScoreOverTimeDisplay
            After `plot`.
        """
        axes = {"times": times, "unit": unit, "name": name, "regions": regions}
        scores = _pool(np.asarray(anomaly_map), pooling)
        return cls(scores, pooling=pooling, **axes).plot(ax, **how)

    def plot(self, ax: Any = None, **how: Any) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **how
            Arguments of matplotlib's ``plot``, such as `color`.

        Returns
        -------
        ScoreOverTimeDisplay
            The same display.
        """
        ax = self._start(ax)
        times = np.arange(len(self.scores)) if self.times is None else self.times
        # Drawn first, so that the line is visible within the spans.
        self.spans_ = [
            ax.axvspan(start, end, color=VERMILLION, alpha=0.3, lw=0)
            for start, end, *_ in self.regions
        ]
        (self.line_,) = ax.plot(times, self.scores, **({"color": BLUE} | how))
        ax.set(
            xlabel="frame" if self.times is None else "time in s",
            ylabel=self._label(f"{self.pooling} anomaly"),
            title=self.name,
            ylim=(0, None),
        )
        ax.margins(x=0)  # the axis is the clip's length, as in the spectrogram above it
        if self.spans_:
            ax.legend(self.spans_[:1], ["true fault"])
        return self


def _pool(anomaly_map: Any, pooling: str) -> np.ndarray:
    # "max" is for faults of few bands, which a mean over all bands would hide.
    if pooling not in _POOLINGS:
        raise ValueError(f"Got pooling={pooling!r}; pass one of {', '.join(_POOLINGS)}.")
    return _POOLINGS[pooling](anomaly_map, axis=0)
