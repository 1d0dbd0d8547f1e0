"""PANNs: convolutional nets that were trained to tag AudioSet (Kong et al., 2020).

Modules have the names of the weights in the official checkpoints. Dropout and SpecAugment are left
out, as the nets are frozen here. Legend of shapes: B clips, T frames, M mel bands, C channels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sklasd.nets._panns_blocks import (
    N_MELS,
    BasicBlock,
    ConvBlock,
    ConvBlock5x5,
    MelFilters,
    SpectrogramKernels,
)

N_CLASSES = 527  # of AudioSet


class PANN(nn.Module):
    """Base of all PANNs: normalisation before the blocks, and the head after them.

    Parameters
    ----------
    n_fft : int, default=1024
        Samples in a frame.
    """

    n_embedding: ClassVar[int]
    shortest: ClassVar[int]  # frames that poolings reduce to one
    context: ClassVar[int]  # frames on either side that the last map sees, rounded up to 32
    widths: ClassVar[dict[str, int]]  # channels of each block, by its name

    def __init__(self, n_fft: int = 1024) -> None:
        super().__init__()
        # The net begins with decibels. But checkpoints hold the kernels of the Fourier transform
        # and the mel filters, too: they are loaded with the weights and given to the front end.
        self.spectrogram_extractor = SpectrogramKernels(n_fft)
        self.logmel_extractor = MelFilters(n_fft)
        self.bn0 = nn.BatchNorm2d(N_MELS)
        self.fc1 = nn.Linear(self.n_embedding, self.n_embedding)
        self.fc_audioset = nn.Linear(self.n_embedding, N_CLASSES)

    @abstractmethod
    def blocks(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield name and map of each block, (B, C, T', M'); x is (B, 1, T, M), normalised."""

    @abstractmethod
    def top(self, x: Tensor) -> Tensor:
        """Return the map for the head, from the map of the last block."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the convolutions."""
        # Not that of any parameter: freeze leaves the head in single precision.
        return next(conv.weight.dtype for conv in self.modules() if isinstance(conv, nn.Conv2d))

    def normalise(self, x: Tensor) -> Tensor:
        """Normalise each band of decibels, (B, T, M) → (B, 1, T, M)."""
        # Batch normalisation works on the second axis, so bands take the place of channels.
        return self.bn0(x[:, None].transpose(1, 3)).transpose(1, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding (B, n_embedding) and the logits (B, 527) of (B, T, M) decibels."""
        *_, (_, last) = self.blocks(self.normalise(x))
        in_time = self.top(last).mean(dim=3)  # (B, C, T')
        return self.head(in_time.amax(dim=2) + in_time.mean(dim=2))

    def head(self, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and logits, from the top summarised over time, (B, n_embedding)."""
        embedding = functional.relu(self.fc1(summary))
        return embedding, self.fc_audioset(embedding)


class ResNet38(PANN):
    """16 basic blocks between two convolutional ones.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = ResNet38()
    >>> len(net.state_dict()), sum(p.numel() for p in net.parameters())
    (246, 74866703)
    """

    n_embedding: ClassVar[int] = 2048
    shortest: ClassVar[int] = 32
    context: ClassVar[int] = 320
    widths: ClassVar[dict[str, int]] = {
        f"layer{i}.{k}": width
        for i, (width, n_blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1)
        for k in range(n_blocks)
    }

    def __init__(self, n_fft: int = 1024) -> None:
        super().__init__(n_fft)
        self.conv_block1 = ConvBlock(1, 64)
        self.resnet = nn.Module()
        n_in = 64
        for name, width in self.widths.items():
            layer, index = name.split(".")
            if index == "0":
                self.resnet.add_module(layer, nn.Sequential())
            self.resnet.get_submodule(layer).add_module(index, BasicBlock(n_in, width))
            n_in = width
        self.conv_block_after1 = ConvBlock(512, 2048)

    def blocks(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield name and map of each basic block."""
        x = functional.avg_pool2d(self.conv_block1(x), 2)
        for name in self.widths:
            x = self.resnet.get_submodule(name)(x)
            yield name, x

    def top(self, x: Tensor) -> Tensor:
        """Return the map of the convolutional block after the last basic one."""
        return self.conv_block_after1(functional.avg_pool2d(x, 2))


class _Cnn(PANN):
    """A chain of convolutional blocks, with an average of 2 x 2 between them."""

    block: ClassVar[type[nn.Module]] = ConvBlock
    pools_last: ClassVar[bool] = False  # whether an average follows the last block, too

    def __init__(self, n_fft: int = 1024) -> None:
        super().__init__(n_fft)
        n_in = 1
        for name, width in self.widths.items():
            self.add_module(name, self.block(n_in, width))
            n_in = width

    def blocks(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield name and map of each block, before the average."""
        for i, name in enumerate(self.widths):
            x = self.get_submodule(name)(functional.avg_pool2d(x, 2) if i else x)
            yield name, x

    def top(self, x: Tensor) -> Tensor:
        """Return the map of the last block, averaged where the net does so."""
        return functional.avg_pool2d(x, 2) if self.pools_last else x


class Cnn14(_Cnn):
    """Six convolutional blocks; the last one is not averaged.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     net = Cnn14(n_fft=512)  # at 16 kHz
    >>> sum(p.numel() for p in net.conv_block6.parameters())
    56631296
    """

    n_embedding: ClassVar[int] = 2048
    shortest: ClassVar[int] = 32
    context: ClassVar[int] = 128
    widths: ClassVar[dict[str, int]] = {f"conv_block{i + 1}": 64 << i for i in range(6)}


class _SmallCnn(_Cnn):
    n_embedding: ClassVar[int] = 512
    shortest: ClassVar[int] = 16
    context: ClassVar[int] = 32
    widths: ClassVar[dict[str, int]] = {f"conv_block{i + 1}": 64 << i for i in range(4)}
    pools_last: ClassVar[bool] = True


class Cnn10(_SmallCnn):
    """Four convolutional blocks of two 3 x 3 convolutions each."""


class Cnn6(_SmallCnn):
    """Four convolutional blocks of one 5 x 5 convolution each."""

    block: ClassVar[type[nn.Module]] = ConvBlock5x5


def draw_weights(net: PANN) -> PANN:
    """Draw weights from torch's generator, and return the net.

    Convolutions and matrices get Xavier's uniform numbers, as before the official training.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    # Without training data, normalisation expects decibels around -40.
    statistics = {"running_mean": -40.0, "running_var": 20.0**2}
    for name, value in statistics.items():
        nn.init.constant_(net.bn0.get_buffer(name), value)
    return net


def freeze(net: PANN, precision: str = "32") -> PANN:
    """Make a net as fast as possible for inference, in place, and return it.

    Batch normalisation after a convolution moves into its weights, maps lie in memory channels
    last, and convolutions are computed in a precision of "32" or "bf16". Results are the same but
    for rounding; the state dict is another one.
    """
    net.eval().requires_grad_(False)
    for block in list(net.modules()):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("1", "2")):  # "1": of a downsample
            parts: dict[str, Any] = block._modules
            if isinstance(parts.get(norm), nn.BatchNorm2d):
                parts[conv] = fuse_conv_bn_eval(parts[conv], parts[norm])
                parts[norm] = nn.Identity()
    if precision == "bf16":
        # Only the convolutions: normalisation and head take no time, and lose digits.
        for name, part in net.named_children():
            if "conv" in name or "resnet" in name:
                part.bfloat16()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net
