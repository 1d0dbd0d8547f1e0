"""The mean of clips of different lengths, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sklasd.clips._spectrograms import Spectrograms


def mean_spectrogram(spectrograms: Spectrograms, index: np.ndarray) -> np.ndarray:
    """Average clips frame by frame, (n_mels, n_frames of the longest)."""
    longest = spectrograms.n_frames[index].max()
    total, count = np.zeros((longest, spectrograms.n_mels)), np.zeros((longest, 1))
    for clip in index:
        first, last = spectrograms.bounds[clip : clip + 2]
        total[: last - first] += spectrograms.frames[first:last]
        count[: last - first] += 1  # late frames are averaged over the long clips alone
    return (total / count).T.astype(np.float32)


def extend_mean(mean: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Cut or extend a mean spectrogram to each of several lengths, (n_mels, length)."""
    for length in lengths:
        # Beyond the longest training clip, only the mean over time is known.
        extended = np.repeat(mean.mean(axis=1, keepdims=True), length, axis=1)
        extended[:, : mean.shape[1]] = mean[:, :length]
        yield extended
