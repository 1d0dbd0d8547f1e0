"""Losses of the papers, as torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class _MeanSquare(torch.autograd.Function):
    """Mean of squares whose gradient takes the place of its argument."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor) -> Tensor:
        ctx.difference = difference
        return difference.square().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        difference, ctx.difference = ctx.difference, None  # overwritten: good for one use
        return difference.mul_(2 * gradient / difference.numel())


class MeanSquaredError(nn.Module):
    r"""Mean squared error of a reconstruction, :math:`\frac1N \sum_i (\hat x_i - x_i)^2`.

    `torch.nn.MSELoss` with half its memory traffic: the difference is kept, and becomes the
    gradient in place. It can be differentiated once, and by the reconstruction only.

    Examples
    --------
    >>> MeanSquaredError()(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
    tensor(2.)
    """

    def forward(self, rebuilt: Tensor, x: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        rebuilt, x : Tensor of one shape
            Reconstruction and input.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        return _MeanSquare.apply(rebuilt - x.detach())


class MaskedMSE(nn.Module):
    r"""Mean squared error of what was hidden, :math:`\sum_i m_i (\hat x_i - x_i)^2 / \sum_i m_i`.

    Parameters
    ----------
    everywhere : bool, default=False
        Count what was shown as well: the plain mean squared error.

    Examples
    --------
    >>> x, painted = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 2.0])
    >>> MaskedMSE()((painted, torch.tensor([True, False])), x)
    tensor(4.)
    """

    def __init__(self, everywhere: bool = False) -> None:
        super().__init__()
        self.everywhere = everywhere

    def forward(self, inpainting: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        """Compare.

        Parameters
        ----------
        inpainting : (Tensor, Tensor), both of the shape of x
            What was painted, and the mask: True where x was hidden.
        x : Tensor
            The truth.

        Returns
        -------
        Tensor of shape ()
            The loss.
        """
        painted, mask = inpainting
        error = (painted - x).square()
        if self.everywhere:
            return error.mean()
        return error.masked_fill(~mask, 0).sum() / mask.sum()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    r"""Penalise a critic whose slope is not 1 between real and made-up data.

    .. math:: \frac1B \sum_i \big(\|\nabla_{\hat x_i} D(\hat x_i)\|_2 - 1\big)^2, \quad
        \hat x_i = u_i x_i + (1 - u_i) r_i, \quad u_i \sim U(0, 1)

    Parameters
    ----------
    critic : callable
        Maps (batch, ...) to (batch,), each row by itself.
    real, fake : Tensor of shape (batch, ...)
        :math:`x` and :math:`r`; no gradient goes to them.

    Returns
    -------
    Tensor of shape ()
        The penalty, which can be differentiated by the critic's weights.

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
    u = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = torch.lerp(fake.detach(), real.detach(), u).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def feature_matching(fake: Tensor, real: Tensor, deviation: bool = False) -> Tensor:
    r"""Compare two batches of features by their means, and their deviations.

    .. math:: \frac1d \sum_j (\bar f_j - \bar g_j)^2
        \quad \Big[ + \frac1d \sum_j (\sigma(f_j) - \sigma(g_j))^2 \Big]

    Parameters
    ----------
    fake, real : Tensor of shape (batch, n_features)
        :math:`f` and :math:`g`; of one batch each.
    deviation : bool, default=False
        Add the second term, with deviations that divide by the batch size.

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
