"""Sounds of faults that are mixed into clips to simulate outliers."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

_LOWEST = 200.0  # Hz, the lowest frequency of a sound
_DECAY = 0.005  # s, after which the ringing of an impact has fallen to 1 / e


def draw_band(n_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw noise in a random octave, such as a leak or a rubbing part makes.

    Examples
    --------
    >>> draw_band(16000, 16000, np.random.default_rng(0)).shape
    (16000,)
    """
    low = _draw_frequency(sample_rate / 4, rng)
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / sample_rate)
    inside = (frequency >= low) & (frequency < 2 * low)
    inside[np.argmin(np.abs(frequency - low))] = True  # short clips have few frequencies
    return np.fft.irfft(np.where(inside, spectrum, 0), n_samples)


def draw_impacts(n_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw regular impacts that ring at a random resonance, like a damaged bearing or tooth.

    Examples
    --------
    >>> draw_impacts(16000, 16000, np.random.default_rng(0)).shape
    (16000,)
    """
    period = sample_rate / 10 ** rng.uniform(np.log10(5), np.log10(50))
    # The first impact comes at random within a period, or within a clip shorter than one.
    first = rng.uniform(0, min(period, n_samples))
    hits = np.zeros(n_samples)
    hits[np.arange(first, n_samples, period).astype(int)] = 1
    seconds = np.arange(int(8 * _DECAY * sample_rate) + 2) / sample_rate
    turn = 2 * np.pi * _draw_frequency(sample_rate / 2.5, rng)
    ring = np.exp(-seconds / _DECAY) * np.cos(turn * seconds)
    return fftconvolve(hits, ring)[:n_samples]


def _draw_frequency(highest: float, rng: np.random.Generator) -> float:
    low, high = np.log(min(_LOWEST, highest / 2)), np.log(highest)
    return float(np.exp(rng.uniform(low, high)))
