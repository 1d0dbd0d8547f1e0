"""Pictures of spectrograms and maps: small files, and axes that the page draws around them.

They are not displays of `sklasd.plotting`, since a cursor runs over them while a clip plays, and
dozens of them have to be small.
"""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any, NamedTuple

import numpy as np

from sklasd.plotting._time_frequency import contrast_limits, edges_of, pick_octaves, share_of

_COLOURS = 64  # more make larger files that look the same
_WIDEST = 640  # columns; in longer clips several share one


class Tick(NamedTuple):
    """A label of an axis, and its position as a share of the length."""

    at: float
    text: str

    @property
    def percent(self) -> float:
        """The position in percent."""
        return round(100 * self.at, 2)


class Box(NamedTuple):
    """A frame around a true fault; its edges are shares of the picture."""

    left: float
    right: float
    low: float
    high: float

    @property
    def percent(self) -> list[float]:
        """Left, width, bottom and height in percent."""
        shares = self.left, self.right - self.left, self.low, self.high - self.low
        return [round(100 * share, 2) for share in shares]


def encode_picture(values: np.ndarray, colours: str) -> str:
    """Draw a matrix in a colour map of matplotlib, the first row at the bottom, as a data URI.

    Examples
    --------
    >>> encode_picture(np.eye(3), "viridis")[:32]
    'data:image/png;base64,iVBORw0KGg'
    """
    import matplotlib
    from PIL import Image

    values = shrink(values)
    low, high = contrast_limits(values)
    shades = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (_COLOURS - 1)
    # One byte for each cell, and a palette, make a smaller file than true colours.
    image = Image.fromarray(np.round(shades[::-1]).astype(np.uint8))
    palette = matplotlib.colormaps[colours](np.linspace(0, 1, _COLOURS))[:, :3]
    image.putpalette(np.round(palette * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def shrink(values: np.ndarray, widest: int = _WIDEST) -> np.ndarray:
    """Reduce the columns of a matrix to the greatest of neighbours: a click stays visible.

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
    """Label columns by round times, about five.

    Examples
    --------
    >>> [tick.text for tick in time_ticks(3.0, 1.0)]
    ['3 s', '3.2 s', '3.4 s', '3.6 s', '3.8 s', '4 s']
    """
    from matplotlib.ticker import MaxNLocator

    # The locator goes one tick beyond the range on either side.
    times = np.asarray(MaxNLocator(5).tick_values(first, first + seconds))
    inside = times[(times >= first) & (times <= first + seconds)]
    return [Tick(float(t - first) / seconds, f"{t:g} s") for t in inside]


def frequency_ticks(frequencies: np.ndarray) -> list[Tick]:
    """Label rows by octaves; `frequencies` are their centres in Hz, ascending.

    Examples
    --------
    >>> [tick.text for tick in frequency_ticks(np.linspace(100, 4000, 64))]
    ['250', '500', '1k', '2k', '4k']
    """
    edges = edges_of(frequencies)
    return [
        Tick(float(share_of(hz, edges)), f"{hz:g}" if hz < 1000 else f"{hz / 1000:g}k")
        for hz in pick_octaves(edges)
    ]


def frame_faults(regions: Any, frequencies: np.ndarray, first: float, seconds: float) -> list[Box]:
    """Place frames around the true faults (start, end, low, high) inside a picture.

    It shows some `seconds` from the `first` one; `frequencies` are the centres of its rows in Hz.
    """
    edges = edges_of(frequencies)
    boxes = []
    for start, end, low, high in regions:
        left, right = np.clip([(start - first) / seconds, (end - first) / seconds], 0, 1)
        if right > left and low < edges[-1] and high > edges[0]:
            bottom, top = share_of([low, high], edges)
            boxes.append(Box(*map(float, (left, right, bottom, top))))
    return boxes
