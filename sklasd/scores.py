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
    r"""Find the matrix that turns Mahalanobis lengths into Euclidean ones.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Symmetric, positive semi-definite; it may lack full rank.

    Returns
    -------
    ndarray of shape (n_features, n_features), float64
        W with :math:`W W^\top = (\Sigma + \epsilon I)^{-1}`, where :math:`\epsilon` is a millionth
        of the mean variance. It is symmetric, so that a whitened feature is as like the feature it
        comes from as it can be.

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


def shares_of_length(whitened: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    r"""Tell how much of a Mahalanobis length each feature makes, :math:`w_j^2 / \|w\|`.

    Parameters
    ----------
    whitened : ndarray of shape (n_centres, n_rows, n_features)
        Rows as each centre sees them: deviations from it, whitened.
    nearest : ndarray of int, shape (n_rows,)
        The centre that counts for each row.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        Never negative; the sum of a row is its length.

    Examples
    --------
    >>> shares_of_length(np.array([[[3.0, 4.0]], [[6.0, 8.0]]]), nearest=np.array([0]))
    array([[1.8, 3.2]])
    """
    w = whitened[nearest, np.arange(len(nearest))]  # (n_rows, n_features)
    return np.square(w) / np.linalg.norm(w, axis=1, keepdims=True).clip(min=TINY)


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


def class_log_odds(logits: Tensor) -> Tensor:
    r"""Log-odds of each class, :math:`\log p_k - \log(1 - p_k)`.

    Parameters
    ----------
    logits : Tensor of shape (batch, n_classes)
        Of at least two classes.

    Returns
    -------
    Tensor of shape (batch, n_classes), float64
        Both probabilities are at least 2.2e-16, so they lie within ±36.05.

    Examples
    --------
    >>> import torch
    >>> class_log_odds(torch.tensor([[3.0, 1.0], [200.0, 0.0]])).numpy().round(2)
    array([[  2.  ,  -2.  ],
           [ 36.05, -36.05]])
    """
    log_p = log_softmax(logits.double(), dim=1)
    n_classes = logits.shape[1]
    # log(1 - p) is summed over the other classes: 1 - p itself would lose the digits of a p near 1.
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
