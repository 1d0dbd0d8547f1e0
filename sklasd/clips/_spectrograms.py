"""Spectrograms of many clips as one array, whatever their lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import joblib
import numpy as np


@dataclass(frozen=True)
class Spectrograms:
    """Spectrograms of any lengths, end to end in one array.

    Parameters
    ----------
    frames : ndarray of shape (n_frames_of_all, n_mels), float32 or uint8
        C-contiguous: a window is one run of memory. Images of 8 bits take a quarter of it; their
        windows are float32 from 0 to 1.
    bounds : ndarray of shape (n_clips + 1,)
        Clip i is ``frames[bounds[i]:bounds[i + 1]]``.
    are_rows : bool, default=False
        Each clip is one embedding: its only window comes without an axis of time.
    are_images : bool, default=False
        They came as images of 8 bits, which have no level in dB.
    """

    frames: np.ndarray
    bounds: np.ndarray
    are_rows: bool = False
    are_images: bool = False

    @classmethod
    def stack(cls, X: Any, *, are_images: bool = False) -> Spectrograms:
        """Lay spectrograms end to end; free for what LogMel gives, else one copy.

        X is (n_clips, n_mels, n_frames), or a list of (n_mels, n_frames), float32 or uint8.
        `are_images` says that it was made of 8 bits. The result shares memory with X where its
        layout allows.

        Examples
        --------
        >>> Spectrograms.stack(np.zeros((2, 64, 10), np.float32)).bounds
        array([ 0, 10, 20])
        """
        if isinstance(X, np.ndarray):
            n_clips, n_mels, n_frames = X.shape
            frames = np.ascontiguousarray(X.transpose(0, 2, 1)).reshape(-1, n_mels)
            bounds = np.arange(n_clips + 1) * n_frames
        else:
            frames = np.concatenate([x.T for x in X])
            bounds = np.concatenate([[0], np.cumsum([x.shape[1] for x in X])])
        return cls(frames, bounds, are_images=are_images or frames.dtype == np.uint8)

    @classmethod
    def of_rows(cls, X: np.ndarray) -> Spectrograms:
        """Take embeddings, each as a clip of a single frame.

        Examples
        --------
        >>> Spectrograms.of_rows(np.eye(3, dtype=np.float32)).n_frames
        array([1, 1, 1])
        """
        return cls(np.ascontiguousarray(X), np.arange(len(X) + 1), are_rows=True)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def unstack(self) -> np.ndarray | list[np.ndarray]:
        """Undo `stack`, without copying.

        Examples
        --------
        >>> Spectrograms.stack(np.zeros((2, 64, 10), np.float32)).unstack().shape
        (2, 64, 10)
        """
        if len(set(self.n_frames)) > 1:
            return list(self)
        return self.frames.reshape(len(self), -1, self.n_mels).transpose(0, 2, 1)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over the clips, views of (n_mels, n_frames)."""
        return (self.frames[a:b].T for a, b in pairwise(self.bounds))

    @cached_property
    def digest(self) -> str:
        """What a cache knows the data by; hashed once, however many nets learn from them."""
        return joblib.hash((self.frames, self.bounds))

    @cached_property
    def are_silent(self) -> np.ndarray:
        """Whether no band of a clip ever changes its level, shape (n_clips,), bool."""
        first = self.bounds[:-1]
        low, high = (f.reduceat(self.frames, first, axis=0) for f in (np.minimum, np.maximum))
        # A single frame, such as an embedding, does not tell.
        return (low == high).all(axis=1) & (self.n_frames > 1)

    @property
    def levels(self) -> np.ndarray:
        """Level of each clip, shape (n_clips,), in dB as the frames: of its bands the median.

        A gain moves it by as much, and a fault in a few bands hardly. NaN of images: each has its
        own scale.
        """
        if self.are_images:
            return np.full(len(self), np.nan)
        means = np.add.reduceat(self.frames, self.bounds[:-1], axis=0) / self.n_frames[:, None]
        return np.median(means, axis=1)

    @property
    def spectrograms(self) -> Spectrograms | None:
        """These ones, by which clips are compared; None of embeddings, which have no level."""
        return None if self.are_rows else self

    @property
    def n_mels(self) -> int:
        """Number of mel bands."""
        return self.frames.shape[1]

    @property
    def n_frames(self) -> np.ndarray:
        """Frames of each clip, shape (n_clips,)."""
        return np.diff(self.bounds)


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


def join_maps(maps: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """Stack the maps of clips of one length, and return a list of others.

    Examples
    --------
    >>> join_maps([np.zeros((2, 3)), np.ones((2, 3))]).shape
    (2, 2, 3)
    """
    return maps if len({each.shape for each in maps}) > 1 else np.stack(maps)
