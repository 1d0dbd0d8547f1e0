"""Effects on a waveform: another pitch, tempo or level, and another sound mixed in."""

from __future__ import annotations

import numpy as np

_N_FFT = 2048  # of the phase vocoder: librosa's default
FEWEST_SAMPLES = 64  # to be stretched; no front end makes a spectrogram of fewer


def time_stretch(wave: np.ndarray, rate: float) -> np.ndarray:
    """Play a clip faster at the same pitch, and fill its end with its beginning.

    Examples
    --------
    >>> time_stretch(np.ones(160, dtype=np.float32), 1.2).shape
    (160,)
    """
    from librosa.effects import time_stretch as stretch

    stretched = stretch(wave, rate=rate, n_fft=_n_fft(wave))
    # Repeated and not padded: silence at the end would be an event.
    return np.resize(stretched, len(wave)).astype(np.float32)


def pitch_shift(wave: np.ndarray, semitones: float) -> np.ndarray:
    """Shift the pitch of a clip at the same tempo.

    Examples
    --------
    >>> pitch_shift(np.ones(160, dtype=np.float32), -1.5).shape
    (160,)
    """
    from librosa.effects import pitch_shift as shift

    # librosa uses the sample rate only in a ratio to itself, so any value serves.
    return shift(wave, sr=1.0, n_steps=semitones, n_fft=_n_fft(wave)).astype(np.float32)


def _n_fft(wave: np.ndarray) -> int:
    return min(_N_FFT, 2 ** int(np.log2(len(wave))))


def amplify(wave: np.ndarray, decibels: float) -> np.ndarray:
    """Make a clip louder.

    Examples
    --------
    >>> amplify(np.ones(2, dtype=np.float32), -20)
    array([0.1, 0.1], dtype=float32)
    """
    return wave * np.float32(10 ** (decibels / 20))


def mix(wave: np.ndarray, sound: np.ndarray, snr: float) -> np.ndarray:
    """Add a sound at a signal-to-noise ratio.

    Examples
    --------
    >>> mix(np.ones(2, dtype=np.float32), np.array([5.0, -5.0]), 20)
    array([1.1, 0.9], dtype=float32)
    """
    powers = [np.mean(np.square(x, dtype=np.float64)) for x in (wave, sound)]
    scale = np.sqrt(powers[0] / powers[1] / 10 ** (snr / 10))
    return (wave + scale * sound).astype(np.float32)
