"""Checks shared by transformers and detectors: spectrograms, labels, devices, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array, check_random_state


def check_device(device: str) -> str:
    """Resolve "auto" and refuse a device that is not there.

    Parameters
    ----------
    device : str
        "auto", or what `torch.device` takes: "cpu", "cuda", "cuda:1".

    Returns
    -------
    str
        A device that can be used.

    Raises
    ------
    ValueError
        For a word that is no device, or a GPU that is not there.

    Examples
    --------
    >>> check_device("cpu")
    'cpu'
    """
    if device == "cpu":  # without torch: reading clips must not wait for its import
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f'Got device={device!r}; pass "auto", "cpu" or "cuda".') from error
    if kind not in {"cpu", "cuda"}:
        raise ValueError(f'Got device={device!r}; "cpu" and "cuda" are supported.')
    if kind == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise ValueError(
            f'Got device={device!r}, but torch {torch.__version__} sees no GPU; pass device="auto" '
            "or install a CUDA build of torch."
        )
    return device


def draw_seed(random_state: Any) -> int:
    """Draw a seed for torch; the global generators stay as they are.

    Parameters
    ----------
    random_state : int, RandomState or None
        None draws from the operating system, not from numpy's global generator.

    Returns
    -------
    int
        In [0, 2**31).

    Examples
    --------
    >>> draw_seed(0) == draw_seed(0)
    True
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31, dtype=np.int64))


def check_spectrograms(X: Any, *, keep_bytes: bool = False) -> list[np.ndarray] | np.ndarray:
    """Bring spectrograms to float32 and name those that cannot be used.

    Parameters
    ----------
    X : array (n_clips, n_mels, n_frames) or list of (n_mels, n_frames)
        What a front end made.
    keep_bytes : bool, default=False
        Leave images of dtype uint8 as they are.

    Returns
    -------
    ndarray or list of ndarray, float32 or uint8
        Not copied where it was float32 already.

    Raises
    ------
    ValueError
        For other shapes, bands that differ between clips, NaN or infinity.

    Examples
    --------
    >>> check_spectrograms(np.zeros((2, 64, 10))).dtype
    dtype('float32')
    """
    dtypes = [np.float32, np.uint8] if keep_bytes else np.float32
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
    """Tell images of 8 bits, (n_clips, n_mels, n_frames) or a list, from spectrograms in dB."""
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


def check_exposed(exposed: Any, n_clips: int) -> np.ndarray:
    """Bring the mask of exposed outliers to an array.

    Parameters
    ----------
    exposed : array-like of bool, shape (n_clips,), or None
        Clips of other machines.
    n_clips : int
        How many clips there are.

    Returns
    -------
    ndarray of bool, shape (n_clips,)
        All False for None.

    Raises
    ------
    ValueError
        For missing values, another shape or other values than bools.

    Examples
    --------
    >>> check_exposed([0, 1], 2)
    array([False,  True])
    """
    if exposed is None:
        return np.zeros(n_clips, dtype=bool)
    mask = np.asarray(exposed)
    missing = np.flatnonzero(pd.isna(mask))
    if missing.size:
        raise ValueError(
            f"exposed is missing for the clips {missing.tolist()}; say True or False for each, "
            "for example by fillna(False)."
        )
    if mask.shape != (n_clips,) or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"Got exposed of shape {mask.shape} and dtype {mask.dtype}; "
            f"pass one bool per clip, shape ({n_clips},)."
        )
    return mask.astype(bool)


def check_normal(y: Any, exposed: np.ndarray) -> np.ndarray:
    """Tell the clips that are normal and the machine's own.

    Parameters
    ----------
    y : array-like of +1 and -1, shape (n_clips,), or None
        None means that all are normal.
    exposed : ndarray of bool, shape (n_clips,)
        From `check_exposed`; these are never normal.

    Returns
    -------
    ndarray of bool, shape (n_clips,)
        At least one is True.

    Raises
    ------
    ValueError
        For labels other than +1 and -1, missing ones, a wrong length, or no normal clip.

    Examples
    --------
    >>> check_normal([1, -1, 1], np.array([False, False, True]))
    array([ True, False, False])
    """
    n_clips = len(exposed)
    if y is None:
        normal = ~exposed
    else:
        missing = np.flatnonzero(pd.isna(np.asarray(y, dtype=object)).ravel())
        if missing.size:
            raise ValueError(
                f"Input y contains NaN: there is no label of the clips {missing[:10].tolist()}"
                f"{' and more' * (missing.size > 10)}; write +1 or -1 for each, leave them out, or "
                "pass y=None, which takes all for normal."
            )
        labels = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        labels = labels.ravel() if labels.shape == (n_clips, 1) else labels
        if labels.shape != (n_clips,):
            raise ValueError(f"Got y of shape {labels.shape} for {n_clips} clips; pass one each.")
        if not np.isin(labels, (1, -1)).all():
            raise ValueError(
                f"Got the labels {np.unique(labels).tolist()[:10]} in y; +1 is normal and -1 "
                "anomalous (from DCASE's 0/1: np.where(label == 1, -1, 1))."
            )
        normal = (labels == 1) & ~exposed
    if not normal.any():
        raise ValueError(
            "Got no normal clip (all are labelled -1 or exposed); a detector learns from these."
        )
    return normal


def check_metadata(name: str, values: Any, n_clips: int) -> np.ndarray | None:
    """Bring sample-aligned metadata to an array of one value per clip.

    Parameters
    ----------
    name : str
        For the message.
    values : array-like of shape (n_clips,), or None
        Such as sections or domains.
    n_clips : int
        How many clips there are.

    Returns
    -------
    ndarray of shape (n_clips,) or None
        None stays None.

    Examples
    --------
    >>> check_metadata("domain", ["source", "target"], 2).tolist()
    ['source', 'target']
    """
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (n_clips,):
        raise ValueError(f"Got {name} of shape {array.shape}; pass one per clip, ({n_clips},).")
    return array


def check_copies(copy_of: Any, n_clips: int) -> np.ndarray | None:
    """Bring the originals of altered copies to an array of positions.

    Parameters
    ----------
    copy_of : array-like of int, shape (n_clips,), or None
        Of copies the position of their original, of recordings -1.
    n_clips : int
        How many clips there are.

    Returns
    -------
    ndarray of int, shape (n_clips,), or None
        None where there is no copy.

    Raises
    ------
    ValueError
        For another shape or dtype, and for originals that are not there or are copies themselves.

    Examples
    --------
    >>> check_copies([-1, -1, 0], 3)
    array([-1, -1,  0])
    >>> check_copies([-1, -1], 2)
    """
    originals = check_metadata("copy_of", copy_of, n_clips)
    if originals is None or (originals.dtype.kind == "i" and (originals == -1).all()):
        return None
    is_known = originals.dtype.kind == "i" and np.isin(originals, np.arange(-1, n_clips)).all()
    if not is_known or (originals[originals[originals >= 0]] >= 0).any():
        raise ValueError(
            f"Got copy_of={copy_of!r}; pass the position of a recorded clip for each copy, and -1 "
            "for each recorded clip."
        )
    return originals
