"""Masks in time and frequency that let a part of a clip's sound through."""

from __future__ import annotations

import numpy as np
from scipy.signal import istft, stft

_WINDOW = 0.064  # s; long enough to tell partials apart, short enough to tell strokes apart
_OVERLAP = 4  # frames that each sample is in
_REACH = 1.5  # band spacings that the outer bands extend beyond their centres


def check_share(share: float) -> None:
    """Refuse a share outside (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(
            f"Got share={share!r} of a map's sum; pass a number above 0, and at most 1."
        )


def soft_mask(values: np.ndarray, share: float) -> np.ndarray:
    r"""Turn a map into a mask: 1 where it is high, 0 where it is low, and a slope between.

    .. math:: \operatorname{clip}(2 a / t - 1, 0, 1)

    for the map :math:`a` and the greatest level :math:`t` such that the cells from :math:`t` up
    have at least `share` of the map's sum. A map of zeros gives zeros.

    Examples
    --------
    >>> soft_mask(np.array([[8.0, 6.0, 3.0, 1.0]]), 0.5)
    array([[1., 1., 0., 0.]])
    >>> soft_mask(np.array([[8.0, 6.0, 4.5, 1.0]]), 0.5)
    array([[1. , 1. , 0.5, 0. ]])
    """
    ordered = np.sort(values, axis=None)[::-1].astype(np.float64)
    sums = np.cumsum(ordered)
    if not sums[-1] > 0:
        return np.zeros(values.shape)
    # Rounding may leave the last sum a little below the wanted share.
    level = ordered[min(np.searchsorted(sums, share * sums[-1]), ordered.size - 1)]
    if not level > 0:  # a share of 1 keeps all cells above 0
        return (values > 0).astype(np.float64)
    return np.clip(2 * values.astype(np.float64) / level - 1, 0, 1)


def apply_mask(
    wave: np.ndarray,
    sample_rate: int,
    mask: np.ndarray,
    times: np.ndarray,
    frequencies: np.ndarray,
) -> np.ndarray:
    """Keep the part of a waveform that a mask lets through; the phase stays.

    Linear interpolation brings the mask (n_bands, n_frames), with its times in seconds and its
    frequencies in Hz, to the grid of a short-time Fourier transform with windows of 64 ms.
    Frequencies beyond the outer bands are removed.
    """
    n_fft = max(_OVERLAP, 2 ** round(np.log2(_WINDOW * sample_rate)))
    grid = {"fs": sample_rate, "nperseg": n_fft, "noverlap": n_fft - n_fft // _OVERLAP}
    padded = np.pad(wave, (0, max(0, n_fft - len(wave))))
    bins, seconds, spectrum = stft(padded, **grid)
    rows = _interpolate(mask, frequencies, bins)  # (n_bins, n_frames of the mask)
    rows[_are_beyond(bins, frequencies)] = 0
    gains = _interpolate(rows.T, times, seconds).T  # (n_bins, n_frames of the transform)
    _, kept = istft(spectrum * gains.astype(np.float32), **grid)
    return kept[: len(wave)].astype(np.float32)


def _interpolate(values: np.ndarray, axis: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate rows linearly, and repeat the first and the last one beyond them."""
    position = np.interp(at, axis, np.arange(len(axis)))
    below = position.astype(int)
    above = np.minimum(below + 1, len(axis) - 1)
    weight = (position - below)[:, None]
    return values[below] * (1 - weight) + values[above] * weight


def _are_beyond(bins: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return which frequencies no band covers."""
    if len(frequencies) == 1:  # the width of a single band is unknown
        return np.zeros(len(bins), dtype=bool)
    apart = np.diff(frequencies)
    low, high = frequencies[0] - _REACH * apart[0], frequencies[-1] + _REACH * apart[-1]
    return (bins < low) | (bins > high)
