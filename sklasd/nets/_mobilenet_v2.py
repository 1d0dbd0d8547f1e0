"""MobileNetV2 (Sandler et al., CVPR 2018), laid out as torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Stages (Table 2): expansion t, channels c, number of blocks n, stride s of the first block.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
_STEM, _LAST = 32, 1280  # channels of the first and the last convolution
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green and blue in ImageNet


def _round_channels(n_channels: float) -> int:
    """Round to a multiple of 8 that is at least 8, and no less than 90 %."""
    rounded = max(8, int(n_channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * n_channels else rounded


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution, batch normalisation and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen, filter each channel separately, narrow; add the input where shapes agree.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    stride : int
        Stride of the filter.
    expansion : int
        :math:`t`, the factor by which the filter is wider than its input.

    Notes
    -----
    Shape: (batch, n_in, height, width) → (batch, n_out, height / stride, width / stride).

    Examples
    --------
    >>> InvertedResidual(8, 16, stride=2, expansion=6)(torch.randn(2, 8, 10, 10)).shape
    torch.Size([2, 16, 5, 5])
    """

    def __init__(self, n_in: int, n_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = n_in * expansion
        widen = [] if expansion == 1 else [_conv(n_in, hidden, 1)]
        self.conv = nn.Sequential(
            *widen,
            _conv(hidden, hidden, 3, stride, groups=hidden),
            # No activation at the narrow side: a ReLU would destroy information there.
            nn.Conv2d(hidden, n_out, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.is_residual = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        """Filter feature maps."""
        return x + self.conv(x) if self.is_residual else self.conv(x)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


class MobileNetV2(nn.Module):
    """Classify images by inverted residuals.

    Parameters
    ----------
    n_classes : int, default=1000
        Outputs.
    width_multiplier : float, default=1.0
        Factor of the channels of all convolutions; the last one has at least 1280.
    dropout : float, default=0.2
        Share of the features that is dropped before the last layer in training.

    Notes
    -----
    Shape: (batch, 3, height, width) → (batch, n_classes). Names and shapes in the state dict are
    those of ``torchvision.models.mobilenet_v2``.

    Examples
    --------
    >>> net = MobileNetV2(n_classes=2)
    >>> sum(p.numel() for p in net.features.parameters())
    2223872
    >>> sum(p.numel() for p in net.parameters())
    2226434
    """

    def __init__(
        self, n_classes: int = 1000, width_multiplier: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        n_in = _round_channels(_STEM * width_multiplier)
        layers: list[nn.Module] = [_conv(3, n_in, 3, stride=2)]
        for expansion, channels, n_blocks, stride in _STAGES:
            n_out = _round_channels(channels * width_multiplier)
            for block in range(n_blocks):
                layers.append(InvertedResidual(n_in, n_out, 1 if block else stride, expansion))
                n_in = n_out
        last = _round_channels(_LAST * max(1.0, width_multiplier))
        self.features = nn.Sequential(*layers, _conv(n_in, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, n_classes))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class SpectrogramMobileNet(nn.Module):
    """MobileNetV2 on spectrograms: one channel becomes three equal ones.

    Parameters
    ----------
    n_classes : int, default=2
        Outputs.
    width_multiplier : float, default=1.0
        As in `MobileNetV2`.
    dropout : float, default=0.2
        As in `MobileNetV2`.
    normalise : bool, default=True
        Whether values from 0 to 1 are normalised like the colours of ImageNet, channel by channel.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → (batch, n_classes).

    Examples
    --------
    >>> SpectrogramMobileNet(n_classes=3, width_multiplier=0.1)(torch.rand(2, 40, 50)).shape
    torch.Size([2, 3])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        n_classes: int = 2,
        width_multiplier: float = 1.0,
        dropout: float = 0.2,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        mean, deviation = (_MEAN, _STD) if normalise else ((0.0,) * 3, (1.0,) * 3)
        # Buffers move to the device with the net; constants need not be saved with it.
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.net = MobileNetV2(n_classes, width_multiplier, dropout)
        # On a CPU a training step takes half as long again with channels first.
        nn.utils.convert_conv2d_weight_memory_format(self.net, torch.channels_last)

    def set_initial_state(self, **weights: Tensor) -> None:
        """Start from pretrained weights, named as in `MobileNetV2`, without the classifier."""
        self.net.load_state_dict(weights, strict=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of windows."""
        images = (x[:, None] - self.mean) / self.deviation  # (batch, 3, n_mels, window_length)
        return self.net(images.contiguous(memory_format=torch.channels_last))
