"""A variational autoencoder of embeddings (Narita and Tamamori, 2021), conditional or not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

# A greater variance would overflow for clips far from the training clips: their scores stay finite.
_MOST_LOG_VARIANCE = 20.0


class Encoded(NamedTuple):
    """Encoded embeddings."""

    code: Tensor  # (batch, n_code), last layer of the encoder, which centres refer to
    mean: Tensor  # (batch, latent_features), of the latent vector's Gaussian
    log_variance: Tensor  # the same shape

    def draw(self, noise: Tensor) -> Tensor:
        """Draw latent vectors with standard normal `noise`, (batch, latent_features) or one row."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class Rebuilt(NamedTuple):
    """Embeddings and their reconstruction."""

    x: Tensor  # (batch, n_features), without the condition
    rebuilt: Tensor  # the same shape
    encoded: Encoded


def _blocks(widths: Sequence[int]) -> nn.Sequential:
    """Chain the FCBlocks of the report: linear, batch normalisation, ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class VAE(nn.Module):
    """Rebuild embeddings from a Gaussian latent vector.

    Parameters
    ----------
    n_features : int, default=3776
        Length of an embedding.
    n_conditions : int, default=0
        Further columns of the input that encoder and decoder get but do not rebuild, such as a
        one-hot section.
    hidden_layer_sizes : sequence of int, default=(1024, 1024, 1024, 512)
        Widths of the encoder's layers; the decoder mirrors them.
    latent_features : int, default=512
        Width of the latent vector.
    is_rectified : bool, default=True
        Whether the last layer ends in ReLU, for embeddings without negative values.

    Notes
    -----
    Shape: (batch, n_features + n_conditions) → (batch, n_features).

    Examples
    --------
    >>> sum(p.numel() for p in VAE().parameters())
    13796416
    """

    def __init__(
        self,
        n_features: int = 3776,
        n_conditions: int = 0,
        hidden_layer_sizes: Sequence[int] = (1024, 1024, 1024, 512),
        latent_features: int = 512,
        is_rectified: bool = True,
    ) -> None:
        super().__init__()
        sizes = tuple(hidden_layer_sizes)
        self.encoder = _blocks([n_features + n_conditions, *sizes])
        self.mean = nn.Linear(sizes[-1], latent_features)
        self.log_variance = nn.Linear(sizes[-1], latent_features)
        self.decoder = _blocks([latent_features + n_conditions, *reversed(sizes)])
        self.last = nn.Linear(sizes[0], n_features)
        self.last_norm = nn.BatchNorm1d(n_features)
        self.n_features = n_features
        self.is_rectified = is_rectified

    def set_initial_state(self, mean: Tensor, deviation: Tensor) -> None:
        """Start the output at mean and deviation of the training embeddings, both (n_features,)."""
        # The last normalisation makes mean 0 and deviation 1, so its weights set both.
        self.last_norm.bias.data.copy_(mean)
        self.last_norm.weight.data.copy_(deviation)

    def forward(self, rows: Tensor) -> Rebuilt:
        """Rebuild embeddings, each followed by its condition, from random latent vectors."""
        # Random in evaluation mode, too: scoring calls `encode` and `decode` directly.
        encoded = self.encode(rows)
        z = encoded.draw(torch.randn_like(encoded.mean))
        x, condition = rows[:, : self.n_features], rows[:, self.n_features :]
        return Rebuilt(x, self.decode(z, condition), encoded)

    def encode(self, rows: Tensor) -> Encoded:
        """Encode embeddings with their conditions, (batch, n_features + n_conditions)."""
        code = self.encoder(rows)
        log_variance = self.log_variance(code).clamp(max=_MOST_LOG_VARIANCE)
        return Encoded(code, self.mean(code), log_variance)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Rebuild embeddings (batch, n_features) from latent vectors and their conditions."""
        hidden = self.decoder(torch.cat([z, condition], dim=1))
        rebuilt = self.last_norm(self.last(hidden))
        return rebuilt.relu() if self.is_rectified else rebuilt
