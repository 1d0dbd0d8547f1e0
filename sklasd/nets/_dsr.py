"""The second stage of AudDSR: restore corrupted codes, and locate the corruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, interpolate

from sklasd.nets._vector_quantizer import VectorQuantizer
from sklasd.nets._vqvae2 import VQVAE2, Residual, join_levels
from sklasd.simulation import band_masks, corrupt_codes, perlin_masks

# Codes of 8 x 8 cells are pooled twice more. Windows have at least two such strides: instance
# normalisation has no statistics of a map of a single cell.
_STRIDE = 32


class Restored(NamedTuple):
    """Output of the second stage for a batch of windows."""

    x: Tensor  # (batch, n_mels, window_length), scaled and padded
    rebuilt: Tensor  # the same shape: the sound without the anomaly, by the object decoder
    features: tuple[Tensor, Tensor]  # restored features of both levels, before quantisation
    targets: tuple[Tensor, Tensor]  # vectors of the clean codes of both levels
    logits: Tensor  # (batch, 2, n_mels, window_length), normal and anomalous
    mask: Tensor  # (batch, n_mels, window_length), bool: where codes were replaced


def _conv(n_in: int, n_out: int) -> list[nn.Module]:
    conv = nn.Conv2d(n_in, n_out, 3, padding=1)
    # Instance normalisation subtracts the mean, and the bias with it. The bias stays for
    # the paper's count of parameters, but is not trained.
    conv.bias = nn.Parameter(torch.zeros(n_out), requires_grad=False)
    return [conv, nn.InstanceNorm2d(n_out), nn.ReLU()]


def _up(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), *_conv(n_in, n_out)]


class SubspaceRestriction(nn.Sequential):
    """Map corrupted code vectors back to those of normal sounds.

    Parameters
    ----------
    n : int
        Length of the codes.

    Notes
    -----
    Shape: (batch, n, height, width) → the same; height and width are multiples of 4.

    Examples
    --------
    >>> SubspaceRestriction(8)(torch.randn(1, 8, 8, 12)).shape
    torch.Size([1, 8, 8, 12])
    """

    def __init__(self, n: int) -> None:
        # A U-Net without skips: a skip would carry the corruption past the bottleneck.
        super().__init__(
            *_conv(n, n), *_conv(n, n), nn.MaxPool2d(2),
            *_conv(n, 2 * n), *_conv(2 * n, 2 * n), nn.MaxPool2d(2),
            *_conv(2 * n, 4 * n), *_conv(4 * n, 4 * n),
            *_up(4 * n, 2 * n), *_conv(2 * n, 2 * n), *_conv(2 * n, 2 * n),
            *_up(2 * n, n), *_conv(n, n), *_conv(n, n),
            nn.Conv2d(n, n, 3, padding=1),
        )  # fmt: skip


class ObjectDecoder(nn.Sequential):
    """Rebuild a spectrogram from the codes of one kind of sound.

    Parameters
    ----------
    n : int
        Length of the codes.

    Notes
    -----
    Shape: (batch, 2 * n, height, width) → (batch, 1, 4 * height, 4 * width); height and width are
    multiples of 4.

    Examples
    --------
    >>> ObjectDecoder(8)(torch.randn(1, 16, 8, 12)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, n: int) -> None:
        half = max(n // 2, 1)
        super().__init__(
            *_conv(2 * n, 2 * n), *_conv(2 * n, 4 * n), nn.MaxPool2d(2),
            *_conv(4 * n, 4 * n), *_conv(4 * n, 8 * n), nn.MaxPool2d(2),
            nn.Conv2d(8 * n, half, 1),
            nn.ConvTranspose2d(half, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(half, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(half, n, 3, padding=1), Residual(n, half),
            nn.ConvTranspose2d(n, half, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(half, 1, 4, stride=2, padding=1),
        )  # fmt: skip


class AnomalyDetectionModule(nn.Module):
    """A U-Net that compares two reconstructions and marks where they differ.

    Parameters
    ----------
    width : int, default=64
        Channels of the first level.

    Notes
    -----
    Shape: (batch, 2, height, width) → logits of the same shape; height and width are multiples of
    8.

    Examples
    --------
    >>> AnomalyDetectionModule(4)(torch.randn(1, 2, 16, 24)).shape
    torch.Size([1, 2, 16, 24])
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width, 4 * width)
        pairs = zip((2, *sizes[:-1]), sizes, strict=True)
        self.down = nn.ModuleList(nn.Sequential(*_conv(a, b), *_conv(b, b)) for a, b in pairs)
        levels = list(zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Sequential(*_up(a, b)) for a, b in levels)
        self.join = nn.ModuleList(nn.Sequential(*_conv(2 * b, b), *_conv(b, b)) for _, b in levels)
        self.last = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compare two reconstructions."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(nn.functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        return self.last(x)


class DSR(nn.Module):
    """Object-specific decoding and anomaly detection on top of a frozen discrete autoencoder.

    Parameters
    ----------
    n_features, codebook_size, n_mels
        Sizes of the discrete autoencoder, as in `VQVAE2`; `set_initial_state` sets its weights.
    width : int, default=64
        Channels of the first level of the detection module.
    anomalous_share : float, default=0.5
        Share of a batch that gets simulated anomalies.
    band_share : float, default=0.5
        Share of the anomaly maps that are a frequency band over time segments; the others are
        Perlin noise.
    replacement : {"codebook", "nearest"}, default="codebook"
        Replace codes by any others, or by others drawn by rank of nearness.
    strength : (float, float), default=(0.2, 1.0)
        For "nearest": range of the farthest rank, as a share of the codebook.
    bands, n_segments, segment_frames
        As in `simulation.band_masks`.
    threshold, octaves
        As in `simulation.perlin_masks`.

    Notes
    -----
    Shape: (batch, n_mels, window_length) → a `Restored`, padded to multiples of 32. Codes are
    corrupted in training mode only.

    Examples
    --------
    >>> net = DSR(n_features=8, codebook_size=16, width=4)
    >>> net.segment(torch.randn(1, 32, 50)).shape
    torch.Size([1, 32, 50])
    """

    def __init__(
        self,
        n_features: int = 128,
        codebook_size: int = 4096,
        *,
        n_mels: int = 1,
        width: int = 64,
        anomalous_share: float = 0.5,
        band_share: float = 0.5,
        replacement: str = "codebook",
        strength: Sequence[float] = (0.2, 1.0),
        bands: Sequence[int] = (4, 64),
        n_segments: Sequence[int] = (1, 5),
        segment_frames: Sequence[int] | None = None,
        threshold: float = 0.5,
        octaves: Sequence[int] = (0, 5),
    ) -> None:
        super().__init__()
        self.autoencoder = VQVAE2(n_features, codebook_size, n_mels=n_mels).requires_grad_(False)
        self.restrict_coarse = SubspaceRestriction(n_features)
        self.restrict_fine = SubspaceRestriction(n_features)
        self.object_decoder = ObjectDecoder(n_features)
        self.detect = AnomalyDetectionModule(width)
        for module in (*self.object_decoder.modules(), *self.detect.modules()):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0, 0.02)
        self.anomalous_share = anomalous_share
        self.band_share = band_share
        self.replacement = replacement
        self.strength = strength
        self.band_shape: dict[str, Any] = {
            "bands": bands,
            "n_segments": n_segments,
            "frames": segment_frames,
        }
        self.perlin_shape: dict[str, Any] = {"threshold": threshold, "octaves": octaves}

    def set_initial_state(self, **state: Tensor) -> None:
        """Load the state of a trained autoencoder."""
        self.autoencoder.load_state_dict(state)

    def train(self, mode: bool = True) -> DSR:
        """Switch the mode of all parts but the autoencoder."""
        super().train(mode)
        self.autoencoder.eval()  # in training mode its codebooks would move
        return self

    def forward(self, x: Tensor) -> Restored:
        """Restore windows in dB, and mark what is anomalous."""
        net = self.autoencoder
        x = net.scale(x, _STRIDE, least_frames=2 * _STRIDE)
        mask = self._draw_masks(x)
        with torch.no_grad():
            fine_features = net.encode_fine(x[:, None])
            coarse = net.quantize_coarse(net.to_coarse(net.encode_coarse(fine_features))).vectors
            fine = net.refine(fine_features, coarse).vectors
            masks = self._choose_levels(mask, coarse, fine)
            broken_coarse = self._corrupt(net.quantize_coarse, coarse, masks[0])
            is_whole = broken_coarse is coarse  # nothing was replaced, as in scoring
            # The fine codes depend on the coarse ones, so broken ones are refined anew.
            refined = fine if is_whole else net.refine(fine_features, broken_coarse).vectors
            broken_fine = self._corrupt(net.quantize_fine, refined, masks[1])
            general = net.decode(broken_coarse, broken_fine)  # keeps the anomaly
        features = self.restrict_coarse(broken_coarse), self.restrict_fine(broken_fine)
        restored = join_levels(
            net.quantize_coarse(features[0]).vectors, net.quantize_fine(features[1]).vectors
        )
        rebuilt = self.object_decoder(restored)[:, 0]  # removes the anomaly
        # Detached, so that the detection loss trains the detection module only.
        logits = self.detect(torch.stack([rebuilt.detach(), general], dim=1))
        return Restored(x, rebuilt, features, (coarse, fine), logits, _touched(masks, x))

    def segment(self, x: Tensor) -> Tensor:
        """Return the probability of an anomaly in each cell, (batch, n_mels, window_length)."""
        _, n_mels, n_frames = x.shape
        return self(x).logits.softmax(dim=1)[:, 1, :n_mels, :n_frames]

    def _draw_masks(self, x: Tensor) -> Tensor:
        """Draw where each window becomes anomalous, (batch, n_mels, window_length)."""
        if not self.training:
            return torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        n, shape = len(x), (x.shape[1], x.shape[2])
        masks = torch.zeros(n, *shape, dtype=torch.bool)
        # Exactly the share of each batch, rounded up or down at random.
        n_anomalous = int(n * self.anomalous_share + torch.rand(()).item())
        chosen = torch.randperm(n)[:n_anomalous]
        n_bands = int((torch.rand(n_anomalous) < self.band_share).sum())
        masks[chosen[:n_bands]] = band_masks(n_bands, shape, **self.band_shape)
        masks[chosen[n_bands:]] = perlin_masks(n_anomalous - n_bands, shape, **self.perlin_shape)
        return masks.to(x.device)

    def _choose_levels(self, mask: Tensor, *levels: Tensor) -> list[Tensor]:
        """Resize masks to both maps of codes; half of the windows are corrupted in only one."""
        resized = [adaptive_max_pool2d(mask.float(), level.shape[-2:]) > 0 for level in levels]
        if not self.training:  # nothing is drawn
            return resized
        which = torch.randint(4, (len(mask), 1, 1), device=mask.device)  # 0, 1: that one; else both
        return [cells & (which != 1 - i) for i, cells in enumerate(resized)]

    def _corrupt(self, quantizer: VectorQuantizer, vectors: Tensor, mask: Tensor) -> Tensor:
        if not mask.any():
            return vectors  # the same object, by which `forward` sees that nothing was replaced
        ranks = None
        if self.replacement == "nearest":
            low, high = self.strength  # one strength per window, for all its cells
            strength = low + (high - low) * torch.rand(len(mask), device=mask.device)
            ranks = strength[:, None, None].expand_as(mask)
        return corrupt_codes(vectors, mask, quantizer.codebook, farthest=ranks)


def _touched(masks: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return the cells (batch, n_mels, window_length) whose codes were replaced in any map."""
    cells = [
        interpolate(m[:, None].float(), size=x.shape[-2:], mode="nearest")[:, 0] for m in masks
    ]
    return (cells[0] + cells[1]) > 0
