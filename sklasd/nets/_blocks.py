"""Blocks that several networks are built of."""

from __future__ import annotations

from torch import nn


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
    >>> import torch
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
