"""Pictures of spectrograms and maps: small files, and axes that the page draws around them."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any, NamedTuple

import numpy as np

_COLOURS = 64  # more make larger files that look the same
_WIDEST = 640  # columns; of longer clips several share one
_TICKS = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000)  # Hz


class Tick(NamedTuple):
    """A label of an axis: where, as a share of its length, and what it says."""

    at: float
    text: str

    @property
    def percent(self) -> float:
        """Where, as style sheets say it."""
        return round(100 * self.at, 2)


class Box(NamedTuple):
    """A frame around a true fault: edges as shares of the picture."""

    left: float
    right: float
    low: float
    high: float

    @property
    def percent(self) -> list[float]:
        """Left, width, bottom and height, as style sheets say it."""
        shares = self.left, self.right - self.left, self.low, self.high - self.low
        return [round(100 * share, 2) for share in shares]


def encode_picture(values: np.ndarray, colours: str) -> str:
    """Colour a matrix.

    Parameters
    ----------
    values : ndarray of shape (n_bands, n_frames)
        The first band is drawn at the bottom.
    colours : str
        One of matplotlib's colour maps.

    Returns
    -------
    str
        A data URI of PNG, 1 kB or so for each thousand values.

    Examples
    --------
    >>> encode_picture(np.eye(3), "viridis")[:32]
    'data:image/png;base64,iVBORw0KGg'
    """
    import matplotlib
    from PIL import Image

    values = shrink(values)
    # A few empty bands, or a single outlier, would take all the contrast.
    low, high = np.quantile(values, [0.02, 0.998])
    shades = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (_COLOURS - 1)
    image = Image.fromarray(np.round(shades[::-1]).astype(np.uint8))
    palette = matplotlib.colormaps[colours](np.linspace(0, 1, _COLOURS))[:, :3]
    image.putpalette(np.round(palette * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def shrink(values: np.ndarray, widest: int = _WIDEST) -> np.ndarray:
    """Take the greatest of neighbouring columns where there are too many: a click stays visible.

    Parameters
    ----------
    values : ndarray of shape (n_bands, n_frames)
        Any.
    widest : int, default=640
        Columns there may be.

    Returns
    -------
    ndarray of shape (n_bands, n_columns)
        The same where it fits.

    Examples
    --------
    >>> shrink(np.array([[1, 5, 2, 3, 4]]), 3)
    array([[5, 3, 4]])
    """
    if values.shape[1] <= widest:
        return values
    step = int(np.ceil(values.shape[1] / widest))
    return np.maximum.reduceat(values, np.arange(0, values.shape[1], step), axis=1)


def time_ticks(first: float, seconds: float) -> list[Tick]:
    """Label columns by round times.

    Parameters
    ----------
    first, seconds : float
        Where the picture begins, and how long it is.

    Returns
    -------
    list of Tick
        About five.

    Examples
    --------
    >>> [tick.text for tick in time_ticks(3.0, 1.0)]
    ['3 s', '3.2 s', '3.4 s', '3.6 s', '3.8 s', '4 s']
    """
    from matplotlib.ticker import MaxNLocator

    times = MaxNLocator(5).tick_values(first, first + seconds)
    inside = times[(times >= first) & (times <= first + seconds)]
    return [Tick(float(t - first) / seconds, f"{t:g} s") for t in inside]


def frequency_ticks(frequencies: np.ndarray) -> list[Tick]:
    """Label rows by octaves.

    Parameters
    ----------
    frequencies : ndarray of shape (n_bands,)
        Centres in Hz, ascending.

    Returns
    -------
    list of Tick
        As far apart as labels need.

    Examples
    --------
    >>> [tick.text for tick in frequency_ticks(np.linspace(100, 4000, 64))]
    ['125', '500', '1k', '2k', '4k']
    """
    ticks: list[Tick] = []
    for hz in _TICKS:
        at = _share_of(hz, frequencies)
        is_apart = not ticks or at - ticks[-1].at >= 0.07
        if frequencies[0] <= hz <= frequencies[-1] * 1.05 and is_apart:
            ticks.append(Tick(at, f"{hz:g}" if hz < 1000 else f"{hz / 1000:g}k"))
    return ticks


def frame_faults(regions: Any, frequencies: np.ndarray, first: float, seconds: float) -> list[Box]:
    """Say where frames around true faults are to be drawn.

    Parameters
    ----------
    regions : iterable of (start, end, low, high)
        In s and Hz.
    frequencies : ndarray of shape (n_bands,)
        Centres of the rows in Hz.
    first, seconds : float
        Where the picture begins, and how long it is.

    Returns
    -------
    list of Box
        Of the faults that are in the picture.
    """
    lowest, *_, highest = _with_edges(frequencies)
    boxes = []
    for start, end, low, high in regions:
        left, right = np.clip([(start - first) / seconds, (end - first) / seconds], 0, 1)
        if right > left and low < highest and high > lowest:
            bottom, top = _share_of(low, frequencies), _share_of(high, frequencies)
            boxes.append(Box(float(left), float(right), bottom, top))
    return boxes


def _share_of(hz: float, frequencies: np.ndarray) -> float:
    """Tell where a frequency lies between the lower edge of the picture, 0, and the upper, 1."""
    n_rows = len(frequencies)
    rows = np.array([0, *(np.arange(n_rows) + 0.5), n_rows])
    return float(np.interp(hz, _with_edges(frequencies), rows) / n_rows)


def _with_edges(frequencies: np.ndarray) -> np.ndarray:
    """Put the edges of the outer rows before and after the centres of all."""
    below, above = np.diff(frequencies)[[0, -1]] if len(frequencies) > 1 else frequencies[[0, 0]]
    return np.array([frequencies[0] - below / 2, *frequencies, frequencies[-1] + above / 2])
