"""What detectors share that score by how badly a window is rebuilt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sklasd.base._net_detector import NetDetector
from sklasd.base._training_clips import TrainingClips

_BATCH = 4096  # windows per step where nothing is learnt by gradient


class ReconstructionDetector(NetDetector):
    """Base of detectors whose net rebuilds windows: the residual tells where the anomaly is.

    A detector adds `_residual`; it gets `residual_power_` and an `anomaly_map` in its unit.
    """

    _map_unit = "times the usual power"

    @abstractmethod
    def _residual(self, x: Tensor) -> Tensor:
        """Return windows minus their reconstruction, (batch, n_mels, window_length), in dB."""

    def _after_training(self, clips: TrainingClips) -> None:
        _, square, _ = self._residual_moments(clips, clips.normal_index, self._residual)
        self._set_residual_power(np.diag(square))

    def _set_residual_power(self, power: np.ndarray) -> None:
        """Keep the mean squared residual of each band (n_mels,), never 0."""
        self.residual_power_ = power.clip(np.finfo(np.float32).tiny).astype(np.float32)

    def _residual_moments(
        self, clips: TrainingClips, index: np.ndarray, residual: Callable[[Tensor], Tensor]
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Measure the residuals of all frames of some clips, by `_residual` or a quicker one.

        Returns
        -------
        mean : ndarray of shape (n_mels,)
            In dB.
        square : ndarray of shape (n_mels, n_mels)
            Second moment, in dB².
        count : int
            Number of frames, each as often as it lies in a window.
        """
        n_mels = clips.data.n_mels
        first, second, count = np.zeros(n_mels), np.zeros((n_mels, n_mels)), 0
        windows = self._training_windows(clips, index, device=self._ready())
        with torch.inference_mode():
            for x in windows.batches(_BATCH):
                rows = residual(x).transpose(1, 2)  # (batch, length, n_mels)
                frames = rows.flatten(0, 1)
                first += frames.sum(0).double().cpu().numpy()
                second += (frames.T @ frames).double().cpu().numpy()
                count += len(frames)
        return first / count, second / count, count

    def _map(self, x: Tensor) -> Tensor:
        power = torch.from_numpy(self.residual_power_).to(x.device)
        return self._residual(x).square() / power[:, None]
