"""Where in a clip the anomaly is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklasd.plotting._matplotlib import Display
from sklasd.plotting._one_clip import regions_of, see_one
from sklasd.plotting._time_frequency import draw_image, draw_regions

_SEEN = 0.3  # of the colours' range, from which on the map hides the spectrogram


class AnomalyMapDisplay(Display):
    """Where in a clip the anomaly is: its anomaly map over its spectrogram, in Hz and seconds.

    The spectrogram is in dark greys; the higher the map, the brighter its colour, and the less is
    seen of the spectrogram beneath.

    Parameters
    ----------
    anomaly_map : ndarray of shape (n_bands, n_frames)
        Larger is more anomalous.
    spectrogram : ndarray of shape (n_bands, n_frames) or None, default=None
        What it lies over; None draws the map alone.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None counts frames.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None counts bands.
    unit : str, default=""
        Of the map, such as "times the usual power".
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
    image_ : matplotlib QuadMesh
        The map.
    background_ : matplotlib QuadMesh or None
        The spectrogram.
    colorbar_ : matplotlib Colorbar or None
        Of the map.
    regions_ : list of matplotlib Rectangle
        The frames.

    See Also
    --------
    sklasd.inspection.resynthesise : The same to listen to.
    ScoreOverTimeDisplay : The same without frequencies.

    Notes
    -----
    Colours span the map from 0 to its quantile 0.998: single cells beyond it would take all the
    contrast. Single cells are noisy; what counts is where many are bright.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.plotting import AnomalyMapDisplay
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> display = AnomalyMapDisplay.from_estimator(
    ...     pipeline, waves, clip=-1, regions=table["regions"].iloc[-1], ax=Figure().subplots()
    ... )
    >>> display.colorbar_.ax.get_ylabel()
    'anomaly (share of the distance)'
    """

    def __init__(
        self,
        anomaly_map: np.ndarray,
        *,
        spectrogram: np.ndarray | None = None,
        times: Any = None,
        frequencies: Any = None,
        unit: str = "",
        name: str = "",
        regions: Sequence[Any] = (),
    ) -> None:
        self.anomaly_map = anomaly_map
        self.spectrogram = spectrogram
        self.times = times
        self.frequencies = frequencies
        self.unit = unit
        self.name = name
        self.regions = regions

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        clip: int = 0,
        regions: Any = None,
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw what a detector objects to in a clip.

        Parameters
        ----------
        estimator : estimator
            Fitted: a pipeline that ends in a detector that can tell where, a search over one, or
            what is around either.
        X : clips
            As the first step takes them.
        clip : int, default=0
            Position of the one that is drawn.
        regions : sequence of (start, end, low, high), default=None
            Frames to draw, in seconds and Hz; None reads the column `regions` of a clip table,
            where there is one.
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        **how
            As in `plot`.

        Returns
        -------
        AnomalyMapDisplay
            Drawn.

        Raises
        ------
        ValueError
            Where the detector cannot tell where.
        """
        seen = see_one(estimator, X, clip, with_map=True)
        return cls(
            np.asarray(seen.anomaly_map),
            spectrogram=seen.spectrogram,
            times=seen.times,
            frequencies=seen.frequencies,
            unit=seen.map_unit,
            name=seen.name,
            regions=regions_of(X, clip, regions),
        ).plot(ax, **how)

    @classmethod
    def from_arrays(
        cls,
        anomaly_map: Any,
        *,
        spectrogram: Any = None,
        times: Any = None,
        frequencies: Any = None,
        unit: str = "",
        name: str = "",
        regions: Sequence[Any] = (),
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw a map.

        Parameters
        ----------
        anomaly_map : array-like of shape (n_bands, n_frames)
            Larger is more anomalous.
        spectrogram : array-like of shape (n_bands, n_frames), default=None
            What it lies over; None draws the map alone.
        times : ndarray of shape (n_frames,), default=None
            Centre of each column in seconds; None counts frames.
        frequencies : ndarray of shape (n_bands,), default=None
            Centre of each row in Hz; None counts bands.
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
        AnomalyMapDisplay
            Drawn.
        """
        return cls(
            np.asarray(anomaly_map),
            spectrogram=None if spectrogram is None else np.asarray(spectrogram),
            times=times,
            frequencies=frequencies,
            unit=unit,
            name=name,
            regions=regions,
        ).plot(ax, **how)

    def plot(self, ax: Any = None, *, colorbar: bool = True, **how: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            What to draw on; None makes a figure.
        colorbar : bool, default=True
            Whether to draw the scale of the colours.
        **how
            For matplotlib's ``pcolormesh`` of the map, such as `cmap`, `vmin` and `vmax`.

        Returns
        -------
        AnomalyMapDisplay
            The same display.
        """
        ax = self._start(ax)
        axes = self.times, self.frequencies
        self.background_ = None
        if self.spectrogram is not None:
            low, high = np.quantile(self.spectrogram, [0.02, 0.998])
            # Dark greys only: what is bright is anomalous, in print, too.
            grey = {"cmap": "gray", "vmin": low, "vmax": high + (high - low)}
            self.background_ = draw_image(ax, self.spectrogram, *axes, **grey)
        how = {"cmap": "viridis", "vmin": 0, "vmax": self._brightest()} | how
        self.image_ = draw_image(ax, self.anomaly_map, *axes, **how)
        if self.spectrogram is not None:
            share = self.image_.norm(self.anomaly_map).filled(0)
            self.image_.set_alpha(np.clip(share / _SEEN, 0, 1))
        self.regions_ = draw_regions(ax, self.regions, edgecolor="white", lw=1, ls="--")
        label = f"anomaly ({self.unit})" if self.unit else "anomaly"
        self.colorbar_ = (
            self.figure_.colorbar(self.image_, ax=ax, label=label) if colorbar else None
        )
        ax.set_title(self.name)
        return self

    def _brightest(self) -> float:
        """Return where colours end; of a map without anything in it, anywhere above 0."""
        return float(np.quantile(self.anomaly_map, 0.998)) or float(self.anomaly_map.max()) or 1.0
