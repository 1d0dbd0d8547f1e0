"""The domain of each normal clip, for back ends."""

from __future__ import annotations

import numpy as np

from sklasd.base import TrainingClips


def by_domain(clips: TrainingClips, per_domain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Number the domains of normal clips, or take all clips as one domain.

    Returns the names of the domains, "all" where there is one, and the domain's number for each
    normal clip, (n_normal_clips,).

    Examples
    --------
    >>> clips = TrainingClips.gather(np.zeros((3, 2)), domain=["target", "source", "target"])
    >>> by_domain(clips, per_domain=True)[1]
    array([1, 0, 1])
    """
    index = np.flatnonzero(clips.normal)
    if clips.domain is None or not per_domain:
        return np.array(["all"]), np.zeros(len(index), dtype=int)
    return np.unique(clips.domain[index].astype(str), return_inverse=True)
