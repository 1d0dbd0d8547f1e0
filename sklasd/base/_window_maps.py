"""Nets over whole clips: maps that windows make together, and the residuals of all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sklasd.base._training_clips import TrainingClips
from sklasd.clips._spectrograms import Spectrograms
from sklasd.training._modes import exact
from sklasd.training._windows import cut_windows, overlap_add
from sklasd.utils._devices import check_device

if TYPE_CHECKING:
    from sklasd.base._net_detector import NetDetector

_BATCH = 4096  # windows per step where nothing is learnt by gradient


def nets_on_device(detector: NetDetector) -> str:
    """Put the nets where and how scoring needs them, and return the device."""
    device = check_device(detector.device)
    for net in detector.nets_.values():
        net.module_.to(device).eval()
    return device


def hop_in_scoring(detector: NetDetector) -> int:
    """Return the hop of the windows in scoring: `scoring_hop`, or that of training."""
    hop = getattr(detector, "scoring_hop", None)
    return detector._window()[1] if hop is None else hop


def map_clips(
    detector: NetDetector, data: Spectrograms, function: Callable[[Tensor], Tensor]
) -> list[np.ndarray]:
    """Map the windows of each clip, and average the maps where windows overlap.

    The function makes maps of windows, both (batch, n_mels, window_length); the result is a list of
    (n_mels, n_frames), float32.
    """
    device = nets_on_device(detector)
    length, _ = detector._window()
    size = detector._scoring_batch

    def parts(clip: int) -> Iterator[tuple[Tensor, Tensor]]:
        windows = cut_windows(data, length, hop_in_scoring(detector), index=[clip])
        starts = windows.starts - int(data.bounds[clip])
        for x, first in zip(windows.batches(size), starts.split(size), strict=True):
            yield function(x.to(device)), first

    with torch.inference_mode(), exact(device):
        return [
            overlap_add(parts(clip), data.n_mels, int(n_frames))
            for clip, n_frames in enumerate(data.n_frames)
        ]


def times_the_usual(detector: Any) -> Callable[[Tensor], Tensor]:
    """Return the map of a detector with `_residual`: 1 is the usual power of a band."""

    def ratio(x: Tensor) -> Tensor:
        power = torch.from_numpy(detector.residual_power_).to(x.device)
        return detector._residual(x).square() / power[:, None]

    return ratio


def usual_power(square: np.ndarray) -> np.ndarray:
    """Return the mean squared residual of each band (n_mels,) from second moments, never 0."""
    return np.diag(square).clip(np.finfo(np.float32).tiny).astype(np.float32)


def residual_moments(
    detector: NetDetector,
    clips: TrainingClips,
    index: np.ndarray,
    residual: Callable[[Tensor], Tensor],
) -> tuple[np.ndarray, np.ndarray, int]:
    """Measure the residuals of all frames of some clips.

    `residual` maps windows to windows minus their reconstruction, (batch, n_mels, window_length):
    the detector's own, or a quicker one. Returns the mean (n_mels,) in dB, the second moment
    (n_mels, n_mels) in dB², and the number of frames, each as often as it lies in a window.
    """
    n_mels = clips.data.n_mels
    first, second, count = np.zeros(n_mels), np.zeros((n_mels, n_mels)), 0
    windows = detector._training_windows(clips, index, device=nets_on_device(detector))
    with torch.inference_mode():
        for x in windows.batches(_BATCH):
            rows = residual(x).transpose(1, 2)  # (batch, length, n_mels)
            frames = rows.flatten(0, 1)
            first += frames.sum(0).double().cpu().numpy()
            second += (frames.T @ frames).double().cpu().numpy()
            count += len(frames)
    return first / count, second / count, count
