"""Losses of the papers, as torch modules."""

from __future__ import annotations

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
