"""The decision threshold, learnt from the scores of normal clips."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import special, stats

_ROUNDING = 1e-9  # 0.1 * 30 is a little less than 3
_FEWEST_FOR_GAMMA = 10  # three parameters from fewer values are arbitrary


def fit_offset(
    scores: np.ndarray,
    threshold: str | Callable[[np.ndarray], float] = "gamma",
    contamination: float = 0.1,
) -> float:
    """Find the score below which a clip is called anomalous.

    Parameters
    ----------
    scores : ndarray of shape (n_clips,)
        Of normal clips; higher is more normal.
    threshold : {"gamma", "quantile", "conformal", "mean_confidence"} or callable
        "gamma" fits a gamma distribution (shape, location and scale by maximum likelihood) to the
        anomaly scores, ``-scores``, and takes its quantile, as the DCASE baselines do. "quantile"
        is the empirical one. "conformal" takes one of the scores: the clips below it are those
        whose p-value is at most `contamination`. "mean_confidence" is the function of this name. A
        callable gets ``scores`` and returns the offset.
    contamination : float
        Share of the normal clips that is to fall below.

    Returns
    -------
    float
        The offset.

    Warns
    -----
    UserWarning
        Where the gamma fit fails, and the empirical quantile is taken.

    Examples
    --------
    >>> fit_offset(-np.arange(101.0), "quantile", 0.1)
    -90.0
    >>> fit_offset(-np.arange(1.0, 100.0), "conformal", 0.1)
    -90.0
    """
    if callable(threshold):
        offset = float(threshold(scores))
        if not np.isfinite(offset):
            raise ValueError(f"The threshold function returned {offset}; it must be finite.")
        return offset
    if threshold == "mean_confidence":
        return mean_confidence(scores)
    if threshold == "gamma":
        offset, complaint = _gamma_offset(scores, contamination)
        if not complaint:
            return offset
        warnings.warn(
            f'The gamma fit to {len(scores)} scores {complaint}; threshold="quantile" is '
            "used in its place. Train on more normal clips, or pass it to silence this.",
            UserWarning,
            stacklevel=2,
        )
    if threshold == "conformal":
        # p = (1 + #{c <= s}) / (n + 1) <= contamination holds for s below the rank-th lowest.
        rank = int(contamination * (len(scores) + 1) + _ROUNDING)
        return float(np.sort(scores)[max(rank, 1) - 1])
    return float(np.percentile(scores, 100 * contamination))


def mean_confidence(scores: np.ndarray, alpha: float = 0.04) -> float:
    r"""Find the log-odds of a confidence a little below the mean one of normal clips.

    .. math:: t = \frac{1 - \alpha}{n} \sum_i p_i, \quad
        \text{offset} = \log \frac{t}{1 - t}, \quad p_i = \frac{1}{1 + e^{-s_i}}

    Parameters
    ----------
    scores : ndarray of shape (n_clips,)
        Log-odds :math:`s_i` of normal clips.
    alpha : float, default=0.04
        :math:`\alpha`, above 0 and below 1; the report tried up to 0.1.

    Returns
    -------
    float
        The offset. It does not depend on a false-alarm rate, and promises none.

    References
    ----------
    .. [1] S. Kazakova, A. Semenov, A. Surkov, S. Astapov, "Anomalous sound detection with
       autoencoder and image MobileNet using outlier exposure approach", DCASE2022 Challenge
       technical report, equation 2.

    Examples
    --------
    >>> confident = special.logit(np.array([0.8, 1.0 - 1e-9]))
    >>> print(special.expit(mean_confidence(confident)).round(4))  # 0.96 times 0.9
    0.864
    """
    return float(special.logit((1 - alpha) * special.expit(scores).mean()))


def _gamma_offset(scores: np.ndarray, contamination: float) -> tuple[float, str]:
    """Return the gamma quantile and what speaks against it, "" for nothing."""
    if len(scores) < _FEWEST_FOR_GAMMA:
        return np.nan, f"needs at least {_FEWEST_FOR_GAMMA} clips"
    if np.ptp(scores) == 0:
        return np.nan, "is not defined, as all are equal"
    # Maximum likelihood does not depend on the unit, but the optimiser's tolerances do.
    centre, spread = np.median(scores), np.std(scores)
    anomaly = (centre - scores) / spread
    # scipy starts from the moments, which a few far-off clips spoil; the second start is an
    # exponential distribution from the least score on.
    for start in ((), (1.0, anomaly.min() - 0.1)):
        quantile, complaint = _gamma_quantile(anomaly, 1 - contamination, start)
        if not complaint:
            break
    return float(centre - spread * quantile), complaint


def _gamma_quantile(
    values: np.ndarray, share: float, start: tuple[float, ...]
) -> tuple[float, str]:
    """Fit a gamma distribution; return its quantile and what speaks against the fit."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            options = {"loc": start[1]} if start else {}
            fit = stats.gamma.fit(values, *start[:1], **options)
            quantile = stats.gamma.ppf(share, *fit)
    except (stats.FitError, RuntimeError) as error:
        return np.nan, f"failed ({error})"
    beyond = np.mean(values > quantile)
    slack = 2 * np.sqrt(share * (1 - share) / len(values))
    # The likelihood is unbounded as the shape goes to 0: such a "fit" says nothing of the tail. And
    # one that a single far-off clip has stretched calls nothing anomalous any more.
    too_few = beyond < (1 - share) - slack
    too_many = beyond > (1 - share) + max(1 - share, slack)
    if not np.isfinite(quantile) or too_few or too_many:
        return np.nan, f"degenerated (it would put {beyond:.0%} of them below)"
    return float(quantile), ""
