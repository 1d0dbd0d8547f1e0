"""What a detector objects to, as sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklasd.inspection._ask_pipelines import check_tells_where
from sklasd.inspection._inspect_clips import inspect_clips
from sklasd.inspection._masks import check_share


def resynthesise(estimator: Any, X: Any, *, share: float = 0.5) -> np.ndarray | list[np.ndarray]:
    r"""Make audible what the anomaly map of each clip marks.

    The map :math:`a` becomes a mask :math:`\operatorname{clip}(2 a / t - 1, 0, 1)`, which is
    brought to the grid of a short-time Fourier transform of the clip, multiplied with it, phases
    and all, and transformed back. The level :math:`t` is the greatest one at which the cells of the
    map from :math:`t` up have at least `share` of its sum: they are heard as they are in the clip,
    those below half of it are not heard.

    Parameters
    ----------
    estimator : estimator
        Fitted: a pipeline that begins with a front end such as `LogMel` and ends in a detector that
        can tell where, a search over one, or what is around either.
    X : list of paths, clip table, array (n_clips, n_samples) or list of 1-D arrays
        The clips.
    share : float, default=0.5
        How much of the map's sum the cells have that are kept whole: less is only what is most
        anomalous, 1 is almost the whole clip.

    Returns
    -------
    ndarray of shape (n_clips, n_samples) or list of (n_samples,), float32
        As long as the clips were read, at the front end's sample rate; the list where their lengths
        differ. The levels are those of the clips: what is marked may be faint.

    Raises
    ------
    ValueError
        Where the detector cannot tell where, or got spectrograms only; for a share that is none.

    See Also
    --------
    inspect_clips : The maps themselves, and the axes that they have.

    Notes
    -----
    The transform has Hann windows of 64 ms (the nearest power of 2 in samples) every quarter of
    them. What lies between the centres of bands and frames is interpolated linearly; frequencies
    that the front end does not hear are left out.

    What sounds at the same time and frequency as the fault is kept with it.

    Examples
    --------
    >>> from sklasd import make_recipe
    >>> from sklasd.datasets import make_machine_clips
    >>> from sklasd.inspection import resynthesise
    >>> waves, table = make_machine_clips("fan", n_train=20, duration=1.0, random_state=0)
    >>> pipeline = make_recipe("statistics-mahalanobis").fit(waves[:20])
    >>> resynthesise(pipeline, waves[-1:]).shape  # to be written by soundfile.write, at 16 kHz
    (1, 16000)
    """
    check_share(share)
    check_tells_where(estimator)
    waves = [clip.resynthesise(share=share) for clip in inspect_clips(estimator, X)]
    return waves if len({len(wave) for wave in waves}) > 1 else np.stack(waves)
