"""A discrete autoencoder of spectrograms, with codes at two resolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from sklasd.nets._blocks import Scaling
from sklasd.nets._vector_quantizer import Quantized, VectorQuantizer, effective_size

_STRIDE = 8  # bands and frames for each coarse code


class Rebuilt(NamedTuple):
    """Windows and their reconstruction."""

    x: Tensor  # (batch, n_mels, window_length), scaled
    rebuilt: Tensor  # the same shape, scaled
    loss: Tensor  # (), of both quantisers


class Residual(nn.Module):
    """Two residual blocks, then ReLU.

    Parameters
    ----------
    n_features, n_hidden : int
        Channels outside and inside the blocks.

    Notes
    -----
    Shape: (batch, n_features, height, width) → the same.

    Examples
    --------
    >>> Residual(8, 4)(torch.randn(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, n_features: int, n_hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(n_features, n_hidden, 3, padding=1, bias=False),
                nn.ReLU(),
                nn.Conv2d(n_hidden, n_features, 1, bias=False),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the output of the blocks to features."""
        for block in self.blocks:
            # The skip adds x, as usual; in the code of DSR an in-place ReLU makes it relu(x).
            x = x + block(x)
        return torch.relu(x)


class VQVAE2(nn.Module):
    """Autoencoder with a coarse and a fine map of codes.

    Parameters
    ----------
    n_features : int, default=128
        Channels of the features, and length of the codes.
    codebook_size : int, default=4096
        Codes of each of the two codebooks.
    update, commitment, decay, restart_below
        As in `VectorQuantizer`.
    n_mels : int, default=1
        Number of bands with a scaling of their own; 1 scales all alike.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → a `Rebuilt`, padded to multiples of 8. The coarse map
    (the paper's Q1) has a code for 8 bands x 8 frames, the fine one (Q2) for 4 x 4.

    Examples
    --------
    >>> net = VQVAE2(n_features=8, codebook_size=16)
    >>> net(torch.randn(2, 32, 24)).rebuilt.shape
    torch.Size([2, 32, 24])
    """

    perplexity: Tensor

    def __init__(
        self,
        n_features: int = 128,
        codebook_size: int = 4096,
        *,
        update: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.0,
        n_mels: int = 1,
    ) -> None:
        super().__init__()
        n, half = n_features, max(n_features // 2, 1)
        codebook: dict[str, Any] = {
            "update": update, "commitment": commitment, "decay": decay,
            "restart_below": restart_below,
        }  # fmt: skip
        self.scaling = Scaling(n_mels)
        self.encode_fine = nn.Sequential(
            nn.Conv2d(1, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(half, n, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(n, n, 3, padding=1), Residual(n, half),
        )  # fmt: skip
        self.encode_coarse = nn.Sequential(
            nn.Conv2d(n, n, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(n, n, 3, padding=1), nn.ReLU(), Residual(n, half),
        )  # fmt: skip
        self.to_coarse = nn.Conv2d(n, n, 1)
        self.quantize_coarse = VectorQuantizer(codebook_size, n, **codebook)
        self.up = nn.ConvTranspose2d(n, n, 4, stride=2, padding=1)  # general decoder module 1
        self.to_fine = nn.Conv2d(2 * n, n, 1)
        self.quantize_fine = VectorQuantizer(codebook_size, n, **codebook)
        self.decoder = nn.Sequential(
            nn.Conv2d(2 * n, n, 3, padding=1), Residual(n, half),
            nn.ConvTranspose2d(n, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(half, 1, 4, stride=2, padding=1),
        )  # fmt: skip
        self.register_buffer("perplexity", torch.zeros(2))  # coarse, fine; set by `settle`

    def set_initial_state(self, **state: Tensor) -> None:
        """Set the scaling, or load the whole state of a trained autoencoder."""
        if set(state) == {"centre", "scale"}:
            self.scaling.set_initial_state(**state)
        else:
            self.load_state_dict(state)

    def forward(self, x: Tensor) -> Rebuilt:
        """Rebuild windows in dB from their codes."""
        x = self.scale(x)
        coarse, fine = self.encode(x)
        return Rebuilt(x, self.decode(coarse.vectors, fine.vectors), coarse.loss + fine.loss)

    def scale(self, x: Tensor, multiple: int = _STRIDE, *, least_frames: int = 0) -> Tensor:
        """Scale windows in dB, then pad them: see `pad_to_multiple`."""
        return pad_to_multiple(self.scaling(x), multiple, least_frames=least_frames)

    def encode(self, x: Tensor) -> tuple[Quantized, Quantized]:
        """Quantise scaled windows (batch, n_mels, window_length): coarse and fine."""
        # The fine codes are chosen given the coarse ones.
        features = self.encode_fine(x[:, None])
        coarse = self.quantize_coarse(self.to_coarse(self.encode_coarse(features)))
        return coarse, self.refine(features, coarse.vectors)

    def refine(self, features: Tensor, coarse: Tensor) -> Quantized:
        """Quantise fine features, given the coarse vectors."""
        return self.quantize_fine(self.to_fine(torch.cat([features, self.up(coarse)], dim=1)))

    def decode(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Rebuild scaled windows (batch, n_mels, window_length) from both maps of vectors."""
        return self.decoder(join_levels(coarse, fine))[:, 0]

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor]) -> None:
        """Measure how many codes are used, with the codebooks as they are."""
        self.eval()  # in training mode the codebooks would move on
        counts = [torch.zeros(len(q.codebook)) for q in (self.quantize_coarse, self.quantize_fine)]
        for x in batches:
            device = self.perplexity.device
            for count, level in zip(counts, self.encode(self.scale(x.to(device))), strict=True):
                count += torch.bincount(level.codes.cpu().ravel(), minlength=len(count))
        self.perplexity.copy_(torch.tensor([effective_size(count) for count in counts]))


def join_levels(coarse: Tensor, fine: Tensor) -> Tensor:
    """Interpolate coarse vectors to the fine map, and stack both."""
    up = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([up, fine], dim=1)


def pad_to_multiple(x: Tensor, multiple: int = _STRIDE, *, least_frames: int = 0) -> Tensor:
    """Repeat the last band and the last frame up to a multiple of both axes.

    Examples
    --------
    >>> pad_to_multiple(torch.zeros(1, 128, 313), 32).shape
    torch.Size([1, 128, 320])
    """
    # Repeated and not zeros: an edge would look like a fault.
    n_bands, n_frames = (-size % multiple for size in x.shape[-2:])
    n_frames = max(n_frames, least_frames - x.shape[-1])
    return pad(x[:, None], (0, n_frames, 0, n_bands), mode="replicate")[:, 0]
