"""What CL-VAE and CVAE share: parameters, net and measurements of a variational autoencoder."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor

from sklasd.base import NetDetector, TrainingClips
from sklasd.losses import normal_divergence
from sklasd.nets._vae import VAE
from sklasd.training import WindowNet

# No pooling: an embedding is its clip's only window.
CONSTRAINTS: dict[str, Any] = {
    **{k: v for k, v in NetDetector._parameter_constraints.items() if k != "pooling"},
    "hidden_layer_sizes": ["array-like"],
    "latent_features": [Interval(Integral, 1, None, closed="left")],
    "n_draws": [Interval(Integral, 0, None, closed="left")],
}


def check_layer_sizes(sizes: Iterable[Any]) -> None:
    """Refuse an empty list of widths, and widths that are not positive whole numbers."""
    sizes = tuple(sizes)
    if not sizes or not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(
            f"Got hidden_layer_sizes={sizes}; pass one or more whole numbers, at least 1."
        )


def make_vae(detector: Any, clips: TrainingClips, criterion: type, **params: Any) -> WindowNet:
    """Return the unfitted net of a detector, with its own layers and training parameters."""
    rows = clips.data.frames[clips.normal_index]
    mean, deviation = (f(rows, axis=0, dtype=np.float64) for f in (np.mean, np.std))
    return detector._window_net(
        VAE,
        criterion=criterion,
        module__n_features=clips.n_features,
        module__hidden_layer_sizes=tuple(detector.hidden_layer_sizes),
        module__latent_features=detector.latent_features,
        module__is_rectified=bool((rows >= 0).all()),  # ReLU rebuilds nothing below 0
        # Adam would take long to reach features far from 0.
        initial_state={"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)},
        **params,
    )


def measure_rows(detector: Any, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return reconstruction error and divergence, (batch,), and the code, (batch, n_code)."""
    net = detector.net_.module_
    encoded = net.encode(rows)
    # CVAE appends the section to the embedding as a one-hot vector; CL-VAE appends nothing.
    x, condition = rows[:, : net.n_features], rows[:, net.n_features :]
    noise = draw_noise(detector, rows.device)
    drawn = [encoded.draw(each) for each in noise] or [encoded.mean]
    errors = [(net.decode(z, condition) - x).square().mean(dim=1) for z in drawn]
    divergence = normal_divergence(encoded.mean, encoded.log_variance)
    return torch.stack(errors).mean(dim=0), divergence, encoded.code


def draw_noise(detector: Any, device: torch.device) -> Tensor:
    """Draw noise (n_draws, latent_features), the same for every clip and in every call."""
    # A clip must score the same alone and among others.
    generator = torch.Generator().manual_seed(detector._seed)
    latent_features = detector.net_.module_.mean.out_features
    return torch.randn(detector.n_draws, latent_features, generator=generator).to(device)
