"""Clips that are altered: another pitch, tempo or level, and sounds that do not belong to them."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

_N_FFT = 2048  # of the phase vocoder: librosa's
FEWEST_SAMPLES = 64  # that can be stretched; no front end makes a spectrogram of fewer
_LOWEST = 200.0  # Hz, of added sounds
_DECAY = 0.005  # s, in which an impact dies away to 1 / e


def time_stretch(wave: np.ndarray, rate: float) -> np.ndarray:
    """Play a clip faster at the same pitch; what is missing at the end is its beginning again.

    Parameters
    ----------
    wave : ndarray of shape (n_samples,), float32
        At least 64 samples.
    rate : float
        2 is twice as fast.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        Cut, or repeated as `LogMel(duration=...)` repeats: silence would be an event.

    Examples
    --------
    >>> time_stretch(np.ones(160, dtype=np.float32), 1.2).shape
    (160,)
    """
    from librosa.effects import time_stretch as stretch

    stretched = stretch(wave, rate=rate, n_fft=_n_fft(wave))
    return np.resize(stretched, len(wave)).astype(np.float32)


def pitch_shift(wave: np.ndarray, semitones: float) -> np.ndarray:
    """Shift the pitch of a clip at the same tempo.

    Parameters
    ----------
    wave : ndarray of shape (n_samples,), float32
        At least 64 samples.
    semitones : float
        12 double all frequencies.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        The shifted clip.

    Examples
    --------
    >>> pitch_shift(np.ones(160, dtype=np.float32), -1.5).shape
    (160,)
    """
    from librosa.effects import pitch_shift as shift

    # Of the sample rate only its ratio to itself is used.
    return shift(wave, sr=1.0, n_steps=semitones, n_fft=_n_fft(wave)).astype(np.float32)


def _n_fft(wave: np.ndarray) -> int:
    return min(_N_FFT, 2 ** int(np.log2(len(wave))))


def amplify(wave: np.ndarray, decibels: float) -> np.ndarray:
    """Make a clip louder.

    Parameters
    ----------
    wave : ndarray of shape (n_samples,), float32
        The clip.
    decibels : float
        By how much; beyond full scale nothing is clipped.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        The louder clip.

    Examples
    --------
    >>> amplify(np.ones(2, dtype=np.float32), -20)
    array([0.1, 0.1], dtype=float32)
    """
    return wave * np.float32(10 ** (decibels / 20))


def mix(wave: np.ndarray, sound: np.ndarray, snr: float) -> np.ndarray:
    """Add a sound at a signal-to-noise ratio.

    Parameters
    ----------
    wave : ndarray of shape (n_samples,), float32
        The signal.
    sound : ndarray of shape (n_samples,)
        The noise, at any level.
    snr : float
        Power of the signal over that of the noise in dB, both of the whole clip.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        The sum; a clip of zeros stays one.

    Examples
    --------
    >>> mix(np.ones(2, dtype=np.float32), np.array([5.0, -5.0]), 20)
    array([1.1, 0.9], dtype=float32)
    """
    powers = [np.mean(np.square(x, dtype=np.float64)) for x in (wave, sound)]
    scale = np.sqrt(powers[0] / powers[1] / 10 ** (snr / 10))
    return (wave + scale * sound).astype(np.float32)


def draw_band(n_samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw noise of a random octave, as of a leak or of something that rubs.

    Parameters
    ----------
    n_samples : int
        Its length.
    sample_rate : int
        In Hz.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (n_samples,)
        At some level.

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
    """Draw regular impacts that ring at a random resonance, as of a damaged bearing or tooth.

    Parameters
    ----------
    n_samples : int
        Their length.
    sample_rate : int
        In Hz.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (n_samples,)
        5 to 50 impacts per second, at some level.

    Examples
    --------
    >>> draw_impacts(16000, 16000, np.random.default_rng(0)).shape
    (16000,)
    """
    period = sample_rate / 10 ** rng.uniform(np.log10(5), np.log10(50))
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
