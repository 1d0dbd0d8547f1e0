"""The fully connected autoencoder of the DCASE Task 2 baselines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class DenseAutoencoder(nn.Module):
    """Rebuild a window of stacked frames through a narrow bottleneck.

    Each layer is linear, followed by batch normalisation and ReLU, except for the last one. The
    decoder mirrors the encoder. Batch normalisation has momentum 0.01 and epsilon 1e-3, as in the
    official baseline of 2023.

    Parameters
    ----------
    n_mels : int, default=128
        Number of mel bands.
    window_length : int, default=5
        Number of frames in a window.
    hidden_layer_sizes : sequence of int, default=(128, 128, 128, 128)
        Widths of the layers of the encoder.
    latent_features : int, default=8
        Width of the bottleneck.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → the same. The frames enter oldest first.

    Examples
    --------
    >>> net = DenseAutoencoder()
    >>> sum(p.numel() for p in net.parameters())
    267928
    """

    def __init__(
        self,
        n_mels: int = 128,
        window_length: int = 5,
        hidden_layer_sizes: Sequence[int] = (128, 128, 128, 128),
        latent_features: int = 8,
    ) -> None:
        super().__init__()
        n_inputs = n_mels * window_length
        widths = [n_inputs, *hidden_layer_sizes, latent_features, *reversed(hidden_layer_sizes)]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            norm = nn.BatchNorm1d(n_out, momentum=0.01, eps=1e-3)
            layers += [nn.Linear(n_in, n_out), norm, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_inputs))

    def set_initial_state(self, mean: Tensor) -> None:
        """Start the bias of the last layer at the mean window, (n_mels, window_length)."""
        # Adam would take long from 0 to the tens of decibels of a spectrogram.
        self.get_parameter(f"layers.{len(self.layers) - 1}.bias").data.copy_(mean.T.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Rebuild windows."""
        frames = x.transpose(1, 2)  # (batch, window_length, n_mels)
        rebuilt = self.layers(frames.flatten(1))  # (batch, window_length * n_mels)
        return rebuilt.view_as(frames).transpose(1, 2)
