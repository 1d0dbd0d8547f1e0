"""The display of an anomaly map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sklasd.inspection import InspectedClip
from sklasd.plotting._one_clip import ClipDisplay
from sklasd.plotting._time_frequency import contrast_limits, draw_image, draw_regions

_OPAQUE = 0.3  # share of the colours' range from which the map hides the spectrogram


@dataclass(eq=False, repr=False)
class AnomalyMapDisplay(ClipDisplay):
    """Where in a clip the anomaly is: its anomaly map over its spectrogram, in Hz and seconds.

    The spectrogram is drawn in dark greys. The higher the map, the brighter its colour, and the
    less of the spectrogram is visible.

    Parameters
    ----------
    anomaly_map : ndarray of shape (n_bands, n_frames)
        Larger is more anomalous.
    spectrogram : ndarray of shape (n_bands, n_frames) or None, default=None
        Spectrogram under the map; None draws the map alone.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None counts frames.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None counts bands.
    unit : str, default=""
        Unit of the map, such as "times the usual power".
    name : str, default=""
        Name of the clip.
    regions : sequence of (start, end, low, high), default=()
        Where the true fault is, in seconds and Hz.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    image_ : matplotlib QuadMesh
        The map.
    background_ : matplotlib QuadMesh or None
        The spectrogram.
    colorbar_ : matplotlib Colorbar or None
        Scale of the map.
    regions_ : list of matplotlib Rectangle
        Frames around the regions.

    See Also
    --------
    sklasd.inspection.resynthesise : The map as a sound.
    ScoreOverTimeDisplay : The map without frequencies.

    Notes
    -----
    Colours span the map from 0 to its quantile 0.998, since single cells beyond it would take all
    the contrast. Single cells are noisy; look for places where many are bright.

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

    anomaly_map: np.ndarray
    spectrogram: np.ndarray | None = field(default=None, kw_only=True)
    frequencies: Any = field(default=None, kw_only=True)

    @classmethod
    def _read(cls, seen: InspectedClip) -> dict[str, Any]:
        axes = {"frequencies": seen.frequencies, "unit": seen.map_unit}
        anomaly_map = np.asarray(seen.anomaly_map)
        return {"anomaly_map": anomaly_map, "spectrogram": seen.spectrogram, **axes}

    @classmethod
    def from_arrays(
        cls, anomaly_map: Any, *, spectrogram: Any = None, times: Any = None,
        frequencies: Any = None, unit: str = "", name: str = "", regions: Sequence[Any] = (),
        ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Draw a given map.

        Parameters
        ----------
        anomaly_map, spectrogram, times, frequencies, unit, name, regions
            As in the class.
        ax, **how
            As in `plot`.

        Returns
        -------
        AnomalyMapDisplay
            After `plot`.
        """
        # Lists are taken, too.
        background = None if spectrogram is None else np.asarray(spectrogram)
        axes = {"times": times, "frequencies": frequencies, "spectrogram": background}
        display = cls(np.asarray(anomaly_map), unit=unit, name=name, regions=regions, **axes)
        return display.plot(ax, **how)

    def plot(self, ax: Any = None, *, colorbar: bool = True, **how: Any) -> Self:
        """Draw the map over the spectrogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        colorbar : bool, default=True
            Whether to draw the scale of the colours.
        **how
            Arguments of matplotlib's ``pcolormesh`` for the map, such as `cmap`, `vmin` and `vmax`.

        Returns
        -------
        AnomalyMapDisplay
            The same display.
        """
        ax = self._start(ax)
        self.background_ = None
        if self.spectrogram is not None:
            low, high = contrast_limits(self.spectrogram)
            # Only the lower half of the greys: bright places are anomalous, in print, too.
            how_grey = {"cmap": "gray", "vmin": low, "vmax": high + (high - low)}
            self.background_ = self._draw(self.spectrogram, how_grey)
        how = {"cmap": "viridis", "vmin": 0, "vmax": self._brightest()} | how
        self.image_ = self._draw(self.anomaly_map, how)
        if self.spectrogram is not None:
            # Opaque only where the map is high: elsewhere the spectrogram shows what it lies over.
            share = self.image_.norm(self.anomaly_map).filled(0)
            self.image_.set_alpha(np.clip(share / _OPAQUE, 0, 1))
        self.regions_ = draw_regions(ax, self.regions)
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(self.image_, ax=ax, label=self._label("anomaly"))
        ax.set_title(self.name)
        return self

    def _draw(self, values: np.ndarray, how: dict[str, Any]) -> Any:
        return draw_image(self.ax_, values, self.times, self.frequencies, **how)

    def _brightest(self) -> float:
        """Return where the colours end; a map of zeros has no end of its own."""
        # A map with few cells above 0 has a quantile of 0, and needs its maximum.
        return float(contrast_limits(self.anomaly_map)[1]) or float(self.anomaly_map.max()) or 1.0
