"""Frames of a waveform to mel bands: the arithmetic of `LogMel`."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_FLOOR = 1e-10  # librosa's amin: -100 dB
_N_BLOCKS = 8
# Single precision leaves rounding noise some 140 dB below the peak of a frame's power spectrum.
# A band 65 dB below the peak is still exact to 3e-4 dB; where one lies deeper, double is used.
_RANGE = 10**6.5


class _Room(NamedTuple):
    """Memory for what a transform computes on its way."""

    windowed: Tensor  # (n_frames, n_fft)
    spectrum: Tensor  # (n_frames, 1 + n_fft // 2), complex
    magnitude: Tensor  # the same, float32

    @classmethod
    def of(cls, n_frames: int, window: Tensor) -> _Room:
        """Make room for frames of the window's length, type and device."""
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
        Where frames come from.

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
        self._rooms = threading.local()

    def __call__(self, frames: Tensor) -> Tensor:
        """Transform frames, in double precision where single would show.

        Parameters
        ----------
        frames : Tensor of shape (n_frames, n_fft), float32
            Pieces of the waveform.

        Returns
        -------
        Tensor of shape (n_frames, n_mels), float32
            At least 1e-10.
        """
        mel, peak = self._transform(frames)
        deepest = (mel / self.area).amin(dim=1)  # bands that hear nothing give infinity
        deep = deepest * _RANGE ** (self.power / 2) < peak
        if deep.any():
            mel[deep], _ = self._transform(frames[deep].double())
        return mel

    def _transform(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bands (n_frames, n_mels) and the peak of the spectrum (n_frames,)."""
        room = self._room(len(frames), frames.dtype)
        torch.mul(frames, self.windows[frames.dtype], out=room.windowed)
        torch.fft.rfft(room.windowed, out=room.spectrum)
        parts = torch.view_as_real(room.spectrum).square_()
        # |S|², (n_frames, 1 + n_fft // 2)
        magnitude = torch.add(parts[..., 0], parts[..., 1], out=room.magnitude)
        if self.power != 2:
            magnitude.pow_(self.power / 2)
        mel = torch.empty(len(frames), len(self.area), device=frames.device)
        for bins, bands, weights in self.blocks:
            mel[:, bands] = magnitude[:, bins] @ weights
        return mel.clamp_min_(_FLOOR), magnitude.amax(dim=1)

    def _room(self, n_frames: int, dtype: torch.dtype) -> _Room:
        """Return this thread's memory for intermediate results.

        Fresh memory would cost more than the arithmetic: the kernel hands it out page by page,
        and to one thread at a time.
        """
        rooms: dict[Any, _Room] = self._rooms.__dict__.setdefault("of_this_thread", {})
        if dtype not in rooms or len(rooms[dtype].windowed) < n_frames:
            rooms[dtype] = _Room.of(n_frames, self.windows[dtype])
        return _Room(*(memory[:n_frames] for memory in rooms[dtype]))


def _split(filters: np.ndarray) -> list[tuple[slice, slice, Tensor]]:
    """Split the filter bank into blocks of bands with just the bins that these bands hear.

    A filter is a narrow triangle: the dense product would multiply nine tenths zeros.
    """
    blocks = []
    for bands in np.array_split(np.arange(len(filters)), min(_N_BLOCKS, len(filters))):
        heard = np.flatnonzero(filters[bands].any(axis=0))
        first, last = (heard[0], heard[-1] + 1) if heard.size else (0, 1)
        weights = torch.from_numpy(np.ascontiguousarray(filters[bands, first:last].T))
        blocks.append((slice(first, last), slice(bands[0], bands[-1] + 1), weights.float()))
    return blocks
