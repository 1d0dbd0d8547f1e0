"""Blocks of several networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    n_between : int, default=None
        Channels after the first convolution; None takes `n_out`.

    Notes
    -----
    Shape: (batch, n_in, height, width) → (batch, n_out, height, width).

    Examples
    --------
    >>> DoubleConv(1, 4)(torch.randn(2, 1, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, n_in: int, n_out: int, n_between: int | None = None) -> None:
        n_between = n_out if n_between is None else n_between
        layers: list[nn.Module] = []
        for n_from, n_to in ((n_in, n_between), (n_between, n_out)):
            conv = nn.Conv2d(n_from, n_to, kernel_size=3, padding=1)
            layers += [conv, nn.BatchNorm2d(n_to), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class Scaling(nn.Module):
    """Scale decibels for a net, and back: ``(x - centre) / scale``.

    Parameters
    ----------
    n_mels : int, default=1
        Number of bands; 1 scales any number of bands alike.

    Attributes
    ----------
    centre, scale : Tensor of shape (n_mels, 1)
        One number for each band, initially 0 and 1. They are saved with the weights, but not
        trained.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → the same.

    Examples
    --------
    >>> scaling = Scaling()
    >>> scaling.set_initial_state(torch.tensor([-40.0]), torch.tensor([20.0]))
    >>> scaling(torch.tensor([[[-40.0, -20.0]]]))
    tensor([[[0., 1.]]])
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, n_mels: int = 1) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(n_mels, 1))  # against (batch, n_mels, length)
        self.register_buffer("scale", torch.ones(n_mels, 1))

    def set_initial_state(self, centre: Tensor, scale: Tensor) -> None:
        """Set what was learnt from data, both of shape (n_mels,) and in dB."""
        self.centre.copy_(centre[:, None])
        self.scale.copy_(scale[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Scale windows in dB."""
        return (x - self.centre) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """Return windows in dB."""
        return x * self.scale + self.centre
