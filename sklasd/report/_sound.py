"""Sounds that a page can play: compressed, and loud enough."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

# Sample rates of MP3, the format that every browser plays.
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_PEAK = 0.7  # of full scale, since the decoded sound can be louder
_MOST_GAIN = 60.0  # dB; more would play the noise of the converter


class Sound(NamedTuple):
    """A data URI of MP3, and by how many dB the sound is louder than the clip."""

    source: str
    gain: float


def encode_sound(wave: np.ndarray, sample_rate: int) -> Sound:
    """Compress a mono waveform, and make it loud enough to hear.

    Examples
    --------
    >>> sound = encode_sound(np.sin(np.arange(8000)) / 70, 8000)  # 5 kB for a second at 16 kHz
    >>> sound.source[:23], round(sound.gain)
    ('data:audio/mpeg;base64,', 34)
    """
    peak = float(np.abs(wave).max(initial=0.0))
    gain = min(20 * np.log10(_PEAK / peak), _MOST_GAIN) if peak > 0 else 0.0
    wave = np.asarray(wave, dtype=np.float32) * np.float32(10 ** (gain / 20))
    rate = next((rate for rate in _RATES if rate >= sample_rate), _RATES[-1])
    if rate != sample_rate:
        wave = soxr.resample(wave, sample_rate, rate)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="MP3")
    return Sound(f"data:audio/mpeg;base64,{b64encode(file.getvalue()).decode()}", float(gain))
