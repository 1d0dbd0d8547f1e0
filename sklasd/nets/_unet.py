"""The U-Net that paints in what is hidden of a spectrogram (Hauser et al., 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklasd.nets._blocks import DoubleConv, Scaling
from sklasd.simulation import patch_mask


class UNet(nn.Module):
    """U-Net of one channel with four levels, bilinear upsampling and skip connections.

    Parameters
    ----------
    width : int, default=64
        Channels at full resolution; the levels below have 2, 4, 8 and 8 times as many.

    Notes
    -----
    Shape: (batch, 1, height, width) → the same; both sides are multiples of 16. The stages have
    the sizes of the report's Table 3 and, where it leaves open how, are those of the bilinear
    U-Net most in use: the first convolution after a skip connection halves the channels. The
    weights lie channels last, which a CPU computes in about half the time.

    Examples
    --------
    >>> sum(p.numel() for p in UNet().parameters())
    17303681
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.enter = DoubleConv(1, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), DoubleConv(n_in, n_out))
            for n_in, n_out in pairwise(widths)
        )
        self.grow = nn.Upsample(scale_factor=2, mode="bilinear")
        n_outs = [4 * width, 2 * width, width, width]
        self.up = nn.ModuleList(
            DoubleConv(2 * skip, n_out, skip)
            for skip, n_out in zip(reversed(widths[:-1]), n_outs, strict=True)
        )
        self.leave = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(width, 1, kernel_size=3, padding=1),
            nn.LeakyReLU(),
        )
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to images.

        Parameters
        ----------
        x : Tensor of shape (batch, 1, height, width)
            Images.

        Returns
        -------
        Tensor of shape (batch, 1, height, width)
            Images.
        """
        skips = [self.enter(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()  # (batch, 8 * width, height / 16, width / 16)
        for up in self.up:
            x = up(torch.cat([skips.pop(), self.grow(x)], dim=1))
        return self.leave(x)


class Inpainting(NamedTuple):
    """Windows as a net paints them, each of shape (batch, n_mels, window_length)."""

    painted: Tensor  # in the units of the input
    mask: Tensor  # bool: what was hidden from the net


class Residuals(NamedTuple):
    """Painted minus true over many masks, in the units of the input."""

    hidden: Tensor  # (batch, n_mels, window_length), mean over the masks that hide the pixel
    whole: Tensor  # (batch, n_mels, window_length), mean over all masks
    squares: Tensor  # (batch,), mean square over all masks and what they hide


class InpaintingUNet(nn.Module):
    """Hide patches of windows, and paint them in.

    Parameters
    ----------
    patch_size : int, default=8
        Side of a patch, in bands and in frames.
    n_masked : int, default=48
        Patches that are hidden.
    width : int, default=64
        Channels of the U-Net at full resolution.
    n_mels : int, default=1
        Bands that are scaled each by itself (see `fill`); 1 scales all alike.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → two of the same. Without a mask given, each window
    gets a fresh one, from torch's generator.

    Examples
    --------
    >>> net = InpaintingUNet(width=2)
    >>> painted, mask = net(torch.randn(3, 64, 64))
    >>> painted.shape, mask.sum().item() / 8**2
    (torch.Size([3, 64, 64]), 144.0)
    """

    def __init__(
        self,
        patch_size: int = 8,
        n_masked: int = 48,
        width: int = 64,
        n_mels: int = 1,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.n_masked = n_masked
        self.unet = UNet(width)
        self.scaling = Scaling(n_mels)

    def fill(self, centre: Tensor, scale: Tensor) -> None:
        """Set the scaling: the U-Net works on ``(x - centre) / scale``, where hidden pixels are 0.

        Parameters
        ----------
        centre, scale : Tensor of shape (n_mels,)
            Of each band, in dB.
        """
        self.scaling.fill(centre, scale)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Inpainting:
        """Paint in what is hidden.

        Parameters
        ----------
        x : Tensor of shape (batch, n_mels, window_length)
            Windows.
        mask : Tensor of shape (batch, n_mels, window_length), bool, default=None
            What is hidden of them; None draws it.

        Returns
        -------
        Inpainting
            The net's output, everywhere, and the mask.
        """
        if mask is None:
            n_masks, n_mels, n_frames = x.shape
            mask = patch_mask(
                n_masks, (n_mels, n_frames), device=x.device,
                patch_size=self.patch_size, n_masked=self.n_masked,
            )  # fmt: skip
        visible = self.scaling(x).masked_fill(mask, 0)
        painted = self.unet(visible[:, None])[:, 0]
        return Inpainting(self.scaling.inverse(painted), mask)

    def paint(self, x: Tensor, masks: Tensor, n_at_once: int) -> Iterator[Inpainting]:
        """Paint each window once under each mask, a few at a time.

        Parameters
        ----------
        x : Tensor of shape (batch, n_mels, window_length)
            Windows, at most `n_at_once`.
        masks : Tensor of shape (n_masks, n_mels, window_length), bool
            What is hidden, from all windows alike.
        n_at_once : int
            Windows times masks that go through the net together.

        Yields
        ------
        Inpainting
            Of some masks: ``painted`` (n_some, batch, n_mels, window_length), and ``mask``
            (n_some, 1, n_mels, window_length).
        """
        for some in masks.split(max(1, n_at_once // len(x))):
            pairs = (len(some), *x.shape)
            windows, hidden = x.expand(pairs), some[:, None].expand(pairs)
            painted = self(windows.flatten(0, 1), hidden.flatten(0, 1)).painted
            yield Inpainting(painted.view(pairs), some[:, None])

    def residuals(self, x: Tensor, masks: Tensor, n_at_once: int) -> Residuals:
        """Compare windows with what is painted of them, under all masks.

        Parameters
        ----------
        x : Tensor of shape (batch, n_mels, window_length)
            Windows, any number of them.
        masks : Tensor of shape (n_masks, n_mels, window_length), bool
            What is hidden; together they hide every pixel.
        n_at_once : int
            Windows times masks that go through the net together; no more are ever held.

        Returns
        -------
        Residuals
            Of each window.
        """
        parts = [self._residuals(some, masks, n_at_once) for some in x.split(n_at_once)]
        return Residuals(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _residuals(self, x: Tensor, masks: Tensor, n_at_once: int) -> Residuals:
        hidden, whole, squares = torch.zeros_like(x), torch.zeros_like(x), x.new_zeros(len(x))
        for painted, mask in self.paint(x, masks, n_at_once):
            residual = painted - x  # (n_some, batch, n_mels, window_length)
            whole += residual.sum(dim=0)
            residual = residual.masked_fill(~mask, 0)
            hidden += residual.sum(dim=0)
            squares += residual.square().sum(dim=(0, 2, 3))
        return Residuals(hidden / masks.sum(dim=0), whole / len(masks), squares / masks.sum())
