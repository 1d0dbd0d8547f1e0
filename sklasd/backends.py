"""Back ends: outlier detectors on embeddings or other features, one row per clip."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.covariance import LedoitWolf
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_distances
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from sklasd.base._base_detector import BaseDetector
from sklasd.base._training_clips import TrainingClips
from sklasd.scores import whitening_matrix

__all__ = ["KNNDetector", "MahalanobisDetector"]

_ROWS = 64  # clips that are always compared together, so that none depends on its company
_TINY = np.finfo(np.float32).tiny
_RIDGE = 1e-6  # of the mean variance, as in `whitening_matrix`
_CLIPS_PER_FEATURE = 5  # with fewer, the inverse of a sample covariance says little of new clips
_AGGREGATIONS: dict[str, Any] = {"mean": np.mean, "max": np.max, "sum": np.sum}


def _by_rows(function: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> np.ndarray:
    """Apply a function to `_ROWS` rows at a time, always as many: the last is repeated."""
    parts = []
    for first in range(0, len(X), _ROWS):
        index = np.arange(first, first + _ROWS).clip(max=len(X) - 1)
        parts.append(function(X[index])[: len(X) - first])
    return np.concatenate(parts)


def _by_domain(clips: TrainingClips, per_domain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of the banks, and the bank of each normal clip."""
    index = clips.normal_index
    if clips.domain is None or not per_domain:
        return np.array(["all"]), np.zeros(len(index), dtype=int)
    return np.unique(clips.domain[index].astype(str), return_inverse=True)


class _Bank:
    """Normal clips that others are compared with; everything is computed a few rows at a time."""

    def __init__(self, X: np.ndarray, settings: dict[str, Any]) -> None:
        self.X = X
        self.metric = settings["metric"]
        self.n_neighbors = settings["n_neighbors"]
        self.aggregate = settings["aggregation"]
        self.density = settings["density"]
        self.rho = None
        if self.density is not None:
            # One more than is averaged: what takes the place of a clip that is left out.
            self.n_around = min(settings["n_density_neighbors"], len(X) - 2)
            self.around, self.near = self._neighborhoods(self.n_around + 1)
            self.rho = self.near[:, :-1].mean(axis=1) + _TINY  # duplicates are infinitely dense

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Return the distance of new clips (n_clips,) to the bank."""
        return _by_rows(lambda rows: self._nearest(self._between(rows), self.rho), X)

    def left_out(self) -> np.ndarray:
        """Return the distance of each clip of the bank to all others, as if it were new."""
        parts = []
        for first in range(0, len(self.X), _ROWS):
            own = np.arange(first, min(first + _ROWS, len(self.X)))
            between = self._between(self.X[own])
            between[np.arange(len(own)), own] = np.inf
            parts.append(self._nearest(between, self._rho_without(own)))
        return np.concatenate(parts)

    def _between(self, rows: np.ndarray) -> np.ndarray:
        return pairwise_distances(rows, self.X, metric=self.metric)

    def _nearest(self, between: np.ndarray, rho: np.ndarray | None) -> np.ndarray:
        """Aggregate the least of some distances, (n_rows, n_bank) to (n_rows,)."""
        if rho is not None:
            between = between / rho if self.density == "ratio" else between - rho
        n_others = np.isfinite(between).sum(axis=1).min()
        k = min(self.n_neighbors, n_others)
        return _AGGREGATIONS[self.aggregate](np.partition(between, k - 1)[:, :k], axis=1)

    def _neighborhoods(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest others of each clip, and their distances, nearest first."""
        index, near = [], []
        for first in range(0, len(self.X), _ROWS):
            own = np.arange(first, min(first + _ROWS, len(self.X)))
            between = self._between(self.X[own])
            between[np.arange(len(own)), own] = np.inf
            index.append(np.argsort(between, axis=1, kind="stable")[:, :k])
            near.append(np.take_along_axis(between, index[-1], axis=1))
        return np.concatenate(index), np.concatenate(near)

    def _rho_without(self, own: np.ndarray) -> np.ndarray | None:
        """Return the densities of all clips in a bank without one, for each of some: (n_own, n)."""
        if self.rho is None:
            return None
        rho = np.tile(self.rho, (len(own), 1))
        for row, clip in enumerate(own):
            who, rank = np.nonzero(self.around[:, :-1] == clip)
            swapped = self.near[who, -1] - self.near[who, rank]
            rho[row, who] += swapped / self.n_around
        return rho


class KNNDetector(BaseDetector):
    r"""Detect anomalies by the distance to the nearest normal clips.

    .. math:: s(x) = -\operatorname{mean}_{r \in N_k(x)} d(x, r)

    over the :math:`k` nearest clips :math:`r` of the bank, which is all normal training clips.
    With `density`, a distance counts relative to the mean distance :math:`\rho(r)` of :math:`r` to
    its own nearest neighbours: a clip far from a sparse part of the bank is less of an anomaly than
    one as far from a dense part.

    Parameters
    ----------
    n_neighbors : int, default=1
        :math:`k`; no more count than there are clips.
    metric : {"euclidean", "cosine", "manhattan"}, default="euclidean"
        The distance :math:`d`.
    aggregation : {"mean", "max", "sum"}, default="mean"
        How the :math:`k` distances become one.
    density : {"ratio", "difference"}, default=None
        Take :math:`d(x, r) / \rho(r)` or :math:`d(x, r) - \rho(r)` in the place of
        :math:`d(x, r)`.
    n_density_neighbors : int, default=4
        Neighbours that :math:`\rho` is the mean distance to; no more count than there are clips
        less two.
    per_domain : bool, default=False
        One bank for each domain that `fit` is told of. The distances to a bank are standardised by
        those of its own clips, each left out in turn, and the smallest one counts.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: by a gamma fit to the anomaly scores, by
        their empirical quantile, by the rank below which ``p_values(X) <= contamination``, or by a
        function of the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips that is to lie beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are made. "auto" leaves each clip out in turn, in a closed form;
        with `per_domain` or groups it deals up to ten folds. An int is
        the number of folds, each scored by what was learnt from the others; a scikit-learn splitter
        deals them. None takes the training clips' own scores, which are all 0 for one neighbour.

    Attributes
    ----------
    domains_ : ndarray of str, shape (n_banks,)
        Names of the banks; "all" where there is one.
    bank_scales_ : ndarray of shape (n_banks, 2)
        Mean and deviation of the distances within each bank; 0 and 1 without `per_domain`.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        What normal clips score that were not learnt from.
    offset_ : float
        Score below which a clip is called anomalous.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    MahalanobisDetector : One Gaussian in the place of neighbours.

    Notes
    -----
    Leave-one-out scores of nearest-neighbour distances make valid, slightly conservative p-values:
    all clips serve as bank and as calibration, and nothing is searched twice. With `density`,
    :math:`\rho` of a clip's neighbours is that of the bank without the clip.

    The ratio and the difference are those of [1]_, whose :math:`\rho` excludes the clip itself;
    duplicates have a :math:`\rho` of nearly 0, so that by the ratio others are nearer.
    `per_domain` is the domain-wise minimum of [2]_, which standardises by the distances of the
    *test* clips; here it is by those of the training clips, so that one clip alone can be scored.

    A clip costs n_clips times n_features multiply-adds.

    References
    ----------
    .. [1] K. Wilkinghoff, H. Yang, J. Ebbers, F. Germain, G. Wichern, J. Le Roux, "Keeping the
       balance: anomaly score calculation for domain generalization", ICASSP 2025.
    .. [2] P. Saengthong, T. Shinozaki, "Deep generic representations for domain-generalized
       anomalous sound detection", ICASSP 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sklasd.backends import KNNDetector
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> detector = KNNDetector().fit(X)
    >>> detector.predict(X[:1] + 9)
    array([-1])
    >>> detector.p_values(X[:1] + 9).round(4)  # the least that 50 clips can tell: 1 / 51
    array([0.0196])
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseDetector._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"euclidean", "cosine", "manhattan"})],
        "aggregation": [StrOptions(set(_AGGREGATIONS))],
        "density": [StrOptions({"ratio", "difference"}), None],
        "n_density_neighbors": [Interval(Integral, 1, None, closed="left")],
        "per_domain": ["boolean"],
    }

    def __init__(
        self,
        *,
        n_neighbors: int = 1,
        metric: str = "euclidean",
        aggregation: str = "mean",
        density: str | None = None,
        n_density_neighbors: int = 4,
        per_domain: bool = False,
        threshold: Any = "gamma",
        contamination: float = 0.1,
        calibration: Any = "auto",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.aggregation = aggregation
        self.density = density
        self.n_density_neighbors = n_density_neighbors
        self.per_domain = per_domain
        self.threshold = threshold
        self.contamination = contamination
        self.calibration = calibration

    def _check_params(
        self, n_features: int | None = None, clips: TrainingClips | None = None
    ) -> None:
        if clips is None:
            return
        fewest = 2 if self.density is None else 3
        for name, bank in self._deal(clips).items():
            if len(bank) < fewest:
                raise ValueError(
                    f"Got {len(bank)} sample of normal clips in the bank {name!r}; a clip needs "
                    f"others to be compared with: pass at least {fewest}, or per_domain=False, "
                    "density=None or calibration=None."
                )

    def _deal(self, clips: TrainingClips) -> dict[str, np.ndarray]:
        """Return the normal clips of each bank, by the name of the bank."""
        names, number = _by_domain(clips, self.per_domain)
        X = clips.data[clips.normal_index]
        return {str(name): X[number == i] for i, name in enumerate(names)}

    def _learn(self, clips: TrainingClips) -> None:
        banks = {name: _Bank(X, self.get_params()) for name, X in self._deal(clips).items()}
        self.domains_ = np.array(list(banks))
        self._banks = list(banks.values())
        self.bank_scales_ = np.tile([0.0, 1.0], (len(banks), 1))
        if self.per_domain:
            within = [bank.left_out() for bank in self._banks]
            self.bank_scales_ = np.array([(d.mean(), max(d.std(), _TINY)) for d in within])

    def _score_samples(self, data: np.ndarray, clips: Any = None) -> np.ndarray:
        X = data if clips is None else data[clips]
        scales = zip(self._banks, self.bank_scales_, strict=True)
        return -np.min([(bank.distances(X) - m) / s for bank, (m, s) in scales], axis=0)

    @available_if(lambda self: not self.per_domain)
    def _leave_one_out(self, clips: TrainingClips) -> np.ndarray:
        return -self._banks[0].left_out()


class MahalanobisDetector(BaseDetector):
    r"""Detect anomalies by the Mahalanobis distance to normal clips.

    .. math:: s(x) = -\min_{\text{domains}} \sqrt{(x - \mu)^\top \Sigma^{-1} (x - \mu)}

    Parameters
    ----------
    covariance : {"auto", "sample", "shrunk"}, default="auto"
        What :math:`\Sigma` is: the sample covariance, or that shrunk towards a multiple of the
        identity by Ledoit and Wolf's rule. "auto" takes the sample covariance from five times as
        many clips as features on. Shrinking depends on the scales of the features: put a
        `StandardScaler` before.
    per_domain : bool, default=True
        Mean and covariance for each domain that `fit` is told of; the least distance counts.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: by a gamma fit to the anomaly scores, by
        their empirical quantile, by the rank below which ``p_values(X) <= contamination``, or by a
        function of the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips that is to lie beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are made. "auto" leaves each clip out in turn, in a closed form;
        with groups it deals five folds. An int is the number of folds, each scored by what was
        learnt from the others; a scikit-learn splitter deals them. None takes the training clips'
        own scores.

    Attributes
    ----------
    domains_ : ndarray of str, shape (n_domains,)
        Which domains have a Gaussian of their own; "all" where there is one.
    mean_ : ndarray of shape (n_domains, n_features)
        :math:`\mu`.
    whitening_ : ndarray of shape (n_domains, n_features, n_features)
        :math:`W` with :math:`W W^\top = \Sigma^{-1}`.
    shrinkage_ : ndarray of shape (n_domains,)
        Share of the identity in :math:`\Sigma`, from 0 to 1.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        What normal clips score that were not learnt from.
    offset_ : float
        Score below which a clip is called anomalous.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    KNNDetector : Nearest neighbours in the place of a Gaussian.

    Notes
    -----
    What a clip would score, had it been left out, needs no refit: the covariance without it is a
    rank-one downdate, and the shrinkage without it follows from sums over all clips. So every clip
    serves both as reference and as calibration.

    A millionth of the mean variance is added to the diagonal, so that any covariance can be
    inverted.

    A clip costs the square of n_features multiply-adds for each domain.

    References
    ----------
    .. [1] O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis, 2004.

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
        fewest = 3 if self.calibration is None else 4  # a covariance, also without one of them
        names, number = _by_domain(clips, self.per_domain)
        for name, count in zip(names, np.bincount(number), strict=True):
            if count < fewest:
                raise ValueError(
                    f"Got {count} sample of normal clips in the domain {str(name)!r}, too few for "
                    f"a covariance; pass at least {fewest}, or per_domain=False."
                )

    def _learn(self, clips: TrainingClips) -> None:
        X = clips.data[clips.normal_index]
        self.domains_, self._number = _by_domain(clips, self.per_domain)
        learnt = [self._fit_gaussian(X[self._number == i]) for i in range(len(self.domains_))]
        self.mean_, self.whitening_, self.shrinkage_ = map(np.stack, zip(*learnt, strict=True))

    def _fit_gaussian(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return mean, whitening matrix and shrinkage of the clips of a domain."""
        if self._is_shrunk(*X.shape):
            shrunk = LedoitWolf().fit(X)
            covariance, shrinkage = shrunk.covariance_, float(shrunk.shrinkage_)
        else:
            covariance, shrinkage = np.atleast_2d(np.cov(X, rowvar=False)), 0.0
        return X.mean(axis=0), whitening_matrix(covariance), shrinkage

    def _is_shrunk(self, n_clips: int, n_features: int) -> bool:
        if self.covariance == "auto":
            return n_clips < _CLIPS_PER_FEATURE * n_features
        return self.covariance == "shrunk"

    def _score_samples(self, data: np.ndarray, clips: Any = None) -> np.ndarray:
        X = data if clips is None else data[clips]
        return -self._distances(X).min(axis=0)

    def _distances(self, X: np.ndarray) -> np.ndarray:
        """Return the distances to each domain, (n_domains, n_clips)."""

        def lengths(rows: np.ndarray) -> np.ndarray:
            # (n_domains, n_rows, n_features), to (n_rows, n_domains)
            return np.linalg.norm((rows - self.mean_[:, None]) @ self.whitening_, axis=2).T

        return _by_rows(lengths, X).T

    def _leave_one_out(self, clips: TrainingClips) -> np.ndarray:
        X = clips.data[clips.normal_index]
        distances = self._distances(X)
        for i in range(len(self.domains_)):
            own = self._number == i
            distances[i, own] = _left_out_distances(X[own], self._is_shrunk(*X[own].shape))
        return -distances.min(axis=0)


def _left_out_distances(X: np.ndarray, is_shrunk: bool) -> np.ndarray:
    r"""Find the Mahalanobis distance of each clip to all others, without refitting.

    With :math:`x` centred about the mean of all n clips, the others' scatter is
    :math:`S - c x x^\top`, :math:`c = n / (n - 1)`, and the clip lies :math:`c x` from their mean.
    In the axes of S, the inverse of what is added to a multiple of the identity is Sherman and
    Morrison's.
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
    b = b + np.maximum(_RIDGE * variance, _TINY)
    q = (np.square(z) / (np.outer(a, scatter) + b[:, None])).sum(axis=1)
    return c * np.sqrt(q / (1 - a * c * q))


def _left_out_shrinkage(z: np.ndarray, scatter: np.ndarray, n_features: int) -> np.ndarray:
    """Find Ledoit and Wolf's shrinkage of all clips but one, for each, from sums over all."""
    n = len(z)
    m, c = n - 1, n / (n - 1)
    squared = np.square(z).sum(axis=1)
    trace = squared.sum() - c * squared
    # |x_k + x_i / m|^4 over all k but i: what the others are, centred about their own mean
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


class NearestMean(BaseEstimator):
    """Score embeddings by their cosine distance to the mean of normal clips; it decides nothing.

    Examples
    --------
    >>> references = np.array([[2.0, 0.0], [0.0, 2.0]])
    >>> NearestMean().fit(references).score_samples(np.array([[3.0, 3.0]])).round(6) + 0
    array([0.])
    """

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Average the normal clips X (n_clips, n_features)."""
        self.mean_ = X.mean(axis=0, keepdims=True)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the distance of each row, (n_rows,)."""
        return -cosine_distances(X, self.mean_)[:, 0]
