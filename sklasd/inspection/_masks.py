"""Masks of spectrograms that are heard: a part of a clip's time and frequency."""

from __future__ import annotations

import numpy as np
from scipy.signal import istft, stft

_WINDOW = 0.064  # s; long enough to tell partials apart, short enough to tell strokes apart
_OVERLAP = 4  # frames that each sample is in
_REACH = 1.5  # band spacings that the outer bands hear beyond their centres


def check_share(share: float) -> None:
    """Refuse what is no share, or none at all."""
    if not 0 < share <= 1:
        raise ValueError(
            f"Got share={share!r} of a map's sum; pass a number above 0, and at most 1."
        )


def soft_mask(values: np.ndarray, share: float) -> np.ndarray:
    r"""Make a mask of a map: 1 where it is high, 0 where it is low, and a slope between.

    .. math:: \operatorname{clip}(2 a / t - 1, 0, 1)

    of the map :math:`a` and the greatest level :math:`t` at which the cells from :math:`t` up have
    at least `share` of the map's sum.

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
    # Rounding may leave the last sum a little below the share that is asked for.
    level = ordered[min(np.searchsorted(sums, share * sums[-1]), ordered.size - 1)]
    if not level > 0:  # all that is above 0 is kept
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

    The mask is brought to the grid of a short-time Fourier transform with windows of 64 ms,
    linearly in time and in frequency. Frequencies beyond the outer bands are not let through.
    """
    n_fft = max(_OVERLAP, 2 ** round(np.log2(_WINDOW * sample_rate)))
    grid = {"fs": sample_rate, "nperseg": n_fft, "noverlap": n_fft - n_fft // _OVERLAP}
    padded = np.pad(wave, (0, max(0, n_fft - len(wave))))
    bins, seconds, spectrum = stft(padded, **grid)
    rows = _interpolate(mask, frequencies, bins)  # (n_bins, n_frames of the mask)
    rows[_are_beyond(bins, frequencies)] = 0
    heard = _interpolate(rows.T, times, seconds).T  # (n_bins, n_frames of the transform)
    _, kept = istft(spectrum * heard.astype(np.float32), **grid)
    return kept[: len(wave)].astype(np.float32)


def _interpolate(values: np.ndarray, axis: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate rows linearly; beyond the first and the last one they are repeated."""
    position = np.interp(at, axis, np.arange(len(axis)))
    below = position.astype(int)
    above = np.minimum(below + 1, len(axis) - 1)
    weight = (position - below)[:, None]
    return values[below] * (1 - weight) + values[above] * weight


def _are_beyond(bins: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Tell which frequencies no band hears."""
    if len(frequencies) == 1:  # how wide it is, nobody knows
        return np.zeros(len(bins), dtype=bool)
    apart = np.diff(frequencies)
    low, high = frequencies[0] - _REACH * apart[0], frequencies[-1] + _REACH * apart[-1]
    return (bins < low) | (bins > high)
