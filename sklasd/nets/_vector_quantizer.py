"""Vector quantisation: each feature vector is replaced by the nearest one of a codebook."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

_AT_ONCE = 2**14  # vectors that are compared with all codes at once
_SMOOTHING = 1e-5  # added to counts, so that no code is divided by 0


class Quantized(NamedTuple):
    """Quantised features."""

    vectors: Tensor  # (batch, n_features, height, width), vectors of the codes
    codes: Tensor  # (batch, height, width), int64, numbers of the codes
    loss: Tensor  # (), of commitment, and of the codebook if it learns by gradient


class VectorQuantizer(nn.Module):
    r"""Replace feature vectors by their nearest codes.

    With :math:`e` the code nearest to the feature vector :math:`z`, and sg the stop of a gradient,

    .. math:: L = \beta \|z - \mathrm{sg}[e]\|^2 \; (+ \; \|\mathrm{sg}[z] - e\|^2)

    With `update` "gradient", the second term trains the codebook; with "ema", each code is a moving
    average of the vectors that were nearest to it.

    Parameters
    ----------
    codebook_size : int
        Number of codes, K.
    n_features : int
        Length of the vectors.
    update : {"ema", "gradient"}, default="ema"
        How the codebook learns.
    commitment : float, default=0.25
        :math:`\beta`.
    decay : float, default=0.99
        Decay of the moving averages.
    restart_below : float, default=0.0
        In training, a code that is chosen less often than this, relative to the average code, is
        replaced by a random feature vector of the batch; 0 replaces none.

    Attributes
    ----------
    codebook : Tensor of shape (codebook_size, n_features)
        The codes: a parameter with `update` "gradient", otherwise a buffer.
    count : Tensor of shape (codebook_size,)
        Moving average of the number of vectors of a batch that are nearest to each code.

    Notes
    -----
    Shape: (batch, n_features, height, width) → the same.

    Examples
    --------
    >>> quantizer = VectorQuantizer(16, 4).eval()
    >>> z = quantizer.codebook[[3, 7]].T.reshape(1, 4, 1, 2)
    >>> quantizer(z).codes
    tensor([[[3, 7]]])
    """

    count: Tensor
    total: Tensor

    def __init__(
        self,
        codebook_size: int,
        n_features: int,
        *,
        update: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.0,
    ) -> None:
        super().__init__()
        codebook = torch.randn(codebook_size, n_features)
        if update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("count", torch.zeros(codebook_size))
        self.register_buffer("total", torch.zeros(codebook_size, n_features))
        self.update = update
        self.commitment = commitment
        self.decay = decay
        self.restart_below = restart_below

    def forward(self, z: Tensor) -> Quantized:
        """Quantise features; in training mode, move the codebook afterwards."""
        rows = z.movedim(1, -1)  # (batch, height, width, n_features)
        flat = rows.reshape(-1, rows.shape[-1])
        codes = self.nearest(flat)
        vectors = self.codebook[codes].view_as(rows).movedim(-1, 1)
        loss = self.commitment * mse_loss(z, vectors.detach())
        if self.update == "gradient":
            loss = loss + mse_loss(vectors, z.detach())
        if self.training:
            self._follow(flat.detach(), codes)
        # Straight through: the gradient of the vectors goes to z as if nothing was quantised.
        straight = z + (vectors - z).detach()
        return Quantized(straight, codes.view(rows.shape[:-1]), loss)

    def nearest(self, flat: Tensor) -> Tensor:
        """Return the number of the nearest code of each vector, (n_vectors, n_features)."""
        lengths = self.codebook.square().sum(dim=1)
        # Squared distances without the squared length of the vector, which is the same for all its
        # codes: (n_vectors, codebook_size). In parts, as a batch of the paper would take 4 GB.
        parts = flat.detach().split(_AT_ONCE)
        return torch.cat([(lengths - 2 * some @ self.codebook.T).argmin(dim=1) for some in parts])

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the vectors (batch, n_features, height, width) of codes (batch, height, width)."""
        return self.codebook[codes].movedim(-1, 1)

    @torch.no_grad()
    def _follow(self, flat: Tensor, codes: Tensor) -> None:
        """Update counts and averages by a batch, then replace codes that are rarely used."""
        size = len(self.codebook)
        count = torch.bincount(codes, minlength=size).to(flat.dtype)
        self.count.lerp_(count, 1 - self.decay)
        if self.update == "ema":
            total = torch.zeros_like(self.total).index_add_(0, codes, flat)
            self.total.lerp_(total, 1 - self.decay)
            n = self.count.sum()
            smooth = (self.count + _SMOOTHING) / (n + size * _SMOOTHING) * n
            used = self.count > 0  # a code that was never used has no average, and stays
            self.codebook[used] = (self.total / smooth[:, None])[used]
        average = len(flat) / size
        dead = self.count < self.restart_below * average
        if dead.any():
            drawn = flat[torch.randint(len(flat), (int(dead.sum()),), device=flat.device)]
            self.codebook[dead] = drawn
            # Counted as average, so that it is not replaced again before it was tried.
            self.count[dead], self.total[dead] = average, drawn * average


def effective_size(count: Tensor) -> float:
    r"""Return the effective number of used codes, :math:`\exp(-\sum_k p_k \log p_k)`.

    Examples
    --------
    >>> round(effective_size(torch.tensor([5, 5, 0, 0])), 6)
    2.0
    """
    p = count.double() / count.sum()
    return float(torch.exp(-torch.special.xlogy(p, p).sum()))
