"""Blocks of PANNs (Kong et al., 2020), with the names of the weights in the official checkpoints.

Legend of shapes: B clips, T frames, M mel bands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

N_MELS = 64


class SpectrogramKernels(nn.Module):
    """The windowed Fourier transform as kernels of convolutions, which never run.

    Parameters
    ----------
    n_fft : int
        Samples in a frame.

    Examples
    --------
    >>> [tuple(kernels.shape) for kernels in SpectrogramKernels(512).parameters()]
    [(257, 1, 512), (257, 1, 512)]
    """

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.stft = nn.Module()
        real, imaginary = fourier_kernels(n_fft)
        for name, kernels in (("conv_real", real), ("conv_imag", imaginary)):
            # On the meta device no weights are drawn, which would move torch's generator.
            conv = nn.Conv1d(1, len(kernels), n_fft, bias=False, device="meta")
            conv.weight = nn.Parameter(kernels[:, None], requires_grad=False)
            self.stft.add_module(name, conv)


def fourier_kernels(n_fft: int) -> tuple[Tensor, Tensor]:
    """Return real and imaginary part of the Fourier transform after a Hann window.

    Examples
    --------
    >>> real, imaginary = fourier_kernels(4)
    >>> real[0]
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    time = torch.arange(n_fft, dtype=torch.float64)
    # Whole turns are removed: the angles of high bins would lose digits.
    turns = torch.outer(time[: 1 + n_fft // 2], time).remainder(n_fft) / n_fft
    hann = torch.hann_window(n_fft, dtype=torch.float64)
    angles = 2 * torch.pi * turns
    return (hann * angles.cos()).float(), (-hann * angles.sin()).float()


class MelFilters(nn.Module):
    """The mel filters as a matrix of zeros, until a checkpoint is loaded.

    Parameters
    ----------
    n_fft : int
        Samples in a frame.

    Examples
    --------
    >>> MelFilters(1024).melW.shape
    torch.Size([513, 64])
    """

    def __init__(self, n_fft: int) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.zeros(1 + n_fft // 2, N_MELS), requires_grad=False)


class ConvBlock(nn.Module):
    """Twice: 3 x 3 convolution, batch normalisation, ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Channels.

    Notes
    -----
    Shape: (B, n_in, T, M) → (B, n_out, T, M).

    Examples
    --------
    >>> ConvBlock(1, 4)(torch.randn(2, 1, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's map."""
        # In place, as no gradient is needed: a map of a minute takes 100 MB in the first block.
        x = functional.relu_(self.bn1(self.conv1(x)))
        return functional.relu_(self.bn2(self.conv2(x)))


class ConvBlock5x5(nn.Module):
    """5 x 5 convolution, batch normalisation, ReLU: the block of Cnn6.

    Parameters
    ----------
    n_in, n_out : int
        Channels.

    Notes
    -----
    Shape: (B, n_in, T, M) → (B, n_out, T, M).

    Examples
    --------
    >>> ConvBlock5x5(1, 4)(torch.randn(2, 1, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's map."""
        return functional.relu_(self.bn1(self.conv1(x)))


class BasicBlock(nn.Module):
    """The block of ResNet38: two convolutions and a shortcut.

    Parameters
    ----------
    n_in, n_out : int
        Channels. Where they differ, both sides are halved by an average first.

    Notes
    -----
    Shape: (B, n_in, T, M) → (B, n_out, T, M), or (B, n_out, T // 2, M // 2).

    Examples
    --------
    >>> BasicBlock(2, 4)(torch.randn(2, 2, 9, 8)).shape
    torch.Size([2, 4, 4, 4])
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = None
        if n_in != n_out:
            conv = nn.Conv2d(n_in, n_out, 1, bias=False)
            self.downsample = nn.Sequential(nn.AvgPool2d(2), conv, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's map, after the sum and its ReLU."""
        shortcut = x
        if self.downsample is not None:
            shortcut = self.downsample(x)
            x = functional.avg_pool2d(x, 2)
        x = functional.relu_(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return functional.relu_(x.add_(shortcut))
