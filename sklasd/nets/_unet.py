"""The U-Net that inpaints hidden patches of a spectrogram (Hauser et al., 2023)."""

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
    the sizes of Table 3 of the report. Where it leaves details open, they are those of the common
    bilinear U-Net: the first convolution after a skip connection halves the channels.

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
        # A CPU computes channels last in about half the time.
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to images."""
        skips = [self.enter(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()  # (batch, 8 * width, height / 16, width / 16)
        for up in self.up:
            x = up(torch.cat([skips.pop(), self.grow(x)], dim=1))
        return self.leave(x)


class Inpainting(NamedTuple):
    """Inpainted windows, each tensor of shape (batch, n_mels, window_length)."""

    painted: Tensor  # in the units of the input
    mask: Tensor  # bool: where the input was hidden from the net


class Residuals(NamedTuple):
    """Inpainted windows minus true ones under many masks, in the units of the input."""

    hidden: Tensor  # (batch, n_mels, window_length), mean over the masks that hide the pixel
    whole: Tensor  # (batch, n_mels, window_length), mean over all masks
    squares: Tensor  # (batch,), mean square over all masks and what they hide


class InpaintingUNet(nn.Module):
    """Hide patches of windows, and inpaint them.

    Parameters
    ----------
    patch_size : int, default=8
        Side of a patch, in bands and in frames.
    n_masked : int, default=48
        Number of patches that are hidden.
    width : int, default=64
        Channels of the U-Net at full resolution.
    n_mels : int, default=1
        Number of bands with a scaling of their own; 1 scales all alike.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → two of the same. Without a given mask, each window gets
    a new one, from torch's generator.

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

    def set_initial_state(self, centre: Tensor, scale: Tensor) -> None:
        """Set the scaling of each band: the U-Net works on ``(x - centre) / scale``."""
        self.scaling.set_initial_state(centre, scale)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Inpainting:
        """Return the output of the net for all pixels of windows, and their masks."""
        if mask is None:
            n_masks, n_mels, n_frames = x.shape
            mask = patch_mask(
                n_masks, (n_mels, n_frames), device=x.device,
                patch_size=self.patch_size, n_masked=self.n_masked,
            )  # fmt: skip
        visible = self.scaling(x).masked_fill(mask, 0)  # after scaling 0 is an ordinary level
        painted = self.unet(visible[:, None])[:, 0]
        return Inpainting(self.scaling.inverse(painted), mask)

    def paint(self, x: Tensor, masks: Tensor, n_at_once: int) -> Iterator[Inpainting]:
        """Inpaint each window under each mask, some masks at a time.

        Parameters
        ----------
        x : Tensor of shape (batch, n_mels, window_length)
            At most `n_at_once` windows.
        masks : Tensor of shape (n_masks, n_mels, window_length), bool
            True where pixels of all windows are hidden.
        n_at_once : int
            Windows times masks that go through the net together.

        Yields
        ------
        Inpainting
            For some masks: ``painted`` (n_some, batch, n_mels, window_length), and ``mask``
            (n_some, 1, n_mels, window_length).
        """
        for some in masks.split(max(1, n_at_once // len(x))):
            pairs = (len(some), *x.shape)
            windows, hidden = x.expand(pairs), some[:, None].expand(pairs)
            painted = self(windows.flatten(0, 1), hidden.flatten(0, 1)).painted
            yield Inpainting(painted.view(pairs), some[:, None])

    def residuals(self, x: Tensor, masks: Tensor, n_at_once: int) -> Residuals:
        """Compare any number of windows with their inpaintings under all masks.

        `masks`, (n_masks, n_mels, window_length), hide every pixel at least once. At most
        `n_at_once` windows times masks are in memory.
        """
        parts = [self._residuals(some, masks, n_at_once) for some in x.split(n_at_once)]
        return Residuals(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def _residuals(self, x: Tensor, masks: Tensor, n_at_once: int) -> Residuals:
        # Sums over masks, so that the residuals under one mask are dropped before the next.
        hidden, whole, squares = torch.zeros_like(x), torch.zeros_like(x), x.new_zeros(len(x))
        for painted, mask in self.paint(x, masks, n_at_once):
            residual = painted - x  # (n_some, batch, n_mels, window_length)
            whole += residual.sum(dim=0)
            residual = residual.masked_fill(~mask, 0)
            hidden += residual.sum(dim=0)
            squares += residual.square().sum(dim=(0, 2, 3))
        return Residuals(hidden / masks.sum(dim=0), whole / len(masks), squares / masks.sum())
