"""Nearest normal clips, with and without regard to their density."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import cosine_distances
from sklearn.utils._param_validation import Interval, StrOptions

from sklasd.backends._domains import by_domain
from sklasd.base import BaseDetector, TrainingClips
from sklasd.scores import TINY
from sklasd.utils._rows import by_rows

_AT_ONCE = 64  # clips that are compared with all others in one step: bounds the memory
_AGGREGATIONS: dict[str, Any] = {"mean": np.mean, "max": np.max, "sum": np.sum}


class _Bank:
    """Normal clips to compare others with, a few rows at a time."""

    def __init__(self, X: np.ndarray, settings: dict[str, Any]) -> None:
        self.X = X
        self.metric = settings["metric"]
        self.n_neighbors = settings["n_neighbors"]
        self.aggregate = settings["aggregation"]
        self.density = settings["density"]
        self.rho = None
        if self.density is not None:
            # One more than is averaged, to replace a neighbour that is left out.
            self.n_around = min(settings["n_density_neighbors"], len(X) - 3)
            self.around, self.near = self._neighborhoods(self.n_around + 1)
            self.rho = self.near[:, :-1].mean(axis=1) + TINY  # duplicates are infinitely dense

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Return the distance of new clips (n_clips,) to the bank."""
        n = len(self.X)
        return by_rows(lambda rows: self._nearest(self._between(rows), self.rho, n), X)

    def left_out(self) -> np.ndarray:
        """Return the distance of each clip of the bank to all others, as if it were new."""
        parts = []
        for first in range(0, len(self.X), _AT_ONCE):
            own = np.arange(first, min(first + _AT_ONCE, len(self.X)))
            between = self._between(self.X[own])
            between[np.arange(len(own)), own] = np.inf  # a clip is not its own neighbour
            parts.append(self._nearest(between, self._rho_without(own), len(self.X) - 1))
        return np.concatenate(parts)

    def _between(self, rows: np.ndarray) -> np.ndarray:
        return pairwise_distances(rows, self.X, metric=self.metric)

    def _nearest(self, between: np.ndarray, rho: np.ndarray | None, n: int) -> np.ndarray:
        """Aggregate distances to the nearest of n clips, (n_rows, n_bank) to (n_rows,)."""
        if rho is not None:
            between = between / rho if self.density == "ratio" else between - rho
        k = min(self.n_neighbors, n)
        return _AGGREGATIONS[self.aggregate](np.partition(between, k - 1)[:, :k], axis=1)

    def _neighborhoods(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k nearest others of each clip, and their distances, nearest first."""
        index, near = [], []
        for first in range(0, len(self.X), _AT_ONCE):
            own = np.arange(first, min(first + _AT_ONCE, len(self.X)))
            between = self._between(self.X[own])
            between[np.arange(len(own)), own] = np.inf
            index.append(np.argsort(between, axis=1, kind="stable")[:, :k])
            near.append(np.take_along_axis(between, index[-1], axis=1))
        return np.concatenate(index), np.concatenate(near)

    def _rho_without(self, own: np.ndarray) -> np.ndarray | None:
        """Return the mean distances of all clips in the bank without each of some, (n_own, n)."""
        if self.rho is None:
            return None
        # Only clips with the one that is left out among their neighbours change: the next nearest
        # takes its place.
        rho = np.tile(self.rho, (len(own), 1))
        for row, clip in enumerate(own):
            near_it, rank = np.nonzero(self.around[:, :-1] == clip)
            increase = self.near[near_it, -1] - self.near[near_it, rank]
            rho[row, near_it] += increase / self.n_around
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
        :math:`k`, at most the number of clips.
    metric : {"euclidean", "cosine", "manhattan"}, default="euclidean"
        The distance :math:`d`.
    aggregation : {"mean", "max", "sum"}, default="mean"
        How the :math:`k` distances become one.
    density : {"ratio", "difference"}, default=None
        Use :math:`d(x, r) / \rho(r)` or :math:`d(x, r) - \rho(r)` instead of :math:`d(x, r)`.
    n_density_neighbors : int, default=4
        Number of neighbours in :math:`\rho`, at most the number of clips less three.
    per_domain : bool, default=False
        Use one bank for each domain passed to `fit`. The distances to a bank are standardised by
        those of its own clips, each left out in turn, and the smallest one counts.
    threshold : {"gamma", "quantile", "conformal"} or callable, default="gamma"
        How `offset_` is found from `calibration_scores_`: "gamma" fits a gamma distribution to the
        anomaly scores, "quantile" takes their quantile, "conformal" takes the rank below which
        ``p_values(X) <= contamination``. A callable computes it from the scores (n_clips,).
    contamination : float, default=0.1
        Share of new normal clips beyond the threshold: the false-alarm rate.
    calibration : {"auto"}, int, splitter or None, default="auto"
        How `calibration_scores_` are computed. "auto" leaves each clip out in turn, in a closed
        form; with `per_domain` or groups it uses folds. An int is the number of folds; a
        scikit-learn splitter makes its own. None uses the training clips' own scores, which are all
        0 for one neighbour.

    Attributes
    ----------
    domains_ : ndarray of str, shape (n_banks,)
        Names of the banks; "all" if there is one.
    bank_scales_ : ndarray of shape (n_banks, 2)
        Mean and deviation of the distances within each bank; 0 and 1 without `per_domain`.
    calibration_scores_ : ndarray of shape (n_calibration_clips,)
        Scores of the normal clips that set the threshold.
    offset_ : float
        Threshold: clips that score below it are anomalous.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    MahalanobisDetector : One Gaussian instead of neighbours.

    Notes
    -----
    Leave-one-out scores of nearest-neighbour distances give valid, slightly conservative p-values:
    all clips serve as bank and as calibration. With `density`, :math:`\rho` of a clip's neighbours
    is that of the bank without the clip (exactly, if the bank has three clips more than
    `n_density_neighbors`). `section` only guides the split into folds; exposed clips are left out.

    The ratio and the difference are those of [1]_, whose :math:`\rho` excludes the clip itself.
    Duplicates have a :math:`\rho` of nearly 0, so that by the ratio other clips are nearer.
    `per_domain` is the domain-wise minimum of [2]_, which standardises by the distances of the
    *test* clips; here the training clips' distances serve, so that a single clip can be scored.

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
    >>> detector.p_values(X[:1] + 9).round(4)  # the least value for 50 clips: 1 / 51
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
        fewest = 2 if self.density is None else 4  # `density` needs neighbours of neighbours
        for name, bank in self._banks_of(clips).items():
            if len(bank) < fewest:
                raise ValueError(
                    f"Got {len(bank)} sample of normal clips in the bank {name!r}, but a clip is "
                    f"compared with others; pass at least {fewest}"
                    f"{', or per_domain=False' * self.per_domain}."
                )

    def _banks_of(self, clips: TrainingClips) -> dict[str, np.ndarray]:
        """Return the normal clips of each bank, by the name of the bank."""
        names, number = by_domain(clips, self.per_domain)
        X = clips.data[clips.normal_index]
        return {str(name): X[number == i] for i, name in enumerate(names)}

    def _auto_calibration(self, clips: TrainingClips) -> str:
        # With several banks, leaving a clip out also changes the scale of its bank.
        is_closed = clips.are_independent and not self.per_domain
        return "closed form" if is_closed else "many folds"

    def _learn(self, clips: TrainingClips) -> None:
        banks = {name: _Bank(X, self.get_params()) for name, X in self._banks_of(clips).items()}
        self.domains_ = np.array(list(banks))
        self._banks = list(banks.values())
        # Without `per_domain` they change nothing: distances to one bank need no common unit.
        self.bank_scales_ = np.tile([0.0, 1.0], (len(banks), 1))
        if self.per_domain:
            within = [bank.left_out() for bank in self._banks]
            self.bank_scales_ = np.array([(d.mean(), max(d.std(), TINY)) for d in within])

    def _score_samples(
        self, data: np.ndarray, index: np.ndarray | None = None, section: Any = None
    ) -> np.ndarray:
        X = data if index is None else data[index]
        scales = zip(self._banks, self.bank_scales_, strict=True)
        return -np.min([(bank.distances(X) - m) / s for bank, (m, s) in scales], axis=0)

    def _left_out_scores(self, clips: TrainingClips) -> np.ndarray:
        return -self._banks[0].left_out()


class NearestMean(BaseEstimator):
    """Score embeddings by their cosine distance to the mean of normal clips, without a threshold.

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
