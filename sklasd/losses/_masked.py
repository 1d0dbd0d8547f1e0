"""Loss of inpainting: the error of the hidden part (JKU, 2023)."""

from __future__ import annotations

from torch import Tensor, nn


class MaskedMSE(nn.Module):
    r"""Mean squared error of hidden pixels, :math:`\sum_i m_i (\hat x_i - x_i)^2 / \sum_i m_i`.

    Parameters
    ----------
    everywhere : bool, default=False
        Count visible pixels as well: the plain mean squared error.

    Examples
    --------
    >>> import torch
    >>> x, painted = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 2.0])
    >>> MaskedMSE()((painted, torch.tensor([True, False])), x)
    tensor(4.)
    """

    def __init__(self, everywhere: bool = False) -> None:
        super().__init__()
        self.everywhere = everywhere

    def forward(self, inpainting: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        """Return the loss, a tensor of shape ().

        Parameters
        ----------
        inpainting : (Tensor, Tensor), both of the shape of x
            The output of the net, and the mask: True where x was hidden.
        x : Tensor
            The true pixels.
        """
        painted, mask = inpainting
        error = (painted - x).square()
        if self.everywhere:
            return error.mean()
        # Not error[mask], whose shape changes with each batch: a GPU would wait for it.
        return error.masked_fill(~mask, 0).sum() / mask.sum()
