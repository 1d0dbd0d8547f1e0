"""One Gaussian of normal clips, or one for each domain."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklasd.backends._domains import by_domain
from sklasd.base import BaseDetector, TrainingClips
from sklasd.scores import RIDGE, TINY, shares_of_length
from sklasd.utils._rows import by_rows

_LEAST_REST = 1e-6  # share that remains of a clip's axis without the clip: below, digits cancel
_LEAST_SQUARED = 1e-12  # of the greatest squared length: below, an axis is rounding noise
_CLIPS_PER_FEATURE = 5  # with fewer, the inverse of a sample covariance says little of new clips


class _Gaussian(NamedTuple):
    """Mean and covariance of clips, which are often fewer than their features.

    Apart from a multiple of the identity, the covariance lies in the few axes that the clips span:
    no array has the size n_features x n_features.
    """

    mean: np.ndarray  # (n_features,)
    axes: np.ndarray  # (rank, n_features)
    along: np.ndarray  # (rank,), factors of deviations along the axes
    aside: float  # factor of deviations across all axes
    shrinkage: float

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Multiply deviations from the mean by the root of the inverse covariance."""
        z = rows - self.mean
        return self.aside * z + (z @ self.axes.T * (self.along - self.aside)) @ self.axes


class MahalanobisDetector(BaseDetector):
    r"""Detect anomalies by the Mahalanobis distance to normal clips.

    .. math:: s(x) = -\min_{\text{domains}} \sqrt{(x - \mu)^\top \Sigma^{-1} (x - \mu)}

    Parameters
    ----------
    covariance : {"auto", "sample", "shrunk"}, default="auto"
        Estimate of :math:`\Sigma`: the sample covariance, or that shrunk towards a multiple of the
        identity by Ledoit and Wolf's rule. "auto" takes the sample covariance if there are at least
        five times as many clips as features. Shrinkage depends on the scales of the features: put a
        `StandardScaler` before it.
    per_domain : bool, default=True
        Mean and covariance for each domain passed to `fit`; the least distance counts.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" leaves each clip out in turn, in a closed
        form; with groups it makes five folds. An int is the number of folds; a scikit-learn
        splitter makes its own. None uses the training clips' own scores.

    Attributes
    ----------
    domains_ : ndarray of str, shape (n_domains,)
        Names of the domains that have a Gaussian; "all" if there is one.
    mean_ : ndarray of shape (n_domains, n_features)
        :math:`\mu`.
    whitening_ : ndarray of shape (n_domains, n_features, n_features)
        :math:`W = \Sigma^{-1/2}`, symmetric.
    shrinkage_ : ndarray of shape (n_domains,)
        Share of the identity in :math:`\Sigma`, from 0 to 1.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    KNNDetector : Nearest neighbours instead of a Gaussian.

    Notes
    -----
    The score of a clip that is left out needs no refit: the covariance without it is a rank-one
    downdate, and the shrinkage without it follows from sums over all clips. So every clip serves
    both as reference and as calibration.

    A millionth of the mean variance is added to the diagonal, so that any covariance can be
    inverted. `contributions` use the symmetric whitening matrix, which leaves each feature closest
    to itself [2]_. `section` only guides the split into folds; exposed clips are left out.

    For each domain, a clip costs twice n_features times the number of training clips, at most
    n_features, in multiply-adds.

    References
    ----------
    .. [1] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis, 2004.
    .. [2] A. Kessy, A. Lewin, K. Strimmer, "Optimal whitening and decorrelation", The American
       Statistician, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.backends import MahalanobisDetector
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> detector = MahalanobisDetector().fit(X)
    >>> detector.predict(X[:1] + 9)
    array([-1])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "covariance": [StrOptions({"auto", "sample", "shrunk"})],
        "per_domain": ["boolean"],
    }

    def __init__(
        self,
        *,
        covariance: str = "auto",
        per_domain: bool = True,
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
    ) -> None:
        self.covariance = covariance
        self.per_domain = per_domain
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is None:
            return
        fewest = 4 if clips.leaves_one_out else 3  # a covariance, also without one of them
        names, number = by_domain(clips, self.per_domain)
        for name, count in zip(names, np.bincount(number), strict=True):
            if count < fewest:
                raise ValueError(
                    f"Got {count} sample of normal clips in the domain {str(name)!r}, too few for "
                    f"a covariance; pass at least {fewest}"
                    f"{', or per_domain=False' * (len(names) > 1)}."
                )

    def _auto_calibration(self, clips: TrainingClips) -> str:
        return "closed form" if clips.are_independent else "many folds"

    def _learn(self, clips: TrainingClips) -> None:
        X = clips.data[clips.normal_index]
        self.domains_, self._number = by_domain(clips, self.per_domain)
        banks = [X[self._number == i] for i in range(len(self.domains_))]
        self._gaussians = [_fit_gaussian(bank, self._is_shrunk(*bank.shape)) for bank in banks]
        self.mean_ = np.stack([each.mean for each in self._gaussians])
        self.shrinkage_ = np.array([each.shrinkage for each in self._gaussians])

    @property
    def whitening_(self) -> np.ndarray:
        """Whitening matrices, shape (n_domains, n_features, n_features)."""
        if "_gaussians" not in vars(self):  # check_is_fitted would ask for this very attribute
            raise AttributeError("This MahalanobisDetector has no whitening_ before it is fitted.")
        n_features = self.mean_.shape[1]
        return np.stack([g.whiten(g.mean + np.eye(n_features)) for g in self._gaussians])

    def _is_shrunk(self, n_clips: int, n_features: int) -> bool:
        if self.covariance == "auto":
            return n_clips < _CLIPS_PER_FEATURE * n_features
        return self.covariance == "shrunk"

    def contributions(self, X: Any) -> np.ndarray:
        r"""Compute the share of each feature in each clip's distance.

        With the whitened clip :math:`w = \Sigma^{-1/2} (x - \mu)` of the nearest domain, feature j
        contributes :math:`w_j^2 / \|w\|`.

        Parameters
        ----------
        X : array of shape (n_clips, n_features)
            Clips, as in `fit`.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float64
            Never negative; the sum of a row is the distance, ``-score_samples(X)``.
        """
        check_is_fitted(self)
        return by_rows(self._shares, self._prepare(X, reset=False))

    def _shares(self, rows: np.ndarray) -> np.ndarray:
        whitened = self._whitened(rows)
        return shares_of_length(whitened, np.linalg.norm(whitened, axis=2).argmin(axis=0))

    def _score_samples(
        self, data: np.ndarray, index: np.ndarray | None = None, section: Any = None
    ) -> np.ndarray:
        X = data if index is None else data[index]
        return -by_rows(self._distances, X).min(axis=1)

    def _distances(self, rows: np.ndarray) -> np.ndarray:
        """Return the distances to each domain, (n_rows, n_domains)."""
        by_domain = [np.linalg.norm(each.whiten(rows), axis=1) for each in self._gaussians]
        return np.stack(by_domain, axis=1)

    def _whitened(self, rows: np.ndarray) -> np.ndarray:
        """Whiten rows by the Gaussian of each domain, (n_domains, n_rows, n_features)."""
        return np.stack([each.whiten(rows) for each in self._gaussians])

    def _left_out_scores(self, clips: TrainingClips) -> np.ndarray:
        X = clips.data[clips.normal_index]
        distances = by_rows(self._distances, X)
        # A clip takes part in the Gaussian of its own domain only: the other distances stay.
        for i in range(len(self.domains_)):
            own = np.flatnonzero(self._number == i)
            is_shrunk = self._is_shrunk(*X[own].shape)
            left_out = _left_out_distances(X[own], is_shrunk)
            for clip in np.flatnonzero(np.isnan(left_out)):  # rare: see `_left_out_distances`
                others = _fit_gaussian(np.delete(X[own], clip, axis=0), is_shrunk)
                left_out[clip] = np.linalg.norm(others.whiten(X[own[[clip]]]))
            distances[own, i] = left_out
        return -distances.min(axis=1)


def _fit_gaussian(X: np.ndarray, is_shrunk: bool) -> _Gaussian:
    """Fit a Gaussian to the clips of a domain."""
    n, n_features = X.shape
    mean = X.mean(axis=0)
    lengths, axes = _principal_axes(X - mean)
    total = np.square(lengths).sum()
    if is_shrunk:
        shrinkage = float(ledoit_wolf_shrinkage(X))
        variances, rest = (1 - shrinkage) * lengths**2 / n, shrinkage * total / (n * n_features)
        mean_variance = total / (n * n_features)
    else:
        shrinkage, variances, rest = 0.0, lengths**2 / (n - 1), 0.0
        mean_variance = total / ((n - 1) * n_features)
    rest += max(RIDGE * mean_variance, TINY)
    return _Gaussian(mean, axes, 1 / np.sqrt(variances + rest), float(1 / np.sqrt(rest)), shrinkage)


def _principal_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular values (rank,) and their axes (rank, n_features)."""
    if len(centred) > centred.shape[1]:
        return np.linalg.svd(centred, full_matrices=False)[1:]
    # Ten times as fast for few clips; it loses only axes along which nothing varies.
    squared, vectors = np.linalg.eigh(centred @ centred.T)
    spanned = squared > _LEAST_SQUARED * max(squared.max(), TINY)
    lengths = np.sqrt(squared[spanned])
    return lengths, (vectors[:, spanned].T @ centred) / lengths[:, None]


def _left_out_distances(X: np.ndarray, is_shrunk: bool) -> np.ndarray:
    r"""Compute the Mahalanobis distance of each clip to all others, without refitting.

    With :math:`x` centred about the mean of all n clips, the others' scatter is
    :math:`S - c x x^\top`, :math:`c = n / (n - 1)`, and the clip lies :math:`c x` from their mean.
    Their covariance is this, scaled, plus a multiple of the identity: a diagonal matrix in the axes
    of S less a matrix of rank one, which the formula of Sherman and Morrison inverts. NaN marks a
    clip that makes up an axis by itself: only a refit gives its distance.
    """
    n, n_features = X.shape
    m, c = n - 1, n / (n - 1)
    vectors, lengths, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    z, scatter = vectors * lengths, np.square(lengths)  # clips in the axes, (n, rank)
    squared = np.square(z).sum(axis=1)
    variance = (squared.sum() - c * squared) / (m * n_features)  # the mean one, without each clip
    if is_shrunk:
        shrinkage = _left_out_shrinkage(z, scatter, n_features)
        a, b = (1 - shrinkage) / m, shrinkage * variance
    else:
        a, b = np.full(n, 1 / (m - 1)), np.zeros(n)
        variance = variance * m / (m - 1)
    b = b + np.maximum(RIDGE * variance, TINY)
    q = (np.square(z) / (np.outer(a, scatter) + b[:, None])).sum(axis=1)
    rest = 1 - a * c * q
    return c * np.sqrt(np.where(rest > _LEAST_REST, q / rest, np.nan))


def _left_out_shrinkage(z: np.ndarray, scatter: np.ndarray, n_features: int) -> np.ndarray:
    """Compute Ledoit and Wolf's shrinkage without each clip in turn, from sums over all clips."""
    n = len(z)
    m, c = n - 1, n / (n - 1)
    squared = np.square(z).sum(axis=1)
    trace = squared.sum() - c * squared
    # |x_k + x_i / m|^4 over all k but i: the others, centred about their own mean
    fourth = np.array(
        [np.square(np.delete(squared + 2 * (z @ x) / m + x @ x / m**2, i)).sum()
         for i, x in enumerate(z)]
    )  # fmt: skip
    through = np.square(z) @ scatter
    of_square = (np.square(scatter).sum() - 2 * c * through + c**2 * squared**2) / m**2
    mean = trace / (m * n_features)
    spread = (of_square - 2 * mean * trace / m + n_features * mean**2) / n_features
    noise = np.minimum((fourth / m - of_square) / (n_features * m), spread)
    return np.divide(noise, spread, out=np.zeros(n), where=noise > 0)
