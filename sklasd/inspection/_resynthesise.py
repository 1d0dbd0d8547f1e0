"""The anomalies that a detector finds, as sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklasd.inspection._call_detector import check_has_map
from sklasd.inspection._inspect_clips import inspect_clips
from sklasd.inspection._masks import check_share


def resynthesise(estimator: Any, X: Any, *, share: float = 0.5) -> np.ndarray | list[np.ndarray]:
    r"""Return the sound of each clip where its anomaly map is high.

    The map :math:`a` becomes a mask :math:`\operatorname{clip}(2 a / t - 1, 0, 1)`, which is
    interpolated to the grid of a short-time Fourier transform of the clip, multiplied with the
    transform, and transformed back with the clip's phases. The level :math:`t` is the greatest one
    such that the cells of the map from :math:`t` up have at least `share` of its sum: these cells
    keep their sound, cells below half of it are silent.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that begins with a front end such as `LogMel` and ends in a detector with
        an anomaly map, a search over one, or an estimator around either.
    X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
        The clips.
    share : float, default=0.5
        Share of the map's sum in the cells that keep their sound: small values keep only the most
        anomalous cells, 1 keeps almost the whole clip.

    Returns
    -------
    ndarray of shape (n_clips, n_samples) or list of (n_samples,), float32
        As long as the clips, at the front end's sample rate; a list if their lengths differ. The
        levels are those of the clips, so the marked sound may be faint.

    Raises
    ------
    ValueError
        If the detector has no map, or X has spectrograms only, and for an invalid share.

    See Also
    --------
    inspect_clips : Returns the maps themselves, and their axes.

    Notes
    -----
    The transform has Hann windows of 64 ms (the nearest power of 2 in samples) every quarter of
    them. The mask is interpolated linearly between the centres of bands and frames; frequencies
    beyond the front end's bands are left out. Other sound at the time and frequency of the fault
    stays in.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import resynthesise
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> resynthesise(pipeline, waves[-1:]).shape  # soundfile.write stores it, at 16 kHz
    (1, 16000)
    """
    # Before the maps, which may take a net some minutes.
    check_share(share)
    check_has_map(estimator)
    waves = [clip.resynthesise(share=share) for clip in inspect_clips(estimator, X)]
    return waves if len({len(wave) for wave in waves}) > 1 else np.stack(waves)
