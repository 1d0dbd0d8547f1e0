"""The mel scale: filters of mel bands, and names of bands."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=16)
def mel_filters(
    sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None, htk: bool
) -> np.ndarray:
    """Return librosa's filter bank, (n_mels, 1 + n_fft // 2)."""
    # librosa takes a second to import: only where a transform is really computed.
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=htk)


def band_names(frequencies: Any) -> list[str]:
    """Name bands by their centres in Hz, with as few digits as keep the names apart.

    Examples
    --------
    >>> band_names([50.0, 100.2, 100.4])
    ['50.0Hz', '100.2Hz', '100.4Hz']
    """
    for decimals in range(9):
        names = [f"{hz:.{decimals}f}Hz" for hz in frequencies]
        if len(set(names)) == len(names):
            break
    return names
