"""Terms of AEGAN-AD's losses: the critic's gradient penalty, and feature matching."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    r"""Penalise a critic whose slope between real and generated data is not 1.

    .. math:: \frac1B \sum_i \big(\|\nabla_{\hat x_i} D(\hat x_i)\|_2 - 1\big)^2, \quad
        \hat x_i = u_i x_i + (1 - u_i) r_i, \quad u_i \sim U(0, 1)

    Parameters
    ----------
    critic : callable
        Maps (batch, ...) to (batch,), each row independently of the others.
    real, fake : Tensor of shape (batch, ...)
        :math:`x` and :math:`r`; no gradient goes to them.

    Returns
    -------
    Tensor of shape ()
        The penalty, differentiable by the weights of the critic.

    References
    ----------
    .. [1] I. Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.

    Examples
    --------
    >>> linear = torch.nn.Linear(2, 1)
    >>> _ = linear.weight.data.copy_(torch.tensor([[3.0, 4.0]]))  # of slope 5, everywhere
    >>> gradient_penalty(lambda x: linear(x)[:, 0], torch.rand(8, 2), torch.rand(8, 2)).item()
    16.0
    """
    # One share for each image, so that all its pixels move along the same line.
    u = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(fake.detach(), real.detach(), u).requires_grad_()
    # The sum gives each row its own gradient, as rows do not depend on each other. The graph is
    # kept, since the penalty itself is differentiated by the weights.
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def feature_matching(fake: Tensor, real: Tensor, deviation: bool = False) -> Tensor:
    r"""Compare two batches of features by their means and, optionally, their deviations.

    .. math:: \frac1d \sum_j (\bar f_j - \bar g_j)^2
        \quad \Big[ + \frac1d \sum_j (\sigma(f_j) - \sigma(g_j))^2 \Big]

    Parameters
    ----------
    fake, real : Tensor of shape (batch, n_features)
        :math:`f` and :math:`g`, one batch each.
    deviation : bool, default=False
        Whether to add the second term, whose deviations divide by the batch size.

    Returns
    -------
    Tensor of shape ()
        The loss.

    References
    ----------
    .. [1] T. Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Examples
    --------
    >>> fake, real = torch.tensor([[0.0], [4.0]]), torch.tensor([[4.0], [6.0]])
    >>> feature_matching(fake, real), feature_matching(fake, real, deviation=True)
    (tensor(9.), tensor(10.))
    """
    loss = (fake.mean(dim=0) - real.mean(dim=0)).square().mean()
    if deviation:
        spread = [x.std(dim=0, correction=0) for x in (fake, real)]
        loss = loss + (spread[0] - spread[1]).square().mean()
    return loss
