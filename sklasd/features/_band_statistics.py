"""The statistics of `ClipStatistics`: how each is measured and named, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklasd.features._clip_statistics import ClipStatistics

_POWER_FLOOR = 1e-6  # dB², added to powers before their logarithm: some bands never change
_STILL = 1e-12  # dB² of variation below which a band repeats nothing, not even itself

# Each function gets the parameters, a clip (n_mels, n_frames) and the same with the values of each
# band sorted, and returns (n_numbers, n_mels), or (n_mels,) for one number.


def _quantiles(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    # By hand, as np.quantile would order the values once more.
    place = np.asarray(of.quantiles) * (x.shape[1] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, x.shape[1] - 1)
    return (ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])).T


def _mean(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return x.mean(axis=1, dtype=np.float64)


def _deviation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return x.std(axis=1, dtype=np.float64)


def _ranked_mean(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    weights = float(of.decay) ** np.arange(x.shape[1])  # 0**0 is 1: the maximum
    return ordered[:, ::-1] @ (weights / weights.sum())


def _shape(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    mean = _mean(of, x, ordered)
    return mean - mean.mean()


def _autocorrelation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    # In double precision: rounding noise of a band that never changes would repeat itself.
    z = x - x.mean(axis=1, keepdims=True, dtype=np.float64)
    power = np.einsum("ij,ij->i", z, z)
    still = power < _STILL * x.shape[1]
    lagged = [np.einsum("ij,ij->i", z[:, lag:], z[:, :-lag]) for lag in of.lags]
    return np.where(still, 0, lagged / np.where(still, 1, power))


def _modulation(of: ClipStatistics, x: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    length = of.modulation_length
    # Without the mean, whose power would leak into the lowest bands through the window.
    z = np.pad(x - x.mean(axis=1, keepdims=True), ((0, 0), (0, max(0, length - x.shape[1]))))
    pieces = np.lib.stride_tricks.sliding_window_view(z, length, axis=1)[:, :: length // 2]
    spectrum = np.fft.rfft(pieces * np.hanning(length), axis=2)
    power = np.square(np.abs(spectrum)).mean(axis=1)  # (n_mels, 1 + length // 2)
    bands = [power[:, low:high].mean(axis=1) for low, high in pairwise(_modulation_edges(of))]
    return 10 * np.log10(np.stack(bands) + _POWER_FLOOR)


def _modulation_edges(of: ClipStatistics) -> np.ndarray:
    """Return the edges of the modulation bands as bins of the spectrum, without bin 0."""
    # At the low end several edges round to the same bin: these bands become one.
    edges = np.geomspace(1, of.modulation_length // 2 + 1, of.n_modulations + 1)
    return np.unique(edges.round().astype(int))


def _modulation_labels(of: ClipStatistics) -> list[str]:
    middles = [(low + high - 1) / 2 for low, high in pairwise(_modulation_edges(of))]
    return [f"modulation_{middle / of.modulation_length:.6g}" for middle in middles]


def _quantile_labels(of: ClipStatistics) -> list[str]:
    return [f"q{q:g}" for q in of.quantiles]


def _autocorrelation_labels(of: ClipStatistics) -> list[str]:
    return [f"autocorrelation_{lag}" for lag in of.lags]


def _level(x: np.ndarray) -> np.ndarray:
    return x


def _relative_level(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


class Statistic(NamedTuple):
    """A statistic of each band of a clip."""

    measure: Callable[[ClipStatistics, np.ndarray, np.ndarray], np.ndarray]
    labels: Callable[[ClipStatistics], list[str]]  # names of its numbers
    level: Callable[[np.ndarray], np.ndarray] | None  # of each frame; None for a variation
    needs_order: bool = False  # uses the sorted values


STATISTICS: dict[str, Statistic] = {
    "quantiles": Statistic(_quantiles, _quantile_labels, _level, needs_order=True),
    "mean": Statistic(_mean, lambda of: ["mean"], _level),
    "deviation": Statistic(_deviation, lambda of: ["deviation"], None),
    "ranked_mean": Statistic(_ranked_mean, lambda of: ["ranked_mean"], _level, needs_order=True),
    "shape": Statistic(_shape, lambda of: ["shape"], _relative_level),
    "autocorrelation": Statistic(_autocorrelation, _autocorrelation_labels, None),
    "modulation": Statistic(_modulation, _modulation_labels, None),
}
