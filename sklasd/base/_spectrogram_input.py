"""Spectrograms as detectors take them: checked, and end to end in one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sklasd.clips import ClipError
from sklasd.clips._spectrograms import Spectrograms
from sklasd.utils._check_spectrograms import are_bytes, check_spectrograms

if TYPE_CHECKING:
    from sklasd.base._base_detector import BaseDetector


def read_spectrograms(detector: BaseDetector, X: Any, *, reset: bool) -> Spectrograms:
    """Check spectrograms, and lay them end to end: for the `_prepare` of detectors on these."""
    checked = check_spectrograms(X, keep_bytes=detector._takes_bytes)
    spectrograms = Spectrograms.stack(checked, are_images=are_bytes(X))
    if reset:
        detector.n_features_in_ = spectrograms.n_mels
    elif spectrograms.n_mels != detector.n_features_in_:
        raise ValueError(
            f"X has {spectrograms.n_mels} mel bands, but {type(detector).__name__} was fitted on "
            f"{detector.n_features_in_}; use the front end it was fitted with."
        )
    return spectrograms


def check_lengths(n_frames: np.ndarray, length: int) -> None:
    """Refuse clips that are shorter than a window, and name them."""
    short = np.flatnonzero(n_frames < length)
    if short.size:
        sentence = (
            f"Got window_length={length}, but {{clips}}; record longer clips, or pass a smaller "
            "window_length, or LogMel(duration=...), which repeats short ones."
        )
        reasons = {int(i): f"has only {n_frames[i]} frames" for i in short}
        raise ClipError(len(n_frames), reasons, sentence=sentence)
