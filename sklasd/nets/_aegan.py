"""The generator and the discriminator of AEGAN-AD (Jiang et al., 2023)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from sklasd.nets._blocks import Scaling
from sklasd.nets._layer_norm import LeakyLayerNorm

_SMALLEST = 4  # pixels of the smaller side, at which an image is no longer halved
_SLOPE = 0.2  # of the leaky ReLU


def _stages(shape: tuple[int, int], width: int) -> list[tuple[int, int, int]]:
    """List the images after each halving as (n_channels, height, width)."""
    n_halvings = (min(shape) // _SMALLEST).bit_length() - 1  # log2, as the sides are powers of two
    return [(width << i, shape[0] >> (i + 1), shape[1] >> (i + 1)) for i in range(n_halvings)]


def _norm(kind: str, slope: float, n_channels: int, height: int, width: int) -> nn.Sequential:
    """Return normalisation by "layer", by "batch" or "none", followed by a leaky ReLU."""
    if kind == "layer":
        return nn.Sequential(LeakyLayerNorm(n_channels, height, width, slope))
    activation = nn.LeakyReLU(slope)
    if kind == "batch":
        return nn.Sequential(nn.BatchNorm2d(n_channels), activation)
    return nn.Sequential(activation)


def _halving(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_size=4, stride=2, padding=1, bias=False)


def _doubling(n_in: int, n_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(n_in, n_out, kernel_size=4, stride=2, padding=1, bias=False)


def _contraction(
    shape: tuple[int, int], width: int, norm: str = "layer", first_norm: bool = True
) -> nn.Sequential:
    """Halve images of one channel until their smaller side is 4, and double their channels."""
    layers: list[nn.Module] = []
    n_in = 1
    for stage in _stages(shape, width):
        kind = norm if first_norm or n_in > 1 else "none"  # DCGAN leaves the first one out
        layers += [_halving(n_in, stage[0]), *_norm(kind, _SLOPE, *stage)]
        n_in = stage[0]
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    """Draw weights like DCGAN: deviation 0.02, and mean 0, or 1 in batch normalisation."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | DepthwiseEmbedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)


class Generator(nn.Module):
    """An autoencoder of images: DCGAN's discriminator, then DCGAN's generator.

    Parameters
    ----------
    shape : (int, int), default=(128, 128)
        Height and width of the images, powers of two.
    width : int, default=32
        Channels after the first convolution; each halving doubles them.
    latent_features : int, default=256
        Size of the latent vector :math:`z`.
    norm : {"layer", "batch"}, default="layer"
        Normalisation.
    first_norm : bool, default=True
        Normalise after the first convolution of the encoder as well.

    Notes
    -----
    Shape: (batch, 1, height, width) → the same, within [-1, 1]. No convolution has a bias.

    Examples
    --------
    >>> sum(p.numel() for p in Generator().parameters())
    10781696
    """

    def __init__(
        self,
        shape: tuple[int, int] = (128, 128),
        width: int = 32,
        latent_features: int = 256,
        norm: str = "layer",
        first_norm: bool = True,
    ) -> None:
        super().__init__()
        stages = _stages(shape, width)
        widest, *size = stages[-1]
        kernel = (size[0], size[1])
        squeeze = nn.Conv2d(widest, latent_features, kernel, bias=False)
        self.encoder = _contraction(shape, width, norm, first_norm).append(squeeze)
        unsqueeze = nn.ConvTranspose2d(latent_features, widest, kernel, bias=False)
        layers: list[nn.Module] = [unsqueeze, *_norm(norm, 0.0, *stages[-1])]
        for (n_in, *_), stage in pairwise(reversed(stages)):
            layers += [_doubling(n_in, stage[0]), *_norm(norm, 0.0, *stage)]
        self.decoder = nn.Sequential(*layers, _doubling(width, 1), nn.Tanh())
        self.apply(_initialise)
        # Convolutions on a CPU are quicker channels last, and images follow the weights.
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Rebuild images."""
        return self.decoder(self.encoder(x))


class DepthwiseEmbedding(nn.Module):
    """A depth-wise convolution whose kernel is as large as the image: one number per channel.

    Parameters
    ----------
    n_channels, height, width : int
        Size of the images.

    Notes
    -----
    Shape: (batch, n_channels, height, width) → (batch, n_channels).

    Examples
    --------
    >>> layer = DepthwiseEmbedding(3, 4, 4)
    >>> x = torch.randn(2, 3, 4, 4)
    >>> convolved = nn.functional.conv2d(x, layer.weight[:, None], groups=3).flatten(1)
    >>> torch.allclose(layer(x), convolved, atol=1e-6)
    True
    """

    def __init__(self, n_channels: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        """Sum images over height and width, each weighted by its channel's kernel."""
        # Not as a grouped convolution, whose second derivative torch computes group by group.
        return (x * self.weight).sum(dim=(2, 3))


class Discriminator(nn.Module):
    """A critic of images, which embeds them on the way.

    Parameters
    ----------
    shape : (int, int), default=(128, 128)
        Height and width of the images, powers of two.
    width : int, default=32
        Channels after the first convolution; each halving doubles them.

    Notes
    -----
    Shape: (batch, 1, height, width) → (batch,). Normalisation is by layer: the gradient penalty
    belongs to one image, and batch normalisation would mix images.

    Examples
    --------
    >>> sum(p.numel() for p in Discriminator().parameters())
    3303425
    """

    def __init__(self, shape: tuple[int, int] = (128, 128), width: int = 32) -> None:
        super().__init__()
        last = _stages(shape, width)[-1]
        self.embed = nn.Sequential(_contraction(shape, width), DepthwiseEmbedding(*last))
        self.norm = nn.LayerNorm(last[0])
        # The bias stays 0: it cancels in the difference of values that a critic is trained with.
        judge = nn.Linear(last[0], 1)
        nn.init.zeros_(judge.bias).requires_grad_(False)
        self.head = nn.Sequential(nn.LeakyReLU(_SLOPE), judge)
        self.apply(_initialise)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Return the critic's values, greater for images that look real."""
        return self.head(self.norm(self.embed(x)))[:, 0]


class AEGAN(nn.Module):
    """Generator and discriminator on windows of spectrograms, and the scaling before them.

    Parameters
    ----------
    shape : (int, int), default=(128, 128)
        Mel bands and frames of a window, powers of two.
    width, latent_features, norm, first_norm
        As in `Generator`; the discriminator has the same `width`.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → the same.

    Examples
    --------
    >>> AEGAN(shape=(32, 64), width=2)(torch.randn(3, 32, 64)).shape
    torch.Size([3, 32, 64])
    """

    def __init__(
        self,
        shape: tuple[int, int] = (128, 128),
        width: int = 32,
        latent_features: int = 256,
        norm: str = "layer",
        first_norm: bool = True,
    ) -> None:
        super().__init__()
        self.scaling = Scaling(shape[0])
        self.generator = Generator(shape, width, latent_features, norm, first_norm)
        self.discriminator = Discriminator(shape, width)

    def set_initial_state(self, centre: Tensor, scale: Tensor) -> None:
        """Set the scaling of each band: both nets work on ``(x - centre) / scale``."""
        self.scaling.set_initial_state(centre, scale)

    def scale(self, x: Tensor) -> Tensor:
        """Turn windows in dB into images, (batch, 1, n_mels, window_length)."""
        return self.scaling(x)[:, None].contiguous()  # windows are views with the bands last

    def forward(self, x: Tensor) -> Tensor:
        """Rebuild windows in dB."""
        return self.scaling.inverse(self.generator(self.scale(x))[:, 0])
