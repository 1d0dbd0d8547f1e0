"""A mixture of Gaussians of normal clips, for machines that run in several ways."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from sklasd.base import BaseDetector, TrainingClips
from sklasd.scores import shares_of_length, whitening_matrix
from sklasd.utils._rows import by_rows
from sklasd.utils._seeds import draw_seed

_CHOICES = (1, 2, 4, 8)  # numbers of components in the TWFR paper
_CLIPS_PER_COMPONENT = 10
_FOLDS = 5
_STARTS = 3
_MOST_STEPS = 500
_LEAST_RIDGE = 1e-6  # scikit-learn's, which the paper keeps


class _Densities(NamedTuple):
    """The Gaussians of a mixture."""

    weight: np.ndarray  # (n_components,)
    mean: np.ndarray  # (n_components, n_features)
    whitening: np.ndarray  # (n_components, n_features, n_features)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the log density of each component, (n_components, n_rows)."""
        log_det = np.linalg.slogdet(self.whitening)[1] - rows.shape[1] / 2 * np.log(2 * np.pi)
        return log_det[:, None] - np.square(self.whitened(rows)).sum(axis=2) / 2

    def whitened(self, rows: np.ndarray) -> np.ndarray:
        """Whiten rows by each component, (n_components, n_rows, n_features)."""
        return (rows - self.mean[:, None]) @ self.whitening


class GaussianMixtureDetector(BaseDetector):
    r"""Detect anomalies by the likeliest of several Gaussians of normal clips.

    .. math:: s(x) = \max_k \log \mathcal{N}(x; \mu_k, \Sigma_k)

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of Gaussians. "auto" takes the smallest of 1, 2, 4 and 8 whose likelihood of held-out
        normal clips (five folds) is within one standard error of the best one, with at least ten
        clips for each Gaussian.
    reg_covar : float or "auto", default="auto"
        Constant added to each variance. "auto" shrinks the covariances by Ledoit and Wolf's rule,
        applied to the normal clips about the centres of as many clusters (k-means).
    random_state : int, RandomState instance or None, default=None
        Seed of the components' initial values and of the folds.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" splits up to 100 clips into ten folds and up
        to 200, or clips with `groups`, into five, and holds out a quarter of more. An int is the
        number of folds; a scikit-learn splitter makes its own. None uses the training clips' own
        scores.

    Attributes
    ----------
    n_components_ : int
        Number of Gaussians.
    mean_ : ndarray of shape (n_components, n_features)
        :math:`\mu_k`.
    whitening_ : ndarray of shape (n_components, n_features, n_features)
        :math:`\Sigma_k^{-1/2}`, symmetric.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    MahalanobisDetector : One Gaussian with a shrinkage of its own.

    Notes
    -----
    The score is that of [1]_: the log density of the likeliest component, without the components'
    weights, so that a rare way of running is as normal as the others. Its authors chose the number
    of components, and the r of the ranked mean before it, by labelled test clips; here no label
    chooses anything. They add 1e-6 to variances, which leaves a covariance of 128 bands singular
    below some hundred clips: hence "auto". `section` and `domain` only guide the split into folds;
    exposed clips are left out.

    References
    ----------
    .. [1] J. Guan, Y. Liu, Q. Zhu, T. Zheng, J. Han, W. Wang, "Time-weighted frequency domain audio
       representation with GMM estimator for anomalous sound detection", ICASSP 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.backends import GaussianMixtureDetector
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(m, 1, size=(50, 4)) for m in (-20, 20)])  # two speeds
    >>> detector = GaussianMixtureDetector(random_state=0).fit(X)
    >>> detector.n_components_
    2
    >>> detector.predict([[-20] * 4, [0] * 4, [20] * 4])
    array([ 1, -1,  1])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "reg_covar": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_components: int | str = "auto",
        reg_covar: float | str = "auto",
        random_state: Any = None,
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
    ) -> None:
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is None:
            return
        n_clips = len(clips.normal_index)
        fewest = 2 if isinstance(self.n_components, str) else max(2, self.n_components)
        if n_clips < fewest:
            raise ValueError(
                f"Got {n_clips} sample of normal clips for n_components={self.n_components!r}; "
                f"pass at least {fewest}."
            )

    @threadpool_limits.wrap(limits=1)  # arrays are so small that threads only slow it down
    def _learn(self, clips: TrainingClips) -> None:
        X = clips.data[clips.normal_index]
        seed = draw_seed(self.random_state)
        is_given = not isinstance(self.n_components, str)
        chosen: Any = self.n_components if is_given else self._choose_n_components(X, seed)
        self.n_components_ = chosen
        self._densities = self._fit_densities(X, chosen, seed)
        self.mean_, self.whitening_ = self._densities.mean, self._densities.whitening

    def _choose_n_components(self, X: np.ndarray, seed: int) -> int:
        """Return the smallest number of components that is about as good as the best one."""
        choices = [k for k in _CHOICES if k == 1 or k * _CLIPS_PER_COMPONENT <= len(X)]
        if len(choices) == 1:
            return 1
        folds = list(KFold(_FOLDS, shuffle=True, random_state=seed).split(X))

        def held_out(k: int) -> np.ndarray:
            parts = []
            for train, test in folds:
                densities = self._fit_densities(X[train], k, seed)
                parts.append(logsumexp(densities(X[test]).T, b=densities.weight, axis=1))
            return np.concatenate(parts)

        # Clip by clip: a difference of means says nothing without its noise.
        likelihood = np.stack([held_out(k) for k in choices])  # (n_choices, n_clips)
        behind = likelihood[likelihood.mean(axis=1).argmax()] - likelihood
        noise = behind.std(axis=1) / np.sqrt(len(X))
        return choices[int(np.flatnonzero(behind.mean(axis=1) <= noise)[0])]

    def _fit_densities(self, X: np.ndarray, n_components: int, seed: int) -> _Densities:
        """Fit a mixture, and shrink its covariances."""
        # scikit-learn's mixture starts from one k-means, which may miss a cluster.
        clusters = KMeans(n_components, n_init=_STARTS, random_state=seed).fit(X)
        share, ridge = 0.0, self.reg_covar
        if ridge == "auto":
            within = X - clusters.cluster_centers_[clusters.labels_]
            share = float(ledoit_wolf_shrinkage(within, assume_centered=True))
            ridge = max(share * np.square(within).mean(), _LEAST_RIDGE)
        mixture = GaussianMixture(
            n_components, reg_covar=ridge, max_iter=_MOST_STEPS, random_state=seed,
            means_init=clusters.cluster_centers_,
        ).fit(X)  # fmt: skip
        # The mixture has added the ridge already, which must not be shrunk.
        identity = ridge * np.eye(X.shape[1])
        shrunk = (1 - share) * (mixture.covariances_ - identity) + identity
        return _Densities(
            mixture.weights_, mixture.means_, np.stack([*map(whitening_matrix, shrunk)])
        )

    def contributions(self, X: Any) -> np.ndarray:
        """Compute the share of each feature in the distance to the likeliest Gaussian.

        Parameters
        ----------
        X : array of shape (n_clips, n_features)
            Clips, as in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float64
            Never negative; the sum of a row is the Mahalanobis distance, shared out as by
            `MahalanobisDetector.contributions`.
        """
        check_is_fitted(self)
        return by_rows(self._shares, self._prepare(X, reset=False))

    def _shares(self, rows: np.ndarray) -> np.ndarray:
        likeliest = self._densities(rows).argmax(axis=0)
        return shares_of_length(self._densities.whitened(rows), likeliest)

    def _score_samples(
        self, data: np.ndarray, index: np.ndarray | None = None, section: Any = None
    ) -> np.ndarray:
        X = data if index is None else data[index]
        return by_rows(lambda rows: self._densities(rows).max(axis=0), X)
