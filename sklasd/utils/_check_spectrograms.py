"""Check spectrograms and images from any front end."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array


def check_spectrograms(X: Any, *, keep_bytes: bool = False) -> list[np.ndarray] | np.ndarray:
    """Return spectrograms as float32, and name those that cannot be used.

    The result is an array (n_clips, n_mels, n_frames), or a list of (n_mels, n_frames), and no copy
    if it was float32 already. With `keep_bytes`, images of dtype uint8 stay as they are.

    Examples
    --------
    >>> check_spectrograms(np.zeros((2, 64, 10))).dtype
    dtype('float32')
    """
    dtypes = [np.float32, np.uint8] if keep_bytes else np.float32
    # Equal shapes make one array, as they do for check_array; others would raise in numpy.
    if isinstance(X, list | tuple) and len({np.shape(x) for x in X}) > 1:
        return _check_ragged(X, dtypes)
    X = check_array(X, allow_nd=True, dtype=dtypes, ensure_2d=False, ensure_all_finite=False)
    if X.ndim != 3:
        hint = " A single spectrogram s is passed as s[None]." if X.ndim == 2 else ""
        raise ValueError(
            f"Got an array of shape {X.shape}; spectrograms are (n_clips, n_mels, n_frames), "
            f"as LogMel gives them.{hint}"
        )
    _check_finite(X)
    return X


def are_bytes(X: Any) -> bool:
    """Return whether clips are images of 8 bits, and not spectrograms in dB."""
    return np.asarray(X[0]).dtype == np.uint8


def _check_ragged(X: Any, dtypes: Any) -> list[np.ndarray]:
    clips = [np.asarray(x) for x in X]
    wrong = [f"clip {i} has shape {x.shape}" for i, x in enumerate(clips) if x.ndim != 2]
    if wrong:
        raise ValueError(f"A spectrogram is (n_mels, n_frames), but {', '.join(wrong)}.")
    n_mels = {x.shape[0] for x in clips}
    if len(n_mels) > 1:
        raise ValueError(
            f"Got spectrograms of {sorted(n_mels)} mel bands in one input; make all of them "
            "with the same front end."
        )
    clips = [check_array(x, dtype=dtypes, ensure_all_finite=False) for x in clips]
    _check_finite(clips)
    return clips


def _check_finite(clips: Any) -> None:
    bad = []
    for index, clip in enumerate(clips):
        low, high = clip.min(initial=0), clip.max(initial=0)  # both propagate NaN
        if not (np.isfinite(low) and np.isfinite(high)):
            bad.append(f"clip {index} ({'NaN' if np.isnan(low) else 'infinity'})")
    if bad:
        raise ValueError(
            f"Input X contains NaN or infinity in {', '.join(bad)}; check these recordings."
        )
