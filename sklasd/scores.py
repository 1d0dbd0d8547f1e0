"""Arithmetic that turns residuals, vectors and logits into anomaly scores."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, log_softmax

_LEAST = 2.2e-16  # least probability, as in the official baselines
TINY = np.finfo(np.float32).tiny
RIDGE = (
    1e-6  # of the mean variance: makes any covariance invertible, and hardly changes a regular one
)


def whitening_matrix(covariance: np.ndarray) -> np.ndarray:
    r"""Compute the matrix that turns Mahalanobis lengths into Euclidean ones.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Symmetric, positive semi-definite; it may be singular.

    Returns
    -------
    ndarray of shape (n_features, n_features), float64
        W with :math:`W W^\top = (\Sigma + \epsilon I)^{-1}`, where :math:`\epsilon` is a millionth
        of the mean variance. It is symmetric, so that each whitened feature is as similar as
        possible to the original one.

    Examples
    --------
    >>> W = whitening_matrix(np.diag([1.0, 4.0]))
    >>> (W @ W.T).round(4)
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    """
    variances, axes = np.linalg.eigh(covariance)
    ridge = max(RIDGE * variances.mean(), TINY)
    return (axes / np.sqrt(variances.clip(min=0) + ridge)) @ axes.T


def mahalanobis_squared(x: Tensor, whitening: Tensor) -> Tensor:
    r"""Compute squared Mahalanobis lengths, :math:`x^\top \Sigma^{-1} x = \|W^\top x\|^2`.

    Parameters
    ----------
    x : Tensor of shape (..., n_features)
        Deviations.
    whitening : Tensor of shape (n_features, n_features)
        From `whitening_matrix`.

    Returns
    -------
    Tensor of shape (...,)
        Squared lengths.

    Examples
    --------
    >>> import torch
    >>> mahalanobis_squared(torch.tensor([[3.0, 4.0]]), torch.eye(2))
    tensor([25.])
    """
    # A sum of squares loses no digits to cancellation, as the form with the inverse would.
    return (x @ whitening).square().sum(-1)


def shares_of_length(whitened: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    r"""Compute the share of each feature in a Mahalanobis length, :math:`w_j^2 / \|w\|`.

    Parameters
    ----------
    whitened : ndarray of shape (n_centres, n_rows, n_features)
        Whitened deviations of the rows from each centre.
    nearest : ndarray of int, shape (n_rows,)
        Index of the centre of each row.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        Shares, not negative; the sum of a row is its length.

    Examples
    --------
    >>> shares_of_length(np.array([[[3.0, 4.0]], [[6.0, 8.0]]]), nearest=np.array([0]))
    array([[1.8, 3.2]])
    """
    w = whitened[nearest, np.arange(len(nearest))]  # (n_rows, n_features)
    return np.square(w) / np.linalg.norm(w, axis=1, keepdims=True).clip(min=TINY)


def l1_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Sum the absolute differences of each row, :math:`\sum_j |a_j - b_j|`, (batch,).

    Examples
    --------
    >>> import torch
    >>> l1_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    tensor([5.])
    """
    return (a - b).flatten(1).abs().sum(dim=1)


def l2_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Sum the squared differences of each row, :math:`\sum_j (a_j - b_j)^2`, (batch,).

    Examples
    --------
    >>> import torch
    >>> l2_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]))
    tensor([13.])
    """
    return (a - b).flatten(1).square().sum(dim=1)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Compute one minus the cosine of each row, :math:`1 - a^\top b / (\|a\| \|b\|)`, (batch,).

    It is 1 where a row is 0.

    Examples
    --------
    >>> import torch
    >>> cosine_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    tensor([1.])
    """
    return 1 - cosine_similarity(a.flatten(1), b.flatten(1))


def class_log_odds(logits: Tensor) -> Tensor:
    r"""Compute the log-odds of each class, :math:`\log p_k - \log(1 - p_k)`.

    Parameters
    ----------
    logits : Tensor of shape (batch, n_classes)
        Logits of at least two classes.

    Returns
    -------
    Tensor of shape (batch, n_classes), float64
        Within ±36.05, as both probabilities are at least 2.2e-16.

    Examples
    --------
    >>> import torch
    >>> class_log_odds(torch.tensor([[3.0, 1.0], [200.0, 0.0]])).numpy().round(2)
    array([[  2.  ,  -2.  ],
           [ 36.05, -36.05]])
    """
    log_p = log_softmax(logits.double(), dim=1)
    n_classes = logits.shape[1]
    # log(1 - p) is summed over the other classes, as 1 - p would lose the digits of a p near 1.
    others = log_p[:, None].expand(-1, n_classes, -1)  # (batch, n_classes, n_classes)
    own = torch.eye(n_classes, dtype=torch.bool, device=logits.device)
    log_rest = others.masked_fill(own, -torch.inf).logsumexp(dim=2)
    least = log(_LEAST)
    return log_p.clamp_min(least) - log_rest.clamp_min(least)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1_distance,
    "l2": l2_distance,
    "cosine": cosine_distance,
}
