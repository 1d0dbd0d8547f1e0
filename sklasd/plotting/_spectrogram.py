"""A clip's spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sklasd.plotting._matplotlib import Display
from sklasd.plotting._one_clip import regions_of, see_one
from sklasd.plotting._time_frequency import draw_image, draw_regions


class SpectrogramDisplay(Display):
    """A clip's spectrogram, in Hz and seconds.

    `from_estimator` draws a clip as a front end, or a whole pipeline's, hears it; `from_arrays`
    draws a spectrogram that was computed before.

    Parameters
    ----------
    spectrogram : ndarray of shape (n_bands, n_frames)
        The lowest frequency first.
    times : ndarray of shape (n_frames,) or None, default=None
        Centre of each column in seconds; None counts frames.
    frequencies : ndarray of shape (n_bands,) or None, default=None
        Centre of each row in Hz; None counts bands.
    unit : str, default=""
        Of the spectrogram, such as "dB".
    name : str, default=""
        Of the clip.
    regions : sequence of (start, end, low, high), default=()
        Where something is known to be, in seconds and Hz.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Of the axes.
    image_ : matplotlib QuadMesh
        The spectrogram.
    colorbar_ : matplotlib Colorbar or None
        Beside it.
    regions_ : list of matplotlib Rectangle
        The frames.

    See Also
    --------
    AnomalyMapDisplay : What a detector objects to in it.

    Notes
    -----
    All bands are equally high, as they are in the data; the axis is in Hz all the same, so that
    what is drawn over it, such as a line, is in Hz.

    Colours span what lies between the quantiles 0.02 and 0.998, since a few empty bands, or a
    single outlier, would take all the contrast.

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

    def __init__(
        self,
        spectrogram: np.ndarray,
        *,
        times: Any = None,
        frequencies: Any = None,
        unit: str = "",
        name: str = "",
        regions: Sequence[Any] = (),
    ) -> None:
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
        """Draw a clip as a front end hears it.

        Parameters
        ----------
        estimator : estimator
            A front end, or whatever begins with one: a pipeline, a search over one, or what is
            around either.
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
        SpectrogramDisplay
            Drawn.
        """
        seen = see_one(estimator, X, clip, with_map=False)
        return cls(
            seen.spectrogram,
            times=seen.times,
            frequencies=seen.frequencies,
            unit=seen.spectrogram_unit,
            name=seen.name,
            regions=regions_of(X, clip, regions),
        ).plot(ax, **how)

    @classmethod
    def from_arrays(
        cls,
        spectrogram: Any,
        *,
        times: Any = None,
        frequencies: Any = None,
        unit: str = "",
        name: str = "",
        regions: Sequence[Any] = (),
        ax: Any = None,
        **how: Any,
    ) -> Self:
        """Draw a spectrogram.

        Parameters
        ----------
        spectrogram : array-like of shape (n_bands, n_frames)
            The lowest frequency first.
        times : ndarray of shape (n_frames,), default=None
            Centre of each column in seconds; None counts frames.
        frequencies : ndarray of shape (n_bands,), default=None
            Centre of each row in Hz; None counts bands.
        unit : str, default=""
            Of the spectrogram, such as "dB".
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
        SpectrogramDisplay
            Drawn.
        """
        return cls(
            np.asarray(spectrogram),
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
            For matplotlib's ``pcolormesh``, such as `cmap`, `vmin` and `vmax`.

        Returns
        -------
        SpectrogramDisplay
            The same display.
        """
        ax = self._start(ax)
        low, high = np.quantile(self.spectrogram, [0.02, 0.998])
        how = {"cmap": "magma", "vmin": low, "vmax": high} | how
        self.image_ = draw_image(ax, self.spectrogram, self.times, self.frequencies, **how)
        self.regions_ = draw_regions(ax, self.regions, edgecolor="white", lw=1, ls="--")
        label = f"level ({self.unit})" if self.unit else "level"
        self.colorbar_ = (
            self.figure_.colorbar(self.image_, ax=ax, label=label) if colorbar else None
        )
        ax.set_title(self.name)
        return self
