"""Windows over clips: gathered by index from one tensor, pooled back to clips."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sklasd.clips._spectrograms import Spectrograms

_GPU_SHARE = 0.5  # of the free memory that spectrograms may take on a GPU


def window_starts(n_frames: int, length: int, hop: int) -> np.ndarray:
    """Place windows over a clip so that every frame lies in one.

    `length` and `hop` are in frames; the last window ends with the clip, also where `hop` does not
    fit.

    Examples
    --------
    >>> window_starts(10, 4, 4)
    array([0, 4, 6])
    """
    starts = np.arange(0, n_frames - length + 1, hop)
    if starts[-1] + length < n_frames:
        starts = np.append(starts, n_frames - length)
    return starts


def _to_device(frames: Tensor, device: str) -> Tensor:
    """Move spectrograms to a GPU that has room; else they stay, and batches travel."""
    if device == "cpu":
        return frames
    free, _ = torch.cuda.mem_get_info(device)
    n_bytes = frames.numel() * frames.element_size()
    return frames.to(device) if n_bytes < _GPU_SHARE * free else frames


@dataclass(frozen=True)
class Windows(Dataset):
    """Windows of `length` frames, made when they are asked for.

    Parameters
    ----------
    frames : Tensor of shape (n_frames_of_all, n_mels)
        Spectrograms end to end.
    starts : Tensor of shape (n_windows,), int64
        Row of `frames` at which each window starts.
    clip : ndarray of shape (n_windows,)
        The clip of each window.
    length : int
        In frames.
    device : str
        Where the batches are put.
    targets : Tensor of shape (n_windows, ...), default=None
        What a net is to make of each window; None asks for the window itself.
    source : Spectrograms, default=None
        Whose windows these are.

    Examples
    --------
    >>> X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # 2 clips, 3 bands, 4 frames
    >>> windows = cut_windows(Spectrograms.stack(X), 2, 1)
    >>> len(windows)
    6
    >>> windows[[3, 5]].shape
    torch.Size([2, 3, 2])
    """

    frames: Tensor
    starts: Tensor
    clip: np.ndarray
    length: int
    device: str = "cpu"
    targets: Tensor | None = None
    source: Spectrograms | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def with_targets(self, targets: Any) -> Windows:
        """Give each window its clip's target.

        `targets` is array-like, (n_clips, ...), for *all* clips: such as labels or section numbers.

        Examples
        --------
        >>> windows = cut_windows(Spectrograms.stack(np.zeros((2, 3, 4), np.float32)), 2, 2)
        >>> windows.with_targets([7, 8]).targets
        tensor([7, 7, 8, 8])
        """
        return replace(self, targets=torch.as_tensor(np.asarray(targets)[self.clip]))

    def take(self, index: np.ndarray) -> Windows:
        """Pick windows, some of them perhaps more than once.

        Parameters
        ----------
        index : ndarray of int, shape (n_index,)
            Positions of windows.

        Returns
        -------
        Windows
            In the order of `index`, with their targets.

        Examples
        --------
        >>> windows = cut_windows(Spectrograms.stack(np.zeros((2, 3, 4), np.float32)), 2, 2)
        >>> windows.with_targets([7, 8]).take(np.array([3, 0, 0])).targets
        tensor([8, 7, 7])
        """
        targets = None if self.targets is None else self.targets[index]
        return replace(self, starts=self.starts[index], clip=self.clip[index], targets=targets)

    @cached_property
    def digest(self) -> str:
        """What a cache knows the windows and their targets by."""
        targets = None if self.targets is None else self.targets.numpy()
        source = None if self.source is None else self.source.digest
        return joblib.hash((source, self.starts.numpy(), self.length, targets))

    def __getitem__(self, index: Any) -> Tensor:
        """Gather windows."""
        rows = self.starts[index][:, None] + torch.arange(self.length)  # (batch, length)
        rows = rows.flatten().to(self.frames.device)
        # index_select copies whole rows; indexing with a matrix would go element by element.
        batch = self.frames.index_select(0, rows).to(self.device)
        if batch.dtype == torch.uint8:
            batch = batch.float() / 255
        if self.source is not None and self.source.are_rows:
            return batch
        return batch.view(-1, self.length, self.frames.shape[1]).transpose(1, 2)

    def whole_clips(self) -> Iterator[Tensor]:
        """Yield each clip that has windows, once."""
        firsts = np.flatnonzero(np.diff(self.clip, prepend=-1))
        lasts = np.append(firsts[1:], len(self)) - 1
        for first, last in zip(self.starts[firsts], self.starts[lasts] + self.length, strict=True):
            yield self.frames[first:last].T

    def mean(self) -> Tensor:
        """Average all windows.

        Returns
        -------
        Tensor of shape (n_mels, length)
            On the CPU.
        """
        total = sum(batch.sum(dim=0, dtype=torch.float64) for batch in self.batches(4096))
        return torch.as_tensor(total / len(self), dtype=torch.float32).cpu()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all windows in order, `size` at a time."""
        for first in range(0, len(self), size):
            yield self[slice(first, first + size)]

    def full_batches(self, size: int) -> Iterator[tuple[Tensor, int]]:
        """Yield all windows in order, always `size` of them: the last one is repeated to fill up.

        Matrices of another size are multiplied in another order, and the last bit of a result
        with it: of batches of one size, a window's score does not depend on its company.

        Examples
        --------
        >>> windows = cut_windows(Spectrograms.stack(np.zeros((2, 3, 4), np.float32)), 2, 2)
        >>> [(len(batch), n) for batch, n in windows.full_batches(3)]
        [(3, 3), (3, 1)]
        """
        for first in range(0, len(self), size):
            index = torch.arange(first, first + size).clamp_(max=len(self) - 1)
            yield self[index], min(size, len(self) - first)


def cut_windows(
    spectrograms: Spectrograms, length: int, hop: int, *, index: Any = None, device: str = "cpu"
) -> Windows:
    """Cut clips into windows, without copying them.

    Windows come in the order of `index`, positions of clips (None for all). `device` is where
    batches are needed; the spectrograms move there if they fit.

    Examples
    --------
    >>> X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # 2 clips, 3 bands, 4 frames
    >>> len(cut_windows(Spectrograms.stack(X), 2, 1))
    6
    """
    index = np.arange(len(spectrograms)) if index is None else np.asarray(index)
    n_frames = spectrograms.n_frames[index]
    # Placed once for each length there is: embeddings and equal clips come by the thousands.
    placed = {n: window_starts(n, length, hop) for n in np.unique(n_frames)}
    firsts = spectrograms.bounds[index]
    starts = [first + placed[n] for first, n in zip(firsts, n_frames, strict=True)]
    with warnings.catch_warnings():  # torch warns of read-only memory, which memmaps are:
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        frames = torch.from_numpy(spectrograms.frames)  # it is never written to
    return Windows(
        frames=_to_device(frames, device),
        starts=torch.from_numpy(np.concatenate(starts)),
        clip=np.repeat(index, [len(s) for s in starts]),
        length=length,
        device=device,
        source=spectrograms,
    )


def overlap_add(parts: Iterable[tuple[Tensor, Tensor]], n_mels: int, n_frames: int) -> np.ndarray:
    """Average maps of windows where they overlap.

    `parts` yields maps of some windows of a clip, (n_windows, n_mels, length), with the frame at
    which each window starts. Frames outside every window are 0.

    Examples
    --------
    >>> overlap_add([(torch.ones(2, 1, 2), torch.tensor([0, 1]))], 1, 3)
    array([[1., 1., 1.]], dtype=float32)
    """
    total = torch.zeros(n_frames, n_mels)
    count = torch.zeros(n_frames, 1)
    for maps, starts in parts:
        length = maps.shape[2]
        rows = (starts[:, None] + torch.arange(length)).flatten()
        total.index_add_(0, rows, maps.transpose(1, 2).reshape(-1, n_mels).cpu())
        count.index_add_(0, rows, torch.ones(len(rows), 1))
    return (total / count.clamp_min_(1)).T.numpy()
