"""From frames of a waveform to mel bands: the arithmetic of `LogMel`."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_FLOOR = 1e-10  # librosa's amin: -100 dB
_N_BLOCKS = 8
# Single precision leaves rounding noise about 140 dB below the peak of a frame's power spectrum.
# A band 65 dB below the peak is exact to 3e-4 dB; frames with a lower band are computed in double.
_RANGE = 10**6.5


class _Buffers(NamedTuple):
    """Memory for the intermediate results of a transform."""

    windowed: Tensor  # (n_frames, n_fft)
    spectrum: Tensor  # (n_frames, 1 + n_fft // 2), complex
    magnitude: Tensor  # the same, float32

    @classmethod
    def of(cls, n_frames: int, window: Tensor) -> _Buffers:
        """Allocate memory for frames of the window's length, type and device."""
        n_bins = 1 + len(window) // 2
        empty = window.new_empty
        spectrum = empty(n_frames, n_bins, dtype=window.dtype.to_complex())
        return cls(
            empty(n_frames, len(window)), spectrum, empty(n_frames, n_bins, dtype=torch.float32)
        )


class MelBands:
    """Sums of a frame's spectrum over mel bands.

    Parameters
    ----------
    filters : ndarray of shape (n_mels, 1 + n_fft // 2)
        Filter bank.
    n_fft, win_length : int
        In samples; the Hann window is centred in the frame.
    power : float
        Exponent of the magnitude.
    device : str
        Device of the frames.

    Examples
    --------
    >>> bands = MelBands(np.ones((1, 3)), n_fft=4, win_length=4, power=2.0, device="cpu")
    >>> bands(torch.ones(1, 4))
    tensor([[5.]])
    """

    def __init__(
        self, filters: np.ndarray, n_fft: int, win_length: int, power: float, device: str
    ) -> None:
        hann = torch.hann_window(win_length, dtype=torch.float64)
        left = (n_fft - win_length) // 2
        window = torch.nn.functional.pad(hann, (left, n_fft - win_length - left)).to(device)
        self.windows = {dtype: window.to(dtype) for dtype in (torch.float32, torch.float64)}
        self.blocks = [
            (bins, bands, weights.to(device)) for bins, bands, weights in _split(filters)
        ]
        self.area = torch.from_numpy(filters.sum(axis=1)).float().to(device)
        self.power = power
        self._of_thread = threading.local()  # clips are transformed by several threads at once

    def __call__(self, frames: Tensor) -> Tensor:
        """Transform frames (n_frames, n_fft), float32, to bands (n_frames, n_mels), float32."""
        mel, peak = self._transform(frames)
        # Divided by its area, a band compares with the peak; a filter without bins gives infinity.
        lowest = (mel / self.area).amin(dim=1)
        deep = lowest * _RANGE ** (self.power / 2) < peak
        if deep.any():
            mel[deep], _ = self._transform(frames[deep].double())
        return mel

    def _transform(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bands (n_frames, n_mels) and the peak of the spectrum (n_frames,)."""
        memory = self._buffers(len(frames), frames.dtype)
        torch.mul(frames, self.windows[frames.dtype], out=memory.windowed)
        torch.fft.rfft(memory.windowed, out=memory.spectrum)
        parts = torch.view_as_real(memory.spectrum).square_()
        # |S|², (n_frames, 1 + n_fft // 2)
        magnitude = torch.add(parts[..., 0], parts[..., 1], out=memory.magnitude)
        if self.power != 2:
            magnitude.pow_(self.power / 2)
        mel = torch.empty(len(frames), len(self.area), device=frames.device)
        for bins, bands, weights in self.blocks:
            mel[:, bands] = magnitude[:, bins] @ weights
        return mel.clamp_min_(_FLOOR), magnitude.amax(dim=1)

    def _buffers(self, n_frames: int, dtype: torch.dtype) -> _Buffers:
        """Return this thread's memory for intermediate results."""
        # New memory would cost more than the arithmetic: the kernel provides it page by page, and
        # to one thread at a time.
        buffers: dict[Any, _Buffers] = self._of_thread.__dict__.setdefault("buffers", {})
        if dtype not in buffers or len(buffers[dtype].windowed) < n_frames:
            buffers[dtype] = _Buffers.of(n_frames, self.windows[dtype])
        return _Buffers(*(memory[:n_frames] for memory in buffers[dtype]))


def _split(filters: np.ndarray) -> list[tuple[slice, slice, Tensor]]:
    """Split the filter bank into blocks of bands with only the bins that these bands use."""
    # A filter is a narrow triangle: nine tenths of a product with the whole bank would be zeros.
    blocks = []
    for bands in np.array_split(np.arange(len(filters)), min(_N_BLOCKS, len(filters))):
        used = np.flatnonzero(filters[bands].any(axis=0))
        first, last = (used[0], used[-1] + 1) if used.size else (0, 1)
        weights = torch.from_numpy(np.ascontiguousarray(filters[bands, first:last].T))
        blocks.append((slice(first, last), slice(bands[0], bands[-1] + 1), weights.float()))
    return blocks
