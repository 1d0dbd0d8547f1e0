"""Distances and back ends that turn residuals and embeddings into anomaly scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.covariance import LedoitWolf
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from torch import Tensor
from torch.nn.functional import cosine_similarity

_RIDGE = 1e-6  # of the mean variance: makes any covariance invertible, changes no sound one
_REFERENCES_PER_FEATURE = 5  # fewer, and an inverse covariance is shrunk; the paper has 6 to 12


def whitening_matrix(covariance: np.ndarray) -> np.ndarray:
    r"""Find the matrix that turns Mahalanobis lengths into Euclidean ones.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Symmetric, positive semi-definite; it may lack full rank.

    Returns
    -------
    ndarray of shape (n_features, n_features), float64
        W with :math:`W W^\top = (\Sigma + \epsilon I)^{-1}`, where :math:`\epsilon` is a millionth
        of the mean variance.

    Examples
    --------
    >>> W = whitening_matrix(np.diag([1.0, 4.0]))
    >>> (W @ W.T).round(4)
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    """
    variances, axes = np.linalg.eigh(covariance)
    ridge = max(_RIDGE * variances.mean(), np.finfo(np.float32).tiny)
    return axes / np.sqrt(variances.clip(min=0) + ridge)


def mahalanobis_squared(x: Tensor, whitening: Tensor) -> Tensor:
    r"""Squared Mahalanobis length, :math:`x^\top \Sigma^{-1} x = \|W^\top x\|^2`.

    Parameters
    ----------
    x : Tensor of shape (..., n_features)
        Deviations.
    whitening : Tensor of shape (n_features, n_features)
        From `whitening_matrix`; a sum of squares loses no precision to cancellation.

    Returns
    -------
    Tensor of shape (...,)
        Without the root.

    Examples
    --------
    >>> import torch
    >>> mahalanobis_squared(torch.tensor([[3.0, 4.0]]), torch.eye(2))
    tensor([25.])
    """
    return (x @ whitening).square().sum(-1)


def l1_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Sum of absolute differences, :math:`\sum_j |a_j - b_j|`.

    Parameters
    ----------
    a, b : Tensor of shape (batch, ...)
        What is compared, row by row.

    Returns
    -------
    Tensor of shape (batch,)
        A distance for each row.

    Examples
    --------
    >>> import torch
    >>> l1_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    tensor([5.])
    """
    return (a - b).flatten(1).abs().sum(dim=1)


def l2_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Sum of squared differences, :math:`\sum_j (a_j - b_j)^2`, without the root.

    Parameters
    ----------
    a, b : Tensor of shape (batch, ...)
        What is compared, row by row.

    Returns
    -------
    Tensor of shape (batch,)
        A distance for each row.

    Examples
    --------
    >>> import torch
    >>> l2_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    tensor([13.])
    """
    return (a - b).flatten(1).square().sum(dim=1)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""One less the cosine, :math:`1 - a^\top b / (\|a\| \|b\|)`; 1 where one of them is 0.

    Parameters
    ----------
    a, b : Tensor of shape (batch, ...)
        What is compared, row by row.

    Returns
    -------
    Tensor of shape (batch,)
        A distance for each row.

    Examples
    --------
    >>> import torch
    >>> cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    tensor([1.])
    """
    return 1 - cosine_similarity(a.flatten(1), b.flatten(1))


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1_distance,
    "l2": l2_distance,
    "cosine": cosine_distance,
}


class CosineNeighbors(BaseEstimator):
    """Score embeddings by the cosine distances to the nearest of a reference.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many distances are summed; no more than there are references.

    Examples
    --------
    >>> references = np.eye(3)
    >>> CosineNeighbors().fit(references).score_samples(np.array([[1.0, 0.0, 0.0]]))
    array([-1.])
    """

    def __init__(self, n_neighbors: int = 2) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Keep the references X (n_references, n_features)."""
        n_neighbors = min(self.n_neighbors, len(X))
        self.neighbors_ = NearestNeighbors(n_neighbors=n_neighbors, metric="cosine").fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the sum of distances of each row, (n_rows,)."""
        distances, _ = self.neighbors_.kneighbors(X)
        return -distances.sum(axis=1)


class CosineToMean(BaseEstimator):
    """Score embeddings by their cosine distance to the mean of a reference.

    Examples
    --------
    >>> references = np.array([[2.0, 0.0], [0.0, 2.0]])
    >>> CosineToMean().fit(references).score_samples(np.array([[3.0, 3.0]])).round(6) + 0
    array([0.])
    """

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Average the references X (n_references, n_features)."""
        self.mean_ = X.mean(axis=0, keepdims=True)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the distance of each row, (n_rows,)."""
        return -cosine_distances(X, self.mean_)[:, 0]


class Mahalanobis(BaseEstimator):
    """Score embeddings by their Mahalanobis distance to a reference.

    Parameters
    ----------
    shrink : bool, default=False
        Shrink the sample covariance towards a multiple of the identity, by Ledoit and Wolf's
        rule. Without, it cannot be inverted unless there are more references than features, and
        says little of new embeddings unless there are several times as many.

    Attributes
    ----------
    shrinkage_ : float
        Share of the identity, from 0 to 1.

    Examples
    --------
    >>> references = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    >>> Mahalanobis().fit(references).score_samples(np.array([[0.0, 2.0]])).round(3)
    array([-1.225])
    """

    def __init__(self, shrink: bool = False) -> None:
        self.shrink = shrink

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Learn mean and covariance of the references X (n_references, n_features)."""
        self.mean_ = X.mean(axis=0)
        if self.shrink:
            shrunk = LedoitWolf().fit(X)
            covariance, self.shrinkage_ = shrunk.covariance_, float(shrunk.shrinkage_)
        else:
            covariance, self.shrinkage_ = np.cov(X, rowvar=False), 0.0
        self.whitening_ = whitening_matrix(covariance)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the distance of each row, (n_rows,)."""
        return -np.linalg.norm((X - self.mean_) @ self.whitening_, axis=1)


class CosineLOF(BaseEstimator):
    """Score embeddings by their local outlier factor, by cosine distance.

    Parameters
    ----------
    n_neighbors : int, default=4
        Of each embedding; fewer than there are references.

    Examples
    --------
    >>> references = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    >>> inlier, outlier = CosineLOF().fit(references).score_samples([[1.0, 0.1], [0.0, 1.0]])
    >>> bool(outlier < inlier)
    True
    """

    def __init__(self, n_neighbors: int = 4) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Learn the density of the references X (n_references, n_features)."""
        n_neighbors = min(self.n_neighbors, len(X) - 1)
        lof = LocalOutlierFactor(n_neighbors=n_neighbors, metric="cosine", novelty=True)
        self.lof_ = lof.fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return minus the local outlier factor of each row, (n_rows,)."""
        return self.lof_.score_samples(X)


EMBEDDING_SCORES = ("embedding_knn", "embedding_lof", "embedding_mahalanobis", "embedding_cosine")


def embedding_backends(n_references: int, n_features: int) -> dict[str, Any]:
    """Make what scores embeddings, by name.

    Parameters
    ----------
    n_references, n_features : int
        Of the embeddings it is to be fitted to. With fewer than five times as many references as
        features, the covariance of "embedding_mahalanobis" is shrunk.

    Returns
    -------
    dict of str to estimator
        One for each of `EMBEDDING_SCORES`, unfitted, with ``fit`` and ``score_samples``.

    Examples
    --------
    >>> embedding_backends(1000, 512)["embedding_mahalanobis"]
    Mahalanobis(shrink=True)
    """
    shrink = n_references < _REFERENCES_PER_FEATURE * n_features
    backends = (CosineNeighbors(), CosineLOF(), Mahalanobis(shrink), CosineToMean())
    return dict(zip(EMBEDDING_SCORES, backends, strict=True))
