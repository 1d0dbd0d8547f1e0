"""Distances and back ends that turn residuals and embeddings into anomaly scores."""

from __future__ import annotations

import numpy as np
from torch import Tensor

_RIDGE = 1e-6  # of the mean variance: makes any covariance invertible, changes no sound one


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
