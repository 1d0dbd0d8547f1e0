"""Axes of time and frequency: bands of equal height, with ticks in Hz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_OCTAVES = 125.0 * 2.0 ** np.arange(-3, 11)  # Hz
_FEWEST = 3  # octaves in sight; with fewer, ticks are matplotlib's
_CLOSEST = 0.06  # from one tick to the next, as a share of the axis
_FAR = 1000  # bands beyond the axis
_CONTRAST = (0.02, 0.998)  # quantiles: a few empty bands or one outlier would take all the contrast


def draw_image(ax: Any, values: np.ndarray, times: Any, frequencies: Any, **how: Any) -> Any:
    """Draw an image over time and frequency by matplotlib's ``pcolormesh``."""
    n_bands, n_frames = values.shape
    x = edges_of(np.arange(n_frames) if times is None else times)
    y = edges_of(np.arange(n_bands) if frequencies is None else frequencies)
    if frequencies is not None:
        y = y.clip(min=0)  # half a band below 0 Hz there is nothing
        _scale_by_bands(ax, y)
    mesh = ax.pcolormesh(x, y, values, rasterized=True, **how)
    ax.set(
        xlim=(x[0], x[-1]),
        ylim=(y[0], y[-1]),
        xlabel="frame" if times is None else "time in s",
        ylabel="band" if frequencies is None else "frequency in Hz",
    )
    return mesh


def edges_of(centres: Any) -> np.ndarray:
    """Return the edges of cells, half-way between their ascending centres.

    Examples
    --------
    >>> edges_of([0.0, 1.0, 3.0])  # the outer cells reach equally far to both sides
    array([-0.5,  0.5,  2. ,  4. ])
    """
    centres = np.asarray(centres, dtype=float)
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.r_[2 * centres[0] - between[0], between, 2 * centres[-1] - between[-1]]


def contrast_limits(values: np.ndarray) -> np.ndarray:
    """Return the range of values that the colours of a spectrogram span."""
    return np.quantile(values, _CONTRAST)


def pick_octaves(edges: np.ndarray) -> np.ndarray:
    """Pick octaves in Hz as ticks, as far apart as labels need.

    Examples
    --------
    >>> pick_octaves(edges_of(np.linspace(100, 4000, 64)))
    array([ 250.,  500., 1000., 2000., 4000.])
    """
    octaves = _OCTAVES[(edges[0] <= _OCTAVES) & (edges[-1] >= _OCTAVES)]
    return octaves[np.diff(share_of(octaves, edges), append=np.inf) > _CLOSEST]


def share_of(hertz: Any, edges: np.ndarray) -> np.ndarray:
    """Return where frequencies lie between the lowest edge of the bands, 0, and the highest, 1."""
    return np.interp(hertz, edges, np.linspace(0, 1, len(edges)))


def _scale_by_bands(ax: Any, edges: np.ndarray) -> None:
    """Scale the axis in Hz so that all bands are equally high, with a tick for each octave."""
    bands = np.arange(-1.0, len(edges) + 1)
    # matplotlib asks for values beyond the axis, too, so that the outer bands go on.
    bands[[0, -1]] += -_FAR, _FAR
    first, last = edges[1] - edges[0], edges[-1] - edges[-2]
    hertz = np.r_[edges[0] - (_FAR + 1) * first, edges, edges[-1] + (_FAR + 1) * last]
    ax.set_yscale(
        "function",
        functions=(lambda hz: np.interp(hz, hertz, bands), lambda at: np.interp(at, bands, hertz)),
    )
    widths = np.diff(edges)[1:-1]  # without the outer bands, which may have been cut at 0
    is_linear = not widths.size or np.allclose(widths, widths[0])
    octaves = pick_octaves(edges)
    if not is_linear and len(octaves) >= _FEWEST:
        ax.set_yticks(octaves, [f"{octave:g}" for octave in octaves])


def draw_regions(ax: Any, regions: Sequence[Any]) -> list[Any]:
    """Draw frames around regions (start, end, low, high) in seconds and Hz, and return them."""
    from matplotlib.patches import Rectangle

    style: dict[str, Any] = {"fill": False, "edgecolor": "white", "lw": 1, "ls": "--"}
    return [
        ax.add_patch(Rectangle((start, low), end - start, high - low, **style))
        for start, end, low, high in regions
    ]
