"""The display of a spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sklasd.inspection import InspectedClip
from sklasd.plotting._one_clip import ClipDisplay
from sklasd.plotting._time_frequency import contrast_limits, draw_image, draw_regions


@dataclass(eq=False, repr=False)
class SpectrogramDisplay(ClipDisplay):
    """Spectrogram of a clip, in Hz and seconds.

    `from_estimator` draws a clip as a front end, alone or in a pipeline, transforms it;
    `from_arrays` draws a given spectrogram.

    Parameters
    ----------
    spectrogram : ndarray of shape (n_bands, n_frames)
        The lowest frequency first.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None counts frames.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None counts bands.
    unit : str, default=""
        Unit of the spectrogram, such as "dB".
    name : str, default=""
        Name of the clip.
    regions : sequence of (start, end, low, high), default=()
        Where to draw frames, in seconds and Hz.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where the display is drawn.
    image_ : matplotlib QuadMesh
        The spectrogram.
    colorbar_ : matplotlib Colorbar or None
        Scale of the colours.
    regions_ : list of matplotlib Rectangle
        The frames.

    See Also
    --------
    AnomalyMapDisplay : Where in the spectrogram the anomaly is.

    Notes
    -----
    All bands have the same height, as in the data. The axis is in Hz all the same, so that
    further artists, such as a line, are placed in Hz.

    Colours span the quantiles 0.02 to 0.998, since a few empty bands, or a single outlier, would
    take all the contrast.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklasd import LogMel
    >>> from sklasd.plotting import SpectrogramDisplay
    >>> waves = np.random.default_rng(0).normal(size=(2, 16000))
    >>> display = SpectrogramDisplay.from_estimator(LogMel(), waves, ax=Figure().subplots())
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('time in s', 'frequency in Hz')
    """

    _needs_map = False

    spectrogram: np.ndarray
    frequencies: Any = field(default=None, kw_only=True)

    @classmethod
    def _read(cls, seen: InspectedClip) -> dict[str, Any]:
        axes = {"frequencies": seen.frequencies, "unit": seen.spectrogram_unit}
        return {"spectrogram": seen.spectrogram, **axes}

    @classmethod
    def from_arrays(
        cls, spectrogram: Any, *, times: Any = None, frequencies: Any = None, unit: str = "",
        name: str = "", regions: Sequence[Any] = (), ax: Any = None, **how: Any,
    ) -> Self:  # fmt: skip
        """Draw a given spectrogram.

        Parameters
        ----------
        spectrogram, times, frequencies, unit, name, regions
            As in the class.
        ax, **how
            As in `plot`.

        Returns
        -------
        SpectrogramDisplay
            After `plot`.
        """
        axes = {"times": times, "frequencies": frequencies}
        display = cls(np.asarray(spectrogram), unit=unit, name=name, regions=regions, **axes)
        return display.plot(ax, **how)

    def plot(self, ax: Any = None, *, colorbar: bool = True, **how: Any) -> Self:
        """Draw the spectrogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        colorbar : bool, default=True
            Whether to draw the scale of the colours.
        **how
            Arguments of matplotlib's ``pcolormesh``, such as `cmap`, `vmin` and `vmax`.

        Returns
        -------
        SpectrogramDisplay
            The same display.
        """
        ax = self._start(ax)
        # The caller's limits have precedence, so that several clips can be compared.
        low, high = contrast_limits(self.spectrogram)
        how = {"cmap": "magma", "vmin": low, "vmax": high} | how
        self.image_ = draw_image(ax, self.spectrogram, self.times, self.frequencies, **how)
        self.regions_ = draw_regions(ax, self.regions)
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(self.image_, ax=ax, label=self._label("level"))
        ax.set_title(self.name)
        return self
