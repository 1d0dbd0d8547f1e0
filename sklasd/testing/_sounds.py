"""Made-up spectrograms with planted bursts, and what `fit` needs beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Metadata = Callable[[int], dict[str, Any]]  # from a number of clips to the arguments of `fit`


def no_metadata(n_clips: int) -> dict[str, Any]:
    """Return no arguments, for detectors that learn from the clips alone."""
    return {}


class Sounds(NamedTuple):
    """Made-up spectrograms: a steady spectrum with noise, and a burst in some of them."""

    train: np.ndarray  # (n_clips, n_mels, n_frames), normal
    test: np.ndarray  # normal ones, then as many with a burst
    label: np.ndarray  # +1 and -1, of test
    burst: np.ndarray  # bool, same shape as test: where the burst is
    metadata: Metadata = no_metadata  # what else `fit` needs for so many clips

    def embedded(self) -> Sounds:
        """Return the sounds as embeddings: the greatest value of each band over time."""
        train, test, burst = (x.max(axis=2) for x in (self.train, self.test, self.burst))
        return self._replace(train=train, test=test, burst=burst)

    def fit(self, detector: Any, X: Any = None, y: Any = None, **more: Any) -> Any:
        """Fit a detector to the training sounds, or to others, with the metadata it needs."""
        X = self.train if X is None else X
        return detector.fit(X, y, **(self.metadata(len(X)) | more))

    def section(self, n_clips: int, index: Any = slice(None)) -> dict[str, Any]:
        """Return the sections of some of so many clips, as scoring takes them."""
        metadata = self.metadata(n_clips)
        # Detectors that tell no sections apart are scored without the argument.
        return {"section": np.asarray(metadata["section"])[index]} if "section" in metadata else {}

    def are_own(self, n_clips: int) -> np.ndarray:
        """Return which of so many clips are the machine's own: those not exposed."""
        return ~np.asarray(self.metadata(n_clips).get("exposed", np.zeros(n_clips, dtype=bool)))


def make_sounds(
    n_mels: int = 32, n_frames: int = 40, n_clips: int = 24, random_state: int = 0
) -> Sounds:
    """Make spectrograms in dB with planted bursts.

    Parameters
    ----------
    n_mels, n_frames : int
        Size of each spectrogram.
    n_clips : int
        Number of training clips, of normal test clips and of anomalous test clips.
    random_state : int
        Seed of the noise and of the bursts' places.

    Returns
    -------
    Sounds
        float32 arrays.

    Examples
    --------
    >>> make_sounds(n_clips=4).test.shape
    (8, 32, 40)
    """
    rng = np.random.default_rng(random_state)
    spectrum = 6 * np.sin(np.linspace(0, 3 * np.pi, n_mels))[:, None] - 40
    # Each clip has a level of its own, so that loudness alone does not find the bursts.
    level = rng.normal(0, 1, (3 * n_clips, 1, 1))
    noise = rng.normal(0, 1, (3 * n_clips, n_mels, n_frames))
    clips = (spectrum + level + noise).astype(np.float32)
    train, test = clips[:n_clips], clips[n_clips:]
    burst = np.zeros(test.shape, dtype=bool)
    for clip in range(n_clips, 2 * n_clips):
        low = rng.integers(0, n_mels - n_mels // 4)
        first = rng.integers(0, n_frames - n_frames // 4)
        burst[clip, low : low + n_mels // 4, first : first + n_frames // 4] = True
    test[burst] += 15
    return Sounds(train, test, np.repeat([1, -1], n_clips), burst)
