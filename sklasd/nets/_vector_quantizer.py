"""Vector quantisation: every feature vector becomes the nearest one of a codebook."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

_AT_ONCE = 2**14  # vectors that are compared with all codes together
_SMOOTHING = 1e-5  # of the counts, so that no code is divided by 0


class Quantized(NamedTuple):
    """What a quantiser makes of features.

    Parameters
    ----------
    vectors : Tensor of shape (batch, n_features, height, width)
        The codes' vectors; the gradient passes on as if nothing had been quantised.
    codes : Tensor of shape (batch, height, width), int64
        Their numbers.
    loss : Tensor of shape ()
        Commitment, and for a codebook that learns by gradient its own term.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


class VectorQuantizer(nn.Module):
    r"""Replace feature vectors by their nearest codes.

    With :math:`e` the code nearest to the feature vector :math:`z`, and sg the stop of a gradient,

    .. math:: L = \beta \|z - \mathrm{sg}[e]\|^2 \; (+ \; \|\mathrm{sg}[z] - e\|^2)

    The second term trains the codebook where `update` is "gradient"; where it is "ema", each code
    is a moving average of the vectors that fell to it.

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
        Of the moving averages.
    restart_below : float, default=0.0
        In training, a code that is chosen less often than this, in multiples of the average code,
        becomes a feature vector of the batch, drawn at random; 0 leaves dead codes dead.

    Attributes
    ----------
    codebook : Tensor of shape (codebook_size, n_features)
        The codes: a parameter where `update` is "gradient", else a buffer.
    count : Tensor of shape (codebook_size,)
        Moving average of how many vectors of a batch fall to each code.

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
        """Quantise.

        Parameters
        ----------
        z : Tensor of shape (batch, n_features, height, width)
            Features.

        Returns
        -------
        Quantized
            In training the codebook moves, after the codes were chosen.
        """
        rows = z.movedim(1, -1)  # (batch, height, width, n_features)
        flat = rows.reshape(-1, rows.shape[-1])
        codes = self.nearest(flat)
        vectors = self.codebook[codes].view_as(rows).movedim(-1, 1)
        loss = self.commitment * mse_loss(z, vectors.detach())
        if self.update == "gradient":
            loss = loss + mse_loss(vectors, z.detach())
        if self.training:
            self._follow(flat.detach(), codes)
        straight = z + (vectors - z).detach()
        return Quantized(straight, codes.view(rows.shape[:-1]), loss)

    def nearest(self, flat: Tensor) -> Tensor:
        """Return the number of the nearest code of each vector, (n_vectors, n_features)."""
        lengths = self.codebook.square().sum(dim=1)
        # Squared distances less the vectors' own lengths, (n_vectors, codebook_size), in parts: of
        # a batch of the paper all together would take 4 GB.
        parts = flat.detach().split(_AT_ONCE)
        return torch.cat([(lengths - 2 * some @ self.codebook.T).argmin(dim=1) for some in parts])

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the vectors (batch, n_features, height, width) of codes (batch, height, width)."""
        return self.codebook[codes].movedim(-1, 1)

    @torch.no_grad()
    def _follow(self, flat: Tensor, codes: Tensor) -> None:
        """Move counts, and codes that are averages, towards a batch's; then restart dead codes."""
        size = len(self.codebook)
        count = torch.bincount(codes, minlength=size).to(flat.dtype)
        self.count.lerp_(count, 1 - self.decay)
        if self.update == "ema":
            total = torch.zeros_like(self.total).index_add_(0, codes, flat)
            self.total.lerp_(total, 1 - self.decay)
            n = self.count.sum()
            smooth = (self.count + _SMOOTHING) / (n + size * _SMOOTHING) * n
            used = self.count > 0  # never used: its average is of nothing, and it stays
            self.codebook[used] = (self.total / smooth[:, None])[used]
        average = len(flat) / size
        dead = self.count < self.restart_below * average
        if dead.any():
            drawn = flat[torch.randint(len(flat), (int(dead.sum()),), device=flat.device)]
            self.codebook[dead] = drawn
            # As if it had been met as often as others: it gets time to find its place.
            self.count[dead], self.total[dead] = average, drawn * average


def effective_size(count: Tensor) -> float:
    r"""Tell how many codes are in use, :math:`\exp(-\sum_k p_k \log p_k)`.

    Parameters
    ----------
    count : Tensor of shape (codebook_size,)
        How often each code was chosen.

    Returns
    -------
    float
        From 1, a single code, to the size of the codebook, all alike.

    Examples
    --------
    >>> round(effective_size(torch.tensor([5, 5, 0, 0])), 6)
    2.0
    """
    p = count.double() / count.sum()
    return float(torch.exp(-torch.special.xlogy(p, p).sum()))
