"""Clips dealt by domain, for back ends."""

from __future__ import annotations

import numpy as np

from sklasd.base import TrainingClips


def by_domain(clips: TrainingClips, per_domain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tell the domains of normal clips apart, or take all together.

    Parameters
    ----------
    clips : TrainingClips
        What `fit` was given.
    per_domain : bool
        Whether to tell them apart.

    Returns
    -------
    names : ndarray of str, shape (n_domains,)
        "all" where there is one.
    number : ndarray of int, shape (n_normal_clips,)
        The domain of each normal clip.

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((3, 2)), domain=["target", "source", "target"])
    >>> by_domain(clips, per_domain=True)[1]
    array([1, 0, 1])
    """
    index = clips.normal_index
    if clips.domain is None or not per_domain:
        return np.array(["all"]), np.zeros(len(index), dtype=int)
    return np.unique(clips.domain[index].astype(str), return_inverse=True)
