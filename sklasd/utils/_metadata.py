"""Check what is given beside the clips: labels, exposed clips, originals of copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array

from sklasd.utils._lists import name_some


def check_exposed(exposed: Any, n_clips: int) -> np.ndarray:
    """Return the mask of exposed clips as an array; None means that there are none.

    Examples
    --------
    >>> check_exposed([0, 1], 2)
    array([False,  True])
    """
    if exposed is None:
        return np.zeros(n_clips, dtype=bool)
    mask = np.asarray(exposed)
    # A missing value would become True as a bool.
    missing = np.flatnonzero(pd.isna(mask))
    if missing.size:
        raise ValueError(
            f"exposed is missing for the clips {name_some(missing)}; pass True or False for each, "
            "for example by fillna(False)."
        )
    if mask.shape != (n_clips,) or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"Got exposed of shape {mask.shape} and dtype {mask.dtype}; "
            f"pass one bool per clip, shape ({n_clips},)."
        )
    return mask.astype(bool)


def check_normal(y: Any, exposed: np.ndarray) -> np.ndarray:
    """Return which clips are normal and of the machine itself; at least one is.

    `y` has +1 and -1; None means that all clips are normal. Exposed clips are not normal, whatever
    their label.

    Examples
    --------
    >>> check_normal([1, -1, 1], np.array([False, False, True]))
    array([ True, False, False])
    """
    normal = ~exposed if y is None else (_check_labels(y, len(exposed)) == 1) & ~exposed
    if not normal.any():  # every caller learns from normal clips
        raise ValueError(
            "Got no normal clip (all are labelled -1 or exposed); a detector learns from these."
        )
    return normal


def _check_labels(y: Any, n_clips: int) -> np.ndarray:
    # A column of objects may hold None or pd.NA beside numbers, which check_array only half sees.
    missing = np.flatnonzero(pd.isna(np.asarray(y, dtype=object)).ravel())
    if missing.size:
        raise ValueError(
            f"Input y contains NaN: there is no label of the clips {name_some(missing)}; write +1 "
            "or -1 for each, leave them out, or pass y=None, which takes all for normal."
        )
    labels = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    # scikit-learn accepts a column of labels, too.
    labels = labels.ravel() if labels.shape == (n_clips, 1) else labels
    if labels.shape != (n_clips,):
        raise ValueError(f"Got y of shape {labels.shape} for {n_clips} clips; pass one each.")
    if not np.isin(labels, (1, -1)).all():
        raise ValueError(
            f"Got the labels {name_some(np.unique(labels))} in y; +1 is normal and -1 anomalous "
            "(from DCASE's 0/1: np.where(label == 1, -1, 1))."
        )
    return labels


def check_metadata(name: str, values: Any, n_clips: int) -> np.ndarray | None:
    """Return metadata, such as sections or domains, as an array of one value per clip, or None.

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
    """Return the originals of altered copies as positions, or None if there is no copy.

    `copy_of` has the position of the original for a copy, and -1 for a recording.

    Examples
    --------
    >>> check_copies([-1, -1, 0], 3)
    array([-1, -1,  0])
    >>> check_copies([-1, -1], 2)
    """
    originals = check_metadata("copy_of", copy_of, n_clips)
    if originals is None or (originals.dtype.kind == "i" and (originals == -1).all()):
        return None
    exist = originals.dtype.kind == "i" and np.isin(originals, np.arange(-1, n_clips)).all()
    # A copy of a copy would lose its recording when its original is held out.
    if not exist or (originals[originals[originals >= 0]] >= 0).any():
        raise ValueError(
            f"Got copy_of={copy_of!r}; pass the position of a recorded clip for each copy, and -1 "
            "for each recorded clip."
        )
    return originals
