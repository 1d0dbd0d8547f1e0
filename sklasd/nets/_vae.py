"""A variational autoencoder of embeddings (Narita and Tamamori, 2021), conditional or not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

_MOST_LOG_VARIANCE = 20.0  # beyond, a clip far off would overflow: its score is to stay a number


class Encoded(NamedTuple):
    """What an encoder makes of embeddings.

    Parameters
    ----------
    code : Tensor of shape (batch, n_code)
        The encoder's last layer, of which the two others are made: what centres are of.
    mean, log_variance : Tensor of shape (batch, latent_features)
        Of the latent vector's Gaussian.
    """

    code: Tensor
    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Make latent vectors of standard normal `noise`, (batch, latent_features) or one row."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class Rebuilt(NamedTuple):
    """What a variational autoencoder makes of embeddings.

    Parameters
    ----------
    x, rebuilt : Tensor of shape (batch, n_features)
        Embeddings, without their condition, and reconstruction.
    encoded : Encoded
        What it was rebuilt from.
    """

    x: Tensor
    rebuilt: Tensor
    encoded: Encoded


def _blocks(widths: Sequence[int]) -> nn.Sequential:
    """Chain the report's FCBlocks: linear, batch normalisation, ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class VAE(nn.Module):
    """Squeeze embeddings through a Gaussian latent vector, and rebuild them.

    Parameters
    ----------
    n_features : int, default=3776
        Of an embedding.
    n_conditions : int, default=0
        Further columns of the input that encoder and decoder are told, and that are not rebuilt:
        as many as a one-hot section has.
    hidden_layer_sizes : sequence of int, default=(1024, 1024, 1024, 512)
        Widths of the encoder's layers; the decoder mirrors them.
    latent_features : int, default=512
        Width of the latent vector.
    is_rectified : bool, default=True
        Whether the last layer ends in ReLU, which suits embeddings without negative values.

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

    def fill(self, mean: Tensor, deviation: Tensor) -> None:
        """Start the output at what embeddings are like.

        Parameters
        ----------
        mean, deviation : Tensor of shape (n_features,)
            Of the training embeddings.
        """
        self.last_norm.bias.data.copy_(mean)
        self.last_norm.weight.data.copy_(deviation)

    def forward(self, rows: Tensor) -> Rebuilt:
        """Rebuild embeddings from latent vectors that are drawn at random.

        Parameters
        ----------
        rows : Tensor of shape (batch, n_features + n_conditions)
            Embeddings, each followed by its condition.

        Returns
        -------
        Rebuilt
            Drawn in evaluation mode, too: what scores takes `encode` and `decode` by itself.
        """
        encoded = self.encode(rows)
        z = encoded.draw(torch.randn_like(encoded.mean))
        x, condition = rows[:, : self.n_features], rows[:, self.n_features :]
        return Rebuilt(x, self.decode(z, condition), encoded)

    def encode(self, rows: Tensor) -> Encoded:
        """Find the Gaussians of embeddings, (batch, n_features + n_conditions)."""
        code = self.encoder(rows)
        log_variance = self.log_variance(code).clamp(max=_MOST_LOG_VARIANCE)
        return Encoded(code, self.mean(code), log_variance)

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """Rebuild embeddings (batch, n_features) from latent vectors and their conditions."""
        told = self.decoder(torch.cat([z, condition], dim=1))
        rebuilt = self.last_norm(self.last(told))
        return rebuilt.relu() if self.is_rectified else rebuilt
